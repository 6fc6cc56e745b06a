// A TensorFlow.js layers model: `model.json` (a functional Keras topology and the list of weights) and shards of float32
// weights, as `tf.loadLayersModel` reads them. NHWC, as our own graphs, so weights are written as they are.

import type { TrainedModel } from '../model-folder.ts'
import { type ConvolutionStep, exportNetwork, type ExportStep } from './export-network.ts'
import { describeModel, pixelStatistics } from './preprocessing.ts'

/** The size that TensorFlow.js's own converter uses: browsers cache files up to about this. */
const SHARD_BYTES = 4 * 1024 * 1024
const RELU6_MAX = 6
const INPUT = 'input'
const NORMALISE = 'normalise_pixels'

type TfjsOptions = {
  readonly fold: boolean
  /** Whether the first layer scales and normalises pixels from 0 to 255. */
  readonly withPreprocessing: boolean
}

type KerasLayer = {
  readonly name: string
  readonly class_name: string
  readonly config: Readonly<Record<string, unknown>>
  readonly inbound_nodes: readonly (readonly (readonly [string, number, number, object])[])[]
}

type TfjsFile = { readonly name: string; readonly content: Uint8Array | string }

/** Collects layers and weights; a weight's name is its layer's, a slash, and what Keras calls it. */
class TopologyWriter {
  readonly layers: KerasLayer[] = []
  readonly weights: { readonly name: string; readonly shape: readonly number[]; readonly values: Float32Array }[] = []

  layer(className: string, name: string, inputs: readonly string[], config: Readonly<Record<string, unknown>>): void {
    const inbound = inputs.length === 0 ? [] : [inputs.map((input) => [input, 0, 0, {}] as const)]
    this.layers.push({ name, class_name: className, config: { name, trainable: true, ...config }, inbound_nodes: inbound })
  }

  weight(layer: string, name: string, shape: readonly number[], values: Float32Array): void {
    this.weights.push({ name: `${layer}/${name}`, shape, values })
  }

  batchNorm(
    name: string,
    input: string,
    epsilon: number,
    values: { readonly gamma: Float32Array; readonly beta: Float32Array; readonly mean: Float32Array; readonly variance: Float32Array },
  ): void {
    this.layer('BatchNormalization', name, [input], { axis: -1, momentum: 0.99, epsilon, center: true, scale: true })
    this.weight(name, 'gamma', [values.gamma.length], values.gamma)
    this.weight(name, 'beta', [values.beta.length], values.beta)
    this.weight(name, 'moving_mean', [values.mean.length], values.mean)
    this.weight(name, 'moving_variance', [values.variance.length], values.variance)
  }
}

/** Layer names may not have slashes, which separate a layer's name from its weight's. */
function layerName(id: string): string {
  return id.replaceAll('/', '_')
}

/**
 * `same` padding of TensorFlow is not the same on every side where stride is 2 and the size is even, so there the zeros are a
 * layer of their own.
 */
function writeConvolution(writer: TopologyWriter, step: ConvolutionStep, name: string, input: string): void {
  const { isDepthwise, kernel, stride, padding, filter, filterShape, bias } = step
  const isPadded = stride > 1 && padding > 0
  let from = input
  if (isPadded) {
    from = `${name}_pad`
    const sides = [padding, padding]
    writer.layer('ZeroPadding2D', from, [input], { padding: [sides, sides], data_format: 'channels_last' })
  }
  writer.layer(isDepthwise ? 'DepthwiseConv2D' : 'Conv2D', name, [from], {
    ...(isDepthwise ? { depth_multiplier: 1 } : { filters: filterShape[3] }),
    kernel_size: [kernel, kernel],
    strides: [stride, stride],
    padding: isPadded || padding === 0 ? 'valid' : 'same',
    data_format: 'channels_last',
    dilation_rate: [1, 1],
    activation: 'linear',
    use_bias: bias !== null,
  })
  writer.weight(name, isDepthwise ? 'depthwise_kernel' : 'kernel', filterShape, filter)
  if (bias) writer.weight(name, 'bias', [bias.length], bias)
}

