// A trainer whose steps are done in threads, with the same bits as `createTrainer` gives in one: threads differ in what they do,
// not in how. This thread plans, lets them run a wave, and lets them merge what the lanes have learnt; it never computes, so
// that the network and signals are served while they train.
//
//   this thread    betweenSteps │                       │ ask      │        │ betweenSteps …
//   thread 0       ┄┄┄┄┄┄┄┄┄┄┄┄ │ lane 0, then lane 2 … │          │ merges │
//   thread 1       ┄┄┄┄┄┄┄┄┄┄┄┄ │ lane 1, then lane 3 … │          │ merges │
//
// Within a wave a weight that one lane trains has its master copy written by that lane's thread. One that several lanes train
// is left alone, and each leaves what it has learnt in memory of its own; then the threads merge disjoint slices of it. So
// nobody reads what somebody else is writing. A wave that fails leaves whole weights: some trained by it, others not.
//
// Memory: the data, the master copies of weights and velocities, and for each lane once more those of the contested weights of
// the largest wave so far; and what each thread holds (lane-thread.ts).

import { type ResultOf, type SearchConfig, type StepWork, trainsWeights } from '../../../protocol/index.ts'
import { createSpace, elementCount, type SpaceConfig } from '../../../search-space/index.ts'
import type { Backend } from '../../backends/backends.ts'
import { type Dataset, shareDataset } from '../../datasets/index.ts'
import type { Weights } from '../../executor/index.ts'
import { contestedBy } from '../merge-lanes.ts'
import type { Accumulate } from '../micro-batches.ts'
import { reducedResolution } from '../reduced-resolution.ts'
import { createTaskData } from '../task-data.ts'
import { createTaskNetworks } from '../task-networks.ts'
import { planWaves, resultOf, type StepOutcome, turnsOf, type Wave } from '../task-plan.ts'
import { checkShares, mergeExponents, type Trainer } from '../trainer.ts'
import { type LaneThread, startLaneThread } from './lane-threads.ts'
import type { Exchange, Placed, ThreadAnswer, ThreadSetup } from './messages.ts'
import { createWeightMemory, openSharedWeights } from './shared-weights.ts'

type ThreadsTrainerOptions = {
  /** At least 1. */
  readonly threads: number
  /** Each thread opens one of its own. */
  readonly backend: Backend
  readonly allowSoftwareAdapter: boolean
  readonly dataset: Dataset
  readonly space: SpaceConfig
  readonly config: SearchConfig
  readonly accumulate: Accumulate
  /** Ends the threads at once; a task that is under way fails with the signal's reason. */
  readonly stop: AbortSignal
  readonly onNote: (line: string) => void
}

type Expected = { readonly taskId: number; readonly work: StepWork; readonly waves: readonly Wave[] }

const NOTHING: Exchange = { contested: [], lanes: [] }

