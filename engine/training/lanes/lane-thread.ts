// Entry of a trainer's thread: does turns of waves and merges slices of what lanes have learnt, one request after the other.
//
// It holds a backend with the weights and velocities that its turn uses (those of the paths of one sub-round, or of one step of
// a task with frozen weights) and the activations of one step, a stream of mini-batches for each open task, and nothing of the
// data set and the master copies but references.

import { parentPort, workerData } from 'node:worker_threads'
import { type StepWork, trainsWeights } from '../../../protocol/index.ts'
import { createSpace } from '../../../search-space/index.ts'
import { openBackend } from '../../backends/backends.ts'
import { type BatchRequest, type BatchStream, openBatchSource } from '../../datasets/index.ts'
import { createSgd } from '../../executor/index.ts'
import { hasTrained, mergeContested, type Trained } from '../merge-lanes.ts'
import { reducedResolution } from '../reduced-resolution.ts'
import { createTaskData } from '../task-data.ts'
import { createTaskNetworks } from '../task-networks.ts'
import { readsVelocities, type StepOutcome } from '../task-plan.ts'
import { createTaskSteps } from '../task-steps.ts'
import type { Exchange, Placed, ThreadAnswer, ThreadMessage, ThreadRequest, ThreadSetup } from './messages.ts'
import { openSharedWeights } from './shared-weights.ts'

const port = parentPort
if (!port) throw new Error('lane-thread is started by lane-threads, as a worker thread')
const say = (message: ThreadMessage) => port.postMessage(message)

async function createWorker({ backend: name, allowSoftwareAdapter, dataset, space: spaceConfig, config, accumulate, memory }: ThreadSetup) {
  const { chosen: backend } = await openBackend(name, { allowSoftwareAdapter })
  const { momentum, weightDecay } = config.training
  const space = createSpace(spaceConfig)
  const source = await openBatchSource(dataset)
  const data = createTaskData(dataset, config)
  const networks = createTaskNetworks(space, reducedResolution(config))
  const weights = openSharedWeights(backend, space.weightSpecs, config.seed, memory)
  const optimiser = createSgd({ momentum, nesterov: true, weightDecay })
  const onNote = (line: string) => say({ kind: 'note', line })
  const taskSteps = createTaskSteps({ backend, space, config, data, networks, weights, optimiser, accumulate, onNote })
  const tasks = new Map<number, { readonly work: StepWork; readonly stream: BatchStream }>()

  function* requestsOf(work: StepWork, steps: readonly number[]): Generator<BatchRequest> {
    for (const step of steps) yield* data.requests(work, step)
  }

  /** What a lane has in its own memory of a contested weight. */
  const placeIn = (memory: SharedArrayBuffer, { from, length }: Placed): Trained => {
    const own = new Float32Array(memory)
    const middle = own.length / 2
    return { weight: own.subarray(from, from + length), velocity: own.subarray(middle + from, middle + from + length) }
  }
  const memoryOf = ({ lanes }: Exchange, lane: number) => lanes[lane] as SharedArrayBuffer

  const runTurns = async ({ taskId, turns, exchange }: Extract<ThreadRequest, { kind: 'turns' }>): Promise<ThreadAnswer> => {
    const { work, stream } = tasks.get(taskId) as NonNullable<ReturnType<typeof tasks.get>>
    const outcomes: [number, StepOutcome][] = []
    taskSteps.takePeakBytes()
    for (const { lane, steps } of turns) {
      const keys = [...networks.usesOf(work, steps, data.batchesPerPath(work)).keys()]
      weights.hold(keys, readsVelocities(work) ? optimiser : null)
      for (const step of steps) outcomes.push([step, await taskSteps.run(work, step, stream)])
      if (!trainsWeights(work)) continue
      const own = exchange.contested.filter((weight) => hasTrained(weight, lane))
      const places = new Map(own.map((weight) => [weight.key, placeIn(memoryOf(exchange, lane), weight)]))
      for (const key of keys) {
        const place = places.get(key)
        if (place) weights.moveTo(key, optimiser, place.weight, place.velocity)
        else weights.publish(key, optimiser)
      }
    }
    return { kind: 'done', outcomes, peakBytes: taskSteps.takePeakBytes(), brokenFiles: source.brokenFiles() }
  }

  const merge = ({ exchange, from, to }: Extract<ThreadRequest, { kind: 'merge' }>): ThreadAnswer => {
    for (const weight of exchange.contested) {
      const { key, from: first, length } = weight
      if (from >= first + length || to <= first) continue
      const master = { weight: weights.master(key), velocity: weights.masterVelocity(key) }
      mergeContested(weight, master, (lane) => placeIn(memoryOf(exchange, lane), weight), from - first, to - first)
    }
    return { kind: 'merged' }
  }

  return {
    async handle(request: ThreadRequest): Promise<void> {
      switch (request.kind) {
        case 'open':
          tasks.set(request.taskId, { work: request.work, stream: source.batches(requestsOf(request.work, request.steps)) })
          return
        case 'close':
          await tasks.get(request.taskId)?.stream.return()
          tasks.delete(request.taskId)
          return
        case 'turns':
          return say(await runTurns(request))
        case 'merge':
          return say(merge(request))
        default:
          request satisfies never
      }
    },
  }
}

/** Ends the thread: what it holds may be half done, and a new one is soon started. */
function fail(error: unknown): void {
  say({ kind: 'failed', message: error instanceof Error ? error.message : String(error) })
  port?.close()
}

try {
  const worker = await createWorker(workerData as ThreadSetup)
  port.on('message', (request: ThreadRequest) => void worker.handle(request).catch(fail))
} catch (error) {
  fail(error)
}
