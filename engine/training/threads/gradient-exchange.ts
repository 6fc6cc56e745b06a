// The sum of the gradients of n threads, in memory that they share. Each writes its own down, adds up one n-th of all
// (reduce-scatter), and reads the whole sum (all-gather), so that n threads move as many numbers each as two do:
//
//   sum = ((g0 + g1) + g2) + …     float32, in the order of the threads, whoever comes first
//
// which is the order in which one thread adds up micro-batches: the same bits. A barrier stands before the adding and one
// before the reading. None is needed at the end: nobody writes a sum before all have come to the next step's first barrier.

import { elementCount } from '../../../search-space/index.ts'
import { copyToShared, tensorFromShared } from '../../executor/index.ts'
import type { Gradients, ThreadPlace } from '../replica.ts'
import type { Meet } from './barrier.ts'

/** Tensors one after another. */
type Layout = readonly { readonly key: string; readonly shape: readonly number[]; readonly from: number; readonly to: number }[]

type ExchangeMemory = {
  readonly layout: Layout
  /** float32, one for each thread. */
  readonly gradients: readonly SharedArrayBuffer[]
  readonly sum: SharedArrayBuffer
  /** float64, one number for each thread. */
  readonly losses: SharedArrayBuffer
}

/** Takes the gradients of one thread, disposing them, and gives those of all, which are the caller's; the same for losses. */
type Exchange = (own: Gradients) => Promise<Gradients>

function createExchangeMemory(
  weights: readonly { readonly key: string; readonly shape: readonly number[] }[],
  threads: number,
): ExchangeMemory {
  let end = 0
  const layout = weights.map(({ key, shape }) => {
    const from = end
    end += elementCount(shape)
    return { key, shape, from, to: end }
  })
  const create = () => new SharedArrayBuffer(end * Float32Array.BYTES_PER_ELEMENT)
  return {
    layout,
    gradients: Array.from({ length: threads }, create),
    sum: create(),
    losses: new SharedArrayBuffer(threads * Float64Array.BYTES_PER_ELEMENT),
  }
}

/** For the thread at `place`; `meet` is its side of the barrier. */
function createExchange(
  { layout, gradients, sum: sumMemory, losses: lossMemory }: ExchangeMemory,
  place: ThreadPlace,
  meet: Meet,
): Exchange {
  const parts = gradients.map((memory) => new Float32Array(memory))
  const mine = parts[place.index] as Float32Array
  const sum = new Float32Array(sumMemory)
  const losses = new Float64Array(lossMemory)
  const sliceStart = (index: number) => Math.floor((index * sum.length) / place.count)
  const slice = [sliceStart(place.index), sliceStart(place.index + 1)] as const

  const writeDown = ({ loss, tensors }: Gradients) => {
    losses[place.index] = loss
    for (const { key, from, to } of layout) {
      const tensor = tensors.get(key)
      if (!tensor) throw new Error(`expected a gradient of ${key}, got none`)
      copyToShared(tensor, mine.subarray(from, to))
      tensor.dispose()
    }
  }

  const addUp = () => {
    const [own, ...others] = parts.map((part) => part.subarray(...slice))
    const total = sum.subarray(...slice)
    total.set(own as Float32Array)
    for (const part of others) {
      for (let at = 0; at < total.length; at++) total[at] = (total[at] as number) + (part[at] as number)
    }
  }

  return async (own) => {
    writeDown(own)
    await meet()
    addUp()
    const loss = losses.reduce((total, part) => total + part, 0)
    await meet()
    return { loss, tensors: new Map(layout.map(({ key, shape, from, to }) => [key, tensorFromShared(sum.subarray(from, to), shape)])) }
  }
}

export { createExchange, createExchangeMemory, type Exchange, type ExchangeMemory }
