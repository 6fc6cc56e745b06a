// A network for inference as an ONNX file: batch-norms folded, NCHW as ONNX has it, one node per step and one more for a
// ReLU6 behind it, so that runtimes find the pairs that they fuse (Conv and Clip).
//
// Layer graphs are NHWC with filters [height, width, in, out]; ONNX wants [out, in, height, width]. A linear layer that
// reads a picture reads it channel by channel there, so its rows change places too. Only data that is written changes
// order: no Transpose node is left in the network.
//
// A convolution pads floor(kernel / 2) on each side, a pooling as little as its output needs, the odd one at the end, and
// padding does not count in averages.

import type { FusedNetwork, FusedStep } from '../engine/executor/index.ts'
import { attributeTypes, dataTypes, encodeOnnx, type OnnxAttribute, type OnnxNode, type OnnxTensor, type OnnxValueInfo } from './schema.ts'

/** Of 2022: new enough for every node used here, and old enough for runtimes on phones. */
const OPSET = 17
/** The file format's version that came with that opset. */
const IR_VERSION = 8

type OnnxOptions = {
  /** Of the graph; for people. */
  readonly name: string
  /** Images in one run, or the name of a dimension that every run chooses anew. */
  readonly batch: number | string
  /** Of the tensor that goes in, [batch, channels, height, width]; default `input`. */
  readonly inputName?: string
  /** Of the tensor that comes out, [batch, channels, height, width], or [batch, classes] behind a linear layer; default `output`. */
  readonly outputName?: string
  /** Kept in the file as texts by name. */
  readonly metadata?: Readonly<Record<string, string>>
}

type Shape = FusedStep['shape']
type StepOf<Kind extends FusedStep['kind']> = Extract<FusedStep, { kind: Kind }>

const int = (name: string, i: number): OnnxAttribute => ({ name, type: attributeTypes.int, i })
const ints = (name: string, values: readonly number[]): OnnxAttribute => ({ name, type: attributeTypes.ints, ints: values })

/** `values[a][b]` to `values[b][a]`, each element a run of `length` numbers. */
function swapAxes(values: Float32Array, a: number, b: number, length = 1): Float32Array {
  const swapped = new Float32Array(values.length)
  for (let i = 0; i < a; i++) {
    for (let j = 0; j < b; j++) {
      const from = (i * b + j) * length
      const to = (j * a + i) * length
      for (let k = 0; k < length; k++) swapped[to + k] = values[from + k] as number
    }
  }
  return swapped
}

/** [height, width, in, out] to [out, in, height, width]; [height, width, channels, 1] to [channels, 1, height, width]. */
function transposeFilter({ kind, filter, filterShape: [height, width, inputs, outputs] }: StepOf<'conv2d' | 'depthwiseConv2d'>) {
  const taps = height * width
  if (kind === 'depthwiseConv2d') return { values: swapAxes(filter, taps, inputs), dims: [inputs, 1, height, width] }
  const outermost = swapAxes(filter, taps * inputs, outputs)
  const values = new Float32Array(filter.length)
  const size = taps * inputs
  for (let o = 0; o < outputs; o++) values.set(swapAxes(outermost.subarray(o * size, (o + 1) * size), taps, inputs), o * size)
  return { values, dims: [outputs, inputs, height, width] }
}

/** Padding before and after, with which a pooling over `from` values gives `to`. */
function poolPadding(from: number, to: number, kernel: number, stride: number): [before: number, after: number] {
  const total = Math.max(0, (to - 1) * stride + kernel - from)
  return [Math.floor(total / 2), Math.ceil(total / 2)]
}

/** Collects nodes and constants of one graph. */
class GraphWriter {
  readonly nodes: OnnxNode[] = []
  readonly constants = new Map<string, OnnxTensor>()
  readonly #tensorNames: ReadonlyMap<string, string>
  readonly #shapes: ReadonlyMap<string, Shape>
  readonly #output: string

  constructor(network: FusedNetwork, inputName: string, outputName: string) {
    const names = new Map([[network.input, inputName]])
    const taken = new Set([inputName, outputName])
    for (const { id } of network.steps) {
      let name = id
      while (taken.has(name)) name += '_'
      taken.add(name)
      names.set(id, id === network.output ? outputName : name)
    }
    this.#tensorNames = names
    this.#shapes = new Map([[network.input, network.inputShape], ...network.steps.map(({ id, shape }) => [id, shape] as const)])
    this.#output = network.output
  }

