import { describe, expect, test } from 'vitest'

import { openBackend } from '../../engine/backends/backends.ts'
import { createSpace } from '../../search-space/index.ts'
import { createWeights, evaluate, gateStep } from '../../engine/executor/index.ts'
import { buildOf, type Built, createBuilder, identitySpace, randomBatch } from './executor-graph-builder.ts'
import { referenceGradients } from './executor-reference.ts'

/** Three blocks; `active` chooses the gate of each. Block 1 is a skip block: zero is its last branch. */
function mixedNetwork(active: readonly [number, number, number]) {
  return createBuilder([8, 8, 3])
    .conv('stem', 4, 3, 2)
    .norm('stem-bn')
    .relu6('stem-relu')
    .mixed('m0', 0, active[0], [(branch) => branch.mbconv('m0/a', 6, 3, 3, 1), (branch) => branch.mbconv('m0/b', 6, 2, 5, 1)])
    .mixed('m1', 1, active[1], [
      (branch) => branch.mbconv('m1/a', 6, 2, 3, 1, false),
      (branch) => branch.mbconv('m1/b', 6, 1, 7, 1, false),
      (branch) => branch.zero('m1/zero', [4, 4, 6]),
    ])
    .add('m1/shortcut', 'm1', 'm0')
    .mixed('m2', 2, active[2], [
      (branch) => branch.mbconv('m2/a', 6, 2, 3, 1),
      (branch) => branch,
      (branch) => branch.zero('m2/zero', [4, 4, 6]),
    ])
    .globalPool('pool')
    .linear('head', 3)
    .build()
}

/** Which blocks have gates, and for each of its positions the operation. */
type Case = { readonly case: string; readonly built: Built; readonly gates: readonly (readonly [block: number, operations: number[]])[] }

const ofBuilder = (name: string, active: readonly [number, number, number]): Case => ({
  case: name,
  built: mixedNetwork(active),
  gates: [
    [0, [0, 1]],
    [1, [0, 1, 2]],
    [2, [0, 1, 2]],
  ],
})

/** The active operation of each block, with the others behind closed gates. */
const ofSpace = (name: string, active: readonly [number, number, number], gated: readonly number[]): Case => {
  const operationsOf = (operation: number) => [operation, ...[0, 1, 2].filter((other) => other !== operation)]
  const choices = active.map((operation) => ({ active: operation, inactive: operationsOf(operation).slice(1) }))
  return { case: name, built: buildOf(identitySpace, choices), gates: gated.map((block) => [block, operationsOf(active[block] as number)]) }
}

/** Block 1 is within the first branch of block 0. */
const nested = (name: string, inner: number): Case => ({
  case: name,
  built: createBuilder([8, 8, 3])
    .conv('stem', 4, 3, 2)
    .norm('stem-bn')
    .mixed('m0', 0, 0, [
      (branch) =>
        branch.mixed('m1', 1, inner, [
          (twig) => twig.mbconv('m1/a', 6, 2, 3, 1),
          (twig) => twig.mbconv('m1/b', 6, 1, 5, 1),
          (twig) => twig.zero('m1/zero', [4, 4, 6]),
        ]),
      (branch) => branch.mbconv('m0/b', 6, 2, 5, 1),
    ])
    .relu6('relu')
    .globalPool('pool')
    .linear('head', 3)
    .build(),
  gates: [
    [0, [0, 1]],
    [1, [0, 1, 2]],
  ],
})

const cellSpace = createSpace({ preset: 'cell-mini', input: [8, 8, 3], classes: 3, width: 4 })

const ofCell = (name: string, active: readonly number[]): Case => {
  const operationsOf = (operation: number) => [operation, ...[0, 1, 2, 3, 4].filter((other) => other !== operation)]
  const choices = active.map((operation) => ({ active: operation, inactive: operationsOf(operation).slice(1) }))
  const gates = active.map((operation, edge): [number, number[]] => [edge, operationsOf(operation)])
  return { case: name, built: buildOf(cellSpace, choices), gates }
}

const dartsSpace = createSpace({
  ...({ preset: 'darts-mini', input: [8, 8, 3], classes: 3, width: 4, nodes: 2 } as const),
  operations: ['none', 'avg_pool_3x3', 'max_pool_3x3', 'skip_connect', 'sep_conv_3x3', 'dil_conv_5x5'],
})

const ofDarts = (name: string, active: readonly number[]): Case => {
  // Two others for each edge: every operation, of stride 1 and of stride 2, is in a gate somewhere.
  const operationsOf = (operation: number) => [operation, (operation + 1) % 6, (operation + 3) % 6]
  const choices = active.map((operation) => ({ active: operation, inactive: operationsOf(operation).slice(1) }))
  const gates = active.map((operation, edge): [number, number[]] => [edge, operationsOf(operation)])
  return { case: name, built: buildOf(dartsSpace, choices), gates }
}

const aggregationSpace = createSpace({
  ...({ preset: 'aggregation-mini', input: [8, 8, 3], classes: 3, stem: { stride: 1 }, headWidth: 8 } as const),
  stages: [
    { width: 4, units: 3, growth: 4 },
    { width: 5, units: 2, growth: 6 },
  ],
})

