// Registers the SIMD kernels for TensorFlow.js's `wasm` backend. Both modules share one memory: a tensor is handed over
// as its byte offset, looked up at every call because memory moves and grows under TensorFlow.js's hands.

import * as tf from '@tensorflow/tfjs-core'

import type { KernelModule } from './module.ts'
import { kernelNames, type NormaliseAttributes, type NormaliseGradAttributes, type SgdAttributes } from './operations.ts'
import { computeLoss } from './softmax-cross-entropy.ts'

/** The parts of tfjs-backend-wasm that the kernels use; its own types hide `asm`. */
type WasmBackend = {
  readonly wasm: {
    readonly asm: { readonly memory: WebAssembly.Memory }
    _malloc(bytes: number): number
    _free(offset: number): void
  }
  readonly dataIdMap: { get(dataId: object): { readonly memoryOffset: number } }
  incRef(dataId: object): void
  makeOutput(shape: readonly number[], dtype: 'float32'): tf.TensorInfo
  typedArrayFromHeap(info: tf.TensorInfo): Float32Array | Int32Array
}

type WasmKernel = (inputs: never, attributes: never, workspace: Workspace) => tf.TensorInfo | tf.TensorInfo[]

/** What one call of a kernel works with. */
type Workspace = {
  readonly module: KernelModule
  at(info: tf.TensorInfo): number
  make(shape: readonly number[]): tf.TensorInfo
  /** A second tensor on the same memory. */
  share(info: tf.TensorInfo): tf.TensorInfo
  /** A buffer of at least this many bytes, good until the next kernel asks for one. */
  scratch(bytes: number): number
  values(info: tf.TensorInfo): Float32Array | Int32Array
}

function createWorkspace(backend: WasmBackend, module: KernelModule): Workspace {
  let offset = 0
  let size = 0
  return {
    module,
    // `>>> 0`: offsets above 2 GiB come back negative.
    at: (info) => backend.dataIdMap.get(info.dataId).memoryOffset >>> 0,
    make: (shape) => backend.makeOutput(shape, 'float32'),
    share({ dataId, shape, dtype }) {
      backend.incRef(dataId)
      return { dataId, shape, dtype }
    },
    scratch(bytes) {
      if (bytes > size) {
        if (offset) backend.wasm._free(offset)
        size = bytes
        offset = backend.wasm._malloc(bytes) >>> 0
        if (!offset) throw new Error(`no room for ${bytes} bytes of scratch in WebAssembly memory`)
      }
      return offset
    },
    values: (info) => backend.typedArrayFromHeap(info),
  }
}

function elementCount(info: tf.TensorInfo): number {
  return info.shape.reduce((product, size) => product * size, 1)
}

type Shape4 = [number, number, number, number]

/** TensorFlow's `same` padding: the odd one goes behind. */
function paddingBefore(input: number, output: number, kernel: number, stride: number): number {
  return Math.floor(Math.max(0, (output - 1) * stride + kernel - input) / 2)
}

/** The integer arguments that all convolution kernels share. */
function geometry(x: readonly number[], y: readonly number[], kernel: number, stride: number) {
  const [batch, ih, iw, ic] = x as Shape4
  const [, oh, ow, oc] = y as Shape4
  const top = paddingBefore(ih, oh, kernel, stride)
  const left = paddingBefore(iw, ow, kernel, stride)
  return { batch, ih, iw, ic, oh, ow, oc, kernel, stride, top, left }
}

type Geometry = ReturnType<typeof geometry>

function denseArguments(g: Geometry, { module, scratch }: Workspace): number[] {
  const { batch, ih, iw, ic, oh, ow, oc, kernel, stride, top, left } = g
  // Patches are gathered only where the convolution is not a plain matrix product.
  const gathers = kernel > 1 || stride > 1
  const bytes = module.convolutionScratchBytes(ic, gathers ? oh : 0, ow, oc, kernel)
  return [scratch(bytes), batch, ih, iw, ic, oh, ow, oc, kernel, stride, top, left]
}

function depthwiseArguments(g: Geometry, { module, scratch }: Workspace): number[] {
  const { batch, ih, iw, ic, oh, ow, kernel, stride, top, left } = g
  const bytes = module.depthwiseScratchBytes(ih, iw, oh, ow, ic, kernel, stride)
  return [scratch(bytes), batch, ih, iw, ic, oh, ow, kernel, stride, top, left]
}

function outputShape(x: readonly number[], channels: number, stride: number): number[] {
  const [batch, height, width] = x as Shape4
  return [batch, Math.ceil(height / stride), Math.ceil(width / stride), channels]
}

