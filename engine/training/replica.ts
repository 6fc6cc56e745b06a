// One copy of the network in training: its weights, the optimiser's velocities, the moving average, and the mini-batches that
// it learns from. A training in one thread has one. In n threads there are n, each of which sees its part of every mini-batch;
// after each step all of them hold the same numbers, because all take the same step.

import type * as tf from '@tensorflow/tfjs-core'
import type { Recipe, Tensor } from '../../protocol/index.ts'
import { createRandom, type LayerGraph, seedState, type Shape, weightKeys, type WeightSpec } from '../../search-space/index.ts'
import type { Backend } from '../backends/backends.ts'
import { balancedIndices, type Batch, batchIndices, type BatchRequest, type Dataset, openBatchSource } from '../datasets/index.ts'
import { clipGradients, createWeights, type MomentName, partStarts, trainStep } from '../executor/index.ts'
import { type Observed, observeStatistics, type Statistics, sumScore, withImages } from './evaluation.ts'
import { type Accumulate, createMicroBatches } from './micro-batches.ts'
import { createMovingAverage } from './moving-average.ts'
import { createOptimiser } from './optimiser-of.ts'
import { rateAt, type Schedule } from './schedule.ts'
import type { ScoreSums } from './score.ts'
import type { Teacher } from './teacher.ts'
import type { TrainingShares } from './training-shares.ts'

/** What is trained, as data that can be sent to a thread. */
type TrainingTask = {
  readonly graph: LayerGraph
  readonly weightSpecs: readonly WeightSpec[]
  /** Of an image. */
  readonly shape: Shape
  readonly recipe: Recipe
  readonly schedule: Schedule
  readonly seed: number
  /** Training images that are trained on, and those that are looked at. */
  readonly shares: TrainingShares
  /** Mini-batches that were done before. */
  readonly firstStep: number
  readonly accumulate: Accumulate
}

/** Tensors by weight key. What is missing starts as it does in a new training. */
type ReplicaState = {
  readonly weights: ReadonlyMap<string, Tensor>
  readonly velocities: ReadonlyMap<string, Tensor>
  /** Means of squared gradients; empty but for AdamW. */
  readonly squares: ReadonlyMap<string, Tensor>
  /** Empty without a moving average. */
  readonly average: ReadonlyMap<string, Tensor>
}

/** Which of how many threads this is, counted from 0. */
type ThreadPlace = { readonly index: number; readonly count: number }

type ReplicaOptions = {
  readonly backend: Backend
  readonly dataset: Dataset
  readonly task: TrainingTask
  readonly place: ThreadPlace
  readonly state: ReplicaState
  readonly teacher?: Pick<Teacher, 'logits'>
  /** Ends an evaluation between two mini-batches. */
  readonly signal?: AbortSignal
  readonly onNote?: (line: string) => void
}

/** Of the images of one place: the loss is its share in the mean over the mini-batch, and the gradients are those of it. */
type Gradients = { readonly loss: number; readonly tensors: ReadonlyMap<string, tf.Tensor> }

type Replica = {
  /** Weight keys of the network, in the order of its layers. */
  readonly keys: readonly string[]
  /** Of the next mini-batch; the tensors are the caller's. */
  gradients(): Promise<Gradients>
  /** Takes the step of that mini-batch, by gradients of the whole of it; disposes them. */
  apply(gradients: ReadonlyMap<string, tf.Tensor>): void
  state(): Promise<ReplicaState>
  /** Of the weights that are evaluated: the moving average where there is one. */
  evaluated(): Promise<ReadonlyMap<string, Tensor>>
  /** Puts others in their place, to be evaluated; training does not go on after that. */
  replaceEvaluated(tensors: ReadonlyMap<string, Tensor>): void
  /** Batch-norm statistics of this place's turns among the recipe's `statisticsBatches`. */
  observe(): Promise<Observed[]>
  /** On this place's turns among the mini-batches of a set of images. */
  score(images: 'validation' | 'test', statistics: Statistics): Promise<ScoreSums>
  brokenFiles(): string[]
  dispose(): Promise<void>
}

