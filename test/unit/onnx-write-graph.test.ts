import * as tf from '@tensorflow/tfjs-core'
import { InferenceSession, Tensor } from 'onnxruntime-node'
import { beforeAll, describe, expect, test } from 'vitest'

import { type OnnxOptions, writeOnnx } from '../../onnx/write-graph.ts'
import { createSpace } from '../../search-space/index.ts'
import type { LayerGraph, Shape } from '../../search-space/layer-graph.ts'
import { createRandom, seedState } from '../../search-space/random.ts'
import { type Backend, openBackend } from '../../engine/backends/backends.ts'
import { foldBatchNorm } from '../../engine/executor/fold-batch-norm.ts'
import { type ChannelStatistics, createInference, createWeights } from '../../engine/executor/index.ts'
import { type Builder, createBuilder } from './executor-graph-builder.ts'
import { relativeError } from './kernels-relative-error.ts'

let backend: Backend
beforeAll(async () => {
  backend = (await openBackend('cpu')).chosen
})

/** Means and variances that a wrong fold would not survive. */
function someStatistics(graph: LayerGraph): Map<string, ChannelStatistics> {
  const random = createRandom(seedState('onnx-statistics'))
  const statistics = new Map<string, ChannelStatistics>()
  for (const layer of graph.layers.flatMap((each) => (each.kind === 'mixed' ? each.branches.flatMap(({ layers }) => layers) : [each]))) {
    if (layer.kind !== 'batchNorm') continue
    const channels = Array.from({ length: layer.shape[2] })
    const mean = Float32Array.from(channels, () => random.normal())
    statistics.set(layer.gamma, { mean, variance: Float32Array.from(channels, () => 0.5 + random.uniform()) })
  }
  return statistics
}

async function weightsOf({ specs }: Pick<Builder, 'specs'>): Promise<(key: string) => Float32Array> {
  const weights = createWeights(backend, specs, 3)
  const values = new Map<string, Float32Array>()
  for (const { key } of specs) values.set(key, await weights.read(key))
  weights.dispose()
  return (key) => values.get(key) as Float32Array
}

function someImages(batch: number, [height, width, channels]: Shape): tf.Tensor4D {
  const random = createRandom(seedState('onnx-images'))
  return tf.tensor4d(
    Float32Array.from({ length: batch * height * width * channels }, () => random.normal()),
    [batch, height, width, channels],
  )
}

/** Runs bytes on [batch, height, width, channels]; gives the output back in the same order. */
async function runBytes(bytes: Uint8Array, images: tf.Tensor4D, names = { input: 'input', output: 'output' }): Promise<tf.Tensor> {
  const session = await InferenceSession.create(bytes)
  const nchw = tf.transpose(images, [0, 3, 1, 2])
  const { [names.output]: output } = await session.run({
    [names.input]: new Tensor('float32', nchw.dataSync() as Float32Array, nchw.shape),
  })
  const values = tf.tensor(output?.data as Float32Array, [...(output?.dims ?? [])])
  return values.rank === 4 ? tf.transpose(values, [0, 2, 3, 1]) : values
}

const options: OnnxOptions = { name: 'test', batch: 2 }

