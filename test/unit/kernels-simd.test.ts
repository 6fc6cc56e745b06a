// Every SIMD kernel, in both builds, against TensorFlow.js's `cpu` backend over random shapes.

import { readFile } from 'node:fs/promises'

import * as tf from '@tensorflow/tfjs-core'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { createRandom, seedState } from '../../search-space/random.ts'
import { openBackend } from '../../engine/backends/backends.ts'
import { engineVariant, kernelModulePath, type KernelVariant, loadKernels } from '../../engine/kernels/module.ts'
import * as operations from '../../engine/kernels/operations.ts'
import { registerWasmKernels, type WasmBackend } from '../../engine/kernels/wasm.ts'
import { relativeError } from './kernels-relative-error.ts'

type Values = { readonly shape: readonly number[]; readonly values: Float32Array }

function normal(seed: number, ...shape: number[]): Values {
  const random = createRandom(seedState('kernel-test', seed, ...shape))
  const size = shape.reduce((product, length) => product * length, 1)
  return { shape, values: Float32Array.from({ length: size }, () => random.normal()) }
}

/** Runs `compute` on fresh tensors of the active backend and reads every result back. */
function run(inputs: readonly Values[], compute: (tensors: tf.Tensor[]) => tf.Tensor[]): Float32Array[] {
  const tensors = inputs.map(({ shape, values }) => tf.tensor(values.slice(), [...shape]))
  const outputs = compute(tensors)
  const values = outputs.map((output) => output.dataSync().slice() as Float32Array)
  tf.dispose([...tensors, ...outputs])
  return values
}

/** Largest relative difference between the same computation on `cpu` and on `wasm`. */
function disagreement(inputs: readonly Values[], compute: (tensors: tf.Tensor[]) => tf.Tensor[]): number {
  tf.setBackend('cpu')
  const expected = run(inputs, compute)
  tf.setBackend('wasm')
  const actual = run(inputs, compute)
  return Math.max(...expected.map((values, index) => relativeError(actual[index] ?? [], values)))
}

/** Of the largest value. */
const TOLERANCE = 1e-4

const geometry = fc.record({
  seed: fc.nat(1000),
  batch: fc.integer({ min: 1, max: 3 }),
  height: fc.integer({ min: 1, max: 11 }),
  width: fc.integer({ min: 1, max: 11 }),
  channels: fc.integer({ min: 1, max: 13 }),
  kernel: fc.integer({ min: 1, max: 7 }),
  stride: fc.constantFrom(1, 2, 2, 3, 4),
})

/** Ours pad around a centre, which even kernels do not have. */
const oddGeometry = geometry.map((g) => ({ ...g, kernel: g.kernel - 1 + (g.kernel % 2) }))

const settings = { numRuns: 40 }

/** Batch-norms in front of a convolution and behind it. */
const norms = fc.record({
  before: fc.constantFrom('absent', 'none', 'relu', 'relu6'),
  behind: fc.constantFrom('absent', 'none', 'relu', 'relu6'),
  wantInput: fc.boolean(),
  wantFilter: fc.boolean(),
})

type NormCase = {
  readonly before: operations.FusedActivation | 'absent'
  readonly behind: operations.FusedActivation | 'absent'
  readonly wantInput: boolean
  readonly wantFilter: boolean
}

type Layout = {
  readonly seed: number
  readonly batch: number
  readonly height: number
  readonly width: number
  readonly channels: number
  readonly outChannels: number
  readonly stride: number
  readonly filter: readonly number[]
}

/** A convolution with batch-norms around it, forward and backward, on both backends. */
function convolutionDisagreement(
  forward: typeof operations.conv2d,
  backward: typeof operations.conv2dGradient,
  { seed, batch, height, width, channels, outChannels, stride, filter }: Layout,
  { before, behind, wantInput, wantFilter }: NormCase,
): number {
  const x = normal(seed, batch, height, width, channels)
  const dy = normal(seed + 1, batch, Math.ceil(height / stride), Math.ceil(width / stride), outChannels)
  const vectors = [0, 1, 2].map((index) => normal(seed + 2 + index, channels))
  // Drawn, not those of y: what a batch-norm's true gradient leaves are sums that cancel, which say nothing about errors.
  const coefficients = normal(seed + 5, 5, outChannels)
  const positive = { shape: [channels], values: normal(seed + 8, channels).values.map((value) => value ** 2 + 0.5) }
  const inputs = [x, dy, normal(seed + 9, ...filter), positive, coefficients, ...vectors]
  return disagreement(inputs, ([tx, tdy, tfilter, variance, tcoefficients, mean, gamma, beta]) => {
    const vectors = { mean: mean!, variance: variance!, gamma: gamma!, beta: beta! }
    const norm = before === 'absent' ? {} : { norm: { ...vectors, epsilon: 1e-3, activation: before } }
    const { y, moments } = forward(tx!, tfilter!, stride, { ...norm, statistics: true })
    const made = moments as { mean: tf.Tensor; variance: tf.Tensor }
    const deferred = behind === 'absent' ? {} : { deferred: { y, coefficients: tcoefficients!, activation: behind } }
    const shared = { inputShape: x.shape, filter: tfilter!, stride, dy: tdy!, wantInput, wantFilter }
    const { dx, dfilter, normGradients } = backward({ x: tx!, ...shared, ...norm, ...deferred })
    const plain = forward(tx!, tfilter!, stride).y
    const all = [y, plain, made.mean, made.variance, dx, dfilter, ...Object.values(normGradients ?? {})]
    return all.filter((tensor) => tensor !== undefined)
  })
}

