// Every kind of layer once more in plain float64 loops: what the suite over all kinds compares with. Written from the definitions
// (PyTorch's documentation), not from the code under test.

import type { Activation, LayerKind, LayerOf, Shape } from '../../search-space/index.ts'

/** Row-major [batch, height, width, channels]. */
type Images = { readonly batch: number; readonly shape: Shape; readonly values: Float64Array }

type Weight = { readonly shape: readonly number[]; readonly values: ArrayLike<number> }

type ReferenceContext = {
  weight(key: string): Weight
  /** Given mean and variance by gamma key; without them a batch-norm takes those of the batch. */
  readonly statistics?: ReadonlyMap<string, { readonly mean: ArrayLike<number>; readonly variance: ArrayLike<number> }>
  /** Multiply-accumulates so far. */
  macs: number
}

type Reference<L> = (layer: L, inputs: readonly Images[], context: ReferenceContext) => Images

function make(batch: number, shape: Shape, value: (image: number, y: number, x: number, c: number) => number): Images {
  const [height, width, channels] = shape
  const values = new Float64Array(batch * height * width * channels)
  let at = 0
  for (let image = 0; image < batch; image++)
    for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) for (let c = 0; c < channels; c++) values[at++] = value(image, y, x, c)
  return { batch, shape, values }
}

/** A value, or undefined outside of the image. */
function at({ shape: [height, width, channels], values }: Images, image: number, y: number, x: number, c: number): number | undefined {
  return y < 0 || y >= height || x < 0 || x >= width ? undefined : values[((image * height + y) * width + x) * channels + c]
}

function inside(...given: Parameters<typeof at>): number {
  return at(...given) ?? 0
}

function first(inputs: readonly Images[]): Images {
  return inputs[0] as Images
}

/** Size of the output as PyTorch gives it. */
function places(size: number, kernel: number, stride: number, padding: number): number {
  return Math.floor((size + 2 * padding - kernel) / stride) + 1
}

function convolution(
  x: Images,
  { kernel, stride, dilation = 1 }: { kernel: number; stride: number; dilation?: number },
  outChannels: number,
  context: ReferenceContext,
  tap: (image: number, y: number, x: number, ky: number, kx: number, c: number) => number,
  taps: number,
): Images {
  const padding = dilation * Math.floor(kernel / 2)
  const [height, width] = x.shape
  const extent = dilation * (kernel - 1) + 1
  const shape: Shape = [places(height, extent, stride, padding), places(width, extent, stride, padding), outChannels]
  context.macs += shape[0] * shape[1] * outChannels * kernel * kernel * taps
  return make(x.batch, shape, (image, oy, ox, c) => {
    let sum = 0
    for (let ky = 0; ky < kernel; ky++)
      for (let kx = 0; kx < kernel; kx++)
        sum += tap(image, oy * stride + dilation * ky - padding, ox * stride + dilation * kx - padding, ky, kx, c)
    return sum
  })
}

/** The value of an image, or of one pixel for all of them. */
function spread(x: Images, image: number, y: number, column: number, c: number): number {
  const isOne = x.shape[0] === 1 && x.shape[1] === 1
  return inside(x, image, isOne ? 0 : y, isOne ? 0 : column, c)
}

const sigmoid = (x: number) => 1 / (1 + Math.exp(-x))
const hardSigmoid = (x: number) => (x <= -3 ? 0 : x >= 3 ? 1 : x / 6 + 0.5)

const activationReferences: { readonly [Name in Activation]: (x: number) => number } = {
  relu: (x) => (x > 0 ? x : 0),
  relu6: (x) => (x > 6 ? 6 : x > 0 ? x : 0),
  swish: (x) => x * sigmoid(x),
  hardSwish: (x) => x * hardSigmoid(x),
  sigmoid,
  hardSigmoid,
}

type ReferenceTable = { readonly [Kind in Exclude<LayerKind, 'input'>]: Reference<LayerOf<Kind>> }

