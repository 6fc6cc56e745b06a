// Runs a network for prediction only, on TensorFlow.js's fused operations: what latency is measured on, and what a
// derived network is served with. Works for a single operation's layers as well.

import * as tf from '@tensorflow/tfjs-core'

import type { LayerGraph, Shape } from '../../search-space/layer-graph.ts'
import { centredPadding } from '../kernels/padding.ts'
import { foldBatchNorm, type FusedStep, type WeightValues } from './fold-batch-norm.ts'
import type { ChannelStatistics } from './layers.ts'

type InferenceOptions = {
  readonly graph: LayerGraph
  /** Values by weight key, row-major; copied. */
  readonly weights: WeightValues
  /** By gamma key; without them mean 0 and variance 1, good enough to measure time. */
  readonly statistics?: ReadonlyMap<string, ChannelStatistics>
}

type Inference = {
  /** Without the batch dimension. */
  readonly inputShape: Shape
  /** [batch, h, w, c] to the graph's output, [batch, ...its shape]; the result is the caller's to dispose. */
  run(images: tf.Tensor4D): tf.Tensor4D
  dispose(): void
}

type PreparedStep = {
  readonly step: FusedStep
  run(inputs: readonly tf.Tensor4D[]): tf.Tensor4D
  readonly owned: readonly tf.Tensor[]
}

/** As training pads (kernels/padding.ts), in a form that every backend's fused operations take. */
function paddingOf({ stride, filterShape }: { stride: number; filterShape: readonly number[] }): 'same' {
  if (stride === 1) return 'same'
  const padding = centredPadding(filterShape[0] as number)
  const sides = [padding, padding]
  // TensorFlow.js computes with explicit padding for both kinds of convolution, but declares it for one only.
  return [[0, 0], sides, sides, [0, 0]] as unknown as 'same'
}

/** Uploads a step's constants once. */
function prepare(step: FusedStep): PreparedStep {
  switch (step.kind) {
    case 'conv2d':
    case 'depthwiseConv2d': {
      const filter = tf.keep(tf.tensor4d(step.filter.slice(), [...step.filterShape]))
      const bias = tf.keep(tf.tensor1d(step.bias.slice()))
      const fixed = { filter, bias, strides: step.stride, pad: paddingOf(step), activation: step.activation }
      const operation = step.kind === 'conv2d' ? tf.fused.conv2d : tf.fused.depthwiseConv2d
      return { step, owned: [filter, bias], run: ([x]) => operation({ x: x as tf.Tensor4D, ...fixed }) }
    }
    case 'scale': {
      const scale = tf.keep(tf.tensor1d(step.scale.slice()))
      const offset = tf.keep(tf.tensor1d(step.offset.slice()))
      const apply = (x: tf.Tensor4D) => {
        const y = tf.add<tf.Tensor4D>(tf.mul(x, scale), offset)
        return step.activation === 'relu6' ? tf.relu6(y) : y
      }
      return { step, owned: [scale, offset], run: ([x]) => apply(x as tf.Tensor4D) }
    }
    case 'linear': {
      const outputs = step.shape[2]
      const weights = tf.keep(tf.tensor2d(step.weights.slice(), [step.weights.length / outputs, outputs]))
      const bias = tf.keep(tf.tensor1d(step.bias.slice()))
      const apply = (x: tf.Tensor4D) => {
        const rows = tf.reshape(x, [x.shape[0], x.size / x.shape[0]]) as tf.Tensor2D
        const product = tf.fused.matMul({ a: rows, b: weights, bias })
        return tf.reshape(product, [x.shape[0], 1, 1, outputs]) as tf.Tensor4D
      }
      return { step, owned: [weights, bias], run: ([x]) => apply(x as tf.Tensor4D) }
    }
    default:
      return { step, owned: [], run: (inputs) => runPlain(step, inputs) }
  }
}

function runPlain(
  step: Extract<FusedStep, { kind: 'pool' | 'relu6' | 'add' | 'concat' | 'globalAveragePool' | 'zero' }>,
  inputs: readonly tf.Tensor4D[],
): tf.Tensor4D {
  const x = inputs[0] as tf.Tensor4D
  switch (step.kind) {
    case 'pool':
      return (step.mode === 'max' ? tf.maxPool : tf.avgPool)(x, step.kernel, step.stride, 'same')
    case 'relu6':
      return tf.relu6(x)
    case 'add':
      return tf.add(x, inputs[1] as tf.Tensor4D)
    case 'concat':
      return tf.concat([...inputs], 3)
    case 'globalAveragePool':
      return tf.mean(x, [1, 2], true)
    case 'zero':
      return tf.zeros([x.shape[0], ...step.shape])
    default:
      return step satisfies never
  }
}

/** Folds and uploads a graph for the active backend. */
function createInference({ graph, weights, statistics }: InferenceOptions): Inference {
  const network = foldBatchNorm(graph, weights, statistics)
  const prepared = network.steps.map(prepare)
  const lastReader = new Map<string, number>()
  for (const [index, { step }] of prepared.entries()) {
    for (const id of step.inputs) lastReader.set(id, index)
  }
  return {
    inputShape: network.inputShape,
    run(images) {
      return tf.tidy(() => {
        const values = new Map<string, tf.Tensor4D>([[network.input, images]])
        for (const [index, { step, run }] of prepared.entries()) {
          values.set(step.id, run(step.inputs.map((id) => values.get(id) as tf.Tensor4D)))
          for (const id of new Set(step.inputs)) {
            // Freed as early as a deployed network would free them: peak memory is part of what is measured.
            const done = lastReader.get(id) === index && id !== network.output && id !== network.input
            if (done) values.get(id)?.dispose()
          }
        }
        // A clone where the graph ends in its own input: the caller disposes the result.
        return network.output === network.input ? tf.clone(images) : (values.get(network.output) as tf.Tensor4D)
      })
    },
    dispose() {
      for (const { owned } of prepared) tf.dispose([...owned])
    },
  }
}

export { createInference, type Inference, type InferenceOptions }
