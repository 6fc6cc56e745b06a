// What is at the places of a network of DARTS: layers and names of what is measured. A convolution is ReLU, convolution, batch-norm. As in the
// authors' code, poolings have no batch-norm in the network that is trained in the end; here they have none while searching either, and
// batch-norms have gamma and beta in both.

import type { LatencyOperation } from '../../latency-key.ts'
import type { Shape } from '../../layer-graph.ts'
import { createPartWriter, type Written } from '../part-writer.ts'
import type { DartsOperation } from './config.ts'

const STEM_KERNEL = 3
const POOL_KERNEL = 3
/** Of `dil_conv_3x3` and `dil_conv_5x5`. */
const DILATION = 2

type Writer = ReturnType<typeof createPartWriter>

function reluConvNorm(writer: Writer, name: string, input: string, shape: Shape): string {
  return writer.norm(name, writer.conv(name, writer.activate(name, input, 'relu'), 1, 1, shape))
}

/** Half of the channels from the pixels of even rows and columns, half from those of odd ones: FactorizedReduce. */
function factorizedReduce(writer: Writer, input: string, [height, width, channels]: Shape): string {
  const active = writer.activate('reduce', input, 'relu')
  const [rows, columns, from] = writer.shapeOf(active)
  const half: Shape = [height, width, channels / 2]
  const odd = writer.push({ kind: 'crop', id: writer.named('odd'), input: active, top: 1, left: 1, shape: [rows - 1, columns - 1, from] })
  const halves = [writer.conv('conv_1', active, 1, 2, half), writer.conv('conv_2', odd, 1, 2, half)]
  return writer.norm(
    'reduce',
    writer.push({ kind: 'concat', id: writer.named('halves'), inputs: halves, shape: [height, width, channels] }),
  )
}

/** ReLU, depthwise convolution, 1×1 convolution, batch-norm. */
function depthwiseSeparable(writer: Writer, name: string, input: string, kernel: number, shape: Shape, dilation?: number): string {
  const active = writer.activate(name, input, 'relu')
  const stride = writer.shapeOf(active)[0] / shape[0]
  const depthwise = writer.depthwise(`${name}.depthwise`, active, kernel, stride, shape, dilation)
  return writer.norm(name, writer.conv(`${name}.pointwise`, depthwise, 1, 1, shape))
}

function poolOf(writer: Writer, mode: 'max' | 'average', input: string, shape: Shape): string {
  const stride = writer.shapeOf(input)[0] / shape[0]
  return writer.push({ kind: 'pool', id: writer.named('pool'), input, mode, kernel: POOL_KERNEL, stride, shape })
}

/** One image like another, or half as high and wide. */
function isSame(from: Shape, shape: Shape): boolean {
  return from[0] === shape[0]
}

/** An edge; where `shape` is half of `from`, it has a stride of 2. */
function writeOperation(prefix: string, operation: DartsOperation, input: string, from: Shape, shape: Shape, epsilon: number): Written {
  const writer = createPartWriter(prefix, from, epsilon)
  switch (operation) {
    case 'none':
      return writer.done(writer.push({ kind: 'zero', id: writer.named('none'), input, shape }))
    case 'skip_connect':
      return writer.done(isSame(from, shape) ? input : factorizedReduce(writer, input, shape))
    case 'max_pool_3x3':
      return writer.done(poolOf(writer, 'max', input, shape))
    case 'avg_pool_3x3':
      return writer.done(poolOf(writer, 'average', input, shape))
    case 'sep_conv_3x3':
    case 'sep_conv_5x5': {
      const kernel = operation === 'sep_conv_3x3' ? 3 : 5
      return writer.done(depthwiseSeparable(writer, 'b', depthwiseSeparable(writer, 'a', input, kernel, shape), kernel, shape))
    }
    case 'dil_conv_3x3':
    case 'dil_conv_5x5':
      return writer.done(depthwiseSeparable(writer, 'a', input, operation === 'dil_conv_3x3' ? 3 : 5, shape, DILATION))
    default:
      return operation satisfies never
  }
}

function operationKey(operation: DartsOperation, from: Shape, shape: Shape): LatencyOperation | null {
  const window = (kernel: number) => ({ input: from, output: shape, kernel, stride: isSame(from, shape) ? 1 : 2 })
  switch (operation) {
    case 'none':
      return null
    case 'skip_connect':
      return isSame(from, shape) ? null : { type: 'FactorizedReduce', input: from, output: shape }
    case 'max_pool_3x3':
      return { type: 'MaxPool', ...window(POOL_KERNEL) }
    case 'avg_pool_3x3':
      return { type: 'AvgPool', ...window(POOL_KERNEL) }
    case 'sep_conv_3x3':
      return { type: 'SepConv', ...window(3) }
    case 'sep_conv_5x5':
      return { type: 'SepConv', ...window(5) }
    case 'dil_conv_3x3':
      return { type: 'DilConv', ...window(3) }
    case 'dil_conv_5x5':
      return { type: 'DilConv', ...window(5) }
    default:
      return operation satisfies never
  }
}

function writeStem(input: string, from: Shape, shape: Shape, epsilon: number): Written {
  const writer = createPartWriter('stem', from, epsilon)
  return writer.done(writer.norm('conv', writer.conv('conv', input, STEM_KERNEL, 1, shape)))
}

/** What makes an earlier cell's output an input of this one: its channels and, where a cell between has halved the image, its size. */
function writePreprocess(prefix: string, input: string, from: Shape, shape: Shape, epsilon: number): Written {
  const writer = createPartWriter(prefix, from, epsilon)
  return writer.done(isSame(from, shape) ? reluConvNorm(writer, 'conv', input, shape) : factorizedReduce(writer, input, shape))
}

function preprocessKey(from: Shape, shape: Shape): LatencyOperation {
  return isSame(from, shape)
    ? { type: 'ReluConvNorm', input: from, output: shape, kernel: 1, stride: 1 }
    : { type: 'FactorizedReduce', input: from, output: shape }
}

function writeHead(input: string, from: Shape, classes: number, epsilon: number): Written {
  const writer = createPartWriter('head', from, epsilon)
  return writer.done(writer.classifier(input, classes))
}

export { operationKey, preprocessKey, STEM_KERNEL, writeHead, writeOperation, writePreprocess, writeStem }