/** Attributes of TensorFlow.js's own convolution gradients, as far as the SIMD kernels go. */
type GradientAttributes = {
  readonly strides: number | readonly [number, number]
  readonly pad: unknown
  readonly dilations?: number | readonly [number, number]
  readonly filterShape?: readonly number[]
  readonly inputShape?: readonly number[]
}

function squareStride({ strides, pad, dilations = 1 }: GradientAttributes, name: string): number {
  const [down, across] = typeof strides === 'number' ? [strides, strides] : strides
  const dilated = [dilations].flat().some((dilation) => dilation !== 1)
  if (down !== across || pad !== 'same' || dilated) {
    throw new Error(`${name}: the SIMD kernel takes equal strides, same padding and no dilation`)
  }
  return down
}

function squareKernel(filter: readonly number[], name: string): number {
  const [height, width] = filter
  if (height !== width || height === undefined) {
    throw new Error(`${name}: the SIMD kernel takes square filters, got [${filter}]`)
  }
  return height
}

/** The depthwise kernels keep one row of the filter in registers. */
const MAX_DEPTHWISE_KERNEL = 7

function depthwiseKernel(filter: readonly number[], name: string): number {
  const kernel = squareKernel(filter, name)
  if (kernel > MAX_DEPTHWISE_KERNEL || filter[3] !== 1) {
    throw new Error(`${name}: expected a kernel of 1 to ${MAX_DEPTHWISE_KERNEL} and multiplier 1, got [${filter}]`)
  }
  return kernel
}

type ConvolutionInputs = { x: tf.TensorInfo; filter: tf.TensorInfo }
type FilterGradientInputs = { x: tf.TensorInfo; dy: tf.TensorInfo }
type InputGradientInputs = { dy: tf.TensorInfo; filter: tf.TensorInfo }

function convolve({ x, filter }: ConvolutionInputs, { stride }: { stride: number }, workspace: Workspace): tf.TensorInfo {
  const { module, at, make } = workspace
  const kernel = squareKernel(filter.shape, kernelNames.convolve)
  const y = make(outputShape(x.shape, filter.shape[3] as number, stride))
  const rest = denseArguments(geometry(x.shape, y.shape, kernel, stride), workspace)
  module.convolve(at(x), at(filter), at(y), ...rest)
  return y
}

function convolveFilterGradient(
  { x, dy }: FilterGradientInputs,
  attributes: GradientAttributes & { filterShape: readonly number[] },
  workspace: Workspace,
): tf.TensorInfo {
  const { module, at, make } = workspace
  const kernel = squareKernel(attributes.filterShape, tf.Conv2DBackpropFilter)
  const stride = squareStride(attributes, tf.Conv2DBackpropFilter)
  const dfilter = make(attributes.filterShape)
  const rest = denseArguments(geometry(x.shape, dy.shape, kernel, stride), workspace)
  module.convolveFilterGradient(at(x), at(dy), at(dfilter), ...rest)
  return dfilter
}

function convolveInputGradient(
  { dy, filter }: InputGradientInputs,
  attributes: GradientAttributes & { inputShape: readonly number[] },
  workspace: Workspace,
): tf.TensorInfo {
  const { module, at, make } = workspace
  const kernel = squareKernel(filter.shape, tf.Conv2DBackpropInput)
  const stride = squareStride(attributes, tf.Conv2DBackpropInput)
  const dx = make(attributes.inputShape)
  const rest = denseArguments(geometry(dx.shape, dy.shape, kernel, stride), workspace)
  module.convolveInputGradient(at(dy), at(filter), at(dx), ...rest)
  return dx
}

function convolveDepthwise({ x, filter }: ConvolutionInputs, { stride }: { stride: number }, workspace: Workspace): tf.TensorInfo {
  const { module, at, make } = workspace
  const kernel = depthwiseKernel(filter.shape, kernelNames.convolveDepthwise)
  const y = make(outputShape(x.shape, x.shape[3] as number, stride))
  const rest = depthwiseArguments(geometry(x.shape, y.shape, kernel, stride), workspace)
  module.depthwise(at(x), at(filter), at(y), ...rest)
  return y
}

function depthwiseFilterGradient(
  { x, dy }: FilterGradientInputs,
  attributes: GradientAttributes & { filterShape: readonly number[] },
  workspace: Workspace,
): tf.TensorInfo {
  const { module, at, make } = workspace
  const kernel = depthwiseKernel(attributes.filterShape, tf.DepthwiseConv2dNativeBackpropFilter)
  const stride = squareStride(attributes, tf.DepthwiseConv2dNativeBackpropFilter)
  const dfilter = make(attributes.filterShape)
  const rest = depthwiseArguments(geometry(x.shape, dy.shape, kernel, stride), workspace)
  module.depthwiseFilterGradient(at(x), at(dy), at(dfilter), ...rest)
  return dfilter
}

