// ONNX: nodes of the standard operator set, NCHW, batch dimension `batch`, input `input`, output `logits`.

import type { TrainedModel } from '../model-folder.ts'
import { type ConvolutionStep, exportNetwork, type ExportStep } from './export-network.ts'
import {
  attributeTypes,
  dataTypes,
  encodeOnnx,
  type OnnxAttribute,
  type OnnxNode,
  type OnnxTensor,
  type OnnxValueInfo,
} from '../../onnx/schema.ts'
import { describeModel, pixelStatistics } from './preprocessing.ts'
import { depthwiseToOihw, filterToOihw } from './reorder.ts'

/** Of ONNX 1.18. Later sets change no operator that is used here, and runtimes refuse sets newer than themselves. */
const OPSET = 23
const IR_VERSION = 11
const INPUT = 'input'
const OUTPUT = 'logits'
const RELU6_MAX = 6

type OnnxOptions = {
  /** Whether batch-norms are folded into the convolutions. */
  readonly fold: boolean
  /** Whether scaling and normalisation are nodes of the graph; the input is then uint8 and NHWC, as decoders give images. */
  readonly withPreprocessing: boolean
}

const int = (name: string, i: number): OnnxAttribute => ({ name, type: attributeTypes.int, i })
const ints = (name: string, values: readonly number[]): OnnxAttribute => ({ name, type: attributeTypes.ints, ints: values })
const float = (name: string, f: number): OnnxAttribute => ({ name, type: attributeTypes.float, f })

/** Collects nodes and the constants that they read. */
class GraphWriter {
  readonly nodes: OnnxNode[] = []
  readonly initializers: OnnxTensor[] = []

  constant(name: string, dims: readonly number[], values: Float32Array): string {
    const rawData = new Uint8Array(values.buffer, values.byteOffset, values.byteLength)
    this.initializers.push({ name, dims, dataType: dataTypes.float, rawData })
    return name
  }

  node(opType: string, name: string, input: readonly string[], output: string, attribute: readonly OnnxAttribute[] = []): string {
    this.nodes.push({ name, opType, input, output: [output], attribute })
    return output
  }
}

function writeConvolution(writer: GraphWriter, step: ConvolutionStep, input: string, output: string): void {
  const { id, isDepthwise, kernel, stride, padding, filter, filterShape, bias } = step
  const [, , inChannels, outChannels] = filterShape
  const dims = isDepthwise ? [inChannels, 1, kernel, kernel] : [outChannels, inChannels, kernel, kernel]
  const values = isDepthwise ? depthwiseToOihw(filter, filterShape) : filterToOihw(filter, filterShape)
  const inputs = [input, writer.constant(`${id}.weight`, dims, values)]
  if (bias) inputs.push(writer.constant(`${id}.bias`, [bias.length], bias))
  writer.node('Conv', id, inputs, output, [
    ints('kernel_shape', [kernel, kernel]),
    ints('strides', [stride, stride]),
    ints('pads', [padding, padding, padding, padding]),
    int('group', isDepthwise ? inChannels : 1),
  ])
}

function writeStep(writer: GraphWriter, step: ExportStep, valueOf: (id: string) => string): void {
  const { id } = step
  const inputs = step.inputs.map(valueOf)
  const [input = INPUT] = inputs
  const output = valueOf(id)
  switch (step.kind) {
    case 'convolution':
      return writeConvolution(writer, step, input, output)
    case 'batchNorm': {
      const parts = ['gamma', 'beta', 'mean', 'variance'] as const
      const constants = parts.map((part) => writer.constant(`${id}.${part}`, [step[part].length], step[part]))
      writer.node('BatchNormalization', id, [input, ...constants], output, [float('epsilon', step.epsilon)])
      return
    }
    case 'relu6':
      writer.node('Clip', id, [input, 'relu6.min', 'relu6.max'], output)
      return
    case 'add':
      writer.node('Add', id, inputs, output)
      return
    case 'globalAveragePool':
      writer.node('GlobalAveragePool', id, [input], output)
      return
    case 'linear': {
      const flat = writer.node('Flatten', `${id}.flatten`, [input], `${id}.flatten`, [int('axis', 1)])
      const weight = writer.constant(`${id}.weight`, [step.inFeatures, step.outFeatures], step.weights)
      const bias = writer.constant(`${id}.bias`, [step.outFeatures], step.bias)
      writer.node('Gemm', id, [flat, weight, bias], output)
      return
    }
    default:
      step satisfies never
  }
}

/** uint8 NHWC to normalised float NCHW. */
function writePreprocessing(writer: GraphWriter, model: TrainedModel): string {
  const { mean, std } = pixelStatistics(model)
  const floats = writer.node('Cast', 'pixels.float', [INPUT], 'pixels.float', [int('to', dataTypes.float)])
  const planes = writer.node('Transpose', 'pixels.planes', [floats], 'pixels.planes', [ints('perm', [0, 3, 1, 2])])
  const centred = writer.node(
    'Sub',
    'pixels.centred',
    [planes, writer.constant('pixels.mean', [1, mean.length, 1, 1], mean)],
    'pixels.centred',
  )
  return writer.node('Div', 'pixels.normalised', [centred, writer.constant('pixels.std', [1, std.length, 1, 1], std)], 'pixels.normalised')
}

function valueInfo(name: string, elemType: number, sizes: readonly number[]): OnnxValueInfo {
  const dim = [{ dimParam: 'batch' }, ...sizes.map((dimValue) => ({ dimValue }))]
  return { name, type: { tensorType: { elemType, shape: { dim } } } }
}

/** The bytes of an ONNX file. Throws ExportError for layers that it has no form for. */
function writeOnnx(model: TrainedModel, { fold, withPreprocessing }: OnnxOptions): Uint8Array {
  const network = exportNetwork(model, fold)
  const [height, width, channels] = network.inputShape
  const writer = new GraphWriter()
  writer.constant('relu6.min', [], Float32Array.of(0))
  writer.constant('relu6.max', [], Float32Array.of(RELU6_MAX))
  const first = withPreprocessing ? writePreprocessing(writer, model) : INPUT
  const valueOf = (id: string) => (id === network.input ? first : id === network.output ? OUTPUT : id)
  for (const step of network.steps) writeStep(writer, step, valueOf)
  const metadata = describeModel(model, { layout: withPreprocessing ? 'NHWC' : 'NCHW', isIncluded: withPreprocessing })
  return encodeOnnx({
    irVersion: IR_VERSION,
    producerName: 'gatehouse',
    docString: `${metadata['architecture']}. Preprocessing ${metadata['preprocessing']}.`,
    opsetImport: [{ domain: '', version: OPSET }],
    metadataProps: Object.entries(metadata).map(([key, value]) => ({ key, value })),
    graph: {
      name: model.space.name,
      node: writer.nodes,
      initializer: writer.initializers,
      input: [
        withPreprocessing
          ? valueInfo(INPUT, dataTypes.uint8, [height, width, channels])
          : valueInfo(INPUT, dataTypes.float, [channels, height, width]),
      ],
      output: [valueInfo(OUTPUT, dataTypes.float, [network.classes])],
    },
  })
}

export { type OnnxOptions, writeOnnx }
