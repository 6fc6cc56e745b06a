// What the profiler expects of every runtime, whatever computes in it.

import { describe, expect, test } from 'vitest'

import { profileAndCheck, randomPaths } from '../../latency-lut/profiler/node/profile.ts'
import { openRuntime } from '../../latency-lut/profiler/runtimes/index.ts'
import { RuntimeUnavailableError } from '../../latency-lut/profiler/runtimes/runtime.ts'
import type { WorkbenchOptions } from '../../latency-lut/profiler/workbench.ts'
import { latencyTableSchema } from '../../latency-lut/table/table.ts'
import { createSpace, elementCount, initialWeights, type LayerGraph, type Shape } from '../../search-space/index.ts'
import { createRandom, seedState } from '../../search-space/random.ts'
import { createBuilder } from './executor-graph-builder.ts'
import { relativeError } from './kernels-relative-error.ts'

/** Strides over even and odd sizes: 20 to 10 to 5. */
const space = createSpace({
  preset: 'fashion-mini',
  name: 'small',
  input: [20, 20, 1],
  stages: [
    { width: 16, cells: 2, stride: 1 },
    { width: 24, cells: 1, stride: 2 },
  ],
  kernels: [3, 5],
})
const specs = new Map(space.weightSpecs.map((spec) => [spec.key, spec]))

const workbenchOptions: WorkbenchOptions = {
  batch: 2,
  weights: (key) => {
    const spec = specs.get(key)
    if (!spec) throw new Error(`no weight ${key}`)
    return initialWeights(spec, 1)
  },
  images: (shape: Shape) => {
    const random = createRandom(seedState('runtime-images'))
    return Float32Array.from({ length: 2 * elementCount(shape) }, () => random.normal())
  },
}

/** By the plain JavaScript backend, which is slow and simple. */
async function reference(graph: LayerGraph, options = workbenchOptions): Promise<Float32Array> {
  const workbench = (await openRuntime('tfjs-cpu')).setUp(options)
  const network = await workbench.prepare(graph)
  await network.run()
  const result = await network.result()
  await workbench.dispose()
  return result
}

describe.each(['tfjs-cpu', 'tfjs-wasm', 'onnxruntime'] as const)('%s', (name) => {
  test('says what it is and which version', async () => {
    const runtime = await openRuntime(name)
    expect(runtime).toMatchObject({ name, accelerator: null, isQueued: false })
    expect(runtime.recorded).toEqual({ name, version: expect.stringMatching(/^\d+\.\d+\.\d+$/), threads: 1 })
    expect(runtime.description).toMatch(/\d+\.\d+\.\d+/)
  })

  test('computes what the reference computes, a whole network and a picture', async () => {
    const graphs = [
      space.network([1, 4, 2]),
      space.network(space.decisions.map(() => 0)),
      space.measurableOperations()[3]?.graph as LayerGraph,
    ]
    const expected: Float32Array[] = []
    for (const graph of graphs) expected.push(await reference(graph))
    const workbench = (await openRuntime(name)).setUp(workbenchOptions)
    for (const [index, graph] of graphs.entries()) {
      const network = await workbench.prepare(graph)
      await network.run()
      const actual = await network.result()
      expect(relativeError(actual, expected[index] as Float32Array)).toBeLessThan(1e-4)
      network.release()
    }
    await workbench.dispose()
  })

  test('a network can run again and again, and gives the same each time', async () => {
    const workbench = (await openRuntime(name)).setUp(workbenchOptions)
    const network = await workbench.prepare(space.network([0, 0, 0]))
    await network.run()
    const first = (await network.result()).slice()
    network.release()
    await network.run()
    await network.run()
    expect(await network.result()).toEqual(first)
    await workbench.dispose()
  })

  test('runs a network of no layers', async () => {
    const workbench = (await openRuntime(name)).setUp(workbenchOptions)
    const network = await workbench.prepare(createBuilder([2, 2, 3]).build().graph)
    await network.run()
    expect(await network.result()).toEqual(workbenchOptions.images([2, 2, 3]))
    await workbench.dispose()
  })

  test('makes a table that covers a space and predicts whole networks', async () => {
    const runtime = await openRuntime(name)
    const { table, meanAbsoluteError } = await profileAndCheck(
      { space, runtime, batch: 2, seed: 1, rounds: name === 'tfjs-cpu' ? 3 : 40 },
      randomPaths(space, 4, 1),
    )
    expect(latencyTableSchema.parse(table)).toEqual(table)
    expect(table.runtime).toEqual(runtime.recorded)
    expect(Object.keys(table.entries)).toEqual(space.measurableOperations().map(({ latencyKey }) => latencyKey))
    // Few rounds on a machine that does other things; plain JavaScript is still being compiled in three.
    expect(meanAbsoluteError).toBeLessThan(name === 'tfjs-cpu' ? 2 : 0.4)
  })
})

test('onnxruntime records its threads', async () => {
  const runtime = await openRuntime('onnxruntime', { threads: 2 })
  expect(runtime.recorded).toMatchObject({ threads: 2 })
  expect(runtime.description).toContain('2 threads')
})

test.each([
  ['onnxruntime', { provider: 'abacus' }, /no provider abacus; it has .*cpu/],
  ['tfjs-wasm', { threads: 2 }, /one thread/],
  ['tfjs-wasm', { provider: 'cpu' }, /--provider is for onnxruntime/],
] as const)('%s with %j is refused with the reason', async (name, options, message) => {
  const opening = openRuntime(name, options)
  await expect(opening).rejects.toThrow(RuntimeUnavailableError)
  await expect(opening).rejects.toThrow(message)
})