const references: ReferenceTable = {
  activation: ({ activation }, inputs) => {
    const x = first(inputs)
    return { ...x, values: x.values.map(activationReferences[activation]) }
  },
  add: (_layer, inputs) => {
    const [a, b] = inputs as [Images, Images]
    return { ...a, values: a.values.map((value, index) => value + (b.values[index] as number)) }
  },
  batchNorm(layer, inputs, context) {
    const x = first(inputs)
    const channels = x.shape[2]
    const rows = x.values.length / channels
    const column = (c: number) => Array.from({ length: rows }, (_, row) => x.values[row * channels + c] as number)
    const average = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length
    const given = context.statistics?.get(layer.gamma)
    const moments = Array.from({ length: channels }, (_, c) => {
      if (given) return { mean: given.mean[c] as number, variance: given.variance[c] as number }
      const values = column(c)
      const mean = average(values)
      return { mean, variance: average(values.map((value) => (value - mean) ** 2)) }
    })
    const gamma = context.weight(layer.gamma).values
    const beta = context.weight(layer.beta).values
    const values = x.values.map((value, index) => {
      const c = index % channels
      const { mean, variance } = moments[c] as { mean: number; variance: number }
      return ((value - mean) / Math.sqrt(variance + layer.epsilon)) * (gamma[c] as number) + (beta[c] as number)
    })
    return { ...x, values }
  },
  multiply({ shape }, inputs) {
    const [a, b] = inputs as [Images, Images]
    return make(a.batch, shape, (image, y, x, c) => inside(a, image, y, x, c) * spread(b, image, y, x, c))
  },
  splitAttention({ shape }, inputs) {
    const splits = inputs.length / 2
    return make(first(inputs).batch, shape, (image, y, x, c) => {
      const powers = inputs.slice(splits).map((logits) => Math.exp(inside(logits, image, 0, 0, c)))
      const total = powers.reduce((sum, power) => sum + power, 0)
      return powers.reduce((sum, power, split) => sum + (power / total) * inside(inputs[split] as Images, image, y, x, c), 0)
    })
  },
  concat(_layer, inputs) {
    const { batch, shape } = first(inputs)
    const sources = inputs.flatMap((x) => Array.from({ length: x.shape[2] }, (_, c) => ({ x, c })))
    return make(batch, [shape[0], shape[1], sources.length], (image, y, x, c) => {
      const source = sources[c] as { x: Images; c: number }
      return inside(source.x, image, y, x, source.c)
    })
  },
  channelRange: ({ first: from, shape }, inputs) => {
    const [, , channels] = first(inputs).shape
    return make(first(inputs).batch, shape, (image, y, x, c) => (from + c < channels ? inside(first(inputs), image, y, x, from + c) : 0))
  },
  // As x.view(batch, groups, channels / groups, …).transpose(1, 2) of the definition: row i, column g of what was g, i.
  channelShuffle: ({ groups, shape }, inputs) => {
    const run = shape[2] / groups
    return make(first(inputs).batch, shape, (image, y, x, c) =>
      inside(first(inputs), image, y, x, (c % groups) * run + Math.floor(c / groups)),
    )
  },
  conv2d(layer, inputs, context) {
    const x = first(inputs)
    const { shape, values } = context.weight(layer.filter)
    const [kernel = 1, , inChannels = 1, outChannels = 1] = shape
    const tap = (image: number, y: number, column: number, ky: number, kx: number, o: number) => {
      const from = Math.floor((o * (layer.groups ?? 1)) / outChannels) * inChannels
      let sum = 0
      for (let i = 0; i < inChannels; i++) {
        sum += inside(x, image, y, column, from + i) * (values[((ky * kernel + kx) * inChannels + i) * outChannels + o] as number)
      }
      return sum
    }
    return convolution(x, layer, outChannels, context, tap, inChannels)
  },
  crop: ({ top, left, shape }, inputs) =>
    make(first(inputs).batch, shape, (image, y, x, c) => inside(first(inputs), image, y + top, x + left, c)),
  depthwiseConv2d(layer, inputs, context) {
    const x = first(inputs)
    const { shape, values } = context.weight(layer.filter)
    const [kernel = 1, , channels = 1] = shape
    const tap = (image: number, y: number, column: number, ky: number, kx: number, c: number) =>
      inside(x, image, y, column, c) * (values[(ky * kernel + kx) * channels + c] as number)
    return convolution(x, layer, channels, context, tap, 1)
  },
  globalAveragePool(_layer, inputs) {
    const x = first(inputs)
    const [height, width, channels] = x.shape
    return make(x.batch, [1, 1, channels], (image, _y, _x, c) => {
      let sum = 0
      for (let y = 0; y < height; y++) for (let column = 0; column < width; column++) sum += inside(x, image, y, column, c)
      return sum / (height * width)
    })
  },
  linear(layer, inputs, context) {
    const x = first(inputs)
    const { shape, values } = context.weight(layer.weights)
    const bias = context.weight(layer.bias).values
    const [from = 1, to = 1] = shape
    context.macs += from * to
    return make(x.batch, [1, 1, to], (image, _y, _x, o) => {
      let sum = bias[o] as number
      for (let i = 0; i < from; i++) sum += (x.values[image * from + i] as number) * (values[i * to + o] as number)
      return sum
    })
  },
  pool({ kernel, stride, mode, padding = Math.floor(kernel / 2) }, inputs) {
    const x = first(inputs)
    const [height, width, channels] = x.shape
    const shape: Shape = [places(height, kernel, stride, padding), places(width, kernel, stride, padding), channels]
    return make(x.batch, shape, (image, oy, ox, c) => {
      const seen: number[] = []
      for (let ky = 0; ky < kernel; ky++) {
        for (let kx = 0; kx < kernel; kx++) {
          const value = at(x, image, oy * stride + ky - padding, ox * stride + kx - padding, c)
          if (value !== undefined) seen.push(value)
        }
      }
      return mode === 'max' ? Math.max(...seen) : seen.reduce((sum, value) => sum + value, 0) / seen.length
    })
  },
  zero: ({ shape }, inputs) => make(first(inputs).batch, shape, () => 0),
}

/** Typed by the kind alone, as the tables under test. */
function referenceOf<Kind extends Exclude<LayerKind, 'input'>>({ kind }: { readonly kind: Kind }): ReferenceTable[Kind] {
  return references[kind]
}

/** The output of one layer. */
function runReference(layer: LayerOf<Exclude<LayerKind, 'input'>>, inputs: readonly Images[], context: ReferenceContext): Images {
  const run = referenceOf(layer) as Reference<LayerOf<Exclude<LayerKind, 'input'>>>
  return run(layer, inputs, context)
}

export { type Images, type ReferenceContext, runReference, type Weight }
