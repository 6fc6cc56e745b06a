// Growing within a space changes no output: by every growth of networks of several families, with statistics of a batch too.

import * as tf from '@tensorflow/tfjs-core'
import { beforeAll, describe, expect, it } from 'vitest'
import { openBackend } from '../../engine/backends/backends.ts'
import { createWeights, predict } from '../../engine/executor/index.ts'
import {
  createRandom,
  createSpace,
  elementCount,
  growthsOf,
  inheritWeights,
  Net2NetError,
  networkWeights,
  parseArchitecture,
  type Path,
  seedState,
  type Space,
  type SpaceRef,
} from '../../search-space/index.ts'
import { relativeError } from './kernels-relative-error.ts'

const IMAGES = 8
/** Of the largest logit. */
const TOLERANCE = 1e-5

beforeAll(() => openBackend('cpu'))

const grown = (space: Space, path: Path) => {
  const growths = growthsOf(space)
  return path.flatMap((option, decision) => growths[decision]?.[option] ?? [])
}

type Weights = ReadonlyMap<string, { readonly shape: readonly number[]; readonly values: Float32Array }>

/** Numbers that no training starts from. */
function drawnWeights(space: Space, path: Path): Weights {
  const random = createRandom(seedState('growth'))
  return new Map(
    [...networkWeights(space.network(path))].map(([key, { shape }]) => {
      const fanIn = shape.slice(0, -1).reduce((product, size) => product * size, 1)
      const number = () => (shape.length > 1 ? random.normal() / Math.sqrt(fanIn) : 0.8 + 0.3 * random.normal())
      return [key, { shape, values: Float32Array.from({ length: elementCount(shape) }, number) }]
    }),
  )
}

/** Logits, batch-norms with the statistics of the batch: any running ones would do as well. */
async function logitsOf(space: Space, path: Path, given: Weights): Promise<Float32Array> {
  const { chosen } = await openBackend('cpu')
  const specs = networkWeights(space.network(path))
  expect([...given.keys()].toSorted()).toEqual([...specs.keys()].toSorted())
  const weights = createWeights(chosen, [...specs.values()], 1)
  for (const [key, { values, shape }] of given) {
    expect([key, shape]).toEqual([key, specs.get(key)?.shape])
    weights.write(key, values)
  }
  const random = createRandom(seedState('images'))
  const images = tf.tensor4d(
    Float32Array.from({ length: IMAGES * elementCount(space.input) }, () => random.normal()),
    [IMAGES, ...space.input],
  )
  const logits = await predict({ graph: space.network(path), weights, images })
  images.dispose()
  weights.dispose()
  return logits
}

const small = (): { name: string; input: [number, number, number]; classes: number; firstBlock: null; headWidth: number } => ({
  name: 'm',
  input: [8, 8, 1],
  classes: 4,
  firstBlock: null,
  headWidth: 12,
})
const families: Readonly<Record<string, [SpaceRef, string, string[]]>> = {
  'MBConvs of several expansions, some left out': [
    { ...small(), preset: 'fashion-mini', stem: { width: 4, stride: 1 }, stages: [{ width: 6, cells: 3, stride: 2 }] },
    'm:mb3k3,zero,mb3k5',
    [
      'widen 0 mb6k3',
      'deepen 1 mb3k3',
      'deepen 1 mb3k5',
      'deepen 1 mb3k7',
      'deepen 1 mb6k3',
      'deepen 1 mb6k5',
      'deepen 1 mb6k7',
      'widen 2 mb6k5',
    ],
  ],
  'MBConvs of a list of operations': [
    {
      ...small(),
      widthMult: 1,
      batchNormEpsilon: 1e-3,
      stem: { width: 4, stride: 1 },
      stages: [{ width: 4, cells: 2, stride: 1 }],
      operations: [{ expansion: 2, kernel: 3 }, { expansion: 3, kernel: 3 }, { expansion: 5, kernel: 3 }, 'zero'],
    },
    'm:mb2k3,zero',
    ['widen 0 mb3k3', 'widen 0 mb5k3', 'deepen 1 mb2k3', 'deepen 1 mb3k3', 'deepen 1 mb5k3'],
  ],
}

describe.each(Object.entries(families))('%s', (_, [ref, text, expected]) => {
  const space = createSpace(ref)
  const from = parseArchitecture(space, text)
  const weights = drawnWeights(space, from)

  it('grow in these ways, and compute the same by each of them', async () => {
    const growths = grown(space, from)
    const nameOf = ({ kind, decision, option }: (typeof growths)[number]) =>
      `${kind} ${decision} ${space.decisions[decision]?.options[option]?.name}`
    expect(growths.map(nameOf)).toEqual(expected)
    const before = await logitsOf(space, from, weights)
    for (const growth of growths) {
      const to = from.with(growth.decision, growth.option)
      const after = await logitsOf(space, to, inheritWeights(space, from, to, weights, 7))
      expect([nameOf(growth), relativeError(after, before) < TOLERANCE]).toEqual([nameOf(growth), true])
    }
  })

  it('compute the same after all of it at once, from weights that follow from the seed', async () => {
    let to: Path = from
    for (const { decision, option } of grown(space, from)) to = to.with(decision, option)
    const copy = new Map([...weights].map(([key, { values }]) => [key, [...values]]))
    const inherited = inheritWeights(space, from, to, weights, 7)
    expect(relativeError(await logitsOf(space, to, inherited), await logitsOf(space, from, weights))).toBeLessThan(TOLERANCE)
    expect(inheritWeights(space, from, to, weights, 7)).toEqual(inherited)
    expect(inheritWeights(space, from, to, weights, 8)).not.toEqual(inherited)
    expect(new Map([...weights].map(([key, { values }]) => [key, [...values]]))).toEqual(copy)
  })
})

it('what one decision grows into is the same in every network of the space', () => {
  for (const ref of ['fashion-mini', 'nas-bench-macro'] as const) {
    const space = createSpace(ref)
    const random = createRandom(seedState('paths'))
    const path = space.decisions.map(({ options }) => random.integer(options.length))
    const weights = drawnWeights(space, path)
    const possible = new Set(grown(space, path).map(({ decision, option }) => `${decision} ${option}`))
    expect(possible.size).toBeGreaterThan(1)
    for (const [decision, { options }] of space.decisions.entries()) {
      for (const option of options.keys()) {
        if (path[decision] === option) continue
        const inherit = () => inheritWeights(space, path, path.with(decision, option), weights, 1)
        if (possible.has(`${decision} ${option}`)) expect(inherit().size).toBeGreaterThan(0)
        else expect(inherit).toThrow(Net2NetError)
      }
    }
  }
})

it('what does not grow out of a network is refused by name', () => {
  const space = createSpace(families['MBConvs of several expansions, some left out']?.[0] as SpaceRef)
  const [from, smaller] = [parseArchitecture(space, 'm:mb6k3,zero,mb3k5'), parseArchitecture(space, 'm:mb3k3,zero,mb3k5')]
  const inherit = () => inheritWeights(space, from, smaller, drawnWeights(space, from), 1)
  expect(inherit).toThrow(Net2NetError)
  expect(inherit).toThrow('stage1.1: mb3k3 does not grow out of mb6k3')
})

it('a space without shortcuts and widths grows in no way', () => {
  const space = createSpace({ preset: 'cell-mini', name: 'm', input: [8, 8, 1], classes: 4, width: 4 })
  expect(growthsOf(space).flat(2)).toEqual([])
})