/** Throws TrainerError where a share of the data cannot fill one mini-batch. */
function createThreadsTrainer(options: ThreadsTrainerOptions): Trainer {
  const { threads: count, backend, allowSoftwareAdapter, config, accumulate, stop, onNote } = options
  const { batchSize } = config.training
  const dataset = shareDataset(options.dataset)
  const data = createTaskData(dataset, config)
  checkShares(data.shares, batchSize)
  const space = createSpace(options.space)
  const networks = createTaskNetworks(space, reducedResolution(config))
  const memory = createWeightMemory(space.weightSpecs)
  const master = openSharedWeights(backend, space.weightSpecs, config.seed, memory)
  const exponentOf = mergeExponents(space)
  const ruleOf = (work: StepWork) => ({
    shapeOf: (key: string) => master.spec(key).shape,
    exponentOf: (key: string) => exponentOf(work, key),
  })
  const setup: ThreadSetup = { backend: backend.name, allowSoftwareAdapter, dataset, space: options.space, config, accumulate, memory }

  const threads: (LaneThread | null)[] = Array.from({ length: count }, () => null)
  const brokenFiles: (readonly string[])[] = []
  /** Tasks whose mini-batches the threads have been told of. */
  const open = new Map<number, Expected>()
  let lastTaskId = 0
  let expected: Expected | null = null
  let lanes: SharedArrayBuffer[] = []
  /** Settled when no thread reads or writes master copies. */
  let underWay: Promise<unknown> | null = null
  let isResetWanted = false

  const stepsOf = ({ waves }: Expected, thread: number) =>
    waves.flatMap((wave) => turnsOf(wave, thread, count).flatMap(({ steps }) => steps))

  const openTask = (thread: LaneThread, index: number, task: Expected) =>
    thread.tell({ kind: 'open', taskId: task.taskId, work: task.work, steps: stepsOf(task, index) })

  /** Starts those that are missing. */
  const startThreads = () => {
    if (stop.aborted) return
    for (const [index, thread] of threads.entries()) {
      if (thread && !thread.hasFailed()) continue
      void thread?.end()
      const started = startLaneThread(`thread ${index + 1} of ${count}`, setup, onNote)
      threads[index] = started
      for (const task of open.values()) openTask(started, index, task)
    }
  }

  const endThreads = async () => {
    await Promise.all(threads.map((thread) => thread?.end()))
  }

  const expect = (work: StepWork): Expected => {
    lastTaskId += 1
    const task = { taskId: lastTaskId, work, waves: planWaves(work, count, data.batchesPerPath(work)) }
    startThreads()
    open.set(task.taskId, task)
    for (const [index, thread] of threads.entries()) if (thread) openTask(thread, index, task)
    return task
  }

  const closeTask = ({ taskId }: Expected) => {
    open.delete(taskId)
    for (const thread of threads) thread?.tell({ kind: 'close', taskId })
  }

  /** Asks the threads, each what `request` says for it, and waits for all, also where one fails. Throws what the first one failed with. */
  const askAll = async (request: (index: number) => Parameters<LaneThread['ask']>[0] | null): Promise<ThreadAnswer[]> => {
    const asked = threads.flatMap((thread, index) => {
      const wanted = request(index)
      return wanted && thread ? [thread.ask(wanted)] : []
    })
    const ends = await Promise.allSettled(asked)
    return ends.map((end) => {
      if (end.status === 'rejected') throw end.reason
      return end.value
    })
  }

  /** Which weights of a wave several lanes train, and the memory for what each learns. */
  const exchangeOf = (work: StepWork, { turns }: Wave): Exchange => {
    if (!trainsWeights(work) || turns.length === 1) return NOTHING
    const uses = turns.map((turn) => networks.usesOf(work, turn, 1))
    const contested: Placed[] = []
    let end = 0
    for (const weight of contestedBy(uses, ruleOf(work))) {
      const length = elementCount(weight.shape)
      contested.push({ ...weight, from: end, length })
      end += length
    }
    // A weight and its velocity for each number.
    const bytes = 2 * end * Float32Array.BYTES_PER_ELEMENT
    if (lanes.length < turns.length || (lanes[0]?.byteLength ?? 0) < bytes) {
      const size = Math.max(bytes, lanes[0]?.byteLength ?? 0)
      lanes = turns.map(() => new SharedArrayBuffer(size))
    }
    return { contested, lanes }
  }

  const runWave = async ({ taskId, work }: Expected, wave: Wave, outcomes: StepOutcome[]): Promise<number> => {
    const exchange = exchangeOf(work, wave)
    const answers = await askAll((index) => {
      const turns = turnsOf(wave, index, count)
      return turns.length > 0 ? { kind: 'turns', taskId, turns, exchange } : null
    })
    let peakBytes = 0
    for (const [index, answer] of answers.entries()) {
      if (answer.kind !== 'done') continue
      for (const [step, outcome] of answer.outcomes) outcomes[step] = outcome
      peakBytes += answer.peakBytes
      brokenFiles[index] = answer.brokenFiles
    }
    const last = exchange.contested.at(-1)
    if (last) {
      const numbers = last.from + last.length
      const sliceStart = (index: number) => Math.floor((index * numbers) / count)
      await askAll((index) => ({ kind: 'merge', exchange, from: sliceStart(index), to: sliceStart(index + 1) }))
      for (const { key } of exchange.contested) master.changed(key)
    }
    return peakBytes
  }

  // Whoever waits for a thread then hears that it has ended.
  const onStop = () => void endThreads()
  stop.addEventListener('abort', onStop, { once: true })

  const runTask = async (task: Expected, betweenSteps: (stepsLeft: number) => Promise<void>) => {
    const outcomes: StepOutcome[] = []
    let peakBytes = 0
    for (const wave of task.waves) {
      await betweenSteps(wave.stepsLeft)
      stop.throwIfAborted()
      const running = runWave(task, wave, outcomes)
      underWay = running.catch(() => undefined)
      try {
        peakBytes = Math.max(peakBytes, await running)
      } finally {
        underWay = null
        if (isResetWanted) master.resetVelocities()
        isResetWanted = false
      }
    }
    return { result: resultOf(task.work, outcomes, batchSize, data.batchesPerPath(task.work)), peakBytes }
  }

  const weights: Weights = {
    ...master,
    async read(key) {
      await underWay
      return master.read(key)
    },
    write(key, values) {
      if (underWay) throw new Error(`expected ${key} to be written between steps, not while threads train`)
      master.write(key, values)
    },
  }

  const velocities: Trainer['velocities'] = {
    async read(key) {
      await underWay
      return master.masterVelocity(key).slice()
    },
    write(key, values) {
      if (underWay) throw new Error(`expected the velocity of ${key} to be written between steps, not while threads train`)
      master.writeVelocity(key, values)
    },
  }

  startThreads()

  return {
    weights,
    velocities,
    keysOf: networks.keysOf,
    partsOf: networks.partsOf,
    prefetch(work) {
      if (expected) closeTask(expected)
      expected = expect(work)
    },
    async run(work, betweenSteps) {
      stop.throwIfAborted()
      const task = expected?.work === work ? expected : expect(work)
      if (expected === task) expected = null
      startThreads()
      try {
        const { result, peakBytes } = await runTask(task, betweenSteps)
        return { result: result as ResultOf<(typeof work)['kind']>, peakBytes }
      } catch (error) {
        throw stop.aborted ? stop.reason : error
      } finally {
        closeTask(task)
      }
    },
    resetOptimiser() {
      if (underWay) isResetWanted = true
      else master.resetVelocities()
    },
    brokenFiles: () => [...new Set([...(dataset.storage === 'memory' ? (dataset.brokenFiles ?? []) : []), ...brokenFiles.flat()])].sort(),
    async close() {
      stop.removeEventListener('abort', onStop)
      await endThreads()
    },
  }
}

export { createThreadsTrainer, type ThreadsTrainerOptions }