describe.each(['simd', 'relaxed-simd'] as const satisfies readonly KernelVariant[])('%s kernels', (variant) => {
  beforeAll(async () => {
    await openBackend('cpu')
    await openBackend('wasm')
    const backend = tf.backend() as unknown as WasmBackend
    registerWasmKernels(backend, await loadKernels(backend.wasm.asm.memory, variant))
  })

  test('dense convolution and both its gradients', () => {
    fc.assert(
      fc.property(oddGeometry, fc.integer({ min: 1, max: 19 }), norms, (g, outChannels, norm) => {
        const { channels, kernel, stride } = g
        // A norm in front is applied by 1×1 convolutions of stride 1 only.
        const before = kernel === 1 && stride === 1 ? norm.before : 'absent'
        const layout = { ...g, outChannels, filter: [kernel, kernel, channels, outChannels] }
        expect(convolutionDisagreement(operations.conv2d, operations.conv2dGradient, layout, { ...norm, before })).toBeLessThan(TOLERANCE)
      }),
      settings,
    )
  })

  test('pointwise convolution over many rows', () => {
    const widths = fc.record({
      seed: fc.nat(1000),
      channels: fc.integer({ min: 1, max: 40 }),
      outChannels: fc.integer({ min: 1, max: 40 }),
    })
    fc.assert(
      fc.property(widths, norms, ({ seed, channels, outChannels }, norm) => {
        const layout = { seed, batch: 2, height: 13, width: 11, stride: 1, channels, outChannels, filter: [1, 1, channels, outChannels] }
        expect(convolutionDisagreement(operations.conv2d, operations.conv2dGradient, layout, norm)).toBeLessThan(TOLERANCE)
      }),
      { numRuns: 25 },
    )
  })

  test('depthwise convolution and both its gradients', () => {
    fc.assert(
      fc.property(oddGeometry, norms, (g, norm) => {
        const layout = { ...g, outChannels: g.channels, filter: [g.kernel, g.kernel, g.channels, 1] }
        const difference = convolutionDisagreement(operations.depthwiseConv2d, operations.depthwiseGradient, layout, norm)
        expect(difference).toBeLessThan(TOLERANCE)
      }),
      { numRuns: 80 },
    )
  })

  test("TensorFlow.js's own convolution gradients", () => {
    fc.assert(
      fc.property(geometry, fc.integer({ min: 1, max: 9 }), fc.constantFrom('same', 'valid', 1, 2), (g, outChannels, pad) => {
        if (Number(pad) >= g.kernel) return
        const { seed, batch, channels, kernel, stride } = g
        // At least one window fits.
        const height = pad === 'same' ? g.height : g.height + kernel
        const width = pad === 'same' ? g.width : g.width + kernel
        const x = normal(seed, batch, height, width, channels)
        const around = pad === 'valid' ? 0 : 2 * Number(pad)
        const outputs = (size: number) => (pad === 'same' ? Math.ceil(size / stride) : Math.floor((size + around - kernel) / stride) + 1)
        const shape = [batch, outputs(height), outputs(width)]
        const dense = { filter: normal(seed + 1, kernel, kernel, channels, outChannels), dy: normal(seed + 2, ...shape, outChannels) }
        const depthwise = { filter: normal(seed + 3, kernel, kernel, channels, 1), dy: normal(seed + 4, ...shape, channels) }
        const inputs = [x, dense.filter, dense.dy, depthwise.filter, depthwise.dy]
        const shared = { strides: [stride, stride], dilations: [1, 1], pad, dataFormat: 'NHWC' }
        const gradient = (name: string, given: Record<string, tf.Tensor>, attributes: object) =>
          tf.engine().runKernel(name, given, { ...shared, ...attributes } as unknown as tf.NamedAttrMap) as tf.Tensor
        expect(
          disagreement(inputs, ([tx, f1, dy1, f2, dy2]) => [
            gradient(tf.Conv2DBackpropInput, { dy: dy1!, filter: f1! }, { inputShape: x.shape }),
            gradient(tf.Conv2DBackpropFilter, { x: tx!, dy: dy1! }, { filterShape: f1!.shape }),
            gradient(tf.DepthwiseConv2dNativeBackpropInput, { dy: dy2!, filter: f2! }, { inputShape: x.shape }),
            gradient(tf.DepthwiseConv2dNativeBackpropFilter, { x: tx!, dy: dy2! }, { filterShape: f2!.shape }),
          ]),
        ).toBeLessThan(TOLERANCE)
      }),
      settings,
    )
  })

  test('the swish and its gradient, over all that float32 has', () => {
    const extremes = Float32Array.from([0, -0, 1e-30, -1e-30, 20, -20, 87, -87, 88, -88, 1000, -1000, 3e38, -3e38])
    fc.assert(
      fc.property(fc.nat(1000), fc.integer({ min: 1, max: 70 }), fc.constantFrom(0.1, 3, 30), (seed, count, scale) => {
        const drawn = normal(seed, count).values.map((value) => value * scale)
        const x = { shape: [count + extremes.length], values: Float32Array.from([...drawn, ...extremes]) }
        const dy = normal(seed + 1, count + extremes.length)
        tf.setBackend('wasm')
        const [y, dx] = run([x, dy], ([tx, tdy]) => [operations.swish(tx!), operations.swishGradient(tx!, tdy!)]) as [
          Float32Array,
          Float32Array,
        ]
        for (const [i, value] of x.values.entries()) {
          // In float64, each to a few units of float32's last place.
          const share = 1 / (1 + Math.exp(-value))
          const slope = share * (1 + value * (1 - share)) * (dy.values[i] as number)
          expect(Math.abs((y[i] as number) - value * share), `swish of ${value}`).toBeLessThanOrEqual(5e-7 * Math.abs(value) + 1e-35)
          expect(Math.abs((dx[i] as number) - slope), `slope at ${value}`).toBeLessThanOrEqual(2e-6 * Math.abs(dy.values[i] as number))
        }
      }),
      settings,
    )
    expect(run([{ shape: [1], values: Float32Array.of(Number.NaN) }], ([x]) => [operations.swish(x!)])[0]?.[0]).toBeNaN()
  })

  test('a number for each channel of each image, and its gradient', () => {
    fc.assert(
      fc.property(geometry, ({ seed, batch, height, width, channels }) => {
        const [x, dy] = [normal(seed, batch, height, width, channels), normal(seed + 1, batch, height, width, channels)]
        const scale = normal(seed + 2, batch, 1, 1, channels)
        expect(
          disagreement([x, dy, scale], ([tx, tdy, tscale]) => [
            operations.scaleChannels(tx!, tscale!),
            operations.scaleGradient(tx!, tdy!),
          ]),
        ).toBeLessThan(TOLERANCE)
      }),
      settings,
    )
  })

  test('dense convolution in groups and both its gradients', () => {
    const widths = fc.record({
      groups: fc.integer({ min: 1, max: 4 }),
      run: fc.integer({ min: 1, max: 9 }),
      made: fc.integer({ min: 1, max: 11 }),
    })
    fc.assert(
      fc.property(oddGeometry, widths, norms, (g, { groups, run, made }, norm) => {
        const { kernel, stride } = g
        const before = kernel === 1 && stride === 1 && groups === 1 ? norm.before : 'absent'
        const layout = { ...g, channels: groups * run, outChannels: groups * made, filter: [kernel, kernel, run, groups * made] }
        expect(convolutionDisagreement(operations.conv2d, operations.conv2dGradient, layout, { ...norm, before })).toBeLessThan(TOLERANCE)
      }),
      settings,
    )
  })

  test('channels moved, cut off and put among zeros, and that undone', () => {
    fc.assert(
      fc.property(geometry, fc.integer({ min: -15, max: 15 }), fc.integer({ min: 1, max: 30 }), (g, first, channels) => {
        const x = normal(g.seed, g.batch, g.height, g.width, g.channels)
        expect(
          disagreement([x], ([tx]) => {
            const moved = operations.shiftChannels(tx!, first, channels)
            return [moved, operations.shiftChannels(moved, -first, g.channels)]
          }),
        ).toBe(0)
      }),
      settings,
    )
  })

  test('channels of groups, shuffled and put back', () => {
    fc.assert(
      fc.property(geometry, fc.integer({ min: 1, max: 12 }), (g, groups) => {
        const channels = groups * g.channels
        const x = normal(g.seed, g.batch, g.height, g.width, channels)
        const shuffled = (tx: tf.Tensor) => operations.shuffleChannels(tx, groups)
        expect(disagreement([x], ([tx]) => [shuffled(tx!)])).toBe(0)
        tf.setBackend('wasm')
        const [back] = run([x], ([tx]) => {
          const turned = shuffled(tx!)
          const again = operations.shuffleChannels(turned, channels / groups)
          turned.dispose()
          return [again]
        })
        expect(back).toEqual(x.values)
      }),
      settings,
    )
  })

  test('phases of a dilation, taken apart and joined', () => {
    fc.assert(
      fc.property(geometry, fc.integer({ min: 1, max: 3 }), fc.boolean(), ({ seed, batch, height, width, channels }, dilation, isWhole) => {
        const x = normal(seed, batch, height, width, channels)
        const phases = { dilation, phases: isWhole ? dilation ** 2 : 1 }
        expect(
          disagreement([x], ([tx]) => {
            const split = operations.splitPhases(tx!, phases)
            return [split, operations.joinPhases(split, phases, height, width)]
          }),
        ).toBe(0)
        if (!isWhole) return
        const [joined] = run([x], ([tx]) => {
          const split = operations.splitPhases(tx!, phases)
          const image = operations.joinPhases(split, phases, height, width)
          split.dispose()
          return [image]
        })
        expect(joined).toEqual(x.values)
      }),
      settings,
    )
  })

  test('batch normalisation with and without an activation, and its gradient', () => {
    fc.assert(
      fc.property(
        geometry,
        fc.constantFrom('none' as const, 'relu' as const, 'relu6' as const),
        fc.boolean(),
        fc.constantFrom(0, 50),
        ({ seed, batch, height, width, channels }, activation, overwriteDy, offset) => {
          const drawn = normal(seed, batch, height + 1, width, channels)
          // A mean far from zero: a variance from a plain difference of squares would be lost to rounding.
          const x = { ...drawn, values: drawn.values.map((value) => value + offset) }
          const dy = normal(seed + 1, ...x.shape)
          const gamma = normal(seed + 2, channels)
          const beta = normal(seed + 3, channels)
          const attributes = { epsilon: 1e-3, activation }
          expect(
            disagreement([x, dy, gamma, beta], ([tx, tdy, tgamma, tbeta]) => {
              const { y, mean, variance } = operations.batchNormTrain(tx!, tgamma!, tbeta!, attributes)
              const given = { x: tx!, dy: tdy!, mean, variance, gamma: tgamma!, beta: tbeta! }
              const applied = operations.batchNormApply(given, attributes)
              const deferred = operations.batchNormDefer(given, attributes)
              const { dx, dgamma, dbeta } = operations.batchNormGrad(given, { ...attributes, overwriteDy })
              // At an offset the mean's own rounding moves some z across the clamp's edge: compare what is continuous.
              const edges = activation !== 'none' && offset ? [] : [dx, dgamma, dbeta]
              const sums = edges.length ? [deferred.coefficients, deferred.dgamma, deferred.dbeta] : []
              if (!edges.length) tf.dispose([dx, dgamma, dbeta, deferred.coefficients, deferred.dgamma, deferred.dbeta])
              return [y, mean, variance, applied, ...edges, ...sums]
            }),
          ).toBeLessThan(TOLERANCE)
        },
      ),
      settings,
    )
  })

  test('elementwise kernels, averages and sums', () => {
    fc.assert(
      fc.property(geometry, ({ seed, batch, height, width, channels }) => {
        const a = normal(seed, batch, height, width, channels)
        const b = normal(seed + 1, ...a.shape)
        const vectors = normal(seed + 2, batch, 1, 1, channels)
        expect(
          disagreement([a, b, vectors], ([ta, tb, tvectors]) => [
            operations.sum(ta!, tb!),
            operations.dot(ta!, ta!),
            operations.clampGradient(ta!, tb!, 'relu6'),
            operations.clampGradient(ta!, tb!, 'relu'),
            operations.globalAveragePool(ta!),
            operations.globalAveragePoolGradient(tvectors!, height, width),
          ]),
        ).toBeLessThan(TOLERANCE)
      }),
      settings,
    )
  })

  test('a stochastic gradient descent step', () => {
    fc.assert(
      fc.property(fc.nat(1000), fc.integer({ min: 1, max: 37 }), fc.boolean(), (seed, size, nesterov) => {
        const attributes = { learningRate: 0.1, momentum: 0.9, nesterov, weightDecay: 0.01 }
        expect(
          disagreement([normal(seed, size), normal(seed + 1, size), normal(seed + 2, size)], ([weight, velocity, gradient]) => {
            const next = operations.sgdStep({ weight: weight!, velocity: velocity!, gradient: gradient! }, attributes)
            return [next.weight, next.velocity]
          }),
        ).toBeLessThan(TOLERANCE)
      }),
      settings,
    )
  })

  test('softmax cross-entropy with label smoothing', () => {
    fc.assert(
      fc.property(
        fc.nat(1000),
        fc.integer({ min: 1, max: 9 }),
        fc.integer({ min: 2, max: 12 }),
        fc.constantFrom(0, 0.1),
        (seed, batch, classes, smoothing) => {
          const labels = Int32Array.from({ length: batch }, (_, index) => (index + seed) % classes)
          expect(
            disagreement([normal(seed, batch, classes)], ([logits]) => {
              const labelTensor = tf.tensor1d(labels, 'int32')
              const { metrics, dlogits } = operations.softmaxCrossEntropy(logits!, labelTensor, smoothing)
              labelTensor.dispose()
              return [metrics, dlogits]
            }),
          ).toBeLessThan(TOLERANCE)
        },
      ),
      settings,
    )
  })

  test('max pooling, with a window that has a NaN giving NaN', async () => {
    fc.assert(
      fc.property(
        geometry,
        fc.constantFrom<'same' | number>('same', 0, 1),
        ({ seed, batch, height, width, channels, kernel, stride }, pad) => {
          fc.pre(pad === 'same' || (pad < kernel && kernel <= Math.min(height, width)))
          const x = normal(seed, batch, height, width, channels)
          expect(
            disagreement([x], ([input]) => [tf.maxPool(input as tf.Tensor4D, kernel, stride, pad, pad === 'same' ? undefined : 'floor')]),
          ).toBe(0)
        },
      ),
      settings,
    )
    await tf.setBackend('wasm')
    const values = Float32Array.from({ length: 4 * 4 * 5 }, (_, at) => at)
    values[(1 * 4 + 2) * 5 + 3] = Number.NaN
    const pooled = await tf.tidy(() => tf.maxPool(tf.tensor4d(values, [1, 4, 4, 5]), 2, 2, 'valid')).data()
    expect([...pooled].flatMap((value, at) => (Number.isNaN(value) ? [at] : []))).toEqual([1 * 5 + 3])
  })

  test('the gradient of max pooling', () => {
    fc.assert(
      fc.property(geometry, ({ seed, batch, height, width, channels, kernel, stride }) => {
        const x = normal(seed, batch, height, width, channels)
        const dy = normal(seed + 1, batch, Math.ceil(height / stride), Math.ceil(width / stride), channels)
        expect(
          disagreement([x, dy], ([input, tdy]) => {
            const output = tf.maxPool(input as tf.Tensor4D, kernel, stride, 'same')
            const attributes = { filterSize: [kernel, kernel], strides: [stride, stride], pad: 'same' }
            return [output, tf.engine().runKernel('MaxPoolGrad', { dy: tdy!, input: input!, output }, attributes) as tf.Tensor]
          }),
        ).toBeLessThan(TOLERANCE)
      }),
      settings,
    )
  })
})

