import { describe, expect, test } from 'vitest'

import { planAlone, planInContext } from '../../latency-lut/profiler/node/context.ts'
import { openWaitingClock } from '../../latency-lut/profiler/node/waiting-time.ts'
import { createSpace, type LayerGraph } from '../../search-space/index.ts'

const space = createSpace('fashion-mini')
const operations = space.measurableOperations()

/** What a layer costs in a made-up runtime, where nothing depends on its neighbours. */
function layerMs(layer: LayerGraph['layers'][number]): number {
  if (layer.kind === 'input') return 0
  const [height, width, channels] = layer.shape
  return 0.001 * height * width * channels + (layer.kind === 'globalAveragePool' ? 0.3 : 1)
}

const RUN_MS = 0.25
/** Seven samples, the last of them wildly off. */
function samplesOf({ layers }: LayerGraph): number[] {
  const ms = RUN_MS + layers.reduce((sum, layer) => sum + layerMs(layer), 0)
  return [ms, ms, ms, ms, ms, ms, 50 * ms]
}

describe('operations between two others', () => {
  const plan = planInContext(operations, space.input)

  test('come out at their own cost, the cost of the call at the fixed part', () => {
    const { operations: found, fixedMs } = plan.interpret(plan.graphs.map((graph) => samplesOf(graph)))
    expect(fixedMs).toBeCloseTo(RUN_MS, 9)
    expect(found).toHaveLength(operations.length)
    // Concatenating two means is part of what is taken off with the second one: this runtime pays 1 ms and 2 µs per channel.
    for (const [index, { graph }] of operations.entries()) {
      const own = graph.layers.reduce((sum, layer) => sum + layerMs(layer), 0)
      const [first = Number.NaN] = found[index] ?? []
      const output = graph.layers.at(-1)?.shape ?? [0, 0, 0]
      const input = graph.layers[0]?.shape ?? [0, 0, 0]
      const hasBefore = input.join() !== space.input.join()
      const hasAfter = output[0] * output[1] > 1
      const concatMs = (channels: number) => 1 + 0.002 * channels
      const expected = own + (hasBefore ? concatMs(input[2]) : 0) - (hasAfter ? concatMs(output[2]) : 0)
      expect(first).toBeCloseTo(expected, 9)
    }
  })

  test('have one pair of borders for each shape, and an empty run', () => {
    const shapes = new Set(
      operations.flatMap(({ graph: { layers } }) => {
        const [input, output] = [layers[0]?.shape ?? [], layers.at(-1)?.shape ?? []]
        const isVector = output[0] === 1 && output[1] === 1
        return [...(input.join() === space.input.join() ? [] : [input.join()]), ...(isVector ? [] : [output.join()])]
      }),
    )
    expect(plan.graphs).toHaveLength(1 + operations.length + 2 * shapes.size)
  })

  test('never come out free, however much is taken off', () => {
    const noisy = plan.graphs.map((graph, index) => samplesOf(graph).map((ms) => (index % 3 === 0 ? ms / 10 : ms * 10)))
    for (const samples of plan.interpret(noisy).operations) for (const ms of samples) expect(ms).toBeGreaterThan(0)
  })

  test('bring their own weights, the same each time, and no others', () => {
    const layer = plan.graphs.flatMap(({ layers }) => layers).find(({ id }) => id === 'context/before')
    if (layer?.kind !== 'conv2d') throw new Error('no convolution before')
    const filter = plan.weights(layer.filter)
    expect(filter).toHaveLength(4 * layer.shape[2])
    expect(planInContext(operations, space.input).weights(layer.filter)).toEqual(filter)
    expect(plan.weights('stage1.1/mb3k3/expand.filter')).toBeUndefined()
  })
})

test('operations alone are what they take', () => {
  const plan = planAlone(operations)
  const samples = plan.graphs.map((graph) => samplesOf(graph))
  expect(plan.interpret(samples)).toEqual({ operations: samples, fixedMs: 0 })
})

test('the time that a thread has waited for a processor, where the system knows it, only grows', () => {
  const clock = openWaitingClock()
  if (clock === null) return
  const readings = Array.from({ length: 20 }, () => clock())
  expect(readings[0]).toBeGreaterThanOrEqual(0)
  expect(readings).toEqual(readings.toSorted((a, b) => a - b))
})