describe('an ONNX file computes what the executor computes', () => {
  const networks: Record<string, () => Builder> = {
    'every kind of convolution': () =>
      createBuilder([10, 9, 3])
        .conv('stem', 5, 3, 2)
        .norm('stem-bn')
        .relu6('stem-relu')
        .mbconv('a', 5, 3, 5)
        .mbconv('b', 7, 2, 7, 2)
        .conv('head', 6)
        .norm('head-bn')
        .relu6('head-relu')
        .globalPool('pool')
        .linear('classifier', 4),
    'a mixed layer, pools, concatenation, a norm of its own, a ReLU6 of its own': () =>
      createBuilder([9, 9, 3])
        .mixed('m', 0, 1, [(branch) => branch.zero('m/zero', [9, 9, 3]), (branch) => branch.mbconv('m/b', 3, 2, 3)])
        .norm('late-bn')
        .relu6('late-relu')
        .pool('max', 'max', 2, 2)
        .pool('average', 'average', 3, 2)
        .concat('twice', 'average', 'average')
        .norm('last-bn')
        .relu6('clamp'),
    'a linear layer over a picture, and one behind another': () =>
      createBuilder([4, 3, 5]).conv('a', 6).linear('hidden', 7).relu6('relu').linear('classifier', 3),
    'a zero added to something': () => createBuilder([5, 5, 2]).conv('a', 4, 3).zero('z', [5, 5, 4]).add('sum', 'a', 'z'),
    'nothing at all': () => createBuilder([3, 3, 2]),
    'ids that are names of the file': () => createBuilder([3, 3, 2], 'x').conv('input', 2).conv('output', 3).conv('last', 2),
  }

  test.each(Object.keys(networks))('%s', async (name) => {
    const builder = (networks[name] as () => Builder)()
    const { graph } = builder.build()
    const weights = await weightsOf(builder)
    const statistics = someStatistics(graph)
    const inference = createInference({ graph, weights, statistics })
    const images = someImages(2, inference.inputShape)
    const expected = inference.run(images)
    const bytes = writeOnnx(foldBatchNorm(graph, weights, statistics), options)
    const actual = await runBytes(bytes, images)
    expect(actual.size).toBe(expected.size)
    expect(relativeError(actual.dataSync(), expected.dataSync())).toBeLessThan(1e-5)
  })

  test('a whole network of a space, any number of images at a time, under names of one’s own', async () => {
    const space = createSpace({ preset: 'fashion-mini', input: [20, 17, 1], stages: [{ width: 16, cells: 2, stride: 1 }] })
    const graph = space.network([0, 2])
    const weights = await weightsOf({ specs: space.weightSpecs })
    const bytes = writeOnnx(foldBatchNorm(graph, weights), {
      name: 'any',
      batch: 'images',
      inputName: 'pixels',
      outputName: 'logits',
      metadata: { architecture: 'fashion-mini:…' },
    })
    const inference = createInference({ graph, weights })
    for (const batch of [1, 3]) {
      const images = someImages(batch, [20, 17, 1])
      const actual = await runBytes(bytes, images, { input: 'pixels', output: 'logits' })
      expect(actual.shape).toEqual([batch, 10])
      expect(relativeError(actual.dataSync(), inference.run(images).dataSync())).toBeLessThan(1e-5)
    }
  })
})

test.each([3, 5, 7])('a stride over an even size pads floor(k / 2) on both sides, kernel %i', async (kernel) => {
  const builder = createBuilder([8, 6, 3]).conv('a', 4, kernel, 2).depthwise('b', kernel, 2)
  const { graph } = builder.build()
  const weights = await weightsOf(builder)
  const images = someImages(2, [8, 6, 3])
  const pad = Math.floor(kernel / 2)
  const sides: [number, number][] = [
    [0, 0],
    [pad, pad],
    [pad, pad],
    [0, 0],
  ]
  const a = tf.conv2d(tf.pad(images, sides), tf.tensor4d(weights('a/filter'), [kernel, kernel, 3, 4]), 2, 'valid')
  const b = tf.depthwiseConv2d(tf.pad(a, sides), tf.tensor4d(weights('b/filter'), [kernel, kernel, 4, 1]), 2, 'valid')
  const actual = await runBytes(writeOnnx(foldBatchNorm(graph, weights), options), images)
  expect(actual.shape).toEqual(b.shape)
  expect(relativeError(actual.dataSync(), b.dataSync())).toBeLessThan(1e-5)
})

test('a step that reads what none before makes is refused by name', () => {
  const network = foldBatchNorm(createBuilder([2, 2, 1]).relu6('a').build().graph, () => new Float32Array())
  const steps = network.steps.map((step) => ({ ...step, inputs: ['b'] }))
  expect(() => writeOnnx({ ...network, steps }, options)).toThrow('no step of the network makes b')
})