function depthwiseInputGradient(
  { dy, filter }: InputGradientInputs,
  attributes: GradientAttributes & { inputShape: readonly number[] },
  workspace: Workspace,
): tf.TensorInfo {
  const { module, at, make } = workspace
  const kernel = depthwiseKernel(filter.shape, tf.DepthwiseConv2dNativeBackpropInput)
  const stride = squareStride(attributes, tf.DepthwiseConv2dNativeBackpropInput)
  const dx = make(attributes.inputShape)
  const rest = depthwiseArguments(geometry(dx.shape, dy.shape, kernel, stride), workspace)
  module.depthwiseInputGradient(at(dy), at(filter), at(dx), ...rest)
  return dx
}

type NormaliseInputs = { x: tf.TensorInfo; gamma: tf.TensorInfo; beta: tf.TensorInfo }
/** Three vectors of per-channel constants. */
function normaliseScratchBytes(channels: number): number {
  return 3 * channels * Float32Array.BYTES_PER_ELEMENT
}

type Moments = { mean: tf.TensorInfo; variance: tf.TensorInfo }

function batchNormApply(
  { x, mean, variance, gamma, beta }: NormaliseInputs & Moments,
  { epsilon, relu6 }: NormaliseAttributes,
  { module, at, make, scratch }: Workspace,
): tf.TensorInfo {
  const y = make(x.shape)
  const channels = elementCount(gamma)
  const rows = elementCount(x) / channels
  const vectors = [at(mean), at(variance), at(gamma), at(beta)]
  const constants = scratch(normaliseScratchBytes(channels))
  module.normalise(at(x), ...vectors, at(y), constants, rows, channels, epsilon, relu6 ? 1 : 0)
  return y
}

function batchNormTrain(inputs: NormaliseInputs, attributes: NormaliseAttributes, workspace: Workspace): tf.TensorInfo[] {
  const { module, at, make } = workspace
  const { x, gamma } = inputs
  const channels = elementCount(gamma)
  const mean = make([channels])
  const variance = make([channels])
  module.channelStatistics(at(x), at(mean), at(variance), elementCount(x) / channels, channels)
  return [batchNormApply({ ...inputs, mean, variance }, attributes, workspace), mean, variance]
}

function batchNormGrad(
  { x, dy, mean, variance, gamma, beta }: NormaliseInputs & Moments & { dy: tf.TensorInfo },
  { epsilon, relu6, overwriteDy }: NormaliseGradAttributes,
  { module, at, make, share, scratch }: Workspace,
): tf.TensorInfo[] {
  const channels = elementCount(gamma)
  const rows = elementCount(x) / channels
  // This kernel waits for memory more than for arithmetic: writing where dy was read spares a fifth of the traffic.
  const dx = overwriteDy ? share(dy) : make(x.shape)
  const dgamma = make([channels])
  const dbeta = make([channels])
  const given = [at(x), at(dy), at(mean), at(variance), at(gamma), at(beta)]
  const made = [at(dx), at(dgamma), at(dbeta), scratch(normaliseScratchBytes(channels))]
  module.normaliseGradient(...given, ...made, rows, channels, epsilon, relu6 ? 1 : 0)
  return [dx, dgamma, dbeta]
}

function relu6Grad(
  { x, dy }: { x: tf.TensorInfo; dy: tf.TensorInfo },
  _attributes: object,
  { module, at, make }: Workspace,
): tf.TensorInfo {
  const dx = make(x.shape)
  module.relu6Gradient(at(x), at(dy), at(dx), elementCount(x))
  return dx
}

function globalAveragePool({ x }: { x: tf.TensorInfo }, _attributes: object, { module, at, make }: Workspace): tf.TensorInfo {
  const [batch, height, width, channels] = x.shape as Shape4
  const y = make([batch, 1, 1, channels])
  module.averagePositions(at(x), at(y), batch, height * width, channels)
  return y
}

function globalAveragePoolGrad(
  { dy }: { dy: tf.TensorInfo },
  { height, width }: { height: number; width: number },
  { module, at, make }: Workspace,
): tf.TensorInfo {
  const batch = dy.shape[0] as number
  const channels = elementCount(dy) / batch
  const dx = make([batch, height, width, channels])
  module.averagePositionsGradient(at(dy), at(dx), batch, height * width, channels)
  return dx
}

