// Tensors with an exponent beside them: the value is tensor · 2^exponent, so that float32 holds what grows with every layer.

import * as tf from '@tensorflow/tfjs-core'
import { readValues } from '../executor/read-values.ts'

type Scaled = {
  readonly tensor: tf.Tensor
  /** A whole number; −Infinity where the tensor is 0 everywhere. */
  readonly exponent: number
}

/** Largest elements between 2^-MARGIN and 2^MARGIN are left alone: no layer multiplies them beyond float32's 2^±126. */
const MARGIN = 24

type Keep = <T extends tf.Tensor>(tensor: T) => T

/** The same value with its largest element near 1. Elements must not be negative. */
async function rescaled({ tensor, exponent }: Scaled, keep: Keep): Promise<Scaled> {
  const most = tf.max(tensor)
  const [largest = 0] = await readValues(most)
  most.dispose()
  if (largest === 0) return { tensor, exponent: Number.NEGATIVE_INFINITY }
  const shift = Math.floor(Math.log2(largest))
  if (Math.abs(shift) <= MARGIN) return { tensor, exponent }
  return { tensor: keep(tf.mul(tensor, 2 ** -shift)), exponent: exponent + shift }
}

/** The same values with one exponent, the largest of them; what is too small to be seen beside it becomes 0. */
function aligned(values: readonly Scaled[], keep: Keep): { readonly tensors: tf.Tensor[]; readonly exponent: number } {
  const most = Math.max(...values.map(({ exponent }) => exponent))
  const exponent = Number.isFinite(most) ? most : 0
  const tensors = values.map(({ tensor, exponent: own }) => (own === exponent ? tensor : keep(tf.mul(tensor, 2 ** (own - exponent)))))
  return { tensors, exponent }
}

export { aligned, type Keep, rescaled, type Scaled }
