// Registers the SIMD kernels for TensorFlow.js's `wasm` backend. Both modules share one memory: a tensor is handed over
// as its byte offset, looked up at every call because memory moves and grows under TensorFlow.js's hands.

import * as tf from '@tensorflow/tfjs-core'

import { centredPadding } from '../../search-space/layers/windows.ts'
import type { KernelModule } from './module.ts'
import {
  type ClampActivation,
  type FusedActivation,
  kernelNames,
  type NormaliseAttributes,
  type NormaliseGradAttributes,
  type Phases,
  type SgdAttributes,
} from './operations.ts'
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
  disposeData(dataId: object): boolean
  makeOutput(shape: readonly number[], dtype: 'float32'): tf.TensorInfo
  typedArrayFromHeap(info: tf.TensorInfo): Float32Array | Int32Array
}

type WasmKernel = (inputs: never, attributes: never, workspace: Workspace) => tf.TensorInfo | tf.TensorInfo[]

/** What one call of a kernel works with. */
type Workspace = {
  readonly module: KernelModule
  at(info: tf.TensorInfo): number
  make(shape: readonly number[]): tf.TensorInfo
  free(info: tf.TensorInfo): void
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
    free: ({ dataId }) => void backend.disposeData(dataId),
    share({ dataId, shape, dtype }) {
      backend.incRef(dataId)
      return { dataId, shape, dtype }
    },
    scratch(bytes) {
      if (bytes > size) {
        if (offset) backend.wasm._free(offset)
        // Nothing is held until the new allocation, which may throw, has succeeded.
        offset = 0
        size = 0
        offset = backend.wasm._malloc(bytes) >>> 0
        size = bytes
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

/** How many zeros stand in front of a row or a column. */
type Padding = (input: number, output: number, kernel: number, stride: number) => number

const centred: Padding = (_input, _output, kernel) => centredPadding(kernel)

/** TensorFlow's `same` padding: the odd one goes behind. */
const same: Padding = (input, output, kernel, stride) => Math.floor(Math.max(0, (output - 1) * stride + kernel - input) / 2)

/** The integer arguments that all convolution kernels share. */
function geometry(x: readonly number[], y: readonly number[], kernel: number, stride: number, padding: Padding, groups = 1) {
  const [batch, ih, iw, ic] = x as Shape4
  const [, oh, ow, oc] = y as Shape4
  const top = padding(ih, oh, kernel, stride)
  const left = padding(iw, ow, kernel, stride)
  // `channels` is what the kernels call `ic` where every channel stays by itself.
  return { batch, ih, iw, ic, channels: ic, oh, ow, oc, kernel, stride, top, left, groups }
}

type Geometry = ReturnType<typeof geometry>

function outputShape(x: readonly number[], channels: number, stride: number): number[] {
  const [batch, height, width] = x as Shape4
  return [batch, Math.ceil(height / stride), Math.ceil(width / stride), channels]
}

/** Attributes of TensorFlow.js's own convolution gradients, as far as the SIMD kernels go. */
type StandardAttributes = {
  readonly strides: number | readonly [number, number]
  readonly pad: unknown
  readonly dilations?: number | readonly [number, number]
  readonly filterShape?: readonly number[]
  readonly inputShape?: readonly number[]
}

function squareStride({ strides, dilations = 1 }: StandardAttributes, name: string): number {
  const [down, across] = typeof strides === 'number' ? [strides, strides] : strides
  const dilated = [dilations].flat().some((dilation) => dilation !== 1)
  if (down !== across || dilated) throw new Error(`${name}: the SIMD kernel takes equal strides and no dilation`)
  return down
}

function standardPadding({ pad }: StandardAttributes, name: string): Padding {
  if (pad === 'same') return same
  if (pad === 'valid') return () => 0
  if (typeof pad === 'number') {
    return (_input, _output, kernel) => {
      // A window of padding alone: there is no room for it in the planes that the kernels work on.
      if (pad >= kernel) throw new Error(`${name}: expected padding smaller than the kernel, got ${pad} for ${kernel}`)
      return pad
    }
  }
  throw new Error(`${name}: expected padding "same", "valid" or a number, got ${JSON.stringify(pad)}`)
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

/** float32 */
const BYTES = Float32Array.BYTES_PER_ELEMENT
/** Vectors that `norm`, `coefficients` and `sums` hold; see assembly/convolution.ts. */
const NORM_VECTORS = 3
const COEFFICIENT_VECTORS = 5
const SUM_VECTORS = 2
/** Of v128, which memory is read in. */
const ALIGNMENT = 16
/** Numbers of activations; see assembly/normalised.ts. */
const activationNumbers = { none: 0, relu6: 1, relu: 2 } as const satisfies Record<FusedActivation, number>
/** 0 stands for what is not there or not wanted. */
const NONE = 0

type Moments = { mean: tf.TensorInfo; variance: tf.TensorInfo }
type NormVectors = Moments & { gamma: tf.TensorInfo; beta: tf.TensorInfo }
type ConvolutionInputs = { x: tf.TensorInfo; filter: tf.TensorInfo } & Partial<NormVectors>
type ConvolutionAttributes = NormaliseAttributes & { stride: number; statistics: boolean }

/** How a kind of convolution is laid out and run. */
type ConvolutionKind = {
  readonly name: string
  readonly forward: 'convolve' | 'depthwise'
  readonly gradient: 'convolveGradient' | 'depthwiseGradient'
  kernelOf(filter: readonly number[], name: string): number
  outputChannels(x: readonly number[], filter: readonly number[]): number
  groupsOf(x: readonly number[], filter: readonly number[]): number
  scratchBytes(g: Geometry, module: KernelModule): number
}

const dense: ConvolutionKind = {
  name: kernelNames.convolve,
  forward: 'convolve',
  gradient: 'convolveGradient',
  kernelOf: squareKernel,
  outputChannels: (_x, filter) => filter[3] as number,
  groupsOf: (x, filter) => (x[3] as number) / (filter[2] as number),
  scratchBytes(g, module) {
    // Patches are gathered only where the convolution is not a plain matrix product.
    const gathers = g.kernel > 1 || g.stride > 1 || g.groups > 1
    return module.convolutionScratchBytes({ ...g, oh: gathers ? g.oh : 0 })
  },
}

const depthwise: ConvolutionKind = {
  name: kernelNames.convolveDepthwise,
  forward: 'depthwise',
  gradient: 'depthwiseGradient',
  kernelOf: depthwiseKernel,
  outputChannels: (x) => x[3] as number,
  groupsOf: () => 1,
  scratchBytes: (g, module) => module.depthwiseScratchBytes(g),
}

/** Bytes of `moments`; see assembly/moments.ts. */
function momentBytes(channels: number): number {
  return 7 * channels * BYTES + 2 * Int32Array.BYTES_PER_ELEMENT
}

function aligned(bytes: number): number {
  return Math.ceil(bytes / ALIGNMENT) * ALIGNMENT
}

/** Writes the vectors of a batch-norm to `target`; NONE where there is none. */
function placeNorm(inputs: Partial<NormVectors>, epsilon: number, target: number, { module, at }: Workspace): number {
  const { mean, variance, gamma, beta } = inputs
  if (!mean || !variance || !gamma || !beta) return NONE
  const channels = elementCount(gamma)
  module.prepareNorm({ mean: at(mean), variance: at(variance), gamma: at(gamma), beta: at(beta), norm: target, channels, epsilon })
  return target
}

function runConvolution(kind: ConvolutionKind) {
  return (inputs: ConvolutionInputs, attributes: ConvolutionAttributes, workspace: Workspace): tf.TensorInfo[] => {
    const { module, at, make, scratch } = workspace
    const { x, filter } = inputs
    const { stride, statistics, epsilon, activation } = attributes
    const kernel = kind.kernelOf(filter.shape, kind.name)
    const y = make(outputShape(x.shape, kind.outputChannels(x.shape, filter.shape), stride))
    const g = geometry(x.shape, y.shape, kernel, stride, centred, kind.groupsOf(x.shape, filter.shape))
    if (inputs.mean && kind === dense && (kernel > 1 || stride > 1 || g.groups > 1)) {
      throw new Error(`${kind.name}: a norm is applied in front of 1×1 convolutions of stride 1 and one group only`)
    }
    const made = statistics ? { mean: make([g.oc]), variance: make([g.oc]) } : undefined
    const vectorBytes = aligned(NORM_VECTORS * g.ic * BYTES + momentBytes(g.oc))
    const start = scratch(vectorBytes + kind.scratchBytes(g, module))
    const norm = placeNorm(inputs, epsilon, start, workspace)
    const moments = made ? start + NORM_VECTORS * g.ic * BYTES : NONE
    const addresses = { x: at(x), filter: at(filter), y: at(y), norm, moments, scratch: start + vectorBytes }
    module[kind.forward]({ ...addresses, ...g, activation: activationNumbers[activation] })
    if (!made) return [y]
    const { mean, variance } = made
    module.finishMoments({ moments, mean: at(mean), variance: at(variance), channels: g.oc })
    return [y, mean, variance]
  }
}

type GradientInputs = Omit<ConvolutionInputs, 'x'> & {
  x?: tf.TensorInfo
  dy: tf.TensorInfo
  y?: tf.TensorInfo
  coefficients?: tf.TensorInfo
}
type GradientAttributes = NormaliseAttributes & {
  stride: number
  inputShape: readonly number[]
  outputActivation: FusedActivation
  wantInput: boolean
  wantFilter: boolean
}

function runConvolutionGradient(kind: ConvolutionKind, padding: Padding = centred) {
  return (inputs: GradientInputs, attributes: GradientAttributes, workspace: Workspace): tf.TensorInfo[] => {
    const { module, at, make, scratch } = workspace
    const { x, filter, dy, y, coefficients, variance } = inputs
    const { stride, inputShape, epsilon, activation, outputActivation, wantInput, wantFilter } = attributes
    const kernel = kind.kernelOf(filter.shape, kind.name)
    const g = geometry(inputShape, dy.shape, kernel, stride, padding, kind.groupsOf(inputShape, filter.shape))
    const dx = wantInput ? make(inputShape) : undefined
    const dfilter = wantFilter ? make(filter.shape) : undefined
    const vectorBytes = aligned((NORM_VECTORS + SUM_VECTORS) * g.ic * BYTES)
    const made = dx && variance ? makeNormGradients(g.ic, workspace) : undefined
    const start = scratch(vectorBytes + kind.scratchBytes(g, module))
    const norm = placeNorm(inputs, epsilon, start, workspace)
    const sums = made ? start + NORM_VECTORS * g.ic * BYTES : NONE
    const pointer = (info: tf.TensorInfo | undefined) => (info ? at(info) : NONE)
    module[kind.gradient]({
      ...g,
      x: pointer(x),
      norm,
      activation: activationNumbers[activation],
      y: pointer(y),
      dy: at(dy),
      coefficients: pointer(coefficients),
      yActivation: activationNumbers[outputActivation],
      filter: at(filter),
      dfilter: pointer(dfilter),
      dx: pointer(dx),
      sums,
      scratch: start + vectorBytes,
    })
    if (variance && made) {
      const rows = g.batch * g.ih * g.iw
      module.finishGradient({ sums, norm, variance: at(variance), ...addressesOf(made, at), rows, channels: g.ic, epsilon })
    }
    return [...(dx ? [dx] : []), ...(made ? Object.values(made) : []), ...(dfilter ? [dfilter] : [])]
  }
}

type NormGradientOutputs = { coefficients: tf.TensorInfo; dgamma: tf.TensorInfo; dbeta: tf.TensorInfo }

function makeNormGradients(channels: number, { make }: Workspace): NormGradientOutputs {
  return { coefficients: make([COEFFICIENT_VECTORS, channels]), dgamma: make([channels]), dbeta: make([channels]) }
}

function addressesOf({ coefficients, dgamma, dbeta }: NormGradientOutputs, at: Workspace['at']) {
  return { coefficients: at(coefficients), dgamma: at(dgamma), dbeta: at(dbeta) }
}

/** TensorFlow.js's own gradient kernels, for code that does not know ours. */
function standardInputGradient(kind: ConvolutionKind) {
  return (
    { dy, filter }: { dy: tf.TensorInfo; filter: tf.TensorInfo },
    attributes: StandardAttributes & { inputShape: readonly number[] },
    workspace: Workspace,
  ): tf.TensorInfo => {
    const { inputShape } = attributes
    const stride = squareStride(attributes, kind.name)
    const given = { ...plainGradient, stride, inputShape, wantInput: true, wantFilter: false }
    return runConvolutionGradient(kind, standardPadding(attributes, kind.name))({ dy, filter }, given, workspace)[0] as tf.TensorInfo
  }
}

function standardFilterGradient(kind: ConvolutionKind) {
  return (
    { x, dy }: { x: tf.TensorInfo; dy: tf.TensorInfo },
    attributes: StandardAttributes & { filterShape: readonly number[] },
    workspace: Workspace,
  ): tf.TensorInfo => {
    const stride = squareStride(attributes, kind.name)
    const given = { ...plainGradient, stride, inputShape: x.shape, wantInput: false, wantFilter: true }
    // Of the filter only the shape is read.
    const filter = { ...x, shape: [...attributes.filterShape] }
    return runConvolutionGradient(kind, standardPadding(attributes, kind.name))({ x, dy, filter }, given, workspace)[0] as tf.TensorInfo
  }
}

const plainGradient = { epsilon: 0, activation: 'none', outputActivation: 'none' } as const

type NormaliseInputs = { x: tf.TensorInfo; gamma: tf.TensorInfo; beta: tf.TensorInfo }

function batchNormApply(
  { x, mean, variance, gamma, beta }: NormaliseInputs & Moments,
  { epsilon, activation }: NormaliseAttributes,
  { module, at, make, scratch }: Workspace,
): tf.TensorInfo {
  const y = make(x.shape)
  const channels = elementCount(gamma)
  module.normalise({
    x: at(x),
    mean: at(mean),
    variance: at(variance),
    gamma: at(gamma),
    beta: at(beta),
    y: at(y),
    scratch: scratch(NORM_VECTORS * channels * BYTES),
    rows: elementCount(x) / channels,
    channels,
    epsilon,
    activation: activationNumbers[activation],
  })
  return y
}

function batchNormTrain(inputs: NormaliseInputs, attributes: NormaliseAttributes, workspace: Workspace): tf.TensorInfo[] {
  const { module, at, make, scratch } = workspace
  const { x, gamma } = inputs
  const channels = elementCount(gamma)
  const mean = make([channels])
  const variance = make([channels])
  const rows = elementCount(x) / channels
  const moments = scratch(momentBytes(channels))
  module.channelStatistics({ x: at(x), mean: at(mean), variance: at(variance), moments, rows, channels })
  return [batchNormApply({ ...inputs, mean, variance }, attributes, workspace), mean, variance]
}

type NormGradientInputs = NormaliseInputs & Moments & { dy: tf.TensorInfo }

function normaliseGradient(
  { x, dy, mean, variance, gamma, beta }: NormGradientInputs,
  dx: tf.TensorInfo | undefined,
  { epsilon, activation }: NormaliseAttributes,
  workspace: Workspace,
): NormGradientOutputs {
  const { module, at, scratch } = workspace
  const channels = elementCount(gamma)
  const made = makeNormGradients(channels, workspace)
  module.normaliseGradient({
    x: at(x),
    dy: at(dy),
    mean: at(mean),
    variance: at(variance),
    gamma: at(gamma),
    beta: at(beta),
    dx: dx ? at(dx) : NONE,
    ...addressesOf(made, at),
    scratch: scratch(SUM_VECTORS * channels * BYTES),
    rows: elementCount(x) / channels,
    channels,
    epsilon,
    activation: activationNumbers[activation],
  })
  return made
}

function batchNormDefer(inputs: NormGradientInputs, attributes: NormaliseAttributes, workspace: Workspace): tf.TensorInfo[] {
  return Object.values(normaliseGradient(inputs, undefined, attributes, workspace))
}

function batchNormGrad(inputs: NormGradientInputs, attributes: NormaliseGradAttributes, workspace: Workspace): tf.TensorInfo[] {
  // This kernel waits for memory more than for arithmetic: writing where dy was read spares a fifth of the traffic.
  const dx = attributes.overwriteDy ? workspace.share(inputs.dy) : workspace.make(inputs.x.shape)
  const { coefficients, dgamma, dbeta } = normaliseGradient(inputs, dx, attributes, workspace)
  workspace.free(coefficients)
  return [dx, dgamma, dbeta]
}

function clampGrad(
  { x, dy }: { x: tf.TensorInfo; dy: tf.TensorInfo },
  { activation }: { activation: ClampActivation },
  { module, at, make }: Workspace,
): tf.TensorInfo {
  const dx = make(x.shape)
  module.clampGradient({ x: at(x), dy: at(dy), dx: at(dx), count: elementCount(x), activation: activationNumbers[activation] })
  return dx
}

function swish({ x }: { x: tf.TensorInfo }, _attributes: object, { module, at, make }: Workspace): tf.TensorInfo {
  const y = make(x.shape)
  module.swish({ x: at(x), y: at(y), count: elementCount(x) })
  return y
}

function swishGrad(
  { x, dy }: { x: tf.TensorInfo; dy: tf.TensorInfo },
  _attributes: object,
  { module, at, make }: Workspace,
): tf.TensorInfo {
  const dx = make(x.shape)
  module.swishGradient({ x: at(x), dy: at(dy), dx: at(dx), count: elementCount(x) })
  return dx
}

/** Of the kernels over images whose channels have a number each. */
function positionsOf(x: tf.TensorInfo) {
  const [batch, height, width, channels] = x.shape as Shape4
  return { batch, positions: height * width, channels }
}

function scaleChannels(
  { x, scale }: { x: tf.TensorInfo; scale: tf.TensorInfo },
  _attributes: object,
  { module, at, make }: Workspace,
): tf.TensorInfo {
  const y = make(x.shape)
  module.scaleChannels({ x: at(x), scale: at(scale), y: at(y), ...positionsOf(x) })
  return y
}

function scaleGrad(
  { x, dy }: { x: tf.TensorInfo; dy: tf.TensorInfo },
  _attributes: object,
  { module, at, make }: Workspace,
): tf.TensorInfo {
  const size = positionsOf(x)
  const dscale = make([size.batch, 1, 1, size.channels])
  module.scaleGradient({ x: at(x), dy: at(dy), dscale: at(dscale), ...size })
  return dscale
}

function globalAveragePool({ x }: { x: tf.TensorInfo }, _attributes: object, { module, at, make }: Workspace): tf.TensorInfo {
  const size = positionsOf(x)
  const y = make([size.batch, 1, 1, size.channels])
  module.averagePositions({ x: at(x), y: at(y), ...size })
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
  module.averagePositionsGradient({ dy: at(dy), dx: at(dx), batch, positions: height * width, channels })
  return dx
}

type Shifted = { readonly first: number; readonly channels: number }

function shiftChannels({ x }: { x: tf.TensorInfo }, { first, channels: made }: Shifted, { module, at, make }: Workspace): tf.TensorInfo {
  const [batch, height, width, channels] = x.shape as Shape4
  const y = make([batch, height, width, made])
  module.shiftChannels({ x: at(x), y: at(y), rows: batch * height * width, channels, made, first })
  return y
}

function shuffleChannels({ x }: { x: tf.TensorInfo }, { groups }: { groups: number }, { module, at, make }: Workspace): tf.TensorInfo {
  const [batch, height, width, channels] = x.shape as Shape4
  const y = make(x.shape)
  module.shuffleChannels({ x: at(x), y: at(y), rows: batch * height * width, channels, groups })
  return y
}

function splitPhases({ x }: { x: tf.TensorInfo }, { dilation, phases }: Phases, { module, at, make }: Workspace): tf.TensorInfo {
  const [batch, height, width, channels] = x.shape as Shape4
  const y = make([phases * batch, Math.ceil(height / dilation), Math.ceil(width / dilation), channels])
  module.splitPhases({ x: at(x), y: at(y), batch, height, width, channels, dilation, phases })
  return y
}

function joinPhases(
  { y }: { y: tf.TensorInfo },
  { dilation, phases, height, width }: Phases & { readonly height: number; readonly width: number },
  { module, at, make }: Workspace,
): tf.TensorInfo {
  const channels = y.shape[3] as number
  const batch = (y.shape[0] as number) / phases
  const x = make([batch, height, width, channels])
  module.joinPhases({ y: at(y), x: at(x), batch, height, width, channels, dilation, phases })
  return x
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

type PoolAttributes = StandardAttributes & {
  readonly filterSize: number | readonly [number, number]
  readonly dimRoundingMode?: 'floor' | 'round' | 'ceil'
}

/** TensorFlow.js's own drops NaN, so that a network with broken weights answers like a sound one. */
function maxPool({ x }: { x: tf.TensorInfo }, attributes: PoolAttributes, { module, at, make }: Workspace): tf.TensorInfo {
  const { filterSize, strides, pad, dimRoundingMode } = attributes
  const kernel = squareKernel([[filterSize].flat()[0] as number, [filterSize].flat().at(-1) as number], tf.MaxPool)
  const stride = squareStride(attributes, tf.MaxPool)
  const shape = x.shape as Shape4
  type PoolArguments = Parameters<typeof tf.backend_util.computePool2DInfo>
  const { outShape } = tf.backend_util.computePool2DInfo(
    shape,
    filterSize as PoolArguments[1],
    strides as PoolArguments[2],
    1,
    pad as PoolArguments[4],
    dimRoundingMode,
  )
  const y = make(outShape)
  module.maxPool({ ...geometry(shape, outShape, kernel, stride, standardPadding(attributes, tf.MaxPool)), x: at(x), y: at(y) })
  return y
}

function maxPoolGrad(
  { dy, input }: { dy: tf.TensorInfo; input: tf.TensorInfo },
  attributes: PoolAttributes,
  { module, at, make }: Workspace,
): tf.TensorInfo {
  const window = [attributes.filterSize].flat() as number[]
  const kernel = squareKernel([window[0] as number, window.at(-1) as number], tf.MaxPoolGrad)
  const stride = squareStride(attributes, tf.MaxPoolGrad)
  const dx = make(input.shape)
  const g = geometry(input.shape, dy.shape, kernel, stride, standardPadding(attributes, tf.MaxPoolGrad))
  module.maxPoolGradient({ ...g, x: at(input), dy: at(dy), dx: at(dx) })
  return dx
}

type Pair = { a: tf.TensorInfo; b: tf.TensorInfo }

function dot({ a, b }: Pair, _attributes: object, { module, at, make, values }: Workspace) {
  const out = make([1])
  values(out)[0] = module.dot({ a: at(a), b: at(b), count: elementCount(a) })
  return out
}

function sum({ a, b }: Pair, _attributes: object, { module, at, make }: Workspace): tf.TensorInfo {
  const out = make(a.shape)
  module.sum({ a: at(a), b: at(b), out: at(out), count: elementCount(a) })
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
  module.sgdStep({
    weight: at(weight),
    velocity: at(velocity),
    gradient: at(gradient),
    newWeight: at(newWeight),
    newVelocity: at(newVelocity),
    count: elementCount(weight),
    learningRate,
    momentum,
    nesterov: nesterov ? 1 : 0,
    weightDecay,
  })
  return [newWeight, newVelocity]
}

const wasmKernels: Record<string, WasmKernel> = {
  [tf.Conv2DBackpropFilter]: standardFilterGradient(dense),
  [tf.Conv2DBackpropInput]: standardInputGradient(dense),
  [tf.DepthwiseConv2dNativeBackpropFilter]: standardFilterGradient(depthwise),
  [tf.DepthwiseConv2dNativeBackpropInput]: standardInputGradient(depthwise),
  [tf.MaxPool]: maxPool,
  [tf.MaxPoolGrad]: maxPoolGrad,
  ...({
    [kernelNames.batchNormApply]: batchNormApply,
    [kernelNames.batchNormDefer]: batchNormDefer,
    [kernelNames.batchNormGrad]: batchNormGrad,
    [kernelNames.batchNormTrain]: batchNormTrain,
    [kernelNames.clampGrad]: clampGrad,
    [kernelNames.convolve]: runConvolution(dense),
    [kernelNames.convolveDepthwise]: runConvolution(depthwise),
    [kernelNames.convolveDepthwiseGrad]: runConvolutionGradient(depthwise),
    [kernelNames.convolveGrad]: runConvolutionGradient(dense),
    [kernelNames.dot]: dot,
    [kernelNames.globalAveragePool]: globalAveragePool,
    [kernelNames.globalAveragePoolGrad]: globalAveragePoolGrad,
    [kernelNames.joinPhases]: joinPhases,
    [kernelNames.scaleChannels]: scaleChannels,
    [kernelNames.scaleGrad]: scaleGrad,
    [kernelNames.sgdStep]: sgdStep,
    [kernelNames.shiftChannels]: shiftChannels,
    [kernelNames.shuffleChannels]: shuffleChannels,
    [kernelNames.softmaxCrossEntropy]: softmaxCrossEntropy,
    [kernelNames.splitPhases]: splitPhases,
    [kernelNames.sum]: sum,
    [kernelNames.swish]: swish,
    [kernelNames.swishGrad]: swishGrad,
  } satisfies Record<(typeof kernelNames)[keyof typeof kernelNames], WasmKernel>),
}

/** Registers all SIMD kernels; its own Conv2DBackpropInput (naive), MaxPool (drops NaN) and MaxPoolGrad (wrong at borders) are replaced. */
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
