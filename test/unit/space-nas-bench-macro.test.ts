// The preset nas-bench-macro against what its authors recorded for each of its 3⁸ networks. `params` and `flops` there are
// exactly our parameters and multiply-accumulates: flops are those of convolutions and the classifier, without its bias,
// batch-norms, activations, additions and pooling.

import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, it, test } from 'vitest'
import { architectureCosts, createSpace, type LayerGraph } from '../../search-space/index.ts'
import { mbconvBlocks } from '../fixtures/mbconv-blocks.ts'

/** `nas-bench-macro_cifar10.json` of https://github.com/xiusu/NAS-Bench-Macro; not part of this repository. */
const RECORDED = fileURLToPath(new URL('../../../shared/benchmarks/nas-bench-macro.json', import.meta.url))

const space = createSpace('nas-bench-macro')
const pathOf = (digits: string) => [...digits].map(Number)

/** Layers by position instead of by name. */
function anonymous({ layers }: LayerGraph): string {
  const positions = new Map(layers.map(({ id }, index) => [id, index]))
  const described = layers.map((layer) => {
    const inputs = 'inputs' in layer ? layer.inputs : 'input' in layer ? [layer.input] : []
    const sizes = 'kernel' in layer ? [layer.kernel, layer.stride] : []
    return [layer.kind, layer.shape, sizes, inputs.map((id) => positions.get(id))]
  })
  return JSON.stringify(described)
}

describe('the preset nas-bench-macro', () => {
  it('has the operations of the digits 0, 1 and 2 in each of eight blocks, the first of a stage without a shortcut', () => {
    for (const { options } of space.decisions) expect(options.map(({ name }) => name)).toEqual(['identity', 'mb3k3', 'mb6k5'])
    expect(
      mbconvBlocks('nas-bench-macro')
        .map(({ shortcut }) => Number(shortcut))
        .join(''),
    ).toBe('01011011')
    expect(mbconvBlocks('nas-bench-macro').map(({ output: [height, , channels] }) => `${height} ${channels}`)).toEqual(
      ['16 64', '8 128', '4 256'].flatMap((stage, index) => Array.from({ length: index === 0 ? 2 : 3 }, () => stage)),
    )
  })

  // From the authors' file.
  it.each([
    ['00000000', 387_882, 7_713_280],
    ['10000000', 396_298, 12_128_768],
    ['02000000', 448_298, 22_753_792],
    ['00120000', 638_186, 25_829_888],
    ['01201202', 1_711_210, 52_904_448],
    ['12012012', 2_014_602, 67_092_992],
    ['11111111', 1_588_874, 53_246_464],
    ['22222222', 2_932_586, 105_660_928],
  ])('gives network %s its recorded %i parameters and %i flops', (digits, parameters, macs) => {
    expect(architectureCosts(space, pathOf(digits))).toEqual({ macs, parameters })
  })

  const isThere = existsSync(RECORDED)
  if (!isThere) process.stderr.write(`SKIPPED: only eight of the networks of NAS-Bench-Macro are compared, there is no ${RECORDED}\n`)
  test.skipIf(!isThere)('gives each of the 6,561 networks its recorded parameters and flops', () => {
    const recorded = JSON.parse(readFileSync(RECORDED, 'utf8')) as Record<string, { params: number; flops: number }>
    const costs = Object.keys(recorded).map((digits) => [digits, architectureCosts(space, pathOf(digits))])
    expect(costs).toHaveLength(3 ** 8)
    const expected = Object.entries(recorded).map(([digits, { params, flops }]) => [digits, { macs: flops, parameters: params }])
    expect(costs).toEqual(expected)
  })

  it('has 3,969 different networks: where in a stage a block is skipped makes no difference', () => {
    const paths = Array.from({ length: 3 ** 8 }, (_, index) => pathOf(index.toString(3).padStart(8, '0')))
    expect(new Set(paths.map((path) => anonymous(space.network(path)))).size).toBe(3969)
  })
})
