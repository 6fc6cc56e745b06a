// Small layer graphs for the executor's tests: a builder that tracks shapes and collects weight specs.

import * as tf from '@tensorflow/tfjs-core'

import type { Branch, Combination, Layer, LayerGraph, PrimitiveLayer, Shape, WeightSpec } from '../../search-space/layer-graph.ts'
import {
  type Activation,
  type Choice,
  createRandom,
  createSpace,
  layerShape,
  seedState,
  type Space,
  networkWeights,
} from '../../search-space/index.ts'

type Built = { readonly graph: LayerGraph; readonly specs: readonly WeightSpec[] }

type Builder = {
  readonly specs: readonly WeightSpec[]
  readonly layers: readonly Layer[]
  /** Id of the layer added last: what the next one reads unless told otherwise. */
  readonly last: string
  conv(id: string, channels: number, kernel?: number, stride?: number, input?: string): Builder
  depthwise(id: string, kernel: number, stride?: number, input?: string): Builder
  norm(id: string, input?: string): Builder
  activation(id: string, activation: Activation, input?: string): Builder
  relu6(id: string, input?: string): Builder
  add(id: string, a: string, b: string): Builder
  concat(id: string, ...inputs: string[]): Builder
  /** Padded by half the kernel where that is odd, else not at all. */
  pool(id: string, mode: 'max' | 'average', kernel: number, stride: number, input?: string): Builder
  globalPool(id: string, input?: string): Builder
  linear(id: string, outputs: number, input?: string): Builder
  zero(id: string, shape: Shape, input?: string): Builder
  /** MBConv: expand, depthwise, project, each normalised; with a residual add where shapes allow. */
  mbconv(id: string, channels: number, expand: number, kernel: number, stride?: number, residual?: boolean): Builder
  mixed(id: string, block: number, active: number, branches: readonly ((branch: Builder) => unknown)[], combination?: Combination): Builder
  build(): Built
}

function strided([height, width]: Shape, stride: number, channels: number): Shape {
  return [Math.ceil(height / stride), Math.ceil(width / stride), channels]
}

