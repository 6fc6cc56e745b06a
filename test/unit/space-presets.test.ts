import { describe, expect, it } from 'vitest'
import { architectureCosts, createSpace, fixedParts, largestPath, SpaceError, spaceRefSchema } from '../../search-space/index.ts'
import { elementCount } from '../../search-space/index.ts'
import { scaleWidth } from '../../search-space/families/mbconv/plan.ts'
import { fieldErrors } from '../../protocol/index.ts'
import { makeSpaceRef } from '../fixtures/searches.ts'
import { mbconvBlocks } from '../fixtures/mbconv-blocks.ts'

describe('the preset proxyless-mobile', () => {
  const space = createSpace('proxyless-mobile')
  const blocks = mbconvBlocks('proxyless-mobile')

  it('has 21 blocks and a supernet of 16,034,168 parameters', () => {
    expect(blocks).toHaveLength(21)
    expect(space.weightSpecs.reduce((sum, spec) => sum + elementCount(spec.shape), 0)).toBe(16_034_168)
  })

  it('offers six MBConvs everywhere, and Zero exactly where the block has a shortcut', () => {
    const mbconvs = ['mb3k3', 'mb3k5', 'mb3k7', 'mb6k3', 'mb6k5', 'mb6k7']
    for (const block of blocks) {
      expect(block.operations.map((operation) => operation.name)).toEqual(block.shortcut ? [...mbconvs, 'zero'] : mbconvs)
      expect(block.shortcut).toBe(block.input.every((size, axis) => size === block.output[axis]))
    }
    expect(blocks.filter((block) => block.shortcut)).toHaveLength(15)
  })

  it('reaches the published resolutions and widths', () => {
    const ends = [3, 7, 11, 15, 19, 20].map((index) => blocks[index]?.output)
    expect(ends).toEqual([
      [56, 56, 24],
      [28, 28, 40],
      [14, 14, 80],
      [14, 14, 96],
      [7, 7, 192],
      [7, 7, 320],
    ])
  })

  it('names operations in the grammar of the published tables', () => {
    const keys = space.measurableOperations().map((operation) => operation.latencyKey)
    for (const key of [
      'Conv-input:224x224x3-output:112x112x32',
      'expanded_conv-input:112x112x32-output:112x112x16-expand:1-kernel:3-stride:1-idskip:0',
      'expanded_conv-input:112x112x16-output:56x56x24-expand:3-kernel:3-stride:2-idskip:0',
      'expanded_conv-input:56x56x24-output:56x56x24-expand:6-kernel:7-stride:1-idskip:1',
      'Conv_1-input:7x7x320-output:7x7x1280',
      'Logits-input:7x7x1280-output:1000',
    ]) {
      expect(keys).toContain(key)
    }
    expect(new Set(keys).size).toBe(keys.length)
    const needed = [
      ...fixedParts(space).map((part) => part.latencyKey),
      ...blocks.flatMap((block) => block.operations.flatMap((o) => o.latencyKey ?? [])),
    ]
    expect(new Set(needed)).toEqual(new Set(keys))
  })

  it('keeps its other settings when one is changed', () => {
    const changed = createSpace(spaceRefSchema.parse({ preset: 'proxyless-mobile', classes: 100 }))
    const logits = 1280 * 900 + 900
    expect(changed.weightSpecs.reduce((sum, spec) => sum + elementCount(spec.shape), 0)).toBe(16_034_168 - logits)
    expect(changed.name).toBe('proxyless-mobile-custom')
  })
})

describe('listed operations', () => {
  const operations = ['zero', { expansion: 6, kernel: 5 }, 'identity', { expansion: 1, kernel: 7 }]
  const ref = spaceRefSchema.parse({ preset: 'fashion-mini', operations })
  const space = createSpace(ref)
  const blocks = mbconvBlocks(ref)

  it('take the place of every kernel with every expansion, in their order, Zero only where the block has a shortcut', () => {
    for (const { shortcut, operations: own } of blocks) {
      expect(own.map(({ name }) => name)).toEqual([...(shortcut ? ['zero'] : []), 'mb6k5', 'identity', 'mb1k7'])
    }
  })

  it('may be Identity, which costs nothing where the block has a shortcut, and is a convolution with weights elsewhere', () => {
    for (const { name, input, output, shortcut, operations: own } of blocks) {
      const identity = own.find((operation) => operation.name === 'identity')
      const keys = space.weightSpecs.flatMap(({ key, shape }) => (key.startsWith(`${name}/identity/`) ? [[key, ...shape]] : []))
      if (shortcut) {
        expect(identity).toEqual({ name: 'identity', isZero: true, isSkip: true, latencyKey: null, macs: 0, parameters: 0 })
        expect(keys).toEqual([])
        continue
      }
      const filter = input[2] * output[2]
      const stride = input[0] / output[0]
      expect(identity).toEqual({
        name: 'identity',
        isZero: false,
        isSkip: true,
        latencyKey: `Projection-input:${input.join('x')}-output:${output.join('x')}-stride:${stride}`,
        macs: output[0] * output[1] * filter,
        parameters: filter + 2 * output[2],
      })
      expect(keys).toEqual([
        [`${name}/identity/conv.filter`, 1, 1, input[2], output[2]],
        [`${name}/identity/conv.gamma`, output[2]],
        [`${name}/identity/conv.beta`, output[2]],
      ])
    }
    expect(blocks.map(({ shortcut }) => shortcut)).toEqual([false, true, false, true, false, true])
  })
})

