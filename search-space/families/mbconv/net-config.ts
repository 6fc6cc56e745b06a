// Networks as the authors of ProxylessNAS publish them: the JSON of a `net.config`. Field names are theirs. What their
// classes can do and an MBConv network of ours cannot (groups, other activations, squeeze-and-excitation) is refused by name,
// and so is what theirs do not have: an identity that changes stride or width.

import * as z from 'zod'
import { type FixedNetwork, fixedNetworkSchema } from '../fixed/config.ts'
import { planNetwork } from '../plan-network.ts'
import { type Place, STEM_KERNEL } from './plan.ts'
import type { Shape } from '../../layer-graph.ts'
import { SpaceError } from '../../space.ts'

/** As PyTorch counts it: the share of a new batch in the running statistics. What their training uses. */
const BN_MOMENTUM = 0.1
const DEFAULT_EPSILON = 1e-3

const count = z.int().min(1)
/** `[16]` and 16 are both in use. */
const identityChannels = z.union([count, z.tuple([count])])
const orderField = z.literal('weight_bn_act').default('weight_bn_act')

const convLayerSchema = z.object({
  name: z.literal('ConvLayer'),
  kernel_size: count,
  stride: z.int(),
  dilation: z.literal(1).default(1),
  groups: z.literal(1).default(1),
  bias: z.literal(false).default(false),
  has_shuffle: z.boolean().default(false),
  in_channels: count,
  out_channels: count,
  use_bn: z.literal(true).default(true),
  act_func: z.literal('relu6'),
  dropout_rate: z.number().default(0),
  ops_order: orderField,
})

const invertedConvSchema = z.object({
  name: z.literal('MBInvertedConvLayer'),
  in_channels: count,
  out_channels: count,
  kernel_size: count,
  stride: z.int(),
  expand_ratio: z.number(),
  mid_channels: count.nullish(),
  act_func: z.literal('relu6').optional(),
  use_se: z.literal(false).optional(),
})

const zeroLayerSchema = z.object({ name: z.literal('ZeroLayer'), stride: z.literal(1).default(1) })

const identityLayerSchema = z.object({
  name: z.literal('IdentityLayer'),
  in_channels: identityChannels,
  out_channels: identityChannels,
  use_bn: z.literal(false).default(false),
  act_func: z.null().default(null),
  dropout_rate: z.literal(0).default(0),
  ops_order: orderField,
})

const blockSchema = z.object({
  name: z.literal('MobileInvertedResidualBlock'),
  mobile_inverted_conv: z.discriminatedUnion('name', [invertedConvSchema, zeroLayerSchema]),
  shortcut: z.discriminatedUnion('name', [identityLayerSchema, zeroLayerSchema]).nullable(),
})

const linearLayerSchema = z.object({
  name: z.literal('LinearLayer'),
  in_features: count,
  out_features: count,
  bias: z.literal(true).default(true),
  use_bn: z.literal(false).default(false),
  act_func: z.null().default(null),
  dropout_rate: z.number().min(0).max(1).default(0),
  ops_order: orderField,
})

const netConfigSchema = z.object({
  name: z.literal('ProxylessNASNets'),
  bn: z
    .object({ momentum: z.number().nullable(), eps: z.number().positive(), ws_eps: z.null().optional() })
    .default({ momentum: BN_MOMENTUM, eps: DEFAULT_EPSILON }),
  first_conv: convLayerSchema,
  blocks: z.array(blockSchema).min(1),
  feature_mix_layer: convLayerSchema.nullable(),
  classifier: linearLayerSchema,
})
type NetConfig = z.infer<typeof netConfigSchema>

function convLayer(kernel: number, stride: number, inChannels: number, outChannels: number): NetConfig['first_conv'] {
  return {
    name: 'ConvLayer',
    kernel_size: kernel,
    stride,
    dilation: 1,
    groups: 1,
    bias: false,
    has_shuffle: false,
    in_channels: inChannels,
    out_channels: outChannels,
    use_bn: true,
    act_func: 'relu6',
    dropout_rate: 0,
    ops_order: 'weight_bn_act',
  }
}

function identityLayer(channels: number): NonNullable<NetConfig['blocks'][number]['shortcut']> {
  return {
    name: 'IdentityLayer',
    in_channels: [channels],
    out_channels: [channels],
    use_bn: false,
    act_func: null,
    dropout_rate: 0,
    ops_order: 'weight_bn_act',
  }
}

