// Trains one architecture by a recipe and measures it: on the validation share as it goes, on the test split once at the
// end if that is asked for. Batch-norm statistics are estimated before each evaluation, as the mean over mini-batches of
// training images, so that the network classifies one image like another.
//
// Everything random is a function of seed and step. A training that goes on from a checkpoint does bit for bit what it
// would have done without the break, on any backend that computes the same twice: wasm and cpu do.

import { createHash } from 'node:crypto'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type * as tf from '@tensorflow/tfjs-core'
import type { EpochReport, Recipe, Tensor, TrainingIdentity } from '../../coordinator/protocol/index.ts'
import { createRandom, type Path, printArchitecture, seedState, type Space, weightKeys } from '../../search-space/index.ts'
import type { Backend } from '../backends/backends.ts'
import { type Batch, batchIndices, type BatchRequest, type Dataset, openBatchSource, splitShares } from '../datasets/index.ts'
import { createSgd, createWeights, trainStep, type Weights } from '../executor/index.ts'
import { checkFits, type Checkpoint } from './checkpoint.ts'
import { estimateStatistics, scoreOn, type Statistics, withImages } from './evaluation.ts'
import { type Accumulate, createMicroBatches } from './micro-batches.ts'
import { createMovingAverage } from './moving-average.ts'
import { rateAt, type Schedule, scheduleOf } from './schedule.ts'
import type { Score } from './score.ts'
import { TrainerError } from './trainer.ts'

/** A trained network to learn from. */
type Teacher = {
  /** SHA-256 of its weights, hexadecimal. */
  readonly fingerprint: string
  /** [batch, height, width, channels], normalised as the student's, to [batch, classes], which the caller disposes. */
  logits(images: tf.Tensor4D): tf.Tensor2D
}

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
  /** To go on from. */
  readonly checkpoint?: Checkpoint
  /** When to keep one; the last is made when the training ends or `signal` is aborted. Default: never. */
  readonly checkpoints?: CheckpointPlan
  /** Parts that a mini-batch is split into. Default: as few as fit into the device's memory. */
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
  readonly identity: TrainingIdentity
  readonly schedule: Schedule
  readonly reports: readonly EpochReport[]
  readonly validation: Score
  readonly test: Score | null
  /** What a model folder holds; with a moving average, the average. */
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

function identityOf({ dataset, space, path, recipe, seed, shareSeed = seed, initial, teacher }: FromScratchOptions): TrainingIdentity {
  return {
    architecture: printArchitecture(space, path),
    network: createHash('sha256')
      .update(JSON.stringify([space.network(path), space.classes]))
      .digest('hex'),
    dataset: { name: dataset.name, fingerprint: dataset.fingerprint },
    recipe,
    seed,
    shareSeed,
    teacher: teacher?.fingerprint ?? null,
    initial: initial?.fingerprint ?? null,
  }
}

/** Shapes and values of some weights. */
async function readTensors(weights: Weights, keys: readonly string[]): Promise<Map<string, Tensor>> {
  const tensors = new Map<string, Tensor>()
  for (const key of keys) tensors.set(key, { shape: weights.spec(key).shape, values: await weights.read(key) })
  return tensors
}

/** Which training images are trained on, and which are looked at. Throws TrainerError where either are too few. */
function sharesOf({ dataset, recipe, seed, shareSeed = seed }: FromScratchOptions): { train: Uint32Array; validation: Uint32Array } {
  const { validationShare, batchSize } = recipe
  const shares = splitShares(dataset.train.count, shareSeed, {
    weights: 1 - validationShare,
    architecture: 0,
    validation: validationShare,
  })
  const { weights: train, validation } = shares
  if (train.length < batchSize) {
    throw new TrainerError(
      `${train.length} images are left to train on, fewer than one mini-batch of ${batchSize}: use more data, a smaller validationShare or a smaller batchSize`,
    )
  }
  if (validation.length === 0) {
    throw new TrainerError(`no image of ${dataset.train.count} is left to validate with: use more data or a larger validationShare`)
  }
  return { train, validation }
}

