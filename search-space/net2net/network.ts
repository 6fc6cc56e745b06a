// A network with its weights, as growing takes and gives it.

import type { LayerGraph, PrimitiveLayer } from '../layer-graph.ts'
import { Net2NetError } from './channel-maps.ts'

type Values = { readonly shape: readonly number[]; readonly values: Float32Array }

type GrownNetwork = {
  readonly layers: readonly PrimitiveLayer[]
  /** By key. */
  readonly weights: ReadonlyMap<string, Values>
  /** Running mean and biased variance of each batch-norm, by the key of its gamma. */
  readonly statistics: ReadonlyMap<string, { readonly mean: Float32Array; readonly variance: Float32Array }>
}

/** The layers of a network of one architecture. Throws Net2NetError for a mixed layer. */
function primitiveLayers({ layers }: LayerGraph): PrimitiveLayer[] {
  return layers.map((layer) => {
    if (layer.kind === 'mixed') throw new Net2NetError(`layer ${layer.id} chooses between operations: derive an architecture first`)
    return layer
  })
}

function weightOf({ weights }: GrownNetwork, key: string): Values {
  const found = weights.get(key)
  if (!found) throw new Net2NetError(`the network has no weight ${key}`)
  return found
}

/** A tensor whose axis `axis` has the slices `from` of the old one, in this order, each times `scale` of its new index. */
function pickSlices({ shape, values }: Values, axis: number, from: readonly number[], scale: (index: number) => number = () => 1): Values {
  const inner = shape.slice(axis + 1).reduce((product, size) => product * size, 1)
  const outer = shape.slice(0, axis).reduce((product, size) => product * size, 1)
  const size = shape[axis] as number
  const out = new Float32Array(outer * from.length * inner)
  for (let block = 0; block < outer; block++) {
    for (const [index, source] of from.entries()) {
      const factor = scale(index)
      const start = (block * size + source) * inner
      const target = (block * from.length + index) * inner
      for (let i = 0; i < inner; i++) out[target + i] = (values[start + i] as number) * factor
    }
  }
  return { shape: shape.map((length, position) => (position === axis ? from.length : length)), values: out }
}

export { type GrownNetwork, pickSlices, primitiveLayers, type Values, weightOf }
