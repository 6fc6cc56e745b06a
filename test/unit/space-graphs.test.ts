import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  type Choice,
  createSpace,
  elementCount,
  initialWeights,
  type LayerGraph,
  type PrimitiveLayer,
  type Shape,
  type Space,
  SpaceError,
} from '../../search-space/index.ts'
import { arbitrarySpace, spaceWithChoices, spaceWithPath } from '../fixtures/arbitrary-spaces.ts'
import { makeSpaceRef } from '../fixtures/searches.ts'

function inputsOf(layer: PrimitiveLayer): readonly string[] {
  if (layer.kind === 'input') return []
  return 'inputs' in layer ? layer.inputs : [layer.input]
}

/** The shape that a layer's inputs and settings give, worked out without the code under test. */
function expectedShape(layer: PrimitiveLayer, inputs: readonly Shape[], weights: ReadonlyMap<string, readonly number[]>): Shape {
  const [first] = inputs
  if (!first) return layer.shape
  const [height, width, channels] = first
  switch (layer.kind) {
    case 'conv2d':
    case 'depthwiseConv2d': {
      const dense = layer.kind === 'conv2d'
      expect(weights.get(layer.filter)).toEqual([layer.kernel, layer.kernel, channels, dense ? layer.shape[2] : 1])
      return [Math.ceil(height / layer.stride), Math.ceil(width / layer.stride), dense ? layer.shape[2] : channels]
    }
    case 'batchNorm':
      expect(weights.get(layer.gamma)).toEqual([channels])
      expect(weights.get(layer.beta)).toEqual([channels])
      return first
    case 'linear':
      expect(weights.get(layer.weights)).toEqual([channels, layer.shape[2]])
      expect(weights.get(layer.bias)).toEqual([layer.shape[2]])
      return [1, 1, layer.shape[2]]
    case 'globalAveragePool':
      return [1, 1, channels]
    case 'add':
      expect(inputs[1]).toEqual(first)
      return first
    default:
      return first
  }
}

/** Fails unless ids are unique, every input is made before it is read, and every shape follows from the inputs'. */
function checkGraph(space: Space, graph: LayerGraph): void {
  const weights = new Map(space.weightSpecs.map((spec) => [spec.key, spec.shape]))
  const shapes = new Map<string, Shape>()
  const ids = new Set<string>()
  const check = (layer: PrimitiveLayer, visible: Map<string, Shape>) => {
    expect(ids.has(layer.id)).toBe(false)
    ids.add(layer.id)
    const inputs = inputsOf(layer).map((id) => visible.get(id))
    expect(inputs).not.toContain(undefined)
    expect(layer.shape).toEqual(expectedShape(layer, inputs as Shape[], weights))
    visible.set(layer.id, layer.shape)
  }
  for (const layer of graph.layers) {
    if (layer.kind !== 'mixed') {
      check(layer, shapes)
      continue
    }
    expect(shapes.has(layer.input)).toBe(true)
    for (const branch of layer.branches) {
      // A branch sees only the mixed layer's input and its own layers.
      const visible = new Map([[layer.input, shapes.get(layer.input) as Shape]])
      for (const inner of branch.layers) if (inner.kind !== 'mixed') check(inner, visible)
      expect(visible.get(branch.output)).toEqual(layer.shape)
    }
    ids.add(layer.id)
    shapes.set(layer.id, layer.shape)
  }
  expect(graph.layers[0]).toEqual({ kind: 'input', id: 'input', shape: space.input })
  expect(graph.layers.at(-1)?.shape).toEqual([1, 1, space.classes])
}

function weightKeys(graph: LayerGraph): string[] {
  const layers = graph.layers.flatMap((layer) => (layer.kind === 'mixed' ? layer.branches.flatMap((branch) => branch.layers) : [layer]))
  return layers.flatMap((layer) => {
    if (layer.kind === 'conv2d' || layer.kind === 'depthwiseConv2d') return [layer.filter]
    if (layer.kind === 'batchNorm') return [layer.gamma, layer.beta]
    return layer.kind === 'linear' ? [layer.weights, layer.bias] : []
  })
}

