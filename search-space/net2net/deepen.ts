// Net2DeeperNet (Chen, Goodfellow and Shlens 2016, section 2.3; Cai et al. 2018): behind a convolution with its batch-norm and its ReLU or
// ReLU6 comes another such three that compute the identity: a filter that is 1 at its centre from each channel to itself, and a
// batch-norm that undoes its own statistics,
//
//   gamma = √(variance + epsilon),   beta = mean
//
// A ReLU of what a ReLU has made changes nothing. Any mean and variance give the identity with running statistics. So that
// statistics of a batch give it too, about, they are those that the ReLU's outputs have if the batch-norm in front makes normal ones:
// of max(0, z) or min(6, max(0, z)), z normal with mean beta and deviation |gamma|.

import type { LayerOf, PrimitiveLayer, Shape } from '../layer-graph.ts'
import { layerInputs } from '../layers/index.ts'
import { Net2NetError } from './channel-maps.ts'
import { type GrownNetwork, type Values, weightOf } from './network.ts'

/** Of the numerical integral over ±6 deviations. */
const STEPS = 600
const REACH = 6
const RELU6_LIMIT = 6

type Three = {
  readonly conv: LayerOf<'conv2d'> | LayerOf<'depthwiseConv2d'>
  readonly norm: LayerOf<'batchNorm'>
  readonly activation: LayerOf<'activation'>
}

/** Mean and variance of a normal number between 0 and a limit. */
function rectifiedMoments(mean: number, deviation: number, limit: number): { mean: number; variance: number } {
  let [weight, first, second] = [0, 0, 0]
  for (let i = 0; i <= STEPS; i++) {
    const z = REACH * ((2 * i) / STEPS - 1)
    const p = Math.exp(-0.5 * z * z)
    const value = Math.min(limit, Math.max(0, mean + deviation * z))
    weight += p
    first += p * value
    second += p * value * value
  }
  return { mean: first / weight, variance: Math.max(0, second / weight - (first / weight) ** 2) }
}

/** The convolution, the batch-norm that alone reads it, and the activation that alone reads that. Throws Net2NetError. */
function threeAt(layers: readonly PrimitiveLayer[], id: string): Three {
  const conv = layers.find((layer) => layer.id === id)
  if (conv?.kind !== 'conv2d' && conv?.kind !== 'depthwiseConv2d') {
    throw new Net2NetError(`expected a convolution to go deeper behind, got ${conv ? `${id} (${conv.kind})` : id}`)
  }
  const soleReader = (of: string) => {
    const readers = layers.filter((layer) => layerInputs(layer).includes(of))
    return readers.length === 1 ? readers[0] : undefined
  }
  const norm = soleReader(id)
  const activation = norm && soleReader(norm.id)
  const clamps = activation?.kind === 'activation' && (activation.activation === 'relu' || activation.activation === 'relu6')
  if (norm?.kind !== 'batchNorm' || !clamps) {
    throw new Net2NetError(
      `expected a batch-norm and a ReLU or ReLU6 behind ${id}: without them no layer can be put in that changes nothing`,
    )
  }
  return { conv, norm, activation }
}

/** 1 at the centre of a square filter, from each channel to itself. */
function identityFilter(kind: Three['conv']['kind'], kernel: number, channels: number): Values {
  const centre = ((kernel - 1) / 2) * (kernel + 1)
  if (kind === 'depthwiseConv2d') {
    const values = new Float32Array(kernel ** 2 * channels)
    values.fill(1, centre * channels, (centre + 1) * channels)
    return { shape: [kernel, kernel, channels, 1], values }
  }
  const values = new Float32Array(kernel ** 2 * channels ** 2)
  for (let channel = 0; channel < channels; channel++) values[(centre * channels + channel) * channels + channel] = 1
  return { shape: [kernel, kernel, channels, channels], values }
}

/** A name that nothing in the network begins with. */
function freePrefix({ layers, weights }: GrownNetwork, id: string): string {
  const taken = [...layers.map((layer) => layer.id), ...weights.keys()]
  for (let number = 1; ; number++) {
    const prefix = `${id}.deeper${number}`
    if (!taken.some((name) => name.startsWith(`${prefix}.`) || name === prefix)) return prefix
  }
}

/**
 * The network with one convolution more behind the convolution `id`, of its kind, kernel and channels and of stride 1, with batch-norm and
 * activation. Throws Net2NetError where there is no such convolution, or no ReLU or ReLU6 behind it.
 */
function deepen(network: GrownNetwork, id: string): GrownNetwork {
  const { conv, norm, activation } = threeAt(network.layers, id)
  const { kernel, kind } = conv
  const shape: Shape = conv.shape
  const prefix = freePrefix(network, id)
  const keys = { filter: `${prefix}.filter`, gamma: `${prefix}.gamma`, beta: `${prefix}.beta` }
  const { values: gammas } = weightOf(network, norm.gamma)
  const { values: betas } = weightOf(network, norm.beta)
  const limit = activation.activation === 'relu6' ? RELU6_LIMIT : Number.POSITIVE_INFINITY
  const moments = Array.from(gammas, (gamma, channel) => rectifiedMoments(betas[channel] as number, Math.abs(gamma), limit))
  const mean = Float32Array.from(moments, (of) => of.mean)
  const variance = Float32Array.from(moments, (of) => of.variance)
  const added: PrimitiveLayer[] = [
    { kind, id: prefix, input: activation.id, kernel, stride: 1, filter: keys.filter, shape },
    { kind: 'batchNorm', id: `${prefix}.norm`, input: prefix, gamma: keys.gamma, beta: keys.beta, epsilon: norm.epsilon, shape },
    { kind: 'activation', id: `${prefix}.${activation.activation}`, input: `${prefix}.norm`, activation: activation.activation, shape },
  ]
  const output = `${prefix}.${activation.activation}`
  const redirect = (layer: PrimitiveLayer): PrimitiveLayer => {
    const moved = (of: string) => (of === activation.id ? output : of)
    if ('inputs' in layer) return { ...layer, inputs: layer.inputs.map(moved) } as PrimitiveLayer
    return 'input' in layer ? { ...layer, input: moved(layer.input) } : layer
  }
  const layers = network.layers.flatMap((layer) => (layer.id === activation.id ? [layer, ...added] : [redirect(layer)]))
  const vector = (values: Float32Array): Values => ({ shape: [shape[2]], values })
  const weights = new Map(network.weights)
    .set(keys.filter, identityFilter(kind, kernel, shape[2]))
    .set(keys.gamma, vector(variance.map((value) => Math.sqrt(value + norm.epsilon))))
    .set(keys.beta, vector(mean))
  return { layers, weights, statistics: new Map(network.statistics).set(keys.gamma, { mean, variance }) }
}

/** Ids of the convolutions that can be widened, as far as is known without trying, and of those that can be followed by another. */
function growable(layers: readonly PrimitiveLayer[]): { readonly widen: string[]; readonly deepen: string[] } {
  const canDeepen = (id: string) => {
    try {
      threeAt(layers, id)
      return true
    } catch (error) {
      if (error instanceof Net2NetError) return false
      throw error
    }
  }
  return {
    widen: layers.flatMap((layer) => (layer.kind === 'conv2d' && (layer.groups ?? 1) === 1 ? [layer.id] : [])),
    deepen: layers.flatMap((layer) => (canDeepen(layer.id) ? [layer.id] : [])),
  }
}

export { deepen, growable }
