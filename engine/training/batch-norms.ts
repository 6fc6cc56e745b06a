// What BN-NAS (Chen et al. 2021, ICCV) makes of batch-norms: the only weights that it trains, and what it compares architectures by,
//
//   S(a) = Σ over the blocks of a, of the mean of |γ| over the channels of the block's last batch-norm
//
// as in the authors' code, get_bn_scores of BNNAS/search/ea.py. A block is what keys of weights have before their last slash. Blocks without
// a batch-norm, such as Identity, add nothing, and those that all architectures have add the same to each.

import type { LayerGraph, LayerOf } from '../../search-space/index.ts'
import type { Weights } from '../executor/index.ts'

type BatchNorm = LayerOf<'batchNorm'>

function batchNormsOf({ layers }: LayerGraph): BatchNorm[] {
  return layers.filter((layer): layer is BatchNorm => layer.kind === 'batchNorm')
}

/** Keys of the scales and offsets of a network's batch-norms. */
function batchNormKeys(graph: LayerGraph): Set<string> {
  return new Set(batchNormsOf(graph).flatMap(({ gamma, beta }) => [gamma, beta]))
}

/** S. Of a scale that blocks share by parts, the channels that the network reads: its first ones. */
async function lastScales(graph: LayerGraph, weights: Pick<Weights, 'read'>): Promise<number> {
  const lastOfBlock = new Map(batchNormsOf(graph).map((norm) => [norm.gamma.slice(0, norm.gamma.lastIndexOf('/')), norm]))
  let sum = 0
  for (const { gamma, shape } of lastOfBlock.values()) {
    const values = (await weights.read(gamma)).subarray(0, shape.at(-1))
    sum += values.reduce((total, value) => total + Math.abs(value), 0) / values.length
  }
  return sum
}

export { batchNormKeys, lastScales }