describe('MACs and parameters', () => {
  it('are those of the weights that a path uses', () => {
    const space = createSpace('proxyless-mobile')
    const path = largestPath(space)
    const used = space.decisions.map(({ name, options }, index) => `${name}/${options[path[index] as number]?.name}/`)
    const fixed = ['stem/', 'first/', 'head/', 'classifier/']
    const weights = space.weightSpecs.filter((spec) => [...used, ...fixed].some((prefix) => spec.key.startsWith(prefix)))
    expect(weights.reduce((sum, spec) => sum + elementCount(spec.shape), 0)).toBe(architectureCosts(space, path).parameters)
  })
})

describe('scaled widths', () => {
  it.each([
    [32, 0.35, 16], // 11.2 → 8 would lose more than a tenth
    [16, 0.35, 8],
    [24, 0.5, 16],
    [40, 0.5, 24],
    [1280, 1.4, 1792],
    [96, 0.75, 72],
    [1, 0.1, 8],
    [30, 1, 30],
  ])('%i × %f is %i', (width, multiplier, expected) => {
    expect(scaleWidth(width, multiplier)).toBe(expected)
  })

  it('keep the head at its full width below multiplier one', () => {
    const space = createSpace(spaceRefSchema.parse({ preset: 'proxyless-mobile', widthMult: 0.5 }))
    expect(fixedParts(space).at(-1)?.latencyKey).toBe('Logits-input:7x7x1280-output:1000')
  })
})

describe('settings that make no sense', () => {
  it('are refused with the field named: kernels twice', () => {
    const twice = () => createSpace(makeSpaceRef({ kernels: [3, 3] }))
    expect(twice).toThrow(SpaceError)
    expect(twice).toThrow('expected different kernels, got 3, 3 (space.kernels)')
  })

  it.each([
    [{ preset: 'proxyless-mobile', kernels: [4] }, 'kernels[0]'],
    [{ preset: 'proxyless-mobile', depth: 4 }, 'depth'],
    [{ preset: 'proxyless-mobile', stages: [] }, 'stages'],
    [{ preset: 'proxyless-mobile', stages: [{ width: 8, cells: 1, stride: 3 }] }, 'stages[0].stride'],
    [{ preset: 'proxyless-mobile', widthMult: 0 }, 'widthMult'],
    [{ preset: 'proxyless-mobile', input: [224, 224, 3.5] }, 'input[2]'],
    [{ preset: 'proxyless-mobile', operations: [{ expansion: 3, kernel: 4 }] }, 'operations[0].kernel'],
  ])('are refused with the field named: %j', (ref, path) => {
    const parsed = spaceRefSchema.safeParse(ref)
    expect(parsed.success).toBe(false)
    expect(parsed.error && fieldErrors(parsed.error).map((error) => error.path)).toEqual([path])
  })

  it.each([
    [['identity', 'identity'], 'expected different operations, got identity, identity (space.operations)'],
    [['zero'], 'expected more than zero, which block stage1.1 without a shortcut cannot be (space.operations)'],
  ])('are refused with the field named: operations %j', (operations, message) => {
    const listed = () => createSpace(spaceRefSchema.parse({ preset: 'fashion-mini', operations }))
    expect(listed).toThrow(SpaceError)
    expect(listed).toThrow(message)
  })

  it.each(['fashion-mini', 'nas-bench-macro'])('are refused with the field named: %s with kernels beside operations', (preset) => {
    const both = () => createSpace(spaceRefSchema.parse({ preset, kernels: [3], operations: ['identity'] }))
    expect(both).toThrow(SpaceError)
    expect(both).toThrow('expected no kernels where operations are listed (space.kernels)')
  })

  it('are refused where a search would be too large to hold: more blocks than a path may have', () => {
    const huge = () =>
      createSpace(
        spaceRefSchema.parse({
          preset: 'proxyless-mobile',
          stages: Array.from({ length: 32 }, () => ({ width: 24, cells: 64, stride: 1 })),
        }),
      )
    expect(huge).toThrow(/expected at most \d+ blocks, got 2048 \(space\.stages\)/)
  })
})
