// What reverse passes find: sums of weight gradients, and dots of gates that are read back together.

import * as tf from '@tensorflow/tfjs-core'

import { isWhole } from '../../search-space/weight-slices.ts'
import type { GateDots } from './gates.ts'
import type { Holdings } from './holdings.ts'
import { readValues } from './read-values.ts'
import { padToWhole } from './slices.ts'
import type { Weights } from './weights.ts'

type LossResult = {
  /** Mean cross-entropy over the batch. */
  readonly loss: number
  /** Images whose largest logit is their label. */
  readonly correct: number
}

type GateGradient = {
  readonly block: number
  /** Operation index of each branch, in the mixed layer's order. */
  readonly operations: readonly number[]
  /** dLoss/dgate of each branch, in the same order. */
  readonly gradients: readonly number[]
}

type Numbers = LossResult & {
  readonly gateGradients: readonly GateGradient[]
  /** Of mixed layers that are weighted sums, by their weights; where those are wanted. */
  readonly mixtureGradients: readonly GateGradient[]
}

type Sink = {
  readonly gradients: Map<string, tf.Tensor>
  readonly blocks: GateDots[]
  weight(key: string, gradient: tf.Tensor): void
  gates(block: GateDots): void
}

function lossResult([loss, correct]: ArrayLike<number> & Iterable<number>): LossResult {
  return { loss: loss as number, correct: Math.round(correct as number) }
}

/** Two gradients of one weight; of different parts of it, they are parts of the whole. */
function addParts(key: string, weights: Weights, one: tf.Tensor, other: tf.Tensor): tf.Tensor {
  if (isWhole(one.shape, other.shape)) return tf.add(one, other)
  const { shape } = weights.spec(key)
  return tf.tidy(() => tf.add(padToWhole(key, one, shape), padToWhole(key, other, shape)))
}

/** What the reverse pass finds: sums of weight gradients, and dots of gates in the blocks' order, all held. */
function createSink(weights: Weights, holdings: Holdings): Sink {
  const gradients = new Map<string, tf.Tensor>()
  const blocks: GateDots[] = []
  return {
    gradients,
    blocks,
    weight(key: string, gradient: tf.Tensor) {
      const before = gradients.get(key)
      gradients.set(key, before ? holdings.hold(addParts(key, weights, before, gradient)) : holdings.hold(gradient))
      if (!before) return
      holdings.release(before)
      gradient.dispose()
    },
    gates(block: GateDots) {
      blocks.unshift(block)
      for (const tensor of block.dots) if (tensor) holdings.hold(tensor)
    },
  }
}

/** Reads the loss and all dots back in one go: one wait for the device instead of one per gate. */
async function readNumbers(metrics: tf.Tensor, blocks: readonly GateDots[], holdings: Holdings): Promise<Numbers> {
  const gates = blocks.filter(({ isMixture }) => !isMixture)
  const mixtures = blocks.filter(({ isMixture }) => isMixture)
  const dots = [...gates, ...mixtures].flatMap((block) => block.dots.filter((tensor) => tensor !== undefined))
  const all = dots.length > 0 ? holdings.hold(tf.concat([metrics, ...dots])) : metrics
  const values = (await readValues(all)).values()
  const next = () => values.next().value as number
  const result = lossResult([next(), next()])
  const read = (wanted: readonly GateDots[]): GateGradient[] =>
    addPlaces(
      wanted.map(({ block, operations, dots: branches }) => {
        return { block, operations, gradients: branches.map((tensor) => (tensor ? next() : 0)) }
      }),
    )
  return { ...result, gateGradients: read(gates), mixtureGradients: read(mixtures) }
}

/** A decision may act in many places: their gradients add up. All of them have the same branches, in one order. Sorted by decision. */
function addPlaces(places: readonly GateGradient[]): GateGradient[] {
  const sums = new Map<number, GateGradient>()
  for (const place of places) {
    const sum = sums.get(place.block)
    const gradients = sum ? sum.gradients.map((value, branch) => value + (place.gradients[branch] as number)) : place.gradients
    sums.set(place.block, { ...place, gradients })
  }
  return [...sums.values()].toSorted((a, b) => a.block - b.block)
}

function addGradients(before: readonly GateGradient[], more: readonly GateGradient[]): readonly GateGradient[] {
  if (before.length === 0) return more
  return before.map((block, index) => ({
    ...block,
    gradients: block.gradients.map((value, position) => value + (more[index]?.gradients[position] ?? 0)),
  }))
}

export { addGradients, createSink, type GateGradient, lossResult, type LossResult, type Numbers, readNumbers, type Sink }
