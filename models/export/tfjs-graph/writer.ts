// Collects the nodes and weights of a TensorFlow graph as TensorFlow.js reads it from JSON (tensorflow's GraphDef, in the JSON form of protocol
// buffers: 64-bit numbers as texts, bytes in base64).

import type { AnyInferenceStep, InferenceNetwork } from '../../../engine/executor/index.ts'

type Attribute =
  | { readonly type: string }
  | { readonly s: string }
  | { readonly i: string }
  | { readonly f: number }
  | { readonly b: boolean }
  | { readonly shape: { readonly dim: readonly { readonly size: string }[] } }
  | { readonly tensor: object }
  | { readonly list: { readonly i: readonly string[] } | { readonly s: readonly string[] } }
type Attributes = Readonly<Record<string, Attribute>>

type GraphNode = { readonly name: string; readonly op: string; readonly input: readonly string[]; readonly attr: Attributes }

type GraphWeight = { readonly name: string; readonly shape: readonly number[]; readonly values: Float32Array | Int32Array }

const base64 = (text: string) => Buffer.from(text, 'latin1').toString('base64')
const FLOAT = { type: 'DT_FLOAT' } as const

/** Attributes by what they hold. */
const attribute = {
  text: (value: string): Attribute => ({ s: base64(value) }),
  texts: (values: readonly string[]): Attribute => ({ list: { s: values.map(base64) } }),
  integer: (value: number): Attribute => ({ i: String(value) }),
  integers: (values: readonly number[]): Attribute => ({ list: { i: values.map(String) } }),
  float: (value: number): Attribute => ({ f: value }),
  flag: (value: boolean): Attribute => ({ b: value }),
  /** −1 for the batch. */
  shape: (sizes: readonly number[]): Attribute => ({ shape: dimensions(sizes) }),
}

function dimensions(sizes: readonly number[]): { dim: { size: string }[] } {
  return { dim: sizes.map((size) => ({ size: String(size) })) }
}

/** The name of a node may not begin with anything but a letter, a digit or a dot. */
function nodeName(id: string): string {
  return id.replaceAll(/[^A-Za-z0-9_./-]/g, '_')
}

class GraphWriter {
  readonly nodes: GraphNode[] = []
  readonly weights: GraphWeight[] = []
  readonly #names: ReadonlyMap<string, string>
  /** Nodes that make [batch, n] where a layer graph has images of one pixel. */
  readonly #vectors = new Set<string>()
  readonly #added = new Set<string>()

  /** `first` is the node that the network's first steps read. */
  constructor(network: InferenceNetwork, first: string) {
    this.#names = new Map([[network.input, first], ...network.steps.map(({ id }) => [id, nodeName(id)] as const)])
  }

  /** The name of the node whose output is a step's, or the input. */
  nameOf(id: string): string {
    const name = this.#names.get(id)
    if (name === undefined) throw new Error(`no step of the network makes ${id}`)
    return name
  }

  node(op: string, name: string, input: readonly string[], attr: Attributes = {}): string {
    this.nodes.push({ name, op, input, attr: { T: FLOAT, ...attr } })
    return name
  }

  /** A node whose output is [batch, n]. */
  vectorNode(op: string, name: string, input: readonly string[], attr: Attributes = {}): string {
    this.#vectors.add(name)
    return this.node(op, name, input, attr)
  }

  /** A weight as a node. */
  constant(name: string, shape: readonly number[], values: Float32Array | Int32Array): string {
    if (this.#added.has(name)) return name
    this.#added.add(name)
    const dtype = values instanceof Float32Array ? FLOAT.type : 'DT_INT32'
    this.weights.push({ name, shape, values })
    this.nodes.push({
      name,
      op: 'Const',
      input: [],
      attr: { dtype: { type: dtype }, value: { tensor: { dtype, tensorShape: dimensions(shape) } } },
    })
    return name
  }

  /** The inputs of a step as images. */
  images({ inputs, inputShapes }: AnyInferenceStep): string[] {
    return inputs.map((id, index) => {
      const name = this.nameOf(id)
      return this.#vectors.has(name) ? this.#reshaped(name, `${name}/image`, [-1, ...(inputShapes[index] ?? [])]) : name
    })
  }

  /** The only input of a step as a vector of `length` values, in the order height, width, channels. */
  vector({ inputs: [id = ''] }: AnyInferenceStep, length: number): string {
    const name = this.nameOf(id)
    return this.#vectors.has(name) ? name : this.#reshaped(name, `${name}/flat`, [-1, length])
  }

  #reshaped(input: string, name: string, shape: readonly number[]): string {
    if (this.#added.has(name)) return name
    this.#added.add(name)
    const sizes = this.constant(`${name}/shape`, [shape.length], Int32Array.from(shape))
    return this.node('Reshape', name, [input, sizes], { Tshape: { type: 'DT_INT32' } })
  }
}

export { attribute, dimensions, GraphWriter }
