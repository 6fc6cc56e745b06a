// A trained model on labelled images: how well it does, class by class, and what it says of each image.

import * as z from 'zod'
import { type BatchRequest, type Dataset, nameOfImage, openBatchSource } from '../../engine/datasets/index.ts'
import type { Backend } from '../../engine/backends/backends.ts'
import { createTally, type Score } from '../../engine/training/score.ts'
import { trainingShares } from '../../engine/training/training-shares.ts'
import type { TrainedModel } from '../model-folder.ts'
import { checkImages, mapClasses, modelClassNames } from './class-map.ts'
import { createClassifier } from './classifier.ts'
import { type Confusion, createConfusion } from './confusion.ts'

/** `validation`: the share of the training images that the model's training held back. */
const evaluatedSplits = ['test', 'validation', 'train'] as const
type EvaluatedSplit = (typeof evaluatedSplits)[number]

type Evaluation = {
  readonly score: Score
  /** Of the model's classes, in their order. */
  readonly classNames: readonly string[]
  readonly confusion: Confusion
  /** Files that could not be decoded; another image of their class took the place of each. */
  readonly brokenFiles: readonly string[]
}

/** What the model says of one image: `logits` are of that image alone, and good until the next one. */
type OnPrediction = (image: { readonly name: string; readonly label: number; readonly logits: Float32Array }) => void

/** What a training from scratch has written of how it shared images out. */
const trainedSchema = z.object({
  recipe: z.object({ validationShare: z.number(), stratify: z.boolean().optional() }),
  shareSeed: z.number(),
})

/** The model does not say which images its training held back. */
class NoValidationShareError extends Error {
  override readonly name = 'NoValidationShareError'
  readonly code = 'no-validation-share'
}

type EvaluatedImages = { readonly split: BatchRequest['split']; readonly indices: Uint32Array }

function all(count: number): Uint32Array {
  return Uint32Array.from({ length: count }, (_, index) => index)
}

/** Those that the training looked at. Throws NoValidationShareError. */
function validationImages({ description }: TrainedModel, dataset: Dataset): EvaluatedImages {
  if (dataset.validation) return { split: 'validation', indices: all(dataset.validation.count) }
  const parsed = trainedSchema.safeParse(description.training)
  if (!parsed.success) {
    throw new NoValidationShareError('the model does not say which images its training held back: choose --split test or train')
  }
  const { recipe, shareSeed } = parsed.data
  return { split: 'train', indices: trainingShares(dataset, recipe, shareSeed).validation }
}

/** Throws ModelMismatchError for data of other images or classes, DatasetError for those that cannot be read. */
async function evaluateData({
  backend,
  model,
  dataset: given,
  split: wanted,
  onPrediction,
  signal,
}: {
  backend: Backend
  model: TrainedModel
  dataset: Dataset
  split: EvaluatedSplit
  onPrediction?: OnPrediction
  signal?: AbortSignal
}): Promise<Evaluation> {
  checkImages(model, given.shape)
  // Images are normalised as those that the network was trained on, whatever these would have themselves.
  const dataset: Dataset = { ...given, normalisation: model.description.normalisation }
  const { split, indices } =
    wanted === 'validation' ? validationImages(model, dataset) : { split: wanted, indices: all(dataset[wanted].count) }
  const classOf = mapClasses(model, given)
  const classNames = modelClassNames(model)
  const confusion = createConfusion(classNames)
  const tally = createTally()
  const source = await openBatchSource(dataset)
  const classifier = createClassifier(backend, model)
  const { batchSize } = classifier
  const requests: BatchRequest[] = Array.from({ length: Math.ceil(indices.length / batchSize) }, (_, at) => ({
    split,
    indices: indices.subarray(at * batchSize, (at + 1) * batchSize),
  }))
  try {
    let done = 0
    for await (const batch of source.batches(requests)) {
      signal?.throwIfAborted()
      const labels = batch.labels.map((label) => classOf[label] as number)
      const logits = await classifier.logits(batch.images, labels.length)
      tally.add(logits, labels)
      for (const [at, label] of labels.entries()) {
        const row = logits.subarray(at * classNames.length, (at + 1) * classNames.length)
        confusion.add(label, indexOfLargest(row))
        onPrediction?.({ name: nameOfImage(dataset, split, indices[done + at] as number), label, logits: row })
      }
      done += labels.length
    }
  } finally {
    classifier.dispose()
  }
  return { score: tally.score(), classNames, confusion, brokenFiles: source.brokenFiles() }
}

/** Of equal ones the first. */
function indexOfLargest(values: Float32Array): number {
  let best = 0
  for (let at = 1; at < values.length; at++) if ((values[at] as number) > (values[best] as number)) best = at
  return best
}

export { evaluateData, type EvaluatedSplit, evaluatedSplits, type Evaluation, NoValidationShareError, type OnPrediction }