/**
 * Throws CheckpointError `does-not-fit` where the checkpoint is of another training, TrainingDivergedError where the loss
 * is no number any more, TrainerError where there are too few images, and the signal's reason.
 */
async function trainFromScratch(options: FromScratchOptions): Promise<FromScratchResult> {
  const { backend, dataset, space, path, recipe, seed, initial, teacher, checkpoint, checkpoints, signal, onStep, onReport } = options
  const { batchSize, labelSmoothing, momentum, weightDecay, dropout: dropoutRate, averageDecay, stopBelow } = recipe
  const shares = sharesOf(options)
  const schedule = scheduleOf(recipe, shares.train.length)
  const { stepsPerEpoch, steps } = schedule
  const identity = identityOf(options)
  if (checkpoint) checkFits(checkpoint.identity, identity)

  const graph = space.network(path)
  const keys = weightKeys(graph)
  const weights = createWeights(backend, space.weightSpecs, seed)
  const optimiser = createSgd({ momentum, nesterov: true, weightDecay })
  for (const [key, { values }] of checkpoint?.weights ?? initial?.tensors ?? []) weights.write(key, values)
  for (const [key, { shape, values }] of checkpoint?.velocities ?? []) optimiser.writeVelocity(key, shape, values)
  const average = averageDecay > 0 ? await createMovingAverage(backend, weights, keys, averageDecay) : null
  for (const [key, { values }] of checkpoint?.average ?? []) average?.weights.write(key, values)
  const source = await openBatchSource(dataset)
  const microBatches = createMicroBatches(options.accumulate ?? 'auto', (parts, reason) =>
    options.onNote?.(`mini-batches are split into ${parts} from now on: ${reason}`),
  )
  const evaluated = { graph, weights: average?.weights ?? weights, source, shape: space.input, signal }

  const firstStep = checkpoint?.step ?? 0
  let step = firstStep
  let lossSum = checkpoint?.lossSum ?? 0
  let best = checkpoint?.best ?? null
  const reports: EpochReport[] = [...(checkpoint?.reports ?? [])]
  let saved = { step, epoch: Math.floor(step / stepsPerEpoch), atMs: performance.now() }

  const readVelocities = async () => {
    const velocities = new Map<string, Tensor>()
    for (const key of keys) {
      const values = await optimiser.readVelocity(key)
      if (values) velocities.set(key, { shape: weights.spec(key).shape, values })
    }
    return velocities
  }

  const save = async () => {
    if (!checkpoints || saved.step === step) return
    await checkpoints.save({
      identity,
      step,
      lossSum,
      reports,
      best,
      weights: await readTensors(weights, keys),
      velocities: await readVelocities(),
      average: average ? await readTensors(average.weights, keys) : new Map(),
    })
    saved = { step, epoch: Math.floor(step / stepsPerEpoch), atMs: performance.now() }
  }

  const isCheckpointDue = ({ everyEpochs, everyMs }: CheckpointPlan) =>
    (step % stepsPerEpoch === 0 && step / stepsPerEpoch - saved.epoch >= everyEpochs) || performance.now() - saved.atMs >= everyMs

  const checkFinite = (value: number, what: string) => {
    if (Number.isFinite(value)) return
    throw new TrainingDivergedError(`the ${what} is ${value} at step ${step} of ${steps}: use a smaller learningRate or a longer warm-up`)
  }

  /** Of the steps left; images that are in files are decoded ahead. */
  function* trainRequests(): Generator<BatchRequest> {
    for (let index = firstStep; index < steps; index++) {
      yield {
        split: 'train',
        indices: batchIndices(shares.train, batchSize, index, `scratch/${seed}`),
        augmentation: { settings: recipe.augmentation, seed: ['augmentation', seed, index] },
      }
    }
  }
  const trainBatches = source.batches(trainRequests())

  const train = async () => {
    const batch = (await trainBatches.next()).value as Batch
    const loss = await withImages(batch, space.input, async (images) => {
      const teacherLogits = teacher?.logits(images)
      const result = await microBatches
        .run(batchSize, (parts) =>
          trainStep({
            graph,
            weights,
            images,
            labels: batch.labels,
            labelSmoothing,
            accumulate: parts,
            // A step that is tried again with more parts draws the same numbers again.
            ...(dropoutRate > 0 && { dropout: { rate: dropoutRate, random: createRandom(seedState('dropout', seed, step)) } }),
            ...(teacherLogits && { distillation: { ...recipe.distillation, teacherLogits } }),
          }),
        )
        .finally(() => teacherLogits?.dispose())
      optimiser.apply(weights, result.gradients, rateAt(step, schedule, recipe.learningRate))
      average?.update(step)
      return result.loss
    })
    step++
    checkFinite(loss, 'loss')
    lossSum += loss
    onStep?.(step, schedule, loss)
  }

  const evaluate = async () => {
    const count = recipe.statisticsBatches
    const statistics = await estimateStatistics(evaluated, { share: shares.train, batchSize, count, seed: `statistics/${seed}` })
    const validation = await scoreOn(evaluated, { split: 'train', indices: shares.validation, batchSize, statistics })
    checkFinite(validation.crossEntropy, 'cross-entropy')
    return { step, statistics, validation }
  }
  type Evaluation = Awaited<ReturnType<typeof evaluate>>

  const isReportDue = () => step > (reports.at(-1)?.step ?? 0) && (step % stepsPerEpoch === 0 || step === steps)

  const isEvaluated = (epoch: number) =>
    step === steps || epoch === stopBelow?.epoch || (recipe.evaluateEvery > 0 && epoch % recipe.evaluateEvery === 0)

  /** What is said at the end of an epoch, and of the training. */
  const report = async (): Promise<Evaluation | null> => {
    const epoch = step / stepsPerEpoch
    const evaluation = isEvaluated(epoch) ? await evaluate() : null
    const validation = evaluation?.validation ?? null
    const entry = { epoch, step, trainLoss: lossSum / (step - (reports.at(-1)?.step ?? 0)), validation }
    if (validation && validation.top1 > (best?.top1 ?? -1)) best = { epoch, top1: validation.top1 }
    reports.push(entry)
    lossSum = 0
    onReport?.(entry)
    return evaluation
  }

  const isHopeless = () => {
    const judged = reports.find(({ epoch }) => epoch === stopBelow?.epoch)
    return stopBelow !== undefined && judged?.validation != null && judged.validation.top1 < stopBelow.accuracy
  }

  try {
    let last: Evaluation | null = null
    for (;;) {
      // Due at once, too, where a training was broken off before it had evaluated.
      if (isReportDue()) last = await report()
      if (checkpoints && isCheckpointDue(checkpoints)) await save()
      if (step >= steps || isHopeless()) break
      signal?.throwIfAborted()
      await train()
      await nextTurn()
    }
    await save()
    const { statistics, validation } = last?.step === step ? last : await evaluate()
    const end = isHopeless() ? 'stopped' : 'finished'
    const all = () => Uint32Array.from({ length: dataset.test.count }, (_, index) => index)
    const isTested = options.test === true && end === 'finished'
    const test = isTested ? await scoreOn(evaluated, { split: 'test', indices: all(), batchSize, statistics }) : null
    const trained = { weights: await readTensors(evaluated.weights, keys), statistics }
    return { end, identity, schedule, reports, validation, test, ...trained, brokenFiles: source.brokenFiles() }
  } catch (error) {
    if (signal?.aborted === true && error === signal.reason) await save()
    throw error
  } finally {
    await trainBatches.return()
    weights.dispose()
    average?.dispose()
    optimiser.clear()
  }
}

export {
  type CheckpointPlan,
  type FromScratchOptions,
  type FromScratchResult,
  type InitialWeights,
  type Teacher,
  trainFromScratch,
  TrainingDivergedError,
}
