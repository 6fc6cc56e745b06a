// Mini-batches that do not fit into memory.

import * as tf from '@tensorflow/tfjs-core'
import { describe, expect, test } from 'vitest'
import { createSpace } from '../../search-space/index.ts'
import { openBackend } from '../../engine/backends/backends.ts'
import { OutOfMemoryError } from '../../engine/backends/memory-error.ts'
import { createWeights, trainStep } from '../../engine/executor/index.ts'
import { createMicroBatches } from '../../engine/training/micro-batches.ts'

describe('auto', () => {
  test('doubles the parts until a step fits, and stays there', async () => {
    const said: number[] = []
    const { run } = createMicroBatches('auto', (parts) => said.push(parts))
    const tried: number[] = []
    const step = async (parts: number) => {
      tried.push(parts)
      if (parts < 8) throw new OutOfMemoryError('out of memory')
      return 'fits'
    }
    expect(await run(64, step)).toBe('fits')
    expect(await run(64, step)).toBe('fits')
    expect(tried).toEqual([1, 2, 4, 8, 8])
    expect(said).toEqual([2, 4, 8])
  })

  test('gives up where a single image does not fit', async () => {
    const { run } = createMicroBatches('auto', () => undefined)
    let tries = 0
    const step = async () => {
      tries += 1
      throw new OutOfMemoryError('out of memory')
    }
    await expect(run(3, step)).rejects.toThrow(OutOfMemoryError)
    expect(tries).toBe(3)
  })

  test.each([
    ['OOM when allocating tensor with shape[64,96,112,112]', true],
    ['RangeError: WebAssembly.Memory.grow(): Maximum memory size exceeded', true],
    ['expected a convolution of odd kernel size, got 4', false],
  ])('"%s" is an end of memory: %s', async (message, isMemory) => {
    const { run } = createMicroBatches('auto', () => undefined)
    let tries = 0
    const step = async () => {
      tries += 1
      throw new Error(message)
    }
    await expect(run(2, step)).rejects.toThrow(message)
    expect(tries).toBe(isMemory ? 2 : 1)
  })
})

test('a number of parts is kept, whatever happens', async () => {
  const { run } = createMicroBatches(2, () => undefined)
  const tried: number[] = []
  const step = async (parts: number) => {
    tried.push(parts)
    throw new OutOfMemoryError('out of memory')
  }
  await expect(run(64, step)).rejects.toThrow(OutOfMemoryError)
  expect(tried).toEqual([2])
})

test('a batch that WebAssembly memory has no room for is trained in parts', async () => {
  const { chosen } = await openBackend('wasm')
  const { wasm } = tf.backend() as unknown as { wasm: { _malloc(bytes: number): number; _free(address: number): void } }
  const space = createSpace('fashion-mini')
  const weights = createWeights(chosen, space.weightSpecs, 1)
  const graph = space.network(space.decisions.map(() => 0))
  const labels = Int32Array.from({ length: 256 }, (_, index) => index % 10)
  const images = tf.randomNormal([256, 28, 28, 1]) as tf.Tensor4D
  const step = async (accumulate: number) => {
    const { gradients, loss, peakBytes } = await trainStep({ graph, weights, images, labels, accumulate })
    tf.dispose([...gradients.values()])
    return { loss, peakBytes }
  }
  const alone = await step(4)
  const tensors = tf.memory().numTensors
  // Everything but what a quarter of the batch needs, never written to, is taken.
  const taken: number[] = []
  const take = (bytes: number) => {
    try {
      for (;;) taken.push(wasm._malloc(bytes))
    } catch (error) {
      expect(error).toBeInstanceOf(OutOfMemoryError)
    }
  }
  const spare = wasm._malloc(2 * alone.peakBytes)
  for (let bytes = 2 ** 29; bytes >= 2 ** 16; bytes /= 2) take(bytes)
  wasm._free(spare)
  try {
    const said: string[] = []
    const { run } = createMicroBatches('auto', (parts, reason) => said.push(`${parts}: ${reason}`))
    const { loss } = await run(labels.length, step)
    expect(said.length).toBeGreaterThan(0)
    expect(said[0]).toMatch(/out of memory at \d+ MiB/)
    expect(Number.isFinite(loss)).toBe(true)
    expect(tf.memory().numTensors).toBe(tensors)
  } finally {
    for (const address of taken) wasm._free(address)
  }
  const again = await step(4)
  expect(again.loss).toBe(alone.loss)
  images.dispose()
  weights.dispose()
})
