// Which training images a training from scratch trains on, and which it looks at.

import type { Recipe } from '../../protocol/index.ts'
import { type Dataset, splitShares, splitStratified } from '../datasets/index.ts'

type TrainingShares = {
  /** Indices into the train split. */
  readonly train: Uint32Array
  /** Indices into the split that `validationSplit` names. */
  readonly validation: Uint32Array
  readonly validationSplit: 'train' | 'validation'
}

function all(count: number): Uint32Array {
  return Uint32Array.from({ length: count }, (_, index) => index)
}

/**
 * The same for the same labels, settings and seed. Where the data have a validation split, that is looked at, and the whole train split is
 * trained on.
 */
function trainingShares(
  { train: { labels, count }, validation: aside }: Pick<Dataset, 'train' | 'validation'>,
  { validationShare, stratify = false }: Pick<Recipe, 'validationShare' | 'stratify'>,
  seed: number,
): TrainingShares {
  if (aside) return { train: all(count), validation: all(aside.count), validationSplit: 'validation' }
  if (stratify) return { ...splitStratified(labels, seed, validationShare), validationSplit: 'train' }
  const { weights: train, validation } = splitShares(count, seed, {
    weights: 1 - validationShare,
    architecture: 0,
    validation: validationShare,
  })
  return { train, validation, validationSplit: 'train' }
}

export { type TrainingShares, trainingShares }