  #tensor(id: string): string {
    const name = this.#tensorNames.get(id)
    if (name === undefined) throw new Error(`no step of the network makes ${id}`)
    return name
  }

  #constant(name: string, type: 'float' | 'int64', dims: readonly number[], values: Float32Array | BigInt64Array): string {
    // Typed arrays are little-endian on everything that runs JavaScript today, as ONNX wants it.
    const rawData = new Uint8Array(values.buffer, values.byteOffset, values.byteLength)
    this.constants.set(name, { name, dims, dataType: dataTypes[type], rawData })
    return name
  }

  #floats(name: string, dims: readonly number[], values: Float32Array): string {
    return this.#constant(name, 'float', dims, values)
  }

  #int64s(name: string, values: readonly number[]): string {
    return this.#constant(name, 'int64', [values.length], BigInt64Array.from(values, BigInt))
  }

  #node(opType: string, name: string, input: readonly string[], output: string, attribute: readonly OnnxAttribute[] = []): void {
    this.nodes.push({ opType, name, input, output: [output], attribute })
  }

  #clip(name: string, input: string, output: string): void {
    const bounds = [this.#floats('relu6/min', [], Float32Array.of(0)), this.#floats('relu6/max', [], Float32Array.of(6))]
    this.#node('Clip', name, [input, ...bounds], output)
  }

  /** Runs `write` with the place where its result goes, and clamps that if the step ends in a ReLU6. */
  #activated(step: StepOf<'conv2d' | 'depthwiseConv2d' | 'scale'>, write: (output: string) => void): void {
    const output = this.#tensor(step.id)
    if (step.activation === 'linear') return write(output)
    write(`${output}/before`)
    this.#clip(`${step.id}/clip`, `${output}/before`, output)
  }

  #convolution(step: StepOf<'conv2d' | 'depthwiseConv2d'>): void {
    const { id, stride, filterShape } = step
    const [height, width, inputs] = filterShape
    const { values, dims } = transposeFilter(step)
    const vertical = Math.floor(height / 2)
    const horizontal = Math.floor(width / 2)
    const filter = this.#floats(`${id}/filter`, dims, values)
    const bias = this.#floats(`${id}/bias`, [step.bias.length], step.bias)
    this.#activated(step, (output) =>
      this.#node('Conv', id, [this.#tensor(step.inputs[0] as string), filter, bias], output, [
        int('group', step.kind === 'depthwiseConv2d' ? inputs : 1),
        ints('kernel_shape', [height, width]),
        ints('pads', [vertical, horizontal, vertical, horizontal]),
        ints('strides', [stride, stride]),
      ]),
    )
  }

  #scale(step: StepOf<'scale'>): void {
    const { id, scale, offset } = step
    const dims = [scale.length, 1, 1]
    const product = `${id}/product`
    this.#node('Mul', `${id}/mul`, [this.#tensor(step.inputs[0] as string), this.#floats(`${id}/scale`, dims, scale)], product)
    const shift = this.#floats(`${id}/offset`, dims, offset)
    this.#activated(step, (output) => this.#node('Add', id, [product, shift], output))
  }

  #linear({ id, inputs: [input = ''], shape, weights, bias }: StepOf<'linear'>): void {
    const outputs = shape[2]
    const [height, width, channels] = this.#shapes.get(input) ?? [1, 1, weights.length / outputs]
    const rows = swapAxes(weights, height * width, channels, outputs)
    const flat = `${id}/flat`
    this.#node('Flatten', `${id}/flatten`, [this.#tensor(input)], flat, [int('axis', 1)])
    const constants = [
      this.#floats(`${id}/weights`, [height * width * channels, outputs], rows),
      this.#floats(`${id}/bias`, [outputs], bias),
    ]
    const output = this.#tensor(id)
    const isLast = id === this.#output
    const product = isLast ? output : `${id}/vector`
    this.#node('Gemm', id, [flat, ...constants], product)
    // Whatever reads it inside the network expects a picture of one pixel.
    if (!isLast) this.#node('Unsqueeze', `${id}/unsqueeze`, [product, this.#int64s('pixel', [2, 3])], output)
  }

  #pool({ id, inputs: [input = ''], shape, mode, kernel, stride }: StepOf<'pool'>): void {
    const from = this.#shapes.get(input) ?? shape
    const [top, bottom] = poolPadding(from[0], shape[0], kernel, stride)
    const [left, right] = poolPadding(from[1], shape[1], kernel, stride)
    this.#node(mode === 'max' ? 'MaxPool' : 'AveragePool', id, [this.#tensor(input)], this.#tensor(id), [
      ints('kernel_shape', [kernel, kernel]),
      ints('pads', [top, left, bottom, right]),
      ints('strides', [stride, stride]),
    ])
  }

  /** Zeros of the step's shape, as many as there are images. */
  #zero({ id, inputs: [input = ''], shape: [height, width, channels] }: Pick<FusedStep, 'id' | 'inputs' | 'shape'>): void {
    this.#node('Shape', `${id}/batch`, [this.#tensor(input)], `${id}/batch`, [int('start', 0), int('end', 1)])
    const sizes = this.#int64s(`${id}/sizes`, [channels, height, width])
    this.#node('Concat', `${id}/shape`, [`${id}/batch`, sizes], `${id}/shape`, [int('axis', 0)])
    this.#node('ConstantOfShape', id, [`${id}/shape`], this.#tensor(id))
  }

  /** The network that gives back what it gets. */
  identity(inputName: string, outputName: string): void {
    this.#node('Identity', 'identity', [inputName], outputName)
  }

  step(step: FusedStep): void {
    const { id, kind } = step
    const plain = (opType: string, attributes: readonly OnnxAttribute[] = []) =>
      this.#node(
        opType,
        id,
        step.inputs.map((input) => this.#tensor(input)),
        this.#tensor(id),
        attributes,
      )
    switch (kind) {
      case 'conv2d':
      case 'depthwiseConv2d':
        return this.#convolution(step)
      case 'scale':
        return this.#scale(step)
      case 'linear':
        return this.#linear(step)
      case 'pool':
        return this.#pool(step)
      case 'zero':
        return this.#zero(step)
      case 'relu6':
        return this.#clip(id, this.#tensor(step.inputs[0] as string), this.#tensor(id))
      case 'add':
        return plain('Add')
      case 'concat':
        return plain('Concat', [int('axis', 1)])
      case 'globalAveragePool':
        return plain('GlobalAveragePool')
      default:
        return kind satisfies never
    }
  }
}