describe('the layer graph of a path', () => {
  it('is ordered, complete and consistent in shape, for any space and path', () => {
    fc.assert(
      fc.property(spaceWithPath, ({ space, path }) => checkGraph(space, space.network(path))),
      { numRuns: 300 },
    )
  })

  it('is so too with mixed layers', () => {
    fc.assert(
      fc.property(spaceWithChoices, ({ space, choices }) => checkGraph(space, space.network(choices))),
      { numRuns: 300 },
    )
  })

  it('names only weights of the space, each once', () => {
    fc.assert(
      fc.property(spaceWithChoices, ({ space, choices }) => {
        const known = new Set(space.weightSpecs.map((spec) => spec.key))
        const used = weightKeys(space.network(choices))
        expect(new Set(used).size).toBe(used.length)
        for (const key of used) expect(known.has(key)).toBe(true)
      }),
    )
  })

  it("shares an operation's weights with every other path that uses the operation", () => {
    const space = createSpace(makeSpaceRef({ blocks: 2 }))
    const inBlock = (path: number[], block: string) => weightKeys(space.network(path)).filter((key) => key.startsWith(`${block}/`))
    expect(inBlock([0, 1], 'stage1.1')).toEqual(inBlock([0, 0], 'stage1.1'))
    expect(inBlock([0, 1], 'stage1.1')).toContain('stage1.1/mb2k3/expand.filter')
    expect(inBlock([1, 1], 'stage1.1')).not.toEqual(inBlock([0, 1], 'stage1.1'))
  })

  it('is plain JSON', () => {
    const graph = createSpace(makeSpaceRef()).network([0, { active: 1, inactive: [0] }, 2])
    expect(JSON.parse(JSON.stringify(graph))).toEqual(graph)
  })

  it('leaves out a block whose operation is Zero, also as the active one of a mixed layer', () => {
    const space = createSpace(makeSpaceRef({ blocks: 2 }))
    const blockLayers = (choices: Choice[]) => space.network(choices).layers.filter((layer) => layer.id.startsWith('stage1.2'))
    expect(blockLayers([0, 2])).toEqual([])
    expect(blockLayers([0, { active: 2, inactive: [0, 1] }])).toEqual([])
    expect(blockLayers([0, { active: 2, inactive: [0, 1] }])).toEqual(blockLayers([0, 2]))
    expect(space.network([0, 2]).layers.at(-2)).toMatchObject({ kind: 'globalAveragePool', input: 'stage1.1/add' })
  })

  it('puts the active operation of a mixed layer first, with gate 1, and keeps the order of the others', () => {
    const space = createSpace(makeSpaceRef({ blocks: 1 }))
    const mixed = space.network([{ active: 1, inactive: [2, 0] }]).layers.find((layer) => layer.kind === 'mixed')
    expect(mixed).toMatchObject({ block: 0, active: 0, branches: [{ operation: 1 }, { operation: 2 }, { operation: 0 }] })
    expect(mixed?.branches[1]?.layers).toEqual([{ kind: 'zero', id: 'stage1.1/zero/zero', input: mixed?.input, shape: [4, 4, 8] }])
  })

  it('is refused, the block named, for choices that are not of the space', () => {
    const space = createSpace(makeSpaceRef({ blocks: 2 }))
    expect(() => space.network([0])).toThrow('expected 2 choices, one per decision, got 1 (choices)')
    expect(() => space.network([0, 3])).toThrow('expected an option from 0 to 2 of stage1.2, got 3 (choices[1])')
    expect(() => space.network([0, { active: 0, inactive: [-1] }])).toThrow(SpaceError)
  })
})

describe('weights', () => {
  it('have unique keys, <block>/<operation>/<tensor>', () => {
    fc.assert(
      fc.property(arbitrarySpace, (space) => {
        const keys = space.weightSpecs.map((spec) => spec.key)
        expect(new Set(keys).size).toBe(keys.length)
        for (const key of keys) expect(key).toMatch(/^[a-z0-9.]+\/[a-z0-9]+\/[a-z]+\.(filter|gamma|beta|weights|bias)$/)
      }),
    )
  })

  const spec = (key: string, fanOut: number, shape: number[]) => ({
    key,
    shape,
    initialiser: { kind: 'he-normal-fan-out', fanOut } as const,
    decay: true,
  })

  it('start the same on every machine, in whatever order, and differ by seed and by key', () => {
    const a = spec('a/b/c.filter', 8, [3, 3, 2, 8])
    const b = spec('a/b/d.filter', 8, [3, 3, 2, 8])
    const first = initialWeights(a, 1)
    initialWeights(b, 1)
    expect(initialWeights(a, 1)).toEqual(first)
    expect(initialWeights(b, 1)).not.toEqual(first)
    expect(initialWeights(a, 2)).not.toEqual(first)
    // A change of these three would make every stored search wrong.
    expect([...first.subarray(0, 3)].map((value) => value.toFixed(6))).toMatchInlineSnapshot(`
      [
        "0.346900",
        "0.001465",
        "-0.143387",
      ]
    `)
  })

  it('are He normal by fan-out: mean 0 and deviation √(2 / fan-out)', () => {
    const fanOut = 72
    const values = initialWeights(spec('x/y/z.filter', fanOut, [100_000]), 5)
    const mean = values.reduce((sum, value) => sum + value, 0) / values.length
    const deviation = Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length)
    const wanted = Math.sqrt(2 / fanOut)
    // Five standard errors: σ/√n of the mean, σ/√2n of the deviation.
    expect(Math.abs(mean)).toBeLessThan((5 * wanted) / Math.sqrt(values.length))
    expect(Math.abs(deviation - wanted)).toBeLessThan((5 * wanted) / Math.sqrt(2 * values.length))
    const within = values.filter((value) => Math.abs(value) < wanted).length / values.length
    expect(Math.abs(within - 0.6827)).toBeLessThan(0.008)
  })

  it('take the fan-out of their own layer, and batch-norm starts as the identity', () => {
    const space = createSpace(makeSpaceRef({ blocks: 1, width: 8 }))
    const find = (key: string) => space.weightSpecs.find((candidate) => candidate.key === key)
    expect(find('stage1.1/mb3k3/expand.filter')).toMatchObject({
      shape: [1, 1, 8, 24],
      initialiser: { kind: 'he-normal-fan-out', fanOut: 24 },
      decay: true,
    })
    expect(find('stage1.1/mb3k3/depthwise.filter')).toMatchObject({ shape: [3, 3, 24, 1], initialiser: { fanOut: 9 * 24 } })
    expect(find('stem/conv/conv.filter')).toMatchObject({ shape: [3, 3, 1, 8], initialiser: { fanOut: 72 } })
    const gamma = find('stage1.1/mb3k3/project.gamma')
    const beta = find('stage1.1/mb3k3/project.beta')
    expect(gamma && [...initialWeights(gamma, 3)]).toEqual(Array(8).fill(1))
    expect(beta && [...initialWeights(beta, 3)]).toEqual(Array(8).fill(0))
    const classifier = find('classifier/conv/linear.weights')
    const values = classifier ? initialWeights(classifier, 3) : new Float32Array()
    expect(values).toHaveLength(elementCount([8, 4]))
    expect(Math.max(...values.map(Math.abs))).toBeLessThanOrEqual(Math.fround(1 / Math.sqrt(8)))
  })
})
