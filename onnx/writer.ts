// Collects nodes and constants of one graph, under names that do not meet.

import type { InferenceNetwork } from '../engine/executor/index.ts'
import { attributeTypes, dataTypes, type OnnxAttribute, type OnnxNode, type OnnxTensor } from './schema.ts'

const int = (name: string, i: number): OnnxAttribute => ({ name, type: attributeTypes.int, i })
const ints = (name: string, values: readonly number[]): OnnxAttribute => ({ name, type: attributeTypes.ints, ints: values })
const float = (name: string, f: number): OnnxAttribute => ({ name, type: attributeTypes.float, f })

class OnnxWriter {
  readonly nodes: OnnxNode[] = []
  readonly constants = new Map<string, OnnxTensor>()
  readonly #tensorNames: ReadonlyMap<string, string>
  readonly #output: string

  /** `inputName` is that of the tensor which the network's first steps read. */
  constructor(network: InferenceNetwork, inputName: string, outputName: string, taken: readonly string[] = []) {
    const names = new Map([[network.input, inputName]])
    const used = new Set([inputName, outputName, ...taken])
    for (const { id } of network.steps) {
      let name = id
      while (used.has(name)) name += '_'
      used.add(name)
      names.set(id, id === network.output ? outputName : name)
    }
    this.#tensorNames = names
    this.#output = network.output
  }

  /** What a step's output, or the input, is called in the file. */
  tensor(id: string): string {
    const name = this.#tensorNames.get(id)
    if (name === undefined) throw new Error(`no step of the network makes ${id}`)
    return name
  }

  isOutput(id: string): boolean {
    return id === this.#output
  }

  floats(name: string, dims: readonly number[], values: Float32Array): string {
    return this.#constant(name, 'float', dims, values)
  }

  int64s(name: string, values: readonly number[]): string {
    return this.#constant(name, 'int64', [values.length], BigInt64Array.from(values, BigInt))
  }

  /** Returns the name of the output. */
  node(opType: string, name: string, input: readonly string[], output: string, attribute: readonly OnnxAttribute[] = []): string {
    this.nodes.push({ opType, name, input, output: [output], attribute })
    return output
  }

  #constant(name: string, type: 'float' | 'int64', dims: readonly number[], values: Float32Array | BigInt64Array): string {
    // Typed arrays are little-endian on everything that runs JavaScript today, as ONNX wants it.
    const rawData = new Uint8Array(values.buffer, values.byteOffset, values.byteLength)
    this.constants.set(name, { name, dims, dataType: dataTypes[type], rawData })
    return name
  }
}

export { float, int, ints, OnnxWriter }
