// One convolution for a sum of several. A filter over concatenated channels is as many filters side by side, and batch-norms and activations
// work channel by channel, so that
//
//   Σ_i conv_i(a(BN_i(x_i)))  =  conv(a(BN(concat(x_1, …, x_n))))
//
// with the weights of all of them side by side: the same numbers but for the order of additions, in fewer and larger operations. A space
// whose architectures choose what a layer reads (families/aggregation) trains the left form, in which each x_i has weights of its own, and
// networks for inference have the right one.

import type { Layer, LayerGraph, LayerOf, Shape } from './layer-graph.ts'
import { layerInputs, layerWeights } from './layers/index.ts'
import type { WeightSpec } from './layers/layer.ts'

/** A weight that is several others side by side. */
type JoinedWeight = {
  readonly parts: readonly WeightSpec[]
  readonly axis: number
}

type JoinedGraph = {
  readonly graph: LayerGraph
  /** By key: those of weights that the graph as it was does not have. */
  readonly joined: ReadonlyMap<string, JoinedWeight>
}

const INPUT_CHANNELS = 2
const CHANNELS = 0

type Convolution = LayerOf<'conv2d'>

/** All of one kind, with equal settings; null where they are not. */
function allOf<Kind extends Layer['kind']>(
  kind: Kind,
  layers: readonly (Layer | undefined)[],
  settingsOf: (layer: Extract<Layer, { kind: Kind }>) => unknown,
): Extract<Layer, { kind: Kind }>[] | null {
  const own = layers.filter((layer): layer is Extract<Layer, { kind: Kind }> => layer?.kind === kind)
  return own.length === layers.length && new Set(own.map(settingsOf)).size === 1 ? own : null
}

