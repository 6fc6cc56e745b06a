// Settings of spaces of what layers read of the outputs before them, and their presets: all of them concatenated (DenseNet; Huang et al.
// 2017, arXiv 1608.06993), those at distances 1, 2, 4, 8, … (SparseNet; Zhu et al. 2018, arXiv 1801.05895, and the authors' code,
// github.com/Lyken17/SparseNet: src/pytorch/denselink.py), or their sum; and, which Zhu et al. leave open, chosen for each of them.

import * as z from 'zod'
import { MAX_WIDTH, mbconvFields } from '../mbconv/config.ts'

const MAX_STAGES = 8
/** DenseNet-BC-250-24 has 41 units in a stage. */
const MAX_UNITS = 64
/** What a 1×1 convolution makes before the 3×3 of a unit, in channels of the unit. */
const BOTTLENECK = 4

const { name, input, classes, stem, headWidth, batchNormEpsilon } = mbconvFields

/** `none`: not read; `sum`: added to the output just before; `concat`: concatenated with it. */
const aggregations = ['none', 'sum', 'concat'] as const
type Aggregation = (typeof aggregations)[number]

const width = z.int().min(1).max(MAX_WIDTH)

const aggregationFields = {
  family: z.literal('aggregation'),
  name,
  input,
  classes,
  stem: z.strictObject({ stride: stem.shape.stride }).describe('first 3×3 convolution, to the channels that the first stage begins with'),
  stages: z
    .array(
      z.strictObject({
        width: width.describe('channels that the stage begins with: of the stem, or of the transition before it'),
        units: z.int().min(1).max(MAX_UNITS),
        growth: width.describe('channels of each unit’s output'),
      }),
    )
    .min(1)
    .max(MAX_STAGES)
    .describe('groups of units of one image size; between two of them a transition, a 1×1 convolution and means of 2×2, halves it'),
  bottleneck: z.boolean().describe(`whether a 1×1 convolution to ${BOTTLENECK} times the channels of the unit comes before its 3×3`),
  sources: z
    .enum(['all', 'exponential'])
    .describe('which outputs of its stage a layer may read: all that are before it, or those 1, 2, 4, 8, … before it'),
  aggregations: z
    .array(z.enum(aggregations))
    .min(1)
    .describe(
      'what a layer may make of each of these but the one just before it, which it always reads: leave it out, add it, where both have as many channels, or concatenate it; where only one is left, there is nothing to choose',
    ),
  headWidth: headWidth.describe(
    'channels of a 1×1 convolution behind the last stage, or null for none; needed where it is chosen what is concatenated',
  ),
  batchNormEpsilon,
}

const aggregationConfigSchema = z
  .strictObject({
    ...aggregationFields,
    bottleneck: aggregationFields.bottleneck.default(false),
    batchNormEpsilon: batchNormEpsilon.default(1e-5),
  })
  .meta({ id: 'AggregationSpace', description: 'A space of networks whose layers read several of the outputs before them.' })
type AggregationConfig = z.infer<typeof aggregationConfigSchema>
type Stage = AggregationConfig['stages'][number]
type Sources = AggregationConfig['sources']

/** Whether output `source` of a stage, of which 0 is what it begins with, may be read by the layer that makes output `reader`. */
function isSource(sources: Sources, reader: number, source: number): boolean {
  return sources === 'all' || Number.isInteger(Math.log2(reader - source))
}

/**
 * The stages of a published network: three of (depth − 4) / 3 convolutions each, which are half as many units where these have a bottleneck.
 * Transitions keep all channels that they read, or, with bottlenecks, half of them.
 *
 * @param first channels of the stem
 */
function publishedStages(depth: number, growths: readonly number[], first: number, sources: Sources, bottleneck: boolean): Stage[] {
  const units = (depth - 4) / 3 / (bottleneck ? 2 : 1)
  let next = first
  return growths.map((growth) => {
    const stage = { width: next, units, growth }
    const outputs = [next, ...Array.from({ length: units }, () => growth)]
    const read = outputs.filter((_, source) => isSource(sources, units + 1, source)).reduce((sum, channels) => sum + channels, 0)
    next = bottleneck ? Math.floor(read / 2) : read
    return stage
  })
}

const published = {
  family: 'aggregation',
  input: [32, 32, 3],
  classes: 10,
  stem: { stride: 1 },
  aggregations: ['concat'],
  headWidth: null,
  batchNormEpsilon: 1e-5,
} satisfies Partial<AggregationConfig>

/** The stem of a DenseNet has twice as many channels as a unit. */
function denseNet(presetName: string, depth: number, growth: number, bottleneck = false): AggregationConfig {
  const stages = publishedStages(depth, [growth, growth, growth], 2 * growth, 'all', bottleneck)
  return { ...published, name: presetName, stages, bottleneck, sources: 'all' }
}

function sparseNet(presetName: string, depth: number, growths: readonly [number, number, number], bottleneck = false): AggregationConfig {
  const stages = publishedStages(depth, growths, growths[0], 'exponential', bottleneck)
  return { ...published, name: presetName, stages, bottleneck, sources: 'exponential' }
}

/** Stages that begin with the channels of their units, so that all of their outputs can be added. */
function evenStages(units: number, growths: readonly number[]): Stage[] {
  return growths.map((growth) => ({ width: growth, units, growth }))
}

const aggregationPresets = {
  'densenet-40-12': denseNet('densenet-40-12', 40, 12),
  'densenet-100-12': denseNet('densenet-100-12', 100, 12),
  'densenet-bc-100-12': denseNet('densenet-bc-100-12', 100, 12, true),
  'sparsenet-40-24': sparseNet('sparsenet-40-24', 40, [24, 24, 24]),
  'sparsenet-100-24': sparseNet('sparsenet-100-24', 100, [24, 24, 24]),
  'sparsenet-100-36': sparseNet('sparsenet-100-36', 100, [36, 36, 36]),
  'sparsenet-100-16-32-64': sparseNet('sparsenet-100-16-32-64', 100, [16, 32, 64]),
  'sparsenet-bc-100-24': sparseNet('sparsenet-bc-100-24', 100, [24, 24, 24], true),
  // The same units, each of which reads the sum of all outputs before it: a residual network.
  'residual-40-16-32-64': {
    ...published,
    name: 'residual-40-16-32-64',
    stages: evenStages(12, [16, 32, 64]),
    bottleneck: false,
    sources: 'all',
    aggregations: ['sum'],
  },
  // All of these at once, in the depth and growth of SparseNet-40-24.
  'aggregation-40-24': {
    ...published,
    name: 'aggregation-40-24',
    stages: evenStages(12, [24, 24, 24]),
    bottleneck: false,
    sources: 'all',
    aggregations: [...aggregations],
    headWidth: 192,
  },
  // Small enough to be searched in minutes on a processor, images of 28×28 or 32×32.
  'aggregation-mini': {
    ...published,
    name: 'aggregation-mini',
    input: [28, 28, 1],
    stem: { stride: 2 },
    stages: evenStages(4, [12, 24]),
    bottleneck: false,
    sources: 'all',
    aggregations: [...aggregations],
    headWidth: 64,
  },
} satisfies Record<string, AggregationConfig>

export {
  type Aggregation,
  type AggregationConfig,
  aggregationConfigSchema,
  aggregationFields,
  aggregationPresets,
  BOTTLENECK,
  isSource,
  type Sources,
}
