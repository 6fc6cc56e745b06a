import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { coverSpace, pathLatencyMs } from '../../latency-lut/table/coverage.ts'
import { fieldErrors } from '../../protocol/index.ts'
import {
  architectureCosts,
  createSpace,
  fixArchitecture,
  fixedNetworkSchema,
  fromNetConfig,
  onlyPath,
  type SpaceRef,
  spaceRefSchema,
  toNetConfig,
} from '../../search-space/index.ts'
import { refWithPath } from '../fixtures/arbitrary-spaces.ts'
import { makeTable } from '../fixtures/searches.ts'
import { mbconvBlocks } from '../fixtures/mbconv-blocks.ts'

/** Rows of table 2 of Sandler et al. 2018: expansion, channels, repetitions, stride. */
const MOBILENET_V2 = [
  [1, 16, 1, 1],
  [6, 24, 2, 2],
  [6, 32, 3, 2],
  [6, 64, 4, 2],
  [6, 96, 3, 1],
  [6, 160, 3, 2],
  [6, 320, 1, 1],
] as const

/** Counted from the table of the paper alone, with the rounding of its authors' code. */
function countMobileNetV2(multiplier: number, side: number, classes: number) {
  const round = (width: number) => {
    const nearest = Math.max(8, 8 * Math.floor(width / 8 + 0.5))
    return nearest < 0.9 * width ? nearest + 8 : nearest
  }
  let macs = 0
  let parameters = 0
  const convolution = (pixels: number, weights: number, outputs: number) => {
    macs += pixels * weights
    parameters += weights + 2 * outputs
  }
  let size = Math.ceil(side / 2)
  let channels = round(32 * multiplier)
  convolution(size ** 2, 9 * 3 * channels, channels)
  for (const [expansion, width, repetitions, stride] of MOBILENET_V2) {
    for (let n = 0; n < repetitions; n++) {
      const hidden = channels * expansion
      const outputs = round(width * multiplier)
      if (expansion > 1) convolution(size ** 2, channels * hidden, hidden)
      if (n === 0) size = Math.ceil(size / stride)
      convolution(size ** 2, 9 * hidden, hidden)
      convolution(size ** 2, hidden * outputs, outputs)
      channels = outputs
    }
  }
  const head = round(1280 * Math.max(1, multiplier))
  convolution(size ** 2, channels * head, head)
  macs += head * classes
  parameters += head * classes + classes
  return { macs, parameters }
}

const costsOf = (ref: SpaceRef) => {
  const space = createSpace(ref)
  return architectureCosts(
    space,
    space.decisions.map(() => 0),
  )
}

describe('MobileNetV2', () => {
  // Millions, as its authors publish them with their checkpoints; theirs have 1001 classes.
  it.each([
    [0.35, 59, 1.66],
    [0.5, 97, 1.95],
    [0.75, 209, 2.61],
    [1, 300, 3.47],
    [1.4, 582, 6.06],
  ])('of width %f has the published %i M multiply-accumulates and %f M parameters', (widthMult, macs, parameters) => {
    const costs = costsOf({ preset: 'mobilenet-v2', widthMult })
    expect(costs).toEqual(countMobileNetV2(widthMult, 224, 1000))
    expect(Math.abs(costs.macs / 1e6 / macs - 1)).toBeLessThan(0.015)
    expect(Math.abs(costs.parameters / 1e6 / parameters - 1)).toBeLessThan(0.02)
  })

  it('of width 1 is, to the last multiply-accumulate and parameter, what others count', () => {
    // 3,504,872 is also what torchvision's mobilenet_v2 has.
    expect(costsOf('mobilenet-v2')).toEqual({ macs: 300_774_272, parameters: 3_504_872 })
  })

  it('has nothing to choose, takes any input size and number of classes, and gentler strides for small images', () => {
    const stages = [24, 32, 64, 96, 160, 320].map((width, index) => ({
      width,
      cells: [2, 3, 4, 3, 3, 1][index],
      stride: index === 2 || index === 4 ? 2 : 1,
    }))
    const ref = spaceRefSchema.parse({
      preset: 'mobilenet-v2',
      widthMult: 0.35,
      input: [28, 28, 1],
      classes: 10,
      stem: { width: 32, stride: 1 },
      stages,
    })
    const space = createSpace(ref)
    expect(space.decisions.every(({ options }) => options.length === 1)).toBe(true)
    expect(mbconvBlocks(ref).at(-1)?.output).toEqual([7, 7, 112])
    expect(space.classes).toBe(10)
  })
})

