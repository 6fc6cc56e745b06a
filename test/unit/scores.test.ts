// Scores of networks without training, against float64 (scores-reference.ts), on the backends that this machine has at any time.

import fc from 'fast-check'
import * as tf from '@tensorflow/tfjs-core'
import { beforeAll, describe, expect, it } from 'vitest'
import { openBackend } from '../../engine/backends/backends.ts'
import type { Backend } from '../../engine/backends/backend.ts'
import { countDistinct } from '../../engine/scores/count-distinct.ts'
import { scoreNetwork } from '../../engine/scores/index.ts'
import { symmetricEigenvalues } from '../../engine/scores/symmetric-eigenvalues.ts'
import { type ScoreName, scoreNames } from '../../protocol/index.ts'
import {
  architectureCosts,
  createRandom,
  createSpace,
  initialWeights,
  isWhole,
  networkWeights,
  type Path,
  seedState,
  sliceValues,
  type Space,
  spaceRefSchema,
} from '../../search-space/index.ts'
import type { LayerGraph, WeightSpec } from '../../search-space/layer-graph.ts'
import { type ReferenceNetwork, referenceScores } from './scores-reference.ts'

const BATCH = 4
const SEED = 15

/** Of the reference. GraSP is a difference of gradients. */
const toleranceOf = (name: ScoreName) => (name === 'grasp' ? 1e-3 : 1e-6)

const cellFields = {
  family: 'cell',
  name: 'cells',
  input: [4, 4, 2],
  classes: 3,
  width: 2,
  stages: 2,
  cells: 1,
  nodes: 3,
  operations: ['none', 'skip_connect', 'nor_conv_1x1', 'nor_conv_3x3', 'avg_pool_3x3'],
}
const cells = createSpace(spaceRefSchema.parse(cellFields))
const blocks = createSpace(
  spaceRefSchema.parse({
    name: 'blocks',
    input: [4, 4, 2],
    classes: 3,
    stem: { width: 3, stride: 1 },
    stages: [{ width: 3, cells: 2, stride: 2 }],
    kernels: [3, 5],
    expansions: [2],
    zero: true,
    headWidth: 4,
  }),
)

/** With seeds that leave every ReLU's input away from 0, and signed sums and correlations well conditioned: float32 has its limits. */
const networks: readonly (readonly [name: string, space: Space, path: Path, seed: number])[] = [
  ['convolutions and an average pool in a cell', cells, [3, 4, 2], 15],
  ['a cell with a dead edge', cells, [3, 0, 1], 13],
  ['inverted bottlenecks with ReLU6', blocks, [0, 1], 15],
]

function makeBatch([height, width, channels]: Space['input'], classes: number, batch = BATCH) {
  const random = createRandom(seedState('scores', height))
  const images = Float32Array.from({ length: batch * height * width * channels }, () => random.normal())
  return { images, labels: Int32Array.from({ length: batch }, (_, i) => i % classes) }
}

function referenceOf(space: Space, path: Path, seed: number, { images, labels } = makeBatch(space.input, space.classes)): ReferenceNetwork {
  const graph = space.network(path)
  const wanted = networkWeights(graph)
  const whole = new Map(space.weightSpecs.map((spec) => [spec.key, spec]))
  const weights = new Map(
    [...wanted].map(([key, { shape }]) => {
      const spec = whole.get(key) as (typeof space.weightSpecs)[number]
      const values = initialWeights(spec, seed)
      return [key, { shape, values: Float64Array.from(isWhole(spec.shape, shape) ? values : sliceValues(values, spec.shape, shape)) }]
    }),
  )
  return {
    graph,
    weights,
    keys: [...wanted.values()].filter(({ decay }) => decay).map(({ key }) => key),
    images: { batch: labels.length, shape: space.input, values: Float64Array.from(images) },
    labels,
    ...architectureCosts(space, path),
  }
}

const known = new Map<string, Readonly<Record<string, number>>>()

/** Float64 takes its time: once for all backends. */
function expectedOf(name: string, space: Space, path: Path, seed: number): Readonly<Record<string, number>> {
  const found = known.get(name)
  if (found) return found
  const network = referenceOf(space, path, seed)
  const expected = Object.fromEntries(scoreNames.map((score) => [score, referenceScores[score](network)]))
  known.set(name, expected)
  return expected
}

