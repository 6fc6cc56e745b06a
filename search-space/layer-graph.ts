// A layer graph is a network as data: a list of primitive layers in topological order, NHWC, every
// tensor named by the layer that makes it. It is plain JSON, so it travels, prints and compares. Who
// executes it (the agent's executor, the latency profiler, an exporter) knows nothing of search spaces.

import type { LayerBase } from './layers/layer.ts'
import type { LayerOf, PrimitiveLayer } from './layers/index.ts'

/** One candidate operation of a mixed layer: its layers read `MixedLayer.input` or each other. */
type Branch = {
  readonly operation: number
  readonly layers: readonly Layer[]
  /** Id of the layer whose output is the branch's; every branch of a mixed layer has the same output shape. */
  readonly output: string
}

/**
 * A block with binary gates (ProxylessNAS, section 3.1): the output is the active branch's, gate 1; the others have
 * gate 0 and pass no gradient to the input, but dLoss/dgate = sum(branch output * dLoss/doutput) is wanted for all.
 */
type MixedLayer = LayerBase<'mixed'> & {
  readonly input: string
  /** Index of the block in its space. */
  readonly block: number
  /** Position in `branches` of the one with gate 1. */
  readonly active: number
  readonly branches: readonly Branch[]
  /** Default: binary gates, as above. Otherwise all branches run, and `active` means nothing. */
  readonly combination?: Combination
}

/**
 * Output of a mixed layer that runs all its branches o_j: `weighted` is DARTS (Liu, Simonyan and Yang 2019), sum_j weight_j * o_j with
 * one weight per branch, a softmax there; `sum` is One-Shot (Bender et al. 2018), sum_j o_j.
 */
type Combination = { readonly kind: 'weighted'; readonly weights: readonly number[] } | { readonly kind: 'sum' }

type Layer = PrimitiveLayer | MixedLayer

/** The first layer is the `input`, the last one's output is the network's. */
type LayerGraph = { readonly layers: readonly Layer[] }

export type { Branch, Combination, Layer, LayerGraph, LayerOf, MixedLayer, PrimitiveLayer }
export type { Initialiser, Shape, WeightSpec } from './layers/layer.ts'