function joinConvolutions(graph: LayerGraph): JoinedGraph {
  const byId = new Map(graph.layers.map((layer) => [layer.id, layer]))
  const readers = new Map<string, Layer[]>()
  for (const layer of graph.layers) for (const id of layerInputs(layer)) readers.set(id, [...(readers.get(id) ?? []), layer])
  const output = graph.layers.at(-1)?.id
  /** The layer that makes a tensor, where one layer alone reads it, and once. */
  const soleProducer = (id: string): Layer | undefined => (readers.get(id)?.length === 1 && id !== output ? byId.get(id) : undefined)
  const shapeOf = (id: string): Shape => (byId.get(id) as Layer).shape

  const joined = new Map<string, JoinedWeight>()
  const gone = new Set<string>()
  const joinWeights = (specs: readonly (WeightSpec | undefined)[], axis: number): string => {
    const parts = specs.filter((spec) => spec !== undefined)
    const key = parts.map((spec) => spec.key).join('+')
    joined.set(key, { parts, axis })
    return key
  }
  const weightOf = (layer: Convolution | LayerOf<'batchNorm'>, name: string): WeightSpec | undefined =>
    Object.entries(layerWeights(layer, layerInputs(layer).map(shapeOf))).find(([own]) => own === name)?.[1]

  /** What a sum is made of, additions that nothing else reads taken apart. */
  const summandsOf = (sum: LayerOf<'add'>): string[] =>
    sum.inputs.flatMap((id) => {
      const producer = soleProducer(id)
      if (producer?.kind !== 'add') return [id]
      gone.add(id)
      return summandsOf(producer)
    })

  /** Layers that concatenate tensors, behind batch-norms and activations where all of them have the same. The last one makes the result. */
  const concatenate = (ids: readonly string[], prefix: string): Layer[] => {
    const producers = ids.map(soleProducer)
    const channels = ids.reduce((sum, id) => sum + shapeOf(id)[2], 0)
    const [height, width] = shapeOf(ids[0] as string)
    const shape: Shape = [height, width, channels]
    const activations = allOf('activation', producers, ({ activation }) => activation)
    const norms = allOf('batchNorm', producers, ({ epsilon }) => epsilon)
    for (const { id } of activations ?? norms ?? []) gone.add(id)
    /** Behind the concatenation of what these layers read. */
    const behind = (layers: readonly { readonly input: string }[], make: (id: string, input: string) => Layer, kind: string): Layer[] => {
      const id = `${prefix}/${kind}`
      const reads = layers.map(({ input }) => input)
      const before = concatenate(reads, id)
      return [...before, make(id, before.at(-1)?.id as string)]
    }
    const [activation] = activations ?? []
    if (activations && activation) return behind(activations, (id, input) => ({ ...activation, id, input, shape }), 'activation')
    const [norm] = norms ?? []
    if (norms && norm) {
      const [gammas, betas] = (['gamma', 'beta'] as const).map((name) => norms.map((one) => weightOf(one, name)))
      const own = { gamma: joinWeights(gammas ?? [], CHANNELS), beta: joinWeights(betas ?? [], CHANNELS) }
      return behind(norms, (id, input) => ({ ...norm, ...own, id, input, shape }), 'norm')
    }
    return [{ kind: 'concat', id: `${prefix}/concat`, inputs: ids, shape }]
  }

  const convolve = (convolutions: readonly Convolution[], id: string): Layer[] => {
    const before = concatenate(
      convolutions.map(({ input }) => input),
      id,
    )
    const filter = joinWeights(
      convolutions.map((one) => weightOf(one, 'filter')),
      INPUT_CHANNELS,
    )
    for (const one of convolutions) gone.add(one.id)
    return [...before, { ...(convolutions[0] as Convolution), id, input: before.at(-1)?.id as string, filter }]
  }

  /** Filters of groups side by side are no filter of all channels: such convolutions stay as they are. */
  const isDense = (layer: Layer | undefined): layer is Convolution => layer?.kind === 'conv2d' && (layer.groups ?? 1) === 1

  /** The layers that take the place of a sum; null where no two convolutions in it can be one. */
  const rewrite = (sum: LayerOf<'add'>): Layer[] | null => {
    const summands = summandsOf(sum)
    const convolutions = summands.map(soleProducer).filter(isDense)
    const formOf = ({ kernel, stride, input }: Convolution) => [kernel, stride, ...shapeOf(input).slice(0, 2)].join()
    const groups = [...new Set(convolutions.map(formOf))].map((form) => convolutions.filter((one) => formOf(one) === form))
    const together = groups.filter((group) => group.length > 1)
    if (together.length === 0) return null
    const taken = new Set(together.flat().map(({ id }) => id))
    const others = summands.filter((id) => !taken.has(id))
    const isWhole = together.length === 1 && others.length === 0
    const made = together.map((group, index) => convolve(group, isWhole ? sum.id : `${sum.id}/joined${index + 1}`))
    const terms = [...made.map((layers) => layers.at(-1)?.id as string), ...others]
    const additions: Layer[] = []
    terms.reduce((left, right, i) => {
      const id = i === terms.length - 1 ? sum.id : `${sum.id}/sum${i}`
      additions.push({ kind: 'add', id, inputs: [left, right], shape: sum.shape })
      return id
    })
    return [...made.flat(), ...additions]
  }

  const rewritten = new Map<string, Layer[]>()
  for (const layer of graph.layers.toReversed()) {
    if (layer.kind !== 'add' || gone.has(layer.id)) continue
    const before = new Set(gone)
    const layers = rewrite(layer)
    if (layers) rewritten.set(layer.id, layers)
    else for (const id of gone) if (!before.has(id)) gone.delete(id)
  }
  if (rewritten.size === 0) return { graph, joined }
  return { graph: { layers: graph.layers.flatMap((layer) => rewritten.get(layer.id) ?? (gone.has(layer.id) ? [] : [layer])) }, joined }
}

/** The values of a joined weight, row-major; `read` gives those of its parts. */
function joinedValues({ parts, axis }: JoinedWeight, read: (key: string, shape: readonly number[]) => Float32Array): Float32Array {
  const product = (sizes: readonly number[]) => sizes.reduce((all, size) => all * size, 1)
  const outer = product(parts[0]?.shape.slice(0, axis) ?? [])
  const pieces = parts.map(({ key, shape }) => ({ values: read(key, shape), length: product(shape.slice(axis)) }))
  const row = pieces.reduce((sum, { length }) => sum + length, 0)
  const out = new Float32Array(outer * row)
  let offset = 0
  for (const { values, length } of pieces) {
    for (let i = 0; i < outer; i++) out.set(values.subarray(i * length, (i + 1) * length), i * row + offset)
    offset += length
  }
  return out
}

export { joinConvolutions, joinedValues, type JoinedGraph, type JoinedWeight }
