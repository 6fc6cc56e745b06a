// One task from its pulled weights to its differences. Between two steps the network gets its turn, and what was pulled
// meanwhile is taken in.

import { setImmediate as nextTurn } from 'node:timers/promises'
import { type Task, type TaskResult, type TaskWork, trainsWeights } from '../../protocol/index.ts'
import type { TrialCheckpoints } from '../../engine/training/runners/train-architecture.ts'
import type { AnyTrainer } from '../../engine/training/trials-trainer.ts'
import { createRefresh } from './refresh.ts'
import type { SharedWork } from './shared-work.ts'
import type { Differences, Pulled, WeightExchange } from './weight-exchange.ts'

/** A forced pull brings a weight unless it is discarded once more meanwhile, which the one delivery under way can do once. */
const MAX_FORCED_PULLS = 3

/** What the loop needs of a trainer. */
type TaskTrainer = Pick<AnyTrainer, 'prefetch' | 'resetOptimiser'> & {
  run(
    work: TaskWork,
    betweenSteps: (stepsLeft: number) => Promise<void>,
    checkpoints?: TrialCheckpoints,
  ): Promise<{ result: TaskResult; peakBytes: number }>
}

type TaskEnd =
  | {
      readonly kind: 'finished'
      readonly result: TaskResult
      /** Null for work that leaves the weights alone. */
      readonly differences: Differences | null
      readonly trainMs: number
      readonly peakBytes: number
    }
  /** Its weights were given up meanwhile. */
  | { readonly kind: 'tainted' }
  | { readonly kind: 'not-finite'; readonly what: string }
  | { readonly kind: 'failed'; readonly error: unknown }

type TaskInput = {
  readonly task: Task
  readonly keys: readonly string[]
  readonly pulled: Pulled
  readonly trainer: TaskTrainer
  readonly exchange: WeightExchange
  readonly sharedWork: SharedWork
  /** Of a trial that the coordinator keeps checkpoints of. */
  readonly checkpoints?: TrialCheckpoints | undefined
  readonly stop: AbortSignal
  /** Pulls that were answered and not adopted; a refresh that comes too late for its task stays here. */
  readonly arrived: Pulled[]
  /** Whether all own differences of earlier tasks are delivered. */
  readonly isDelivered: () => boolean
  /** Called before each step; `stepMs` is infinite before the first one is done. */
  readonly onStep: (stepsLeft: number, stepMs: number) => void
}

/** Whether every number can be stored; JSON would turn the others into null. */
function hasFiniteNumbers(result: TaskResult): boolean {
  const sound = (values: readonly number[]) => values.every((value) => Number.isFinite(value))
  switch (result.kind) {
    case 'trainWeights':
    case 'trainMixtures':
      return sound([result.loss])
    case 'evaluatePaths':
      return sound(result.paths.map((path) => path.crossEntropy))
    case 'batchNormScales':
      return sound(result.scales)
    case 'score':
      return result.paths.every(({ values }) => sound(values.filter((value) => value !== null)))
    case 'trainArchitecture':
      return sound([result.validation?.crossEntropy ?? 0, ...result.curve.map(({ loss }) => loss)])
    case 'gateGradients':
      return result.steps.every(
        (step) => sound([step.crossEntropy]) && step.gateGradients.every((gradients) => gradients === null || sound(gradients)),
      )
    case 'mixtureGradients':
      return result.steps.every((step) => sound([step.crossEntropy, ...step.gradients.flat()]))
    default:
      return result satisfies never
  }
}

async function adoptAll(exchange: WeightExchange, arrived: Pulled[]): Promise<void> {
  for (const pulled of arrived.splice(0)) await exchange.adopt(pulled)
}

/** Pulls what was discarded since the task's weights were. */
async function pullDiscarded(exchange: WeightExchange, keys: readonly string[]): Promise<void> {
  for (let pulls = 0; ; pulls++) {
    const missing = exchange.discarded(keys)
    if (missing.length === 0) return
    if (pulls === MAX_FORCED_PULLS) throw new Error(`${missing.length} weights could not be pulled, the first is ${missing[0]}`)
    await exchange.adopt(await exchange.pull(missing))
  }
}

/** Trains a task. Whatever goes wrong is a value, an abort by `stop` included; its weights are then to be given up. */
async function trainTask(input: TaskInput): Promise<TaskEnd> {
  const { task, keys, pulled, trainer, exchange, sharedWork, checkpoints, stop, arrived, isDelivered, onStep } = input
  const changes = trainsWeights(task.work)
  let isTainted = () => false
  try {
    arrived.push(pulled)
    await adoptAll(exchange, arrived)
    await pullDiscarded(exchange, keys)
    isTainted = exchange.watch(keys)
    if (changes) await exchange.begin(keys)

    const refresh = sharedWork.isShared(task.work) ? createRefresh(!isDelivered()) : null
    const startMs = performance.now()
    let turnsMs = 0
    let steps = 0
    const { result, peakBytes } = await trainer.run(
      task.work,
      async (stepsLeft) => {
        stop.throwIfAborted()
        steps = Math.max(steps, stepsLeft)
        const done = steps - stepsLeft
        onStep(stepsLeft, done > 0 ? (performance.now() - startMs) / done : Number.POSITIVE_INFINITY)
        if (refresh?.isDue(done, steps, isDelivered())) {
          // Without it weights are older; an error for good comes back with the next lease.
          exchange.pull(keys).then(
            (refreshed) => arrived.push(refreshed),
            () => undefined,
          )
        }
        // Training occupies this thread; the network, timers and signals get their turn here.
        const turnMs = performance.now()
        await nextTurn()
        if (isTainted()) throw new Error('weights of this task were discarded')
        await adoptAll(exchange, arrived)
        turnsMs += performance.now() - turnMs
      },
      checkpoints,
    )

    if (isTainted()) return { kind: 'tainted' }
    if (!hasFiniteNumbers(result)) return { kind: 'not-finite', what: 'a result' }
    const pushed = { taskId: task.taskId, members: sharedWork.membersOf(task.work), pushRight: task.pushRight }
    const made = changes ? await exchange.finish(pushed, keys, (key) => sharedWork.shareOf(task.work, key)) : null
    if (made?.kind === 'tainted') return made
    if (made?.kind === 'not-finite') return { kind: 'not-finite', what: `weight ${made.key}` }
    const trainMs = performance.now() - startMs - turnsMs
    return { kind: 'finished', result, differences: made?.differences ?? null, trainMs, peakBytes }
  } catch (error) {
    return isTainted() ? { kind: 'tainted' } : { kind: 'failed', error }
  }
}

export { type TaskTrainer, trainTask }