describe.each(['cpu', 'wasm'] as const)('on %s', (name) => {
  let backend: Backend
  beforeAll(async () => {
    backend = (await openBackend(name)).chosen
  })

  async function scoresOf(space: Space, path: Path, names: readonly ScoreName[] = scoreNames, seed = SEED) {
    const { images, labels } = makeBatch(space.input, space.classes)
    const tensor = tf.tensor4d(images, [BATCH, ...space.input])
    const before = tf.memory().numTensors
    const found = await scoreNetwork(names, { backend, space, path, seed, images: tensor, labels })
    expect(tf.memory().numTensors).toBe(before)
    tensor.dispose()
    return found
  }

  it.each(networks)('every score is that of float64: %s', async (title, space, path, seed) => {
    const expected = expectedOf(title, space, path, seed)
    const { values, seconds } = await scoresOf(space, path, scoreNames, seed)
    const found = scoreNames.map((score, i) => ({ score, value: values[i] as number, reference: expected[score] as number }))
    const wrong = found.filter(({ score, value, reference }) => !(Math.abs(value / reference - 1) <= toleranceOf(score)))
    expect(wrong).toEqual([])
    expect(seconds).toHaveLength(scoreNames.length)
    for (const value of seconds) expect(value).toBeGreaterThan(0)
  })

  it('a network whose output does not depend on its images has neither naswot nor jacob_cov', async () => {
    const { values } = await scoresOf(cells, [0, 0, 0], ['naswot', 'jacob_cov', 'swap', 'snip'])
    expect(values.slice(0, 2)).toEqual([null, null])
    expect(values[2]).toBeGreaterThan(0)
    expect(values[3]).toBeGreaterThanOrEqual(0)
  })

  it('synflow holds beyond the range of float32', async () => {
    const depth = 50
    const channels = 3
    const scale = 40
    // A chain without biases: each layer's part of the sum is R itself.
    const layers: LayerGraph['layers'] = [
      { kind: 'input', id: 'input', shape: [2, 2, channels] },
      ...Array.from({ length: depth }, (_, i) => ({
        kind: 'conv2d' as const,
        id: `c${i}`,
        input: i === 0 ? 'input' : `c${i - 1}`,
        filter: `c${i}/filter`,
        kernel: 1,
        stride: 1,
        shape: [2, 2, channels] as const,
      })),
    ]
    const specs = layers.slice(1).map(({ id }): WeightSpec => {
      // Fan-out such that the deviation is `scale`.
      return {
        key: `${id}/filter`,
        shape: [1, 1, channels, channels],
        initialiser: { kind: 'he-normal-fan-out', fanOut: 2 / scale ** 2 },
        decay: true,
      }
    })
    let vector = Array.from({ length: channels }, () => 1)
    for (const spec of specs) {
      const filter = initialWeights(spec, SEED)
      vector = vector.map((_, to) => vector.reduce((sum, value, from) => sum + value * Math.abs(filter[from * channels + to] as number), 0))
    }
    const flow = 4 * vector.reduce((sum, value) => sum + value, 0)
    expect(flow).toBeGreaterThan(1e60)
    const chain = {
      ...cells,
      input: [2, 2, channels],
      decisions: [],
      terms: [],
      weightSpecs: specs,
      network: () => ({ layers }),
    } satisfies Space
    const { values } = await scoresOf(chain, [], ['synflow', 'logsynflow'])
    expect(Math.abs((values[0] as number) / (depth * flow) - 1)).toBeLessThan(1e-5)
    expect(values[1]).toBeGreaterThan(1)
    expect(values[1]).toBeLessThan(depth * channels ** 2 * scale * 3 * Math.log(flow))
  })

  it('swap tells patterns of more images apart than one word has bits', async () => {
    const { images, labels } = makeBatch([8, 8, 2], 3, 30)
    const wide = createSpace(spaceRefSchema.parse({ ...cellFields, input: [8, 8, 2] }))
    const tensor = tf.tensor4d(images, [30, 8, 8, 2])
    const { values } = await scoreNetwork(['swap', 'naswot'], { backend, space: wide, path: [3, 3, 3], seed: SEED, images: tensor, labels })
    const network = referenceOf(wide, [3, 3, 3], SEED, { images, labels })
    expect(values[0]).toBe(referenceScores.swap(network))
    expect(Math.abs((values[1] as number) / referenceScores.naswot(network) - 1)).toBeLessThan(1e-6)
    tensor.dispose()
  })
})

describe('eigenvalues of a symmetric matrix', () => {
  it('are those that it was made of', () => {
    fc.assert(
      fc.property(fc.array(fc.double({ min: -3, max: 3, noNaN: true }), { minLength: 6, maxLength: 6 }), fc.integer(), (wanted, seed) => {
        const size = wanted.length
        const random = createRandom(seedState('eigenvalues', seed))
        // Turned by rotations in random planes.
        let matrix = wanted.map((value, i) => wanted.map((_, j) => (i === j ? value : 0)))
        for (let turn = 0; turn < 20; turn++) {
          const [p = 0, q = 1] = random.shuffle([...wanted.keys()])
          const [c, s] = [Math.cos(turn), Math.sin(turn)]
          const rotate = (rows: number[][]) =>
            rows.map((row, i) => {
              if (i === p) return row.map((value, k) => c * value - s * (rows[q]?.[k] ?? 0))
              if (i === q) return row.map((value, k) => s * (rows[p]?.[k] ?? 0) + c * value)
              return row
            })
          const transpose = (rows: number[][]) => rows.map((_, i) => rows.map((row) => row[i] as number))
          matrix = transpose(rotate(transpose(rotate(matrix))))
        }
        const found = [...symmetricEigenvalues(Float64Array.from(matrix.flat()), size)].toSorted((a, b) => a - b)
        for (const [i, value] of wanted.toSorted((a, b) => a - b).entries()) expect(found[i]).toBeCloseTo(value, 9)
      }),
    )
  })
})

describe('different rows', () => {
  it('are counted as a set would', () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.tuple(
            fc.nat({ max: 3 }),
            fc.nat({ max: 2 ** 24 - 1 }).map((n) => n % 5),
          ),
          { maxLength: 60 },
        ),
        (rows) => {
          expect(countDistinct(Uint32Array.from(rows.flat()), 2)).toBe(new Set(rows.map((row) => row.join())).size)
        },
      ),
    )
  })
})