function softmaxCrossEntropy(
  { logits, labels }: { logits: tf.TensorInfo; labels: tf.TensorInfo },
  { labelSmoothing }: { labelSmoothing: number },
  { make, values }: Workspace,
): tf.TensorInfo[] {
  const metrics = make([2])
  const dlogits = make(logits.shape)
  // Views last: making an output may grow the memory, which detaches older ones.
  const views = { logits: values(logits), labels: values(labels), dlogits: values(dlogits) }
  values(metrics).set(computeLoss({ ...views, labelSmoothing }))
  return [metrics, dlogits]
}

type PoolAttributes = GradientAttributes & { readonly filterSize: number | readonly [number, number] }

function maxPoolGrad(
  { dy, input }: { dy: tf.TensorInfo; input: tf.TensorInfo },
  attributes: PoolAttributes,
  { module, at, make }: Workspace,
): tf.TensorInfo {
  const window = [attributes.filterSize].flat() as number[]
  const kernel = squareKernel([window[0] as number, window.at(-1) as number], tf.MaxPoolGrad)
  const stride = squareStride(attributes, tf.MaxPoolGrad)
  const dx = make(input.shape)
  const { batch, ih, iw, ic, oh, ow, top, left } = geometry(input.shape, dy.shape, kernel, stride)
  module.maxPoolGradient(at(input), at(dy), at(dx), batch, ih, iw, ic, oh, ow, kernel, stride, top, left)
  return dx
}

type Pair = { a: tf.TensorInfo; b: tf.TensorInfo }

function dot({ a, b }: Pair, _attributes: object, { module, at, make, values }: Workspace) {
  const out = make([1])
  values(out)[0] = module.dot(at(a), at(b), elementCount(a))
  return out
}

function sum({ a, b }: Pair, _attributes: object, { module, at, make }: Workspace): tf.TensorInfo {
  const out = make(a.shape)
  module.sum(at(a), at(b), at(out), elementCount(a))
  return out
}

function sgdStep(
  inputs: { weight: tf.TensorInfo; velocity: tf.TensorInfo; gradient: tf.TensorInfo },
  { learningRate, momentum, nesterov, weightDecay }: SgdAttributes,
  { module, at, make }: Workspace,
): tf.TensorInfo[] {
  const { weight, velocity, gradient } = inputs
  const newWeight = make(weight.shape)
  const newVelocity = make(weight.shape)
  const pointers = [at(weight), at(velocity), at(gradient), at(newWeight), at(newVelocity)]
  const count = elementCount(weight)
  module.sgdStep(...pointers, count, learningRate, momentum, nesterov ? 1 : 0, weightDecay)
  return [newWeight, newVelocity]
}

const wasmKernels: Record<string, WasmKernel> = {
  [tf.Conv2DBackpropFilter]: convolveFilterGradient,
  [tf.Conv2DBackpropInput]: convolveInputGradient,
  [tf.DepthwiseConv2dNativeBackpropFilter]: depthwiseFilterGradient,
  [tf.DepthwiseConv2dNativeBackpropInput]: depthwiseInputGradient,
  [tf.MaxPoolGrad]: maxPoolGrad,
  ...({
    [kernelNames.batchNormApply]: batchNormApply,
    [kernelNames.batchNormGrad]: batchNormGrad,
    [kernelNames.batchNormTrain]: batchNormTrain,
    [kernelNames.convolve]: convolve,
    [kernelNames.convolveDepthwise]: convolveDepthwise,
    [kernelNames.dot]: dot,
    [kernelNames.globalAveragePool]: globalAveragePool,
    [kernelNames.globalAveragePoolGrad]: globalAveragePoolGrad,
    [kernelNames.relu6Grad]: relu6Grad,
    [kernelNames.sgdStep]: sgdStep,
    [kernelNames.softmaxCrossEntropy]: softmaxCrossEntropy,
    [kernelNames.sum]: sum,
  } satisfies Record<(typeof kernelNames)[keyof typeof kernelNames], WasmKernel>),
}

/** Registers all SIMD kernels; its own Conv2DBackpropInput (naive) and MaxPoolGrad (wrong at borders) are replaced. */
function registerWasmKernels(backend: WasmBackend, module: KernelModule): void {
  const workspace = createWorkspace(backend, module)
  for (const [kernelName, kernel] of Object.entries(wasmKernels)) {
    if (tf.getKernel(kernelName, 'wasm')) tf.unregisterKernel(kernelName, 'wasm')
    const run = kernel as (inputs: object, attributes: object, workspace: Workspace) => tf.TensorInfo
    tf.registerKernel({
      kernelName,
      backendName: 'wasm',
      kernelFunc: ({ inputs, attrs }) => run(inputs, attrs ?? {}, workspace),
    })
  }
}

export { registerWasmKernels, type WasmBackend }
