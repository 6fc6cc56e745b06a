// Times operations so that their sum is the time of a network, for runtimes in which an operation alone is another one.
//
// ONNX Runtime's convolutions work on blocks of channels (NCHWc). In a network data stay in that order from the first
// convolution to the last, and an addition behind a convolution becomes part of it; an operation alone pays for putting
// its input into that order and its output back, and for the addition. Besides, its input is cold, whereas in a network the
// operation before it has just written it. Measured like that, with the cost of an empty run taken off each operation, the sum
// over proxyless-mobile comes out 20 % too large, and over fashion-mini 25 to 56 %.
//
// So each operation runs between two others, as it does in a network, and what these cost is taken off:
//
//   T(operation) = run + before(input's shape) + operation + after(output's shape)
//   T(one)       = run + before(shape) + after(shape)                       for every shape at a border
//   T(two)       = run + before(shape) + 2 · after(shape)
//   T(empty)     = run
//
// `before` is a 1×1 convolution of a few channels, which leaves its output in the runtime's own order; `after` is a mean over
// each channel, which reads that order and gives back next to nothing. Operations that read the network's own input have
// nothing before them, and those that end in a vector nothing after. `run`, the call itself, is paid once by a network:
// the table's fixed part. What is left then is 2 to 4 % (docs/latency.md).

import {
  createRandom,
  type LayerGraph,
  type MeasurableOperation,
  type PrimitiveLayer,
  seedState,
  type Shape,
} from '../../../search-space/index.ts'
import { median } from '../../table/robust.ts'

/** Few, so that `before` costs little; not so few that runtimes treat it as a special case. */
const BEFORE_CHANNELS = 4
const BEFORE = 'context/before'
/**
 * What is left of an operation is never less than this share of its sample: the noise of what was taken off could
 * otherwise make the smallest ones free.
 */
const LEAST_SHARE = 0.02

type Samples = readonly (readonly number[])[]

/** What to run in order to learn what operations cost, and what the times mean. */
type OperationPlan = {
  readonly graphs: readonly LayerGraph[]
  /** Weights of the surroundings by key; undefined for keys that are not theirs. */
  weights(key: string): Float32Array | undefined
  /** From the samples of each graph: those of each operation by itself, and the cost of a run, milliseconds. */
  interpret(samples: Samples): { readonly operations: number[][]; readonly fixedMs: number }
}

/** Every operation by itself: what it costs is what it takes, its share of the cost of a run included. */
function planAlone(operations: readonly MeasurableOperation[]): OperationPlan {
  return {
    graphs: operations.map(({ graph }) => graph),
    weights: () => undefined,
    interpret: (samples) => ({ operations: samples.map((row) => [...row]), fixedMs: 0 }),
  }
}

const nameOf = (shape: Shape) => shape.join('x')
const shapeOf = (layer: PrimitiveLayer | undefined): Shape => {
  if (!layer) throw new Error('an operation to be measured has layers')
  return layer.shape
}

/** Layers that make a tensor of a shape in the runtime's own order, called BEFORE. */
function layersBefore([height, width, channels]: Shape): PrimitiveLayer[] {
  return [
    { kind: 'input', id: 'input', shape: [height, width, BEFORE_CHANNELS] },
    {
      kind: 'conv2d',
      id: BEFORE,
      input: 'input',
      kernel: 1,
      stride: 1,
      filter: `${BEFORE}/${channels}`,
      shape: [height, width, channels],
    },
  ]
}

function layerAfter(id: string, input: string, [, , channels]: Shape): PrimitiveLayer {
  return { kind: 'globalAveragePool', id, input, shape: [1, 1, channels] }
}

/** The layer reading BEFORE where it read the operation's input. */
function rebase(layer: PrimitiveLayer, input: string): PrimitiveLayer {
  const rename = (id: string) => (id === input ? BEFORE : id)
  switch (layer.kind) {
    case 'input':
      return layer
    case 'add':
    case 'multiply':
      return { ...layer, inputs: [rename(layer.inputs[0]), rename(layer.inputs[1])] }
    case 'concat':
    case 'splitAttention':
      return { ...layer, inputs: layer.inputs.map(rename) }
    default:
      return { ...layer, input: rename(layer.input) }
  }
}

/** Every operation between two others. `networkInput`: shape of the images that a whole network gets. */
function planInContext(operations: readonly MeasurableOperation[], networkInput: Shape): OperationPlan {
  const graphs: LayerGraph[] = []
  const add = (layers: readonly PrimitiveLayer[]): number => graphs.push({ layers }) - 1
  const empty = add([{ kind: 'input', id: 'input', shape: [1, 1, BEFORE_CHANNELS] }])
  const borders = new Map<string, { readonly one: number; readonly two: number }>()
  const borderOf = (shape: Shape): string => {
    const name = nameOf(shape)
    if (borders.has(name)) return name
    const one = [...layersBefore(shape), layerAfter('context/after', BEFORE, shape)]
    const again = layerAfter('context/again', BEFORE, shape)
    const both: PrimitiveLayer = { kind: 'concat', id: 'context/both', inputs: ['context/after', again.id], shape: [1, 1, 2 * shape[2]] }
    borders.set(name, { one: add(one), two: add([...one, again, both]) })
    return name
  }
  const measured = operations.map(({ graph }) => {
    const layers = graph.layers as readonly PrimitiveLayer[]
    const [first, ...rest] = layers
    const input = shapeOf(first)
    const output = shapeOf(layers.at(-1))
    const hasBefore = nameOf(input) !== nameOf(networkInput)
    const hasAfter = output[0] * output[1] > 1
    const core = hasBefore ? [...layersBefore(input), ...rest.map((layer) => rebase(layer, first?.id ?? ''))] : [...layers]
    const after = hasAfter ? [layerAfter('context/after', core.at(-1)?.id ?? '', output)] : []
    return { index: add([...core, ...after]), before: hasBefore ? borderOf(input) : null, after: hasAfter ? borderOf(output) : null }
  })
  const filters = new Map<string, Float32Array>()
  return {
    graphs,
    weights(key) {
      if (!key.startsWith(`${BEFORE}/`)) return undefined
      const known = filters.get(key)
      if (known) return known
      const random = createRandom(seedState(key))
      const filter = Float32Array.from({ length: BEFORE_CHANNELS * Number(key.slice(BEFORE.length + 1)) }, () => random.normal())
      filters.set(key, filter)
      return filter
    },
    interpret(samples) {
      const typical = samples.map(median)
      const fixedMs = typical[empty] as number
      const cost = new Map(
        [...borders].map(([name, { one, two }]) => {
          const after = Math.max(0, (typical[two] as number) - (typical[one] as number))
          return [name, { after, before: Math.max(0, (typical[one] as number) - fixedMs - after) }] as const
        }),
      )
      return {
        fixedMs,
        operations: measured.map(({ index, before, after }) => {
          const around = fixedMs + (cost.get(before ?? '')?.before ?? 0) + (cost.get(after ?? '')?.after ?? 0)
          const least = LEAST_SHARE * (typical[index] as number)
          return (samples[index] ?? []).map((sample) => Math.max(sample - around, least))
        }),
      }
    },
  }
}

export { type OperationPlan, planAlone, planInContext, type Samples }