describe('the compiled modules', () => {
  test('the variant that is compiled and loaded by default is the fastest one that the engine accepts', async () => {
    const accepted = WebAssembly.validate(new Uint8Array(await readFile(kernelModulePath('relaxed-simd'))))
    expect(engineVariant()).toBe(accepted ? 'relaxed-simd' : 'simd')
  })

  test.each(['simd', 'relaxed-simd'] as const)('%s brings no data, stack or start function into the shared memory', async (variant) => {
    const bytes = await readFile(kernelModulePath(variant))
    const sections = sectionIds(bytes)
    const DATA = 11
    const GLOBAL = 6
    const START = 8
    expect(sections).not.toContain(DATA)
    expect(sections).not.toContain(GLOBAL)
    expect(sections).not.toContain(START)
  })
})

/** Ids of a WebAssembly module's sections, in order. */
function sectionIds(bytes: Uint8Array): number[] {
  const ids: number[] = []
  let position = 8
  while (position < bytes.length) {
    ids.push(bytes[position++] as number)
    let size = 0
    for (let shift = 0; ; shift += 7) {
      const byte = bytes[position++] as number
      size |= (byte & 0x7f) << shift
      if (byte < 0x80) break
    }
    position += size
  }
  return ids
}

afterAll(() => tf.setBackend('cpu'))