function describeTensor(name: string, batch: number | string, sizes: readonly number[]): OnnxValueInfo {
  const first = typeof batch === 'number' ? { dimValue: batch } : { dimParam: batch }
  const dim = [first, ...sizes.map((dimValue) => ({ dimValue }))]
  return { name, type: { tensorType: { elemType: dataTypes.float, shape: { dim } } } }
}

/**
 * Bytes of an ONNX file for a network, with float32 weights. Input: [batch, channels, height, width]; output: the same of
 * the last step, or [batch, classes] where that is a linear layer. Throws Error for a step that reads what none before makes.
 */
function writeOnnx(
  network: FusedNetwork,
  { name, batch, inputName = 'input', outputName = 'output', metadata = {} }: OnnxOptions,
): Uint8Array {
  const writer = new GraphWriter(network, inputName, outputName)
  for (const step of network.steps) writer.step(step)
  if (network.output === network.input) writer.identity(inputName, outputName)
  const last = network.steps.find(({ id }) => id === network.output)
  const [height, width, channels] = network.inputShape
  const [outHeight, outWidth, outChannels] = last?.shape ?? network.inputShape
  return encodeOnnx({
    irVersion: IR_VERSION,
    producerName: 'gatehouse',
    graph: {
      name,
      node: writer.nodes,
      initializer: [...writer.constants.values()],
      input: [describeTensor(inputName, batch, [channels, height, width])],
      output: [describeTensor(outputName, batch, last?.kind === 'linear' ? [outChannels] : [outChannels, outHeight, outWidth])],
    },
    opsetImport: [{ domain: '', version: OPSET }],
    metadataProps: Object.entries(metadata).map(([key, value]) => ({ key, value })),
  })
}

export { type OnnxOptions, writeOnnx }