describe('a fixed network', () => {
  const blocks = [
    { expansion: 1, kernel: 3, stride: 1, width: 11 },
    { expansion: 4, kernel: 5, stride: 2, width: 18 },
    'zero',
    { expansion: 3, kernel: 7, stride: 1, width: 18 },
    { expansion: 2, kernel: 3, stride: 1, width: 18, shortcut: false },
  ]
  const input = { name: 'mine', input: [16, 16, 3], classes: 5, stem: { width: 9, stride: 2 }, blocks, headWidth: 40 }

  it('has the widths that it was given, one operation per block, and shortcuts where they fit unless told otherwise', () => {
    const space = createSpace(spaceRefSchema.parse(input))
    expect(space.decisions.map(({ options }) => options.map(({ name }) => name).join())).toEqual([
      'mb1k3',
      'mb4k5',
      'zero',
      'mb3k7',
      'mb2k3',
    ])
    expect(mbconvBlocks(spaceRefSchema.parse(input)).map((block) => block.output)).toEqual([
      [8, 8, 11],
      [4, 4, 18],
      [4, 4, 18],
      [4, 4, 18],
      [4, 4, 18],
    ])
    expect(mbconvBlocks(spaceRefSchema.parse(input)).map((block) => block.shortcut)).toEqual([false, false, true, true, false])
    const layers = space.network([0, 0, 0, 0, 0]).layers.filter(({ kind }) => kind === 'add')
    expect(layers.map(({ id }) => id)).toEqual(['block4/add'])
  })

  it.each([
    [{ blocks: [{ expansion: 6, kernel: 4, stride: 1, width: 8 }] }, 'blocks[0].kernel'],
    [{ blocks: [...blocks, { expansion: 0.5, kernel: 3, stride: 1, width: 8 }] }, 'blocks[5].expansion'],
    [{ blocks: [] }, 'blocks'],
  ])('that makes no sense is refused with the field named: %j', (change, path) => {
    const parsed = spaceRefSchema.safeParse({ ...input, ...change })
    expect(parsed.error && fieldErrors(parsed.error).map((error) => error.path)).toEqual([path])
  })

  it('may have identities: skipped where stride and width stay as they are, a 1×1 convolution with batch-norm elsewhere', () => {
    const identity = (stride: number, width: number) => ({ operation: 'identity', stride, width })
    const ref = spaceRefSchema.parse({ ...input, blocks: [identity(1, 9), identity(1, 12), identity(2, 12)] })
    const space = createSpace(ref)
    expect(mbconvBlocks(ref).map(({ output, operations }) => [...output, operations[0]?.isZero])).toEqual([
      [8, 8, 9, true],
      [8, 8, 12, false],
      [4, 4, 12, false],
    ])
    const own = space.network([0, 0, 0]).layers.flatMap((layer) => (layer.id.startsWith('block') ? [[layer.id, layer.kind]] : []))
    expect(own).toEqual([
      ['block2/identity/conv', 'conv2d'],
      ['block2/identity/conv.norm', 'batchNorm'],
      ['block3/identity/conv', 'conv2d'],
      ['block3/identity/conv.norm', 'batchNorm'],
    ])
  })

  it('with a shortcut between different widths is refused', () => {
    const wrong = spaceRefSchema.parse({ ...input, blocks: [{ expansion: 6, kernel: 3, stride: 1, width: 10, shortcut: true }] })
    expect(() => createSpace(wrong)).toThrow('expected no shortcut from 9 to 10 channels at stride 1 (space.blocks[0].shortcut)')
  })

  it('made of any architecture has its layers, costs and latencies', () => {
    fc.assert(
      fc.property(refWithPath, ({ ref, path }) => {
        const { network, prefixes } = fixArchitecture(ref, path)
        const space = createSpace(ref)
        const fixed = createSpace(fixedNetworkSchema.parse(network))
        const only = onlyPath(network)
        const shapes = (layers: readonly { kind: string; shape: readonly number[] }[]) => layers.map(({ kind, shape }) => [kind, shape])
        expect(shapes(fixed.network(only).layers)).toEqual(shapes(space.network(path).layers))
        expect(architectureCosts(fixed, only)).toEqual(architectureCosts(space, path))
        const table = makeTable(space)
        const latencyOf = (coverage: ReturnType<typeof coverSpace>, chosen: readonly number[]) =>
          coverage.kind === 'covered' ? pathLatencyMs(coverage.latency, chosen) : Number.NaN
        expect(latencyOf(coverSpace(fixed, table), only)).toBeCloseTo(latencyOf(coverSpace(space, table), path), 9)
        const known = new Set(space.weightSpecs.map(({ key }) => key.slice(0, key.lastIndexOf('/'))))
        for (const prefix of [prefixes.stem, prefixes.classifier, ...prefixes.blocks]) if (prefix !== null) expect(known).toContain(prefix)
      }),
    )
  })
})