/** Every option of each edge but those that `left` names, by decision. */
const ofAggregation = (name: string, active: readonly number[], left: Readonly<Record<number, number>> = {}): Case => {
  const operationsOf = (edge: number) => {
    const others = aggregationSpace.decisions[edge]?.options.map((_, option) => option) ?? []
    return [active[edge] as number, ...others.filter((option) => option !== active[edge] && option !== left[edge])]
  }
  const choices = active.map((operation, edge) => ({ active: operation, inactive: operationsOf(edge).slice(1) }))
  const gates = active.map((_, edge): [number, number[]] => [edge, operationsOf(edge)])
  return { case: name, built: buildOf(aggregationSpace, choices), gates }
}

/** One block that halves the image behind one that does not, branches split and added, copied and concatenated. */
const treeSpace = createSpace({
  ...({ preset: 'tree-mini', stages: 2, input: [8, 8, 3], classes: 3, width: 4, addedWidth: 16, blocks: 1 } as const),
  levels: [
    { allocation: 'split', merge: 'add', edges: 'chosen', residual: true },
    { allocation: 'split', merge: 'concat', edges: 'chosen', residual: false },
  ],
})

const ofTrees = (name: string, active: readonly number[]): Case => {
  const operationsOf = (operation: number) => [operation, (operation + 2) % 7, (operation + 3) % 7]
  const choices = active.map((operation) => ({ active: operation, inactive: operationsOf(operation).slice(1) }))
  const gates = active.map((operation, edge): [number, number[]] => [edge, operationsOf(operation)])
  return { case: name, built: buildOf(treeSpace, choices), gates }
}

const cases: readonly Case[] = [
  ofBuilder('ordinary branches', [0, 1, 0]),
  ofBuilder('a zero branch beside a shortcut', [1, 2, 1]),
  ofBuilder('a zero branch that cuts the network', [1, 0, 2]),
  ofSpace('identities that project', [0, 1, 0], [0, 1, 2]),
  ofSpace('MBConvs beside identities', [2, 1, 1], [0, 1, 2]),
  nested('a choice within a branch', 1),
  nested('a choice within a branch that cuts the network', 2),
  // Each of the six decisions acts in both cells, and gates of both places are one.
  ofCell('a cell with an edge of each kind', [0, 1, 2, 3, 4, 3]),
  ofCell('a cell of edges that compute nothing', [1, 0, 1, 0, 0, 1]),
  // Five edges of a normal cell, and five that act in two cells that halve the image.
  ofDarts('cells of DARTS', [4, 5, 1, 2, 3, 5, 4, 3, 2, 1]),
  // A decision acts where outputs are added and where they are concatenated. What the second stage begins with has other channels than its
  // units: it cannot be added.
  ofAggregation('outputs that are added and concatenated', [1, 2, 0, 1, 2, 0, 1, 0, 2]),
  ofAggregation('outputs that act in one place alone', [0, 0, 1, 2, 0, 2, 0, 1, 0], { 0: 1, 1: 2, 2: 0 }),
  // Every operation is active somewhere, and an edge that is the identity is added to itself.
  ofTrees('trees of operations', [1, 0, 0, 2, 3, 4, 5, 6, 2, 0, 1, 3]),
  // A skipped block is left out of the network, and so are its gates.
  ofSpace('identities that skip between others that project', [0, 0, 0], [0, 2]),
]

describe.each(['cpu', 'wasm'] as const)('gateStep on %s', (name) => {
  test.each(cases)('differentiates every gate as autodiff does: $case active', async ({ built, gates }) => {
    const { images, labels } = randomBatch(4, built.graph.layers[0]!.shape, 3)
    const cpu = (await openBackend('cpu')).chosen
    const cpuWeights = createWeights(cpu, built.specs, 9)
    const values = new Map<string, { shape: readonly number[]; values: Float32Array }>()
    for (const { key, shape } of built.specs) {
      values.set(key, { shape, values: await cpuWeights.read(key) })
    }
    const cpuImages = images()
    const expected = referenceGradients(built.graph, values, cpuImages, labels)
    cpuImages.dispose()
    cpuWeights.dispose()

    const { chosen } = await openBackend(name)
    const weights = createWeights(chosen, built.specs, 9)
    const batch = images()
    const result = await gateStep({ graph: built.graph, weights, images: batch, labels })
    const plain = await evaluate({ graph: built.graph, weights, images: batch, labels })
    expect(result.loss).toBeCloseTo(expected.loss, 5)
    expect(plain.loss).toBeCloseTo(expected.loss, 5)
    expect(result.correct).toBe(plain.correct)
    expect(result.gateGradients.map(({ block, operations }) => [block, operations])).toEqual(gates)
    for (const { block, gradients } of result.gateGradients) {
      for (const [position, gradient] of gradients.entries()) {
        const [reference] = expected.gradients.get(`gate/${block}/${position}`) as Float32Array
        expect(Math.abs(gradient - reference!), `gate ${block}/${position}`).toBeLessThan(1e-4 * Math.max(1, Math.abs(reference!)))
      }
    }
    batch.dispose()
    weights.dispose()
  })
})