function printBlock({ name: place, input, output, stride, shortcut, candidates }: Place, index: number): NetConfig['blocks'][number] {
  const name = 'MobileInvertedResidualBlock'
  const [, , inChannels] = input
  const [chosen] = candidates
  if (chosen?.kind === 'skip') {
    return { name, mobile_inverted_conv: { name: 'ZeroLayer', stride: 1 }, shortcut: identityLayer(inChannels) }
  }
  if (chosen?.kind !== 'mbconv') {
    throw new SpaceError(
      'config',
      `blocks[${index}]`,
      `a net.config has no form for the identity of ${place}, which projects ${input.join('×')} to ${output.join('×')}`,
    )
  }
  const { expansion, kernel } = chosen
  return {
    name,
    // Without `mid_channels`: one of the authors' two programs does not know it, and it follows from the ratio.
    mobile_inverted_conv: {
      name: 'MBInvertedConvLayer',
      in_channels: inChannels,
      out_channels: output[2],
      kernel_size: kernel,
      stride,
      expand_ratio: expansion,
    },
    shortcut: shortcut ? identityLayer(inChannels) : null,
  }
}

/**
 * A network in the published form, which has no place for the size of the input. Throws SpaceError `config` for an identity
 * that changes stride or width.
 */
function toNetConfig(network: FixedNetwork): NetConfig {
  const { places } = planNetwork(network)
  const lastWidth = places.at(-1)?.output[2] ?? network.stem.width
  const { headWidth } = network
  return {
    name: 'ProxylessNASNets',
    bn: { momentum: BN_MOMENTUM, eps: network.batchNormEpsilon },
    first_conv: convLayer(STEM_KERNEL, network.stem.stride, network.input[2], network.stem.width),
    blocks: places.map(printBlock),
    feature_mix_layer: headWidth === null ? null : convLayer(1, 1, lastWidth, headWidth),
    classifier: {
      name: 'LinearLayer',
      in_features: headWidth ?? lastWidth,
      out_features: network.classes,
      bias: true,
      use_bn: false,
      act_func: null,
      dropout_rate: 0,
      ops_order: 'weight_bn_act',
    },
  }
}

function requireEqual(field: string, what: string, expected: number, got: number): void {
  if (expected !== got) throw new SpaceError('config', field, `expected ${what} to be ${expected}, got ${got}`)
}

/**
 * Reads a published network. `height` and `width` of its input, which the form does not hold, are given.
 *
 * Throws ZodError for a document that is none or asks for layers that an MBConv network does not have, SpaceError `config`
 * where widths of neighbours differ.
 */
function fromNetConfig(document: unknown, { name, height, width }: { name: string; height: number; width: number }): FixedNetwork {
  const config = netConfigSchema.parse(document)
  const { first_conv: first, feature_mix_layer: mix, classifier } = config
  requireEqual('first_conv.kernel_size', 'the kernel', STEM_KERNEL, first.kernel_size)
  let channels = first.out_channels
  const blocks = config.blocks.map(({ mobile_inverted_conv: conv, shortcut }, index) => {
    if (conv.name === 'ZeroLayer') return 'zero'
    const field = `blocks[${index}].mobile_inverted_conv`
    requireEqual(`${field}.in_channels`, 'the channels', channels, conv.in_channels)
    if (conv.expand_ratio !== 1 && conv.mid_channels !== null && conv.mid_channels !== undefined) {
      requireEqual(
        `${field}.mid_channels`,
        'in_channels × expand_ratio',
        Math.round(conv.in_channels * conv.expand_ratio),
        conv.mid_channels,
      )
    }
    channels = conv.out_channels
    return {
      expansion: conv.expand_ratio,
      kernel: conv.kernel_size,
      stride: conv.stride,
      width: conv.out_channels,
      shortcut: shortcut?.name === 'IdentityLayer',
    }
  })
  if (mix) {
    requireEqual('feature_mix_layer.kernel_size', 'the kernel', 1, mix.kernel_size)
    requireEqual('feature_mix_layer.stride', 'the stride', 1, mix.stride)
    requireEqual('feature_mix_layer.in_channels', 'the channels', channels, mix.in_channels)
    channels = mix.out_channels
  }
  requireEqual('classifier.in_features', 'the features', channels, classifier.in_features)
  const input: Shape = [height, width, first.in_channels]
  const network = fixedNetworkSchema.parse({
    name,
    input,
    classes: classifier.out_features,
    stem: { width: first.out_channels, stride: first.stride },
    blocks,
    headWidth: mix?.out_channels ?? null,
    batchNormEpsilon: config.bn.eps,
  })
  planNetwork(network)
  return network
}

export { fromNetConfig, type NetConfig, toNetConfig }
