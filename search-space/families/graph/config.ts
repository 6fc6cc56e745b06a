// Settings of a network that is written out layer by layer: what growing makes of a network of any family (net2net/).

import * as z from 'zod'
import { mbconvFields } from '../mbconv/config.ts'
import { activations } from '../../layers/activation.ts'

/** A network of twenty cells of DARTS has some 1,500. */
const MAX_LAYERS = 8192
const MAX_SIDE = 4096
const MAX_CHANNELS = 65_536
const MAX_KERNEL = 31
const MAX_ID_LENGTH = 256

const { name, input, classes } = mbconvFields

const side = z.int().min(1).max(MAX_SIDE)
const id = z.string().min(1).max(MAX_ID_LENGTH)
const base = { id, shape: z.tuple([side, side, z.int().min(1).max(MAX_CHANNELS)]).describe('height, width and channels of what it makes') }
const window = { kernel: z.int().min(1).max(MAX_KERNEL), stride: z.int().min(1).max(MAX_KERNEL) }
const one = { ...base, input: id }
const several = { ...base, inputs: z.array(id).min(1) }

const graphLayerSchema = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('activation'), ...one, activation: z.enum(activations) }),
  z.strictObject({ kind: z.literal('add'), ...base, inputs: z.tuple([id, id]) }),
  z.strictObject({ kind: z.literal('batchNorm'), ...one, gamma: id, beta: id, epsilon: mbconvFields.batchNormEpsilon }),
  z.strictObject({ kind: z.literal('channelRange'), ...one, first: z.int().min(0).max(MAX_CHANNELS) }),
  z.strictObject({ kind: z.literal('channelShuffle'), ...one, groups: z.int().min(1).max(MAX_CHANNELS) }),
  z.strictObject({ kind: z.literal('concat'), ...several }),
  z.strictObject({
    ...({ kind: z.literal('conv2d'), ...one, ...window } as const),
    groups: z.int().min(1).max(MAX_CHANNELS).optional(),
    filter: id,
  }),
  z.strictObject({ kind: z.literal('crop'), ...one, top: z.int().min(0).max(MAX_SIDE), left: z.int().min(0).max(MAX_SIDE) }),
  z.strictObject({
    ...({ kind: z.literal('depthwiseConv2d'), ...one, ...window } as const),
    dilation: z.int().min(1).max(MAX_KERNEL).optional(),
    filter: id,
  }),
  z.strictObject({ kind: z.literal('globalAveragePool'), ...one }),
  z.strictObject({ kind: z.literal('input'), ...base }),
  z.strictObject({ kind: z.literal('linear'), ...one, weights: id, bias: id }),
  z.strictObject({ kind: z.literal('multiply'), ...base, inputs: z.tuple([id, id]) }),
  z.strictObject({
    ...({ kind: z.literal('pool'), ...one, ...window } as const),
    mode: z.enum(['max', 'average']),
    padding: z.int().min(0).max(MAX_KERNEL).optional(),
  }),
  z.strictObject({ kind: z.literal('splitAttention'), ...several }),
  z.strictObject({ kind: z.literal('zero'), ...one }),
])

const graphConfigSchema = z
  .strictObject({
    family: z.literal('graph'),
    name,
    input,
    classes,
    layers: z
      .array(graphLayerSchema)
      .min(2)
      .max(MAX_LAYERS)
      .describe('from `input` to the layer that makes the logits, each behind those that it reads'),
  })
  .meta({ id: 'GraphNetwork', description: 'One network, layer by layer, as `gatehouse transform` writes it.' })
type GraphConfig = z.infer<typeof graphConfigSchema>

export { type GraphConfig, graphConfigSchema }