function createBuilder(inputShape: Shape, inputId = 'input'): Builder {
  const layers: Layer[] = [{ kind: 'input', id: inputId, shape: inputShape }]
  const shapes = new Map<string, Shape>([[inputId, inputShape]])
  const specs: WeightSpec[] = []
  let last = inputId

  const push = (layer: Layer) => {
    layers.push(layer)
    shapes.set(layer.id, layer.shape)
    last = layer.id
    return builder
  }
  const shapeOf = (id: string) => shapes.get(id) as Shape
  const weight = (key: string, shape: number[], initialiser: WeightSpec['initialiser'], decay: boolean) => {
    specs.push({ key, shape, initialiser, decay })
    return key
  }
  const builder: Builder = {
    specs,
    layers,
    get last() {
      return last
    },
    conv(id: string, channels: number, kernel = 1, stride = 1, input = last) {
      const inChannels = shapeOf(input)[2]
      const initialiser = { kind: 'he-normal-fan-out', fanOut: kernel * kernel * channels } as const
      const filter = weight(`${id}/filter`, [kernel, kernel, inChannels, channels], initialiser, true)
      return push({ kind: 'conv2d', id, input, kernel, stride, filter, shape: strided(shapeOf(input), stride, channels) })
    },
    depthwise(id: string, kernel: number, stride = 1, input = last) {
      const channels = shapeOf(input)[2]
      const initialiser = { kind: 'he-normal-fan-out', fanOut: kernel * kernel } as const
      const filter = weight(`${id}/filter`, [kernel, kernel, channels, 1], initialiser, true)
      return push({ kind: 'depthwiseConv2d', id, input, kernel, stride, filter, shape: strided(shapeOf(input), stride, channels) })
    },
    norm(id: string, input = last) {
      const channels = shapeOf(input)[2]
      // Not ones and zeros: a test should notice a gamma or beta that is left out.
      const gamma = weight(`${id}/gamma`, [channels], { kind: 'uniform-fan-in', fanIn: 1 }, false)
      const beta = weight(`${id}/beta`, [channels], { kind: 'uniform-fan-in', fanIn: 1 }, false)
      return push({ kind: 'batchNorm', id, input, gamma, beta, epsilon: 1e-3, shape: shapeOf(input) })
    },
    relu6(id: string, input = last) {
      return builder.activation(id, 'relu6', input)
    },
    activation(id: string, activation: Activation, input = last) {
      return push({ kind: 'activation', id, input, activation, shape: shapeOf(input) })
    },
    add(id: string, a: string, b: string) {
      return push({ kind: 'add', id, inputs: [a, b], shape: shapeOf(a) })
    },
    concat(id: string, ...inputs: string[]) {
      const [height, width] = shapeOf(inputs[0] as string)
      const channels = inputs.reduce((sum, input) => sum + shapeOf(input)[2], 0)
      return push({ kind: 'concat', id, inputs, shape: [height, width, channels] })
    },
    pool(id: string, mode: 'max' | 'average', kernel: number, stride: number, input = last) {
      const padding = kernel % 2 === 1 ? (kernel - 1) / 2 : 0
      const layer: PrimitiveLayer = { kind: 'pool', id, input, mode, kernel, stride, padding, shape: shapeOf(input) }
      return push({ ...layer, shape: layerShape(layer, [shapeOf(input)]) })
    },
    globalPool(id: string, input = last) {
      return push({ kind: 'globalAveragePool', id, input, shape: [1, 1, shapeOf(input)[2]] })
    },
    linear(id: string, outputs: number, input = last) {
      const [height, width, channels] = shapeOf(input)
      const inputs = height * width * channels
      const weights = weight(`${id}/weights`, [inputs, outputs], { kind: 'uniform-fan-in', fanIn: inputs }, true)
      const bias = weight(`${id}/bias`, [outputs], { kind: 'uniform-fan-in', fanIn: inputs }, false)
      return push({ kind: 'linear', id, input, weights, bias, shape: [1, 1, outputs] })
    },
    zero(id: string, shape: Shape, input = last) {
      return push({ kind: 'zero', id, input, shape })
    },
    mbconv(id, channels, expand, kernel, stride = 1, residual = true) {
      const input = last
      const inChannels = shapeOf(input)[2]
      if (expand > 1)
        builder
          .conv(`${id}/expand`, inChannels * expand)
          .norm(`${id}/expand-bn`)
          .relu6(`${id}/expand-relu`)
      builder.depthwise(`${id}/depthwise`, kernel, stride).norm(`${id}/depthwise-bn`).relu6(`${id}/depthwise-relu`)
      builder.conv(`${id}/project`, channels).norm(`${id}/project-bn`)
      if (residual && stride === 1 && channels === inChannels) builder.add(`${id}/add`, last, input)
      return builder
    },
    mixed(id, block, active, branches, combination) {
      const input = last
      const made = branches.map((build, operation): Branch => {
        const branch = createBuilder(shapeOf(input), input)
        build(branch)
        specs.push(...branch.specs)
        return { operation, layers: branch.layers.slice(1), output: branch.last }
      })
      const first = made.map((branch) => branch.layers.at(-1)).find((layer) => layer !== undefined)
      const shape = first?.shape ?? shapeOf(input)
      return push({ kind: 'mixed', id, input, block, active, branches: made, shape, ...(combination && { combination }) })
    },
    build: (): Built => ({ graph: { layers }, specs }),
  }
  return builder
}

/** The network of a space's choices, with the weights that it reads. */
function buildOf(space: Space, choices: readonly Choice[]): Built {
  const graph = space.network(choices)
  return { graph, specs: [...networkWeights(graph).values()] }
}

/** Images of 9×9×3; Identity projects with stride 2 in block 0, skips block 1 and projects with stride 1 in block 2. */
const identitySpace = createSpace({
  name: 'identities',
  input: [9, 9, 3],
  classes: 3,
  widthMult: 1,
  stem: { width: 6, stride: 1 },
  firstBlock: null,
  stages: [
    { width: 8, cells: 2, stride: 2 },
    { width: 12, cells: 1, stride: 1 },
  ],
  operations: ['identity', { expansion: 3, kernel: 3 }, { expansion: 2, kernel: 5 }],
  headWidth: 16,
  batchNormEpsilon: 1e-5,
})

/** Normally distributed images and labels that cycle through the classes. */
function randomBatch(batch: number, [height, width, channels]: Shape, classes: number, seed = 1) {
  const random = createRandom(seedState('test-batch', seed))
  const values = Float32Array.from({ length: batch * height * width * channels }, () => random.normal())
  return {
    images: () => tf.tensor4d(values.slice(), [batch, height, width, channels]),
    labels: Int32Array.from({ length: batch }, (_, index) => index % classes),
  }
}

export { type Builder, buildOf, type Built, createBuilder, identitySpace, randomBatch }
