// Which training images a training from scratch trains on, and which it looks at.

import type { Recipe } from '../../protocol/index.ts'
import { type Labels, splitShares, splitStratified } from '../datasets/index.ts'

type TrainingShares = { readonly train: Uint32Array; readonly validation: Uint32Array }

/** Indices into the training images: the same for the same labels, settings and seed. */
function trainingShares(
  labels: Labels,
  { validationShare, stratify = false }: Pick<Recipe, 'validationShare' | 'stratify'>,
  seed: number,
): TrainingShares {
  if (stratify) return splitStratified(labels, seed, validationShare)
  const { weights: train, validation } = splitShares(labels.length, seed, {
    weights: 1 - validationShare,
    architecture: 0,
    validation: validationShare,
  })
  return { train, validation }
}

export { type TrainingShares, trainingShares }
