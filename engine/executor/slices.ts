// Layers that read a part of a weight (search-space/weight-slices.ts): the part is cut out for them, and what they learn about it goes
// back to where it came from.

import * as tf from '@tensorflow/tfjs-core'

import { layerWeights } from '../../search-space/layers/index.ts'
import type { PrimitiveLayer } from '../../search-space/layer-graph.ts'
import { isWhole, sliceBegin } from '../../search-space/weight-slices.ts'
import type { Holdings } from './holdings.ts'
import type { WeightSource } from './layers/index.ts'
import type { PrimitiveStep } from './step.ts'
import type { Weights } from './weights.ts'

type Part = { readonly key: string; readonly shape: readonly number[] }

const known = new WeakMap<PrimitiveStep, readonly Part[]>()

/** The weights that a step reads, those of a batch-norm in front of it or behind it included, in the shapes that it needs. */
function partsOf(step: PrimitiveStep): readonly Part[] {
  const found = known.get(step)
  if (found) return found
  const { before, behind, inputShapes, shape } = step
  const own = Object.values(layerWeights(step.layer as PrimitiveLayer, inputShapes))
  const ofNorm = (norm: typeof before, channels: number) => (norm ? [norm.gamma, norm.beta].map((key) => ({ key, shape: [channels] })) : [])
  const parts = [...own, ...ofNorm(before, inputShapes[0]?.[2] ?? 0), ...ofNorm(behind, shape[2])]
  known.set(step, parts)
  return parts
}

function beginOf(key: string, whole: readonly number[], part: readonly number[]): number[] {
  const begin = sliceBegin(whole, part)
  if (!begin) throw new RangeError(`weight ${key} of shape [${whole}] has no part of shape [${part}]`)
  return begin
}

/** What a pass has cut out so far; two steps that need the same part share it. */
type Slices = {
  /** Where the step finds its weights. */
  sourceOf(step: PrimitiveStep): WeightSource
}

/** @param weights in the shapes of their space */
function createSlices(weights: Weights, holdings: Holdings): Slices {
  const cut = new Map<string, tf.Tensor>()
  return {
    sourceOf(step) {
      const smaller = partsOf(step).filter(({ key, shape }) => !isWhole(weights.spec(key).shape, shape))
      if (smaller.length === 0) return weights
      const shapes = new Map(smaller.map(({ key, shape }) => [key, shape]))
      return {
        get(key) {
          const shape = shapes.get(key)
          if (!shape) return weights.get(key)
          const name = `${key} [${shape}]`
          const before = cut.get(name)
          if (before) return before
          // Kept out of any tf.tidy that the caller may be in; freed with the pass.
          const part = tf.keep(partOf(key, weights.get(key), shape))
          cut.set(name, holdings.hold(part))
          return part
        },
      }
    },
  }
}

/** A copy of a part; the caller's. */
function partOf(key: string, whole: tf.Tensor, shape: readonly number[]): tf.Tensor {
  return tf.slice(whole, beginOf(key, whole.shape, shape), [...shape])
}

/** A part as a tensor of the whole weight's shape, 0 elsewhere; the caller's. */
function padToWhole(key: string, part: tf.Tensor, whole: readonly number[]): tf.Tensor {
  const begin = beginOf(key, whole, part.shape)
  const paddings = begin.map((from, axis): [number, number] => [from, (whole[axis] as number) - from - (part.shape[axis] as number)])
  return tf.pad(part, paddings)
}

/** `whole` with `part` in its place, everything else as it was; the caller's. */
function withPart(key: string, whole: tf.Tensor, part: tf.Tensor): tf.Tensor {
  return tf.tidy(() => {
    const isPart = tf.cast(padToWhole(key, tf.onesLike(part), whole.shape), 'bool')
    return tf.where(isPart, padToWhole(key, part, whole.shape), whole)
  })
}

export { createSlices, padToWhole, partOf, type Slices, withPart }