describe('the published network format', () => {
  const size = { name: 'random-fixed', height: 16, width: 24 }

  it('gives back any network that was written in it, skipped blocks and shortcuts included, and refuses projections', () => {
    fc.assert(
      fc.property(refWithPath, ({ ref, path }) => {
        const { network, prefixes } = fixArchitecture(ref, path)
        const isIdentity = (block: (typeof network.blocks)[number]) => typeof block === 'object' && 'operation' in block
        if (network.blocks.some((block, index) => isIdentity(block) && prefixes.blocks[index] !== null)) {
          expect(() => toNetConfig(network)).toThrow(
            /^a net\.config has no form for the identity of block\d+, which projects .+ \(blocks\[\d+\]\)$/,
          )
          return
        }
        const text = JSON.stringify(toNetConfig(network))
        const [height, width] = network.input
        const blocks = network.blocks.map((block) => (isIdentity(block) ? 'zero' : block))
        expect(fromNetConfig(JSON.parse(text), { name: network.name, height, width })).toEqual({ ...network, blocks })
      }),
    )
  })

  it('has the field names and layer names of its authors', () => {
    const network = fixedNetworkSchema.parse({
      name: 'mine',
      input: [8, 8, 3],
      classes: 5,
      stem: { width: 9, stride: 2 },
      blocks: [{ expansion: 1, kernel: 3, stride: 1, width: 11 }, 'zero', { expansion: 3, kernel: 7, stride: 1, width: 11 }],
      headWidth: 40,
    })
    const norm = { use_bn: true, act_func: 'relu6', dropout_rate: 0, ops_order: 'weight_bn_act' }
    const conv = { name: 'ConvLayer', dilation: 1, groups: 1, bias: false, has_shuffle: false, ...norm }
    const identity = { in_channels: [11], out_channels: [11], use_bn: false, act_func: null, dropout_rate: 0, ops_order: 'weight_bn_act' }
    const shortcut = { name: 'IdentityLayer', ...identity }
    const name = 'MobileInvertedResidualBlock'
    const inverted = 'MBInvertedConvLayer'
    expect(toNetConfig(network)).toEqual({
      name: 'ProxylessNASNets',
      bn: { momentum: 0.1, eps: 1e-3 },
      first_conv: { ...conv, kernel_size: 3, stride: 2, in_channels: 3, out_channels: 9 },
      blocks: [
        {
          name,
          mobile_inverted_conv: { name: inverted, in_channels: 9, out_channels: 11, kernel_size: 3, stride: 1, expand_ratio: 1 },
          shortcut: null,
        },
        { name, mobile_inverted_conv: { name: 'ZeroLayer', stride: 1 }, shortcut },
        {
          name,
          mobile_inverted_conv: { name: inverted, in_channels: 11, out_channels: 11, kernel_size: 7, stride: 1, expand_ratio: 3 },
          shortcut,
        },
      ],
      feature_mix_layer: { ...conv, kernel_size: 1, stride: 1, in_channels: 11, out_channels: 40 },
      classifier: {
        name: 'LinearLayer',
        in_features: 40,
        out_features: 5,
        bias: true,
        use_bn: false,
        act_func: null,
        dropout_rate: 0,
        ops_order: 'weight_bn_act',
      },
    })
  })

  const published = () =>
    toNetConfig(
      fixArchitecture(
        'mobilenet-v2',
        Array.from({ length: 16 }, () => 0),
      ).network,
    )

  it('reads networks in which channels of a shortcut are numbers, middle channels are named and bn is left out', () => {
    const { bn: _, ...rest } = published()
    const document = JSON.parse(JSON.stringify(rest), (key, value: unknown) => {
      if (key !== '' && value !== null && typeof value === 'object' && 'expand_ratio' in value && 'in_channels' in value) {
        return { ...value, mid_channels: value.expand_ratio === 1 ? null : Number(value.in_channels) * Number(value.expand_ratio) }
      }
      return key === 'in_channels' && Array.isArray(value) ? (value[0] as unknown) : value
    })
    expect(fromNetConfig(document, { name: 'v2', height: 224, width: 224 })).toMatchObject({ classes: 1000, batchNormEpsilon: 1e-3 })
  })

  it.each([
    [
      'a group convolution',
      (c: ReturnType<typeof published>) => ({ ...c, first_conv: { ...c.first_conv, groups: 2 } }),
      'first_conv.groups',
    ],
    [
      'another activation',
      (c: ReturnType<typeof published>) => ({ ...c, first_conv: { ...c.first_conv, act_func: 'h_swish' } }),
      'first_conv.act_func',
    ],
    ['another family', (c: ReturnType<typeof published>) => ({ ...c, name: 'PyramidTreeNet' }), 'name'],
  ])('refuses %s', (_, change, path) => {
    try {
      fromNetConfig(change(published()), size)
      expect.unreachable()
    } catch (error) {
      expect(fieldErrors(error as Parameters<typeof fieldErrors>[0]).map((field) => field.path)).toEqual([path])
    }
  })

  it('refuses neighbours of different widths', () => {
    const document = published()
    const changed = { ...document, classifier: { ...document.classifier, in_features: 7 } }
    expect(() => fromNetConfig(changed, size)).toThrow('expected the features to be 1280, got 7 (classifier.in_features)')
  })
})
