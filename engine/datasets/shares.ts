// Which train images serve which purpose. Weights and architecture parameters are trained on different images
// (otherwise the search rewards memorising), and validation images on neither.

import { createRandom, seedState } from '../../search-space/random.ts'
import type { Labels } from './dataset.ts'
import { DatasetError } from './errors.ts'
import { FRACTION_TOLERANCE } from './limits.ts'

/** Parts of the train images, each from 0 to 1, together 1. */
type ShareFractions = { weights: number; architecture: number; validation: number }

/** Indices into the train split. */
type Shares = { weights: Uint32Array; architecture: Uint32Array; validation: Uint32Array }

/**
 * Cuts 0 … count − 1, shuffled by the seed, into three: every index is in exactly one share, on every machine the same.
 * Sizes are rounded at the cuts, so each is within one of its fraction of `count`.
 */
function splitShares(count: number, seed: number | string, fractions: ShareFractions): Shares {
  const { weights, architecture, validation } = fractions
  const parts = [weights, architecture, validation]
  const total = weights + architecture + validation
  // Negated so that NaN is refused too.
  if (!(parts.every((part) => part >= 0) && Math.abs(total - 1) <= FRACTION_TOLERANCE)) {
    throw new DatasetError(
      'bad-fractions',
      'expected the weights, architecture and validation fractions to be at least 0 and to sum to 1, ' +
        `got ${parts.join(' + ')} = ${total}`,
    )
  }
  const order = createRandom(seedState('shares', seed)).shuffle(Uint32Array.from({ length: count }, (_, index) => index))
  const architectureFrom = Math.min(count, Math.round(count * weights))
  const validationFrom = Math.min(count, Math.round(count * (weights + architecture)))
  return {
    weights: order.slice(0, architectureFrom),
    architecture: order.slice(architectureFrom, validationFrom),
    validation: order.slice(validationFrom),
  }
}

/**
 * The same where each share gets its part of every class, within one image: the images of a class, shuffled by the seed, are dealt out
 * evenly, and so are the classes one after another.
 */
function splitStratified(labels: Labels, seed: number | string, fraction: number): { train: Uint32Array; validation: Uint32Array } {
  const order = createRandom(seedState('stratified shares', seed)).shuffle(Uint32Array.from({ length: labels.length }, (_, index) => index))
  const byClass = order.toSorted((a, b) => (labels[a] as number) - (labels[b] as number))
  const isDealt = (_: number, place: number) =>
    Math.floor((place + 1) * fraction + FRACTION_TOLERANCE) > Math.floor(place * fraction + FRACTION_TOLERANCE)
  const validation = byClass.filter(isDealt)
  const chosen = new Set(validation)
  return { train: order.filter((index) => !chosen.has(index)), validation }
}

export { type ShareFractions, type Shares, splitShares, splitStratified }
