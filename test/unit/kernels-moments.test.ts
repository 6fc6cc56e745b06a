// Mean and variance of batch-norms against float64, where float32 sums lose them: a mean far from zero, a border that is far
// from the rest, a single outlier in front, many rows.

import * as tf from '@tensorflow/tfjs-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { createRandom, seedState } from '../../search-space/random.ts'
import { openBackend } from '../../engine/backends/backends.ts'
import { type KernelVariant, loadKernels } from '../../engine/kernels/module.ts'
import * as operations from '../../engine/kernels/operations.ts'
import { registerWasmKernels, type WasmBackend } from '../../engine/kernels/wasm.ts'

/** Of the variance, and of the mean beside the largest value. */
const TOLERANCE = 1e-5

type Picture = { readonly shape: readonly [number, number, number, number]; readonly values: Float32Array }

/** Normal values about `mean`, with a border `border` wide of the constant `edge`; a different border for each channel. */
function picture(shape: Picture['shape'], { mean = 100, border = 1, edge = 0, deviation = 1 } = {}): Picture {
  const [batch, height, width, channels] = shape
  const random = createRandom(seedState('moments', ...shape, mean, border))
  const values = new Float32Array(batch * height * width * channels)
  let at = 0
  for (let image = 0; image < batch; image++) {
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        const isBorder = Math.min(y, x, height - 1 - y, width - 1 - x) < border
        for (let c = 0; c < channels; c++) values[at++] = isBorder ? edge + c / 8 : mean + deviation * random.normal() + c
      }
    }
  }
  return { shape, values }
}

function firstOutlier(shape: Picture['shape'], outlier: number): Picture {
  const drawn = picture(shape, { mean: 1, border: 0 })
  drawn.values.fill(outlier, 0, shape[3])
  return drawn
}

function momentsInFloat64(values: ArrayLike<number>, channels: number): { mean: number[]; variance: number[] } {
  const rows = values.length / channels
  const perChannel = Array.from({ length: channels }, (_, c) =>
    Array.from({ length: rows }, (_, row) => values[row * channels + c] as number),
  )
  const mean = perChannel.map((column) => column.reduce((sum, value) => sum + value, 0) / rows)
  const variance = perChannel.map((column, c) => column.reduce((sum, value) => sum + (value - (mean[c] as number)) ** 2, 0) / rows)
  return { mean, variance }
}

function expectMoments(y: tf.Tensor, mean: tf.Tensor, variance: tf.Tensor): void {
  const channels = y.shape[3] as number
  const values = y.dataSync<'float32'>()
  const exact = momentsInFloat64(values, channels)
  const largest = values.reduce((most, value) => Math.max(most, Math.abs(value)), 0)
  const found = { mean: mean.dataSync(), variance: variance.dataSync() }
  for (let c = 0; c < channels; c++) {
    const error = Math.abs((found.variance[c] as number) / (exact.variance[c] as number) - 1)
    expect({ channel: c, error, isRight: error < TOLERANCE }).toMatchObject({ isRight: true })
    expect(Math.abs((found.mean[c] as number) - (exact.mean[c] as number))).toBeLessThan(TOLERANCE * largest)
  }
}

const pictures: Record<string, () => Picture> = {
  'a mean far from zero': () => picture([4, 9, 11, 5], { border: 0 }),
  'a constant border': () => picture([8, 16, 16, 6]),
  'a wide constant border': () => picture([2, 40, 40, 3], { border: 12 }),
  'a border that is far off': () => picture([16, 14, 14, 7], { mean: 0, edge: 1000 }),
  'an outlier in front': () => firstOutlier([8, 15, 15, 9], 1000),
  'many rows': () => picture([6, 100, 100, 2], { mean: 3, border: 3 }),
  'one value alone': () => picture([3, 3, 3, 2], { mean: 5, border: 0 }),
}

function withTensors(inputs: readonly Picture[], check: (tensors: tf.Tensor4D[]) => void): void {
  tf.engine().startScope()
  check(inputs.map(({ shape, values }) => tf.tensor4d(values.slice(), [...shape])))
  tf.engine().endScope()
}

/** Filters that let borders through: near one tap each. */
function filterOf(kernel: number, from: number, to: number): Picture {
  const random = createRandom(seedState('moments-filter', kernel, from, to))
  const values = Float32Array.from({ length: kernel * kernel * from * to }, () => 0.2 + 0.05 * random.normal())
  return { shape: [kernel, kernel, from, to], values }
}

const backends = ['cpu', 'simd', 'relaxed-simd'] as const

describe.each(backends)('moments on %s', (variant) => {
  beforeAll(async () => {
    if (variant === 'cpu') {
      await openBackend('cpu')
      return
    }
    await openBackend('wasm')
    const backend = tf.backend() as unknown as WasmBackend
    registerWasmKernels(backend, await loadKernels(backend.wasm.asm.memory, variant satisfies KernelVariant))
  })

  test.each(Object.keys(pictures))('of a batch-norm: %s', (name) => {
    const x = (pictures[name] as () => Picture)()
    withTensors([x], ([input]) => {
      const ones = tf.ones([x.shape[3]])
      const { mean, variance } = operations.batchNormTrain(input!, ones, ones, { epsilon: 1e-3, activation: 'none' })
      expectMoments(input!, mean, variance)
    })
  })

  test.each(Object.keys(pictures))('of a convolution, 1×1, 3×3 and depthwise: %s', (name) => {
    const x = (pictures[name] as () => Picture)()
    const channels = x.shape[3]
    const filters = [filterOf(1, channels, 5), filterOf(3, channels, 3), filterOf(3, channels, 1)]
    withTensors([x, ...filters], ([input, plain, wide, depthwise]) => {
      const made = [
        operations.conv2d(input!, plain!, 1, { statistics: true }),
        operations.conv2d(input!, wide!, 2, { statistics: true }),
        operations.depthwiseConv2d(input!, depthwise!, 1, { statistics: true }),
        operations.depthwiseConv2d(input!, depthwise!, 3, { statistics: true }),
      ]
      for (const { y, moments } of made) expectMoments(y, moments!.mean, moments!.variance)
    })
  })
})

afterAll(() => tf.setBackend('cpu'))
