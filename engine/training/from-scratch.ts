// Trains one architecture by a recipe and measures it: on the validation share as it goes, on the test split once at the
// end if that is asked for. Batch-norm statistics are estimated before each evaluation, as the mean over mini-batches of
// training images, so that the network classifies one image like another.
//
// Everything random is a function of seed and step. A training that goes on from a checkpoint does bit for bit what it
// would have done without the break, on any backend that computes the same twice: wasm and cpu do.
//
// In n threads, each trains on its part of every mini-batch (threads/): gradients are those of the n parts as micro-batches,
// so that the number of threads counts among what has to be the same for the same bits.

import { createHash } from 'node:crypto'
import { setImmediate as nextTurn } from 'node:timers/promises'
import {
  badNumbers,
  type EpochReport,
  modelTensors,
  type Recipe,
  splitModelTensors,
  type Tensor,
  type TrainingIdentity,
} from '../../protocol/index.ts'
import { type Layer, networkWeights, type Path, printArchitecture, type Space } from '../../search-space/index.ts'
import type { Backend } from '../backends/backends.ts'
import type { Dataset } from '../datasets/index.ts'
import { averageStatistics } from '../executor/index.ts'
import { checkFits, type Checkpoint } from './checkpoint.ts'
import type { Statistics } from './evaluation.ts'
import type { Accumulate } from './micro-batches.ts'
import { createReplica, type TrainingTask } from './replica.ts'
import { type Schedule, scheduleOf } from './schedule.ts'
import { type Score, scoreOf } from './score.ts'
import type { Teacher } from './teacher.ts'
import { chooseThreads, type Threads } from './threads/choose-threads.ts'
import { startTeam, type ThreadTeam } from './threads/thread-team.ts'
import { TrainerError } from './trainer.ts'
import { type TrainingShares, trainingShares } from './training-shares.ts'
import { withNormalisation } from './with-normalisation.ts'

/** Weights to start from instead of random ones. */
type InitialWeights = { readonly fingerprint: string; readonly tensors: ReadonlyMap<string, Tensor> }

type CheckpointPlan = {
  /** At the end of every so many epochs. */
  readonly everyEpochs: number
  /** And wherever so much time has gone by since the last one. */
  readonly everyMs: number
  /** Training waits for it. */
  save(checkpoint: Checkpoint): void | Promise<void>
}

type FromScratchOptions = {
  readonly backend: Backend
  readonly dataset: Dataset
  readonly space: Space
  readonly path: Path
  readonly recipe: Recipe
  /** Of weights, order and augmentation. */
  readonly seed: number
  /** Of the shares: that of the search, so that the validation images are the same. Default: `seed`. */
  readonly shareSeed?: number
  readonly initial?: InitialWeights
  readonly teacher?: Teacher
  /** To end after, for now: the network is measured, and a checkpoint kept. Default: all epochs of the recipe. */
  readonly untilEpoch?: number
  /** To go on from. */
  readonly checkpoint?: Checkpoint
  /** When to keep one; the last is made when the training ends or `signal` is aborted. Default: never. */
  readonly checkpoints?: CheckpointPlan
  /** Threads that share each mini-batch, this one included. Default: 1. */
  readonly threads?: Threads
  /** Parts that a mini-batch, or a thread's part of it, is split into. Default: as few as fit into the device's memory. */
  readonly accumulate?: Accumulate
  /** Evaluate on the test split at the end; default: leave it alone. */
  readonly test?: boolean
  readonly signal?: AbortSignal
  /** After each mini-batch: how many are done, of how many, and its loss. */
  readonly onStep?: (done: number, schedule: Schedule, loss: number) => void
  readonly onReport?: (report: EpochReport) => void
  readonly onNote?: (line: string) => void
}

type FromScratchResult = {
  /** `stopped`: by the recipe's `stopBelow`. */
  readonly end: 'finished' | 'stopped'
  /** Mini-batches that were trained: fewer than planned where it was stopped, or ended by the recipe's `patience`. */
  readonly steps: number
  readonly identity: TrainingIdentity
  readonly schedule: Schedule
  /** That trained it at the end. */
  readonly threads: number
  readonly reports: readonly EpochReport[]
  /** Of the weights. */
  readonly validation: Score
  readonly test: Score | null
  /** What a model folder holds; with a moving average, the average; where the recipe keeps the best, those of the best evaluation. */
  readonly weights: ReadonlyMap<string, Tensor>
  readonly statistics: Statistics
  /** Files of the data that could not be decoded; another image of their class took the place of each. */
  readonly brokenFiles: readonly string[]
}

/** The loss or the network's output is no number any more. */
class TrainingDivergedError extends Error {
  override readonly name = 'TrainingDivergedError'
  readonly code = 'diverged'
}

/** Checkpoints of 0.1.0 hold the hash of a network whose ReLU6 was a kind of layer: they go on as long as it is written so. */
function asFirstWritten(_: string, value: unknown): unknown {
  const layer = value as Partial<Layer> | null
  if (layer?.kind !== 'activation' || layer.activation !== 'relu6') return value
  const { activation: _activation, ...rest } = layer
  return { ...rest, kind: 'relu6' }
}

