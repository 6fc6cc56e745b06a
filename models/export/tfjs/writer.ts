// Collects layers and weights of a functional Keras topology; a weight's name is its layer's, a slash, and what Keras calls it.

import type { AnyInferenceStep, InferenceNetwork } from '../../../engine/executor/index.ts'

type KerasLayer = {
  readonly name: string
  readonly class_name: string
  readonly config: Readonly<Record<string, unknown>>
  readonly inbound_nodes: readonly (readonly (readonly [string, number, number, object])[])[]
}

type Config = Readonly<Record<string, unknown>>

type NormVectors = {
  readonly gamma: Float32Array
  readonly beta: Float32Array
  readonly mean: Float32Array
  readonly variance: Float32Array
}

/** Layer names may not have slashes, which separate a layer's name from its weight's. */
function layerName(id: string): string {
  return id.replaceAll('/', '_')
}

class TfjsWriter {
  readonly layers: KerasLayer[] = []
  readonly weights: { readonly name: string; readonly shape: readonly number[]; readonly values: Float32Array }[] = []
  readonly #names: ReadonlyMap<string, string>
  /** Layers that make vectors, [batch, n], where a layer graph has images of one pixel. */
  readonly #vectors = new Set<string>()
  readonly #added = new Set<string>()

  /** `first` is the layer that the network's first steps read. */
  constructor(network: InferenceNetwork, first: string) {
    this.#names = new Map([[network.input, first], ...network.steps.map(({ id }) => [id, layerName(id)] as const)])
  }

  /** The name of the layer whose output is a step's, or the input. */
  nameOf(id: string): string {
    const name = this.#names.get(id)
    if (name === undefined) throw new Error(`no step of the network makes ${id}`)
    return name
  }

  layer(className: string, name: string, inputs: readonly string[], config: Config): string {
    const inbound = inputs.length === 0 ? [] : [inputs.map((input) => [input, 0, 0, {}] as const)]
    this.layers.push({ name, class_name: className, config: { name, trainable: true, ...config }, inbound_nodes: inbound })
    return name
  }

  /** A layer whose output is a vector. */
  vectorLayer(className: string, name: string, inputs: readonly string[], config: Config): void {
    this.#vectors.add(this.layer(className, name, inputs, config))
  }

  weight(layer: string, name: string, shape: readonly number[], values: Float32Array): void {
    this.weights.push({ name: `${layer}/${name}`, shape, values })
  }

  /** The inputs of a step as images. */
  images({ inputs, inputShapes }: AnyInferenceStep): string[] {
    return inputs.map((id, index) => {
      const name = this.nameOf(id)
      if (!this.#vectors.has(name)) return name
      return this.#once(`${name}_image`, 'Reshape', name, { target_shape: [...(inputShapes[index] ?? [])] })
    })
  }

  /** The only input of a step as a vector, in the order height, width, channels. */
  vector({ inputs: [id = ''] }: AnyInferenceStep): string {
    const name = this.nameOf(id)
    return this.#vectors.has(name) ? name : this.#once(`${name}_flat`, 'Flatten', name, { data_format: 'channels_last' })
  }

  batchNorm(name: string, input: string, epsilon: number, { gamma, beta, mean, variance }: NormVectors): void {
    this.layer('BatchNormalization', name, [input], { axis: -1, momentum: 0.99, epsilon, center: true, scale: true })
    this.weight(name, 'gamma', [gamma.length], gamma)
    this.weight(name, 'beta', [beta.length], beta)
    this.weight(name, 'moving_mean', [mean.length], mean)
    this.weight(name, 'moving_variance', [variance.length], variance)
  }

  #once(name: string, className: string, input: string, config: Config): string {
    if (!this.#added.has(name)) this.layer(className, name, [input], config)
    this.#added.add(name)
    return name
  }
}

export { type KerasLayer, layerName, TfjsWriter }
