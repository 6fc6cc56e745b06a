// A network for inference as an ONNX file, NCHW; layers/ writes the nodes of each kind of layer.

import type { InferenceNetwork } from '../engine/executor/index.ts'
import { requireRule } from '../search-space/layers/refusal.ts'
import { onnxRuleOf } from './layers/index.ts'
import { dataTypes, encodeOnnx, type OnnxValueInfo } from './schema.ts'
import { int, ints, OnnxWriter } from './writer.ts'

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
  /**
   * Mean and standard deviation of pixels, per channel. With it the input is uint8, or uint16 for 16 bits,
   * [batch, height, width, channels], as decoders give images, and the network begins with (pixel - mean) / std.
   */
  readonly pixels?: { readonly mean: Float32Array; readonly std: Float32Array; readonly bits: 8 | 16 }
  /** Kept in the file as texts by name. */
  readonly metadata?: Readonly<Record<string, string>>
  /** For people. */
  readonly description?: string
}

const NORMALISED = 'pixels/normalised'

/** Whole numbers, NHWC, to normalised float NCHW. */
function writePixels(writer: OnnxWriter, inputName: string, { mean, std }: NonNullable<OnnxOptions['pixels']>): void {
  const floats = writer.node('Cast', 'pixels/float', [inputName], 'pixels/float', [int('to', dataTypes.float)])
  const planes = writer.node('Transpose', 'pixels/planes', [floats], 'pixels/planes', [ints('perm', [0, 3, 1, 2])])
  const dims = [1, mean.length, 1, 1]
  const centred = writer.node('Sub', 'pixels/centred', [planes, writer.floats('pixels/mean', dims, mean)], 'pixels/centred')
  writer.node('Div', NORMALISED, [centred, writer.floats('pixels/std', dims, std)], NORMALISED)
}

function describeTensor(name: string, batch: number | string, sizes: readonly number[], elemType: number = dataTypes.float): OnnxValueInfo {
  const first = typeof batch === 'number' ? { dimValue: batch } : { dimParam: batch }
  const dim = [first, ...sizes.map((dimValue) => ({ dimValue }))]
  return { name, type: { tensorType: { elemType, shape: { dim } } } }
}

/**
 * Bytes of an ONNX file for a network, with float32 weights. Input: [batch, channels, height, width], unless `pixels` are asked for;
 * output: the same of the last step, or [batch, classes] where that is a linear layer. Throws RefusedLayerError for a layer that
 * has no form here, Error for a step that reads what none before makes.
 */
function writeOnnx(network: InferenceNetwork, options: OnnxOptions): Uint8Array {
  const { name, batch, inputName = 'input', outputName = 'output', pixels, metadata = {}, description } = options
  const writer = new OnnxWriter(network, pixels ? NORMALISED : inputName, outputName, [inputName])
  if (pixels) writePixels(writer, inputName, pixels)
  for (const step of network.steps) {
    requireRule(step, onnxRuleOf(step), 'ONNX').write(step, writer)
  }
  if (network.output === network.input) writer.node('Identity', 'identity', [writer.tensor(network.input)], outputName)
  const last = network.steps.find(({ id }) => id === network.output)
  const [height, width, channels] = network.inputShape
  const [outHeight, outWidth, outChannels] = last?.shape ?? network.inputShape
  return encodeOnnx({
    irVersion: IR_VERSION,
    producerName: 'gatehouse',
    ...(description === undefined ? {} : { docString: description }),
    graph: {
      name,
      node: writer.nodes,
      initializer: [...writer.constants.values()],
      input: [
        pixels
          ? describeTensor(inputName, batch, [height, width, channels], pixels.bits === 16 ? dataTypes.uint16 : dataTypes.uint8)
          : describeTensor(inputName, batch, [channels, height, width]),
      ],
      output: [describeTensor(outputName, batch, last?.kind === 'linear' ? [outChannels] : [outChannels, outHeight, outWidth])],
    },
    opsetImport: [{ domain: '', version: OPSET }],
    metadataProps: Object.entries(metadata).map(([key, value]) => ({ key, value })),
  })
}

export { type OnnxOptions, writeOnnx }