function identityOf({ dataset, space, path, recipe, seed, shareSeed = seed, initial, teacher }: FromScratchOptions): TrainingIdentity {
  return {
    architecture: printArchitecture(space, path),
    network: createHash('sha256')
      .update(JSON.stringify([space.network(path), space.classes], asFirstWritten))
      .digest('hex'),
    dataset: { name: dataset.name, fingerprint: dataset.fingerprint },
    recipe,
    seed,
    shareSeed,
    teacher: teacher?.fingerprint ?? null,
    initial: initial?.fingerprint ?? null,
  }
}

/** Throws TrainerError where too few images are left to train on, or none to look at. */
function sharesOf({ dataset, recipe, seed, shareSeed = seed }: FromScratchOptions): TrainingShares {
  const { batchSize } = recipe
  const shares = trainingShares(dataset, recipe, shareSeed)
  const { train, validation } = shares
  if (train.length < batchSize) {
    throw new TrainerError(
      `${train.length} images are left to train on, fewer than one mini-batch of ${batchSize}: use more data, a smaller validationShare or a smaller batchSize`,
    )
  }
  if (validation.length === 0) {
    throw new TrainerError(`no image of ${dataset.train.count} is left to validate with: use more data or a larger validationShare`)
  }
  return shares
}

/**
 * Throws CheckpointError `does-not-fit` where the checkpoint is of another training, TrainingDivergedError where the loss
 * or a weight is no number any more, TrainerError where there are too few images, TrainingThreadError where one of several threads fails,
 * and the signal's reason.
 */
