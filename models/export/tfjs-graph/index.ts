// The table of how layers are written as nodes of a TensorFlow.js graph, one file per kind.

import type { StepKind } from '../../../engine/executor/index.ts'
import { activation } from './activation.ts'
import { add } from './add.ts'
import { batchNorm } from './batch-norm.ts'
import { channelRange } from './channel-range.ts'
import { channelShuffle } from './channel-shuffle.ts'
import { concat } from './concat.ts'
import { conv2d } from './conv2d.ts'
import { crop } from './crop.ts'
import { depthwiseConv2d } from './depthwise-conv2d.ts'
import { globalAveragePool } from './global-average-pool.ts'
import { linear } from './linear.ts'
import { multiply } from './multiply.ts'
import { pool } from './pool.ts'
import type { GraphRule } from './rule.ts'
import { splitAttention } from './split-attention.ts'
import { zero } from './zero.ts'

const graphRules: { readonly [Kind in StepKind]: GraphRule<Kind> } = {
  activation,
  add,
  batchNorm,
  channelRange,
  channelShuffle,
  concat,
  conv2d,
  crop,
  depthwiseConv2d,
  globalAveragePool,
  linear,
  multiply,
  pool,
  splitAttention,
  zero,
}

/** Typed by the kind alone: for a step of any kind, it takes steps of any kind. */
function graphRuleOf<Kind extends StepKind>({ kind }: { readonly kind: Kind }): GraphRule<Kind> {
  return graphRules[kind]
}

export { graphRuleOf, graphRules }
