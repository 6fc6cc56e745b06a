// Layers and weights of one part of a network, in the names that all families have: below the part's prefix each layer is called by its
// own name, a convolution's filter `name.filter`, its batch-norm `name.norm` with `name.gamma` and `name.beta`, its activation `name.relu`
// for ReLU and ReLU6, else `name.` and what it is called, a linear layer's matrix `name.weights` and `name.bias`.

import type { PrimitiveLayer, Shape, WeightSpec } from '../layer-graph.ts'
import type { Activation } from '../layers/activation.ts'
import { layerInputs, layerWeights } from '../layers/index.ts'

type Written = {
  readonly layers: readonly PrimitiveLayer[]
  readonly weightSpecs: readonly WeightSpec[]
  readonly output: string
  readonly shape: Shape
}

/** @param from shape of whatever the part reads that it has not written itself */
function createPartWriter(prefix: string, from: Shape, epsilon: number) {
  const layers: PrimitiveLayer[] = []
  const weightSpecs: WeightSpec[] = []
  const shapes = new Map<string, Shape>()
  const named = (name: string) => `${prefix}/${name}`
  const shapeOf = (id: string): Shape => shapes.get(id) ?? from
  /** Returns the layer's id. */
  const push = (layer: PrimitiveLayer): string => {
    layers.push(layer)
    weightSpecs.push(...Object.values(layerWeights(layer, layerInputs(layer).map(shapeOf))))
    shapes.set(layer.id, layer.shape)
    return layer.id
  }
  const linear = (name: string, input: string, outputs: number) =>
    push({
      kind: 'linear',
      id: named(name),
      input,
      weights: named(`${name}.weights`),
      bias: named(`${name}.bias`),
      shape: [1, 1, outputs],
    })
  return {
    push,
    named,
    shapeOf,
    conv: (name: string, input: string, kernel: number, stride: number, shape: Shape) =>
      push({ kind: 'conv2d', id: named(name), input, kernel, stride, filter: named(`${name}.filter`), shape }),
    depthwise: (name: string, input: string, kernel: number, stride: number, shape: Shape, dilation?: number) => {
      const dilated = dilation === undefined ? {} : { dilation }
      return push({ kind: 'depthwiseConv2d', id: named(name), input, kernel, stride, ...dilated, filter: named(`${name}.filter`), shape })
    },
    norm: (name: string, input: string) =>
      push({
        kind: 'batchNorm',
        id: named(`${name}.norm`),
        input,
        gamma: named(`${name}.gamma`),
        beta: named(`${name}.beta`),
        epsilon,
        shape: shapeOf(input),
      }),
    activate: (name: string, input: string, activation: Activation) =>
      push({
        kind: 'activation',
        id: named(`${name}.${activation === 'relu6' ? 'relu' : activation}`),
        input,
        activation,
        shape: shapeOf(input),
      }),
    pool: (name: string, input: string) => push({ kind: 'globalAveragePool', id: named(name), input, shape: [1, 1, shapeOf(input)[2]] }),
    linear,
    /** The mean over each channel, and a linear layer. */
    classifier(input: string, classes: number): string {
      const pooled = push({ kind: 'globalAveragePool', id: named('pool'), input, shape: [1, 1, shapeOf(input)[2]] })
      return linear('linear', pooled, classes)
    },
    done: (output: string): Written => ({ layers, weightSpecs, output, shape: shapeOf(output) }),
  }
}

export { createPartWriter, type Written }