async function trainFromScratch(options: FromScratchOptions): Promise<FromScratchResult> {
  const { backend, space, path, recipe, seed, initial, teacher, checkpoint, checkpoints, signal, onStep, onReport } = options
  const { stopBelow, patience, keep } = recipe
  const dataset = withNormalisation(options.dataset, recipe)
  const onNote = options.onNote ?? (() => undefined)
  const shares = sharesOf(options)
  const schedule = scheduleOf(recipe, shares.train.length)
  const { stepsPerEpoch, steps } = schedule
  const lastStep = Math.min(steps, Math.max(1, Math.round((options.untilEpoch ?? Number.POSITIVE_INFINITY) * stepsPerEpoch)))
  const identity = identityOf(options)
  if (checkpoint) checkFits(checkpoint.identity, identity)
  const threads = chooseThreads(options.threads ?? 1, { backend, batchSize: recipe.batchSize, teacher, onNote })
  if (threads > 1) onNote(`${threads} threads share each mini-batch`)
  if (checkpoint && checkpoint.threads !== threads) {
    onNote(`the checkpoint is of ${checkpoint.threads} threads, this training has ${threads}: not bit for bit the same network`)
  }

  const firstStep = checkpoint?.step ?? 0
  const graph = space.network(path)
  const task: TrainingTask = {
    graph,
    weightSpecs: [...networkWeights(graph).values()],
    shape: space.input,
    recipe,
    schedule,
    seed,
    shares,
    firstStep,
    accumulate: options.accumulate ?? 'auto',
  }
  const nothing = new Map<string, Tensor>()
  const state = checkpoint ?? { weights: initial?.tensors ?? nothing, velocities: nothing, squares: nothing, average: nothing }
  const place = { index: 0, count: threads }
  const replica = await createReplica({ backend, dataset, task, place, state, teacher, signal, onNote })
  let team: ThreadTeam | null = null

  let step = firstStep
  let lossSum = checkpoint?.lossSum ?? 0
  let best = checkpoint?.best ?? null
  let bestModel: ReadonlyMap<string, Tensor> = checkpoint?.bestModel ?? nothing
  const reports: EpochReport[] = [...(checkpoint?.reports ?? [])]
  let saved = { step, epoch: Math.floor(step / stepsPerEpoch), atMs: performance.now() }

  const save = async () => {
    if (!checkpoints || saved.step === step) return
    const now = await replica.state()
    checkTensors(now.weights)
    await checkpoints.save({ identity, step, lossSum, reports, best, bestModel, threads, ...now })
    saved = { step, epoch: Math.floor(step / stepsPerEpoch), atMs: performance.now() }
  }

  const isCheckpointDue = ({ everyEpochs, everyMs }: CheckpointPlan) =>
    (step % stepsPerEpoch === 0 && step / stepsPerEpoch - saved.epoch >= everyEpochs) || performance.now() - saved.atMs >= everyMs

  const checkFinite = (value: number, what: string) => {
    if (Number.isFinite(value)) return
    throw new TrainingDivergedError(`the ${what} is ${value} at step ${step} of ${steps}: use a smaller learningRate or a longer warm-up`)
  }

  const checkTensors = (...numbers: Parameters<typeof badNumbers>) => {
    const problem = badNumbers(...numbers)
    if (problem === null) return
    throw new TrainingDivergedError(`${problem}, after step ${step} of ${steps}: use a smaller learningRate or a longer warm-up`)
  }

  /** The other threads train without a word up to this step. */
  let announced = firstStep

  const train = async () => {
    if (team && step === announced) {
      announced = Math.min(lastStep, (Math.floor(step / stepsPerEpoch) + 1) * stepsPerEpoch)
      team.train(announced - step)
    }
    const own = await replica.gradients()
    const { loss, tensors } = team ? await team.exchange(own) : own
    replica.apply(tensors)
    step++
    checkFinite(loss, 'loss')
    lossSum += loss
    onStep?.(step, schedule, loss)
  }

  /** @param weights to be scored instead of those that were trained, at the end */
  const score = async (images: 'validation' | 'test', statistics: Statistics, weights?: ReadonlyMap<string, Tensor>) => {
    if (weights) replica.replaceEvaluated(weights)
    const own = () => replica.score(images, statistics)
    return scoreOf(team ? await team.score(images, statistics, own, weights) : [await own()])
  }

  const evaluate = async () => {
    const statistics = averageStatistics(team ? await team.observe(replica.observe) : await replica.observe())
    const validation = await score('validation', statistics)
    checkFinite(validation.crossEntropy, 'cross-entropy')
    return { step, statistics, validation }
  }
  type Evaluation = Awaited<ReturnType<typeof evaluate>>

  const isReportDue = () => step > (reports.at(-1)?.step ?? 0) && (step % stepsPerEpoch === 0 || step === lastStep)

  const isEvaluated = (epoch: number) =>
    step === steps || epoch === stopBelow?.epoch || (recipe.evaluateEvery > 0 && epoch % recipe.evaluateEvery === 0)

  /** What is said at the end of an epoch, and of the training. */
  const report = async (): Promise<Evaluation | null> => {
    const epoch = step / stepsPerEpoch
    const evaluation = isEvaluated(epoch) ? await evaluate() : null
    const validation = evaluation?.validation ?? null
    const entry = { epoch, step, trainLoss: lossSum / (step - (reports.at(-1)?.step ?? 0)), validation }
    if (evaluation && evaluation.validation.top1 > (best?.top1 ?? -1)) {
      best = { epoch, top1: evaluation.validation.top1 }
      if (keep === 'best') bestModel = modelTensors(await replica.evaluated(), evaluation.statistics)
    }
    reports.push(entry)
    lossSum = 0
    onReport?.(entry)
    return evaluation
  }

  const isHopeless = () => {
    const judged = reports.find(({ epoch }) => epoch === stopBelow?.epoch)
    return stopBelow !== undefined && judged?.validation != null && judged.validation.top1 < stopBelow.accuracy
  }

  /** The evaluations since the best one are as many as the recipe waits for. */
  const isOutOfPatience = () =>
    patience !== undefined &&
    reports.filter(({ epoch, validation }) => validation !== null && epoch > (best?.epoch ?? 0)).length >= patience

  /** What is tested and written. */
  const chosenModel = async (last: Evaluation | null) => {
    const isLast = keep !== 'best' || best === null || best.epoch === step / stepsPerEpoch
    if (isLast) {
      const { statistics, validation } = last?.step === step ? last : await evaluate()
      return { weights: await replica.evaluated(), statistics, validation }
    }
    const found = reports.find(({ epoch }) => epoch === best?.epoch)?.validation
    if (!found) throw new Error(`expected the report of the best epoch, ${best?.epoch}, to have a score`)
    const { weights, statistics } = splitModelTensors(bestModel, replica.keys)
    return { weights, statistics, validation: found }
  }

  try {
    if (threads > 1) {
      const weights = task.weightSpecs.filter(({ key }) => replica.keys.includes(key))
      const shared = { backend, dataset, task, teacher: teacher?.model }
      team = await startTeam({ ...shared, count: threads, weights, state: await replica.state(), onNote })
    }
    let last: Evaluation | null = null
    for (;;) {
      // Due at once, too, where a training was broken off before it had evaluated.
      if (isReportDue()) last = await report()
      if (checkpoints && isCheckpointDue(checkpoints)) await save()
      if (step >= lastStep || isHopeless() || isOutOfPatience()) break
      signal?.throwIfAborted()
      await train()
      await nextTurn()
    }
    await save()
    const { weights, statistics, validation } = await chosenModel(last)
    const end = isHopeless() ? 'stopped' : 'finished'
    const test = options.test === true && end === 'finished' ? await score('test', statistics, keep === 'best' ? weights : undefined) : null
    const brokenFiles = [...new Set([...replica.brokenFiles(), ...(team?.brokenFiles() ?? [])])].sort()
    checkTensors(weights, statistics)
    return { end, steps: step, identity, schedule, threads, reports, validation, test, weights, statistics, brokenFiles }
  } catch (error) {
    if (signal?.aborted === true && error === signal.reason) await save()
    throw error
  } finally {
    await team?.close()
    await replica.dispose()
  }
}

export {
  type CheckpointPlan,
  type FromScratchOptions,
  type FromScratchResult,
  type InitialWeights,
  trainFromScratch,
  TrainingDivergedError,
}
