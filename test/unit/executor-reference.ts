// The same networks as the executor runs, written once more with plain differentiable TensorFlow.js operations: what
// the executor's reverse pass is compared with.

import * as tf from '@tensorflow/tfjs-core'
// The Node bundle of tfjs-core has no gradients; these modules register them in the registry that all copies share.
import '@tensorflow/tfjs-core/dist/register_all_gradients.js'

import { type Activation, type LayerOf, poolPadding } from '../../search-space/index.ts'
import type { Layer, LayerGraph, MixedLayer } from '../../search-space/layer-graph.ts'

type Lookup = (key: string) => tf.Tensor

/** Output of a graph; `gate` gives the multiplier of branch `position` of a mixed layer. */
function referenceForward(
  layers: readonly Layer[],
  values: Map<string, tf.Tensor>,
  weight: Lookup,
  gate: (block: number, position: number) => tf.Tensor,
): tf.Tensor {
  let output: tf.Tensor | undefined
  for (const layer of layers) {
    if (layer.kind === 'input') continue
    output = referenceLayer(layer, values, weight, gate)
    values.set(layer.id, output)
  }
  return output as tf.Tensor
}

function referenceActivation(activation: Activation, x: tf.Tensor): tf.Tensor {
  const share = () => tf.div(tf.relu6(tf.add(x, 3)), 6)
  switch (activation) {
    case 'relu':
      return tf.relu(x)
    case 'relu6':
      return tf.relu6(x)
    case 'swish':
      return tf.mul(x, tf.sigmoid(x))
    case 'hardSwish':
      return tf.mul(x, share())
    case 'sigmoid':
      return tf.sigmoid(x)
    case 'hardSigmoid':
      return share()
    default:
      return activation satisfies never
  }
}
/** Sums over windows divided by how many elements of the image they hold: the gradient of tf.avgPool is wrong at the border. */
function averagePool(x: tf.Tensor4D, kernel: number, stride: number, padding: number): tf.Tensor4D {
  const ones: tf.Tensor4D = tf.ones([kernel, kernel, x.shape[3], 1])
  const sumOf = (image: tf.Tensor4D): tf.Tensor4D => tf.depthwiseConv2d(image, ones, stride, padding, 'NHWC', [1, 1], 'floor')
  return tf.div(sumOf(x), sumOf(tf.onesLike(x)))
}

/** Tap by tap where it is dilated: TensorFlow.js has no gradient of that. */
function depthwise({ kernel, stride, dilation = 1 }: LayerOf<'depthwiseConv2d'>, x: tf.Tensor4D, filter: tf.Tensor4D): tf.Tensor4D {
  const padding = dilation * Math.floor(kernel / 2)
  if (dilation === 1) return tf.depthwiseConv2d(x, filter, stride, padding)
  const sides: [number, number] = [padding, padding]
  const padded = tf.pad(x, [[0, 0], sides, sides, [0, 0]])
  const taps = Array.from({ length: kernel ** 2 }, (_, tap): tf.Tensor4D => {
    const [row, column] = [Math.floor(tap / kernel), tap % kernel]
    const seen = tf.slice(padded, [0, row * dilation, column * dilation, 0], x.shape)
    return tf.mul(seen, tf.reshape(tf.slice(filter, [row, column, 0, 0], [1, 1, x.shape[3], 1]), [1, 1, 1, x.shape[3]]))
  })
  return tf.maxPool(tf.addN(taps), 1, stride, 'valid')
}

function channelsOf(x: tf.Tensor4D, first: number, count: number): tf.Tensor4D {
  const [a, b, c] = x.shape
  return tf.slice(x, [0, 0, 0, first], [a, b, c, count])
}