function writeStep(writer: TopologyWriter, step: ExportStep, nameOf: (id: string) => string): void {
  const name = nameOf(step.id)
  const inputs = step.inputs.map(nameOf)
  const [input = INPUT] = inputs
  switch (step.kind) {
    case 'convolution':
      return writeConvolution(writer, step, name, input)
    case 'batchNorm':
      return writer.batchNorm(name, input, step.epsilon, step)
    case 'relu6':
      return writer.layer('ReLU', name, [input], { max_value: RELU6_MAX })
    case 'add':
      return writer.layer('Add', name, inputs, {})
    case 'globalAveragePool':
      return writer.layer('GlobalAveragePooling2D', name, [input], { data_format: 'channels_last' })
    case 'linear':
      writer.layer('Dense', name, [input], { units: step.outFeatures, activation: 'linear', use_bias: true })
      writer.weight(name, 'kernel', [step.inFeatures, step.outFeatures], step.weights)
      return writer.weight(name, 'bias', [step.outFeatures], step.bias)
    default:
      return step satisfies never
  }
}

/** A batch-norm with gamma 1 and beta 0 is a normalisation per channel: (pixel - mean) / std. */
function writePreprocessing(writer: TopologyWriter, model: TrainedModel): void {
  const { mean, std } = pixelStatistics(model)
  writer.batchNorm(NORMALISE, INPUT, 0, {
    gamma: new Float32Array(mean.length).fill(1),
    beta: new Float32Array(mean.length),
    mean,
    variance: std.map((value) => value * value),
  })
}

function shards(weights: TopologyWriter['weights']): Uint8Array[] {
  const total = weights.reduce((sum, { values }) => sum + values.byteLength, 0)
  const bytes = new Uint8Array(total)
  let at = 0
  for (const { values } of weights) {
    bytes.set(new Uint8Array(values.buffer, values.byteOffset, values.byteLength), at)
    at += values.byteLength
  }
  const count = Math.max(1, Math.ceil(total / SHARD_BYTES))
  return Array.from({ length: count }, (_, index) => bytes.subarray(index * SHARD_BYTES, (index + 1) * SHARD_BYTES))
}

/** The files of a folder that `tf.loadLayersModel` opens. Throws ExportError for layers that it has no form for. */
function writeTfjsLayers(model: TrainedModel, { fold, withPreprocessing }: TfjsOptions): TfjsFile[] {
  const network = exportNetwork(model, fold)
  const writer = new TopologyWriter()
  const batchInput = [null, ...network.inputShape]
  writer.layer('InputLayer', INPUT, [], { batch_input_shape: batchInput, dtype: 'float32', sparse: false })
  if (withPreprocessing) writePreprocessing(writer, model)
  const first = withPreprocessing ? NORMALISE : INPUT
  const nameOf = (id: string) => (id === network.input ? first : layerName(id))
  for (const step of network.steps) writeStep(writer, step, nameOf)
  const parts = shards(writer.weights)
  const paths = parts.map((_, index) => `group1-shard${index + 1}of${parts.length}.bin`)
  const topology = {
    format: 'layers-model',
    generatedBy: 'gatehouse',
    convertedBy: null,
    modelTopology: {
      keras_version: '2.1.6',
      backend: 'tensorflow',
      model_config: {
        class_name: 'Model',
        config: {
          name: layerName(model.space.name),
          layers: writer.layers,
          input_layers: [[INPUT, 0, 0]],
          output_layers: [[nameOf(network.output), 0, 0]],
        },
      },
    },
    weightsManifest: [{ paths, weights: writer.weights.map(({ name, shape }) => ({ name, shape, dtype: 'float32' })) }],
    userDefinedMetadata: describeModel(model, { layout: 'NHWC', isIncluded: withPreprocessing }),
  }
  return [
    { name: 'model.json', content: `${JSON.stringify(topology)}\n` },
    ...parts.map((content, index) => ({ name: paths[index] as string, content })),
  ]
}

export { type TfjsFile, type TfjsOptions, writeTfjsLayers }
