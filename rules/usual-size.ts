// How large numbers of a kind usually are, by those that came last: a median, which no minority of wrong ones moves far. What is larger by
// far is clipped to the bound, as gradients are (Pascanu, Mikolov and Bengio 2013), rather than refused: training has its outliers.

import { median } from '../latency-lut/table/robust.ts'

/** Sizes that came last, oldest first. */
type RecentSizes = readonly number[]

const KEPT_SIZES = 33
/** Before there are so many of them, what they should be about counts instead. */
const NEEDED_SIZES = 8
/** Honest gate gradients of one search are within a factor of 5 of their median. */
const FACTOR = 10

function withSize(sizes: RecentSizes, size: number): number[] {
  return [...sizes, size].slice(-KEPT_SIZES)
}

/**
 * The largest size that is let pass.
 *
 * @param expected what sizes should be about, before anything is known of them
 * @param least what they are taken for where they are smaller
 */
function largestUsual(sizes: RecentSizes, { expected, least }: { readonly expected: number; readonly least: number }): number {
  return FACTOR * Math.max(least, sizes.length < NEEDED_SIZES ? expected : median(sizes))
}

function rootMeanSquare(values: ArrayLike<number>): number {
  let sum = 0
  for (let i = 0; i < values.length; i++) sum += (values[i] as number) ** 2
  return values.length === 0 ? 0 : Math.sqrt(sum / values.length)
}

export { KEPT_SIZES, largestUsual, type RecentSizes, rootMeanSquare, withSize }