function referenceLayer(
  layer: Exclude<Layer, { kind: 'input' }>,
  values: Map<string, tf.Tensor>,
  weight: Lookup,
  gate: (block: number, position: number) => tf.Tensor,
): tf.Tensor {
  const read = (id: string) => values.get(id) as tf.Tensor4D
  switch (layer.kind) {
    case 'conv2d': {
      const { groups = 1, stride, kernel } = layer
      const filter = weight(layer.filter) as tf.Tensor4D
      const inputs = filter.shape[2]
      const made = filter.shape[3] / groups
      const parts = Array.from({ length: groups }, (_, group) =>
        tf.conv2d(
          channelsOf(read(layer.input), group * inputs, inputs),
          channelsOf(filter, group * made, made),
          stride,
          Math.floor(kernel / 2),
        ),
      )
      return tf.concat(parts, 3)
    }
    case 'channelRange': {
      const x = read(layer.input)
      const count = Math.min(x.shape[3] - layer.first, layer.shape[2])
      const part = channelsOf(x, layer.first, count)
      return tf.pad(part, [
        [0, 0],
        [0, 0],
        [0, 0],
        [0, layer.shape[2] - count],
      ])
    }
    case 'channelShuffle': {
      const x = read(layer.input)
      const runs = tf.split(x, layer.groups, 3)
      return tf.reshape(tf.stack(runs, 4), x.shape)
    }
    case 'depthwiseConv2d':
      return depthwise(layer, read(layer.input), weight(layer.filter) as tf.Tensor4D)
    case 'crop':
      return tf.slice(read(layer.input), [0, layer.top, layer.left, 0])
    case 'batchNorm': {
      const { mean, variance } = tf.moments(read(layer.input), [0, 1, 2])
      const scaled = tf.mul(tf.sub(read(layer.input), mean), tf.rsqrt(tf.add(variance, layer.epsilon)))
      return tf.add(tf.mul(scaled, weight(layer.gamma)), weight(layer.beta))
    }
    case 'activation':
      return referenceActivation(layer.activation, read(layer.input))
    case 'add':
      return tf.add(read(layer.inputs[0]), read(layer.inputs[1]))
    case 'multiply':
      return tf.mul(read(layer.inputs[0]), read(layer.inputs[1]))
    case 'splitAttention': {
      const splits = layer.inputs.length / 2
      const shares = tf.softmax(tf.stack(layer.inputs.slice(splits).map(read), 4))
      return tf.sum(tf.mul(tf.stack(layer.inputs.slice(0, splits).map(read), 4), shares), 4)
    }
    case 'concat':
      return tf.concat(layer.inputs.map(read), 3)
    case 'pool':
      return layer.mode === 'max'
        ? tf.maxPool(read(layer.input), layer.kernel, layer.stride, poolPadding(layer), 'floor')
        : averagePool(read(layer.input) as tf.Tensor4D, layer.kernel, layer.stride, poolPadding(layer))
    case 'globalAveragePool':
      return tf.mean(read(layer.input), [1, 2], true)
    case 'linear': {
      const x = read(layer.input)
      const rows = tf.reshape(x, [x.shape[0], x.size / x.shape[0]])
      return tf.reshape(tf.add(tf.matMul(rows, weight(layer.weights)), weight(layer.bias)), [x.shape[0], ...layer.shape])
    }
    case 'zero':
      return tf.zeros([read(layer.input).shape[0], ...layer.shape])
    case 'mixed': {
      const outputs = layer.branches.map((branch, position) => {
        const inner = new Map(values)
        referenceForward(branch.layers, inner, weight, gate)
        return tf.mul(inner.get(branch.output) as tf.Tensor, gate(layer.block, position))
      })
      return tf.addN(outputs)
    }
    default:
      return layer satisfies never
  }
}

function referenceLoss(logits: tf.Tensor, labels: Int32Array, labelSmoothing: number): tf.Scalar {
  const batch = labels.length
  const classes = logits.size / batch
  const onehot = tf.oneHot(tf.tensor1d(labels, 'int32'), classes)
  const targets = tf.add(tf.mul(onehot, 1 - labelSmoothing), labelSmoothing / classes)
  const probabilities = tf.logSoftmax(tf.reshape(logits, [batch, classes]))
  return tf.reshape(tf.div(tf.neg(tf.sum(tf.mul(targets, probabilities))), batch), [])
}

/** Those within branches of others, too. */
function mixedLayers(layers: readonly Layer[]): MixedLayer[] {
  return layers.flatMap((layer) =>
    layer.kind === 'mixed' ? [layer, ...layer.branches.flatMap((branch) => mixedLayers(branch.layers))] : [],
  )
}

type ReferenceResult = { loss: number; gradients: Map<string, Float32Array> }

/**
 * Loss and gradients by autodiff on the active backend, of every weight, of every gate (`gate/<block>/<position>`, 1 for the
 * active branch and 0 for the others), and of the weights of a mixed layer that is a weighted sum (`mixture/<block>`).
 */
function referenceGradients(
  graph: LayerGraph,
  weights: ReadonlyMap<string, { shape: readonly number[]; values: Float32Array }>,
  images: tf.Tensor4D,
  labels: Int32Array,
  labelSmoothing = 0,
): ReferenceResult {
  const gradients = new Map<string, Float32Array>()
  const loss = tf.tidy(() => {
    const variables = new Map<string, tf.Variable>()
    for (const [key, { shape, values }] of weights) {
      variables.set(key, tf.variable(tf.tensor(values.slice(), [...shape]), true))
    }
    const mixtures = new Set<number>()
    for (const layer of mixedLayers(graph.layers)) {
      if (layer.combination?.kind === 'weighted') {
        mixtures.add(layer.block)
        variables.set(`mixture/${layer.block}`, tf.variable(tf.tensor1d([...layer.combination.weights]), true))
        continue
      }
      for (const position of layer.branches.keys()) {
        const value = layer.combination?.kind === 'sum' || position === layer.active ? 1 : 0
        variables.set(`gate/${layer.block}/${position}`, tf.variable(tf.scalar(value), true))
      }
    }
    const read = (key: string) => variables.get(key) as tf.Tensor
    const { value, grads } = tf.variableGrads(() => {
      const values = new Map<string, tf.Tensor>([[(graph.layers[0] as Layer).id, images]])
      const logits = referenceForward(graph.layers, values, read, (block, position) =>
        mixtures.has(block) ? tf.slice1d(read(`mixture/${block}`) as tf.Tensor1D, position, 1) : read(`gate/${block}/${position}`),
      )
      return referenceLoss(logits, labels, labelSmoothing)
    }, [...variables.values()])
    for (const [key, variable] of variables) {
      gradients.set(key, (grads[variable.name] as tf.Tensor).dataSync() as Float32Array)
      variable.dispose()
    }
    return value.dataSync()[0] as number
  })
  return { loss, gradients }
}

export { referenceGradients }