async function createReplica({ backend, dataset, task, place, state, teacher, signal, onNote }: ReplicaOptions): Promise<Replica> {
  const { graph, weightSpecs, shape, recipe, schedule, seed, shares, firstStep } = task
  const { batchSize, labelSmoothing, dropout: dropoutRate, averageDecay, clipNorm = 0 } = recipe
  const keys = weightKeys(graph)
  const weights = createWeights(backend, weightSpecs, seed)
  const optimiser = createOptimiser(recipe)
  for (const [key, { values }] of state.weights) weights.write(key, values)
  for (const name of ['velocities', 'squares'] as const) {
    for (const [key, { shape: of, values }] of state[name]) optimiser.moments[name]?.write(key, of, values)
  }
  const average = averageDecay > 0 ? await createMovingAverage(backend, weights, keys, averageDecay) : null
  for (const [key, { values }] of state.average) average?.weights.write(key, values)
  const source = await openBatchSource(dataset)
  const evaluatedWeights = average?.weights ?? weights
  const evaluated = { graph, weights: evaluatedWeights, source, shape, signal }
  const microBatches = createMicroBatches(task.accumulate, (parts, reason) =>
    onNote?.(`mini-batches are split into ${parts} from now on: ${reason}`),
  )
  const [from, to] = partStarts(batchSize, place.count).slice(place.index) as [number, number]
  const isWhole = place.count === 1
  const share = (to - from) / batchSize
  let step = firstStep

  const indicesOf = (index: number) =>
    recipe.sampling === 'balanced'
      ? balancedIndices(shares.train, dataset.train.labels, batchSize, index, `scratch/${seed}`)
      : batchIndices(shares.train, batchSize, index, `scratch/${seed}`)

  /** Of the steps left; images that are in files are decoded ahead. */
  function* requests(): Generator<BatchRequest> {
    for (let index = firstStep; index < schedule.steps; index++) {
      yield {
        split: 'train',
        indices: indicesOf(index),
        augmentation: { settings: recipe.augmentation, seed: ['augmentation', seed, index] },
        ...(!isWhole && { part: { from, to } }),
      }
    }
  }
  const batches = source.batches(requests())

  /** The same numbers again for a step that is tried again with more micro-batches, and others for each thread. */
  const dropout = () =>
    dropoutRate > 0 && {
      dropout: { rate: dropoutRate, random: createRandom(seedState('dropout', seed, step, ...(isWhole ? [] : [place.index]))) },
    }

  const readTensors = async (names: readonly string[], read: (key: string) => Promise<Float32Array | undefined>) => {
    const tensors = new Map<string, Tensor>()
    for (const key of names) {
      const values = await read(key)
      if (values) tensors.set(key, { shape: weights.spec(key).shape, values })
    }
    return tensors
  }

  const readMoments = async (name: MomentName) => {
    const moments = optimiser.moments[name]
    return moments ? readTensors(keys, moments.read) : new Map<string, Tensor>()
  }

  return {
    keys,
    async gradients() {
      const batch = (await batches.next()).value as Batch
      return withImages(batch, shape, async (images) => {
        const teacherLogits = teacher?.logits(images)
        const { loss, gradients } = await microBatches
          .run(to - from, (accumulate) =>
            trainStep({
              graph,
              weights,
              images,
              labels: batch.labels,
              ...(batch.mixed && { mixed: batch.mixed }),
              labelSmoothing,
              accumulate,
              share,
              ...dropout(),
              ...(teacherLogits && { distillation: { ...recipe.distillation, teacherLogits } }),
            }),
          )
          .finally(() => teacherLogits?.dispose())
        return { loss: loss * share, tensors: gradients }
      })
    },
    apply(gradients) {
      const bounded = clipNorm > 0 ? clipGradients(gradients, clipNorm) : gradients
      optimiser.apply(weights, bounded, rateAt(step, schedule, recipe.learningRate, recipe.minimumRate), step)
      average?.update(step)
      step++
    },
    async state() {
      return {
        weights: await readTensors(keys, weights.read),
        velocities: await readMoments('velocities'),
        squares: await readMoments('squares'),
        average: await readTensors(average ? keys : [], evaluatedWeights.read),
      }
    },
    evaluated: () => readTensors(keys, evaluatedWeights.read),
    replaceEvaluated(tensors) {
      for (const [key, { values }] of tensors) evaluatedWeights.write(key, values)
    },
    observe: () =>
      observeStatistics(evaluated, {
        share: shares.train,
        batchSize,
        count: recipe.statisticsBatches,
        seed: `statistics/${seed}`,
        turn: place,
      }),
    score(images, statistics) {
      const all = () => Uint32Array.from({ length: dataset.test.count }, (_, index) => index)
      const of =
        images === 'test' ? { split: 'test' as const, indices: all() } : { split: shares.validationSplit, indices: shares.validation }
      return sumScore(evaluated, { ...of, batchSize, statistics, turn: place })
    },
    brokenFiles: () => source.brokenFiles(),
    async dispose() {
      await batches.return()
      weights.dispose()
      average?.dispose()
      optimiser.dispose()
    },
  }
}

export { createReplica, type Gradients, type Replica, type ReplicaState, type ThreadPlace, type TrainingTask }
