// Every score once more in float64, from its definition: networks in plain loops (layers-reference.ts), derivatives as differences of whole
// evaluations, determinants and inverses by elimination. Slow, and with nothing of the code under test but the layer graph.

import type { ScoreName } from '../../protocol/index.ts'
import { type Activation, layerInputs, type LayerKind, type LayerOf } from '../../search-space/index.ts'
import type { LayerGraph } from '../../search-space/layer-graph.ts'
import { type Images, runReference } from './layers-reference.ts'

type Values = { readonly shape: readonly number[]; readonly values: Float64Array }

type ReferenceNetwork = {
  readonly graph: LayerGraph
  readonly weights: ReadonlyMap<string, Values>
  /** Filters and matrices. */
  readonly keys: readonly string[]
  readonly images: Images
  readonly labels: Int32Array
  readonly macs: number
  readonly parameters: number
}

type RunningLayer = LayerOf<Exclude<LayerKind, 'input'>>

/** Looks at a layer's output, and may put another in its place. */
type Change = (layer: RunningLayer, output: Images) => Images

const unchanged: Change = (_, output) => output

function run({ graph, weights, images }: ReferenceNetwork, change: Change = unchanged): Images {
  const made = new Map<string, Images>()
  let last = images
  for (const layer of graph.layers) {
    if (layer.kind === 'mixed') throw new Error('expected the network of one architecture')
    if (layer.kind === 'input') {
      made.set(layer.id, images)
      continue
    }
    const context = { weight: (key: string) => weights.get(key) as Values, macs: 0 }
    const inputs = layerInputs(layer).map((id) => made.get(id) as Images)
    last = change(layer, runReference(layer, inputs, context))
    made.set(layer.id, last)
  }
  return last
}

const sum = (values: Iterable<number>) => [...values].reduce((total, value) => total + value, 0)

/** Mean cross-entropy. */
function lossOf(network: ReferenceNetwork, change: Change = unchanged): number {
  const { values } = run(network, change)
  const classes = values.length / network.labels.length
  const losses = [...network.labels].map((label, i) => {
    const row = values.subarray(i * classes, (i + 1) * classes)
    return Math.log(sum(row.map(Math.exp))) - (row[label] as number)
  })
  return sum(losses) / losses.length
}

/** Derivative of `at` at 0. */
const slope = (at: (step: number) => number, h = 1e-6) => (at(h) - at(-h)) / (2 * h)

/** The network with `change` made of one weight tensor. */
function withWeight(network: ReferenceNetwork, key: string, change: (value: number, index: number) => number): ReferenceNetwork {
  const { shape, values } = network.weights.get(key) as Values
  return { ...network, weights: new Map(network.weights).set(key, { shape, values: values.map(change) }) }
}

const valuesOf = ({ weights }: ReferenceNetwork, key: string) => (weights.get(key) as Values).values

const knownGradients = new WeakMap<ReferenceNetwork, Map<string, Float64Array>>()

/** ∂L/∂w of every filter and matrix. */
function gradientsOf(network: ReferenceNetwork): Map<string, Float64Array> {
  const known = knownGradients.get(network)
  if (known) return known
  const gradients = new Map(
    network.keys.map((key) => {
      const at = (index: number) => slope((h) => lossOf(withWeight(network, key, (value, i) => (i === index ? value + h : value))))
      return [key, valuesOf(network, key).map((_, index) => at(index))]
    }),
  )
  knownGradients.set(network, gradients)
  return gradients
}

function overWeights(network: ReferenceNetwork, term: (weight: number, gradient: number) => number): number {
  return sum([...gradientsOf(network)].map(([key, gradient]) => sum(gradient.map((g, i) => term(valuesOf(network, key)[i] as number, g)))))
}

const norm = (values: Float64Array) => Math.sqrt(sum(values.map((value) => value ** 2)))

/** −Wᵀ H g as a mixed derivative of the loss: along W and along g. */
function graspOf(network: ReferenceNetwork): number {
  const gradients = gradientsOf(network)
  const lossAt = (alongW: number, alongG: number) => {
    let moved = network
    for (const [key, gradient] of gradients) {
      moved = withWeight(moved, key, (value, i) => value * (1 + alongW) + alongG * (gradient[i] as number))
    }
    return lossOf(moved)
  }
  // A step along g that is not this small crosses bends of ReLUs; one along W crosses none.
  return -slope((g) => slope((w) => lossAt(w, g), 1e-3), 1e-6)
}

function fisherOf(network: ReferenceNetwork): number {
  const images = network.labels.length
  const layers = network.graph.layers.flatMap((layer) =>
    layer.kind === 'conv2d' || layer.kind === 'depthwiseConv2d' || layer.kind === 'linear' ? [layer] : [],
  )
  return sum(
    layers.map((layer) => {
      const channels = layer.shape[2]
      const weights = valuesOf(network, layer.kind === 'linear' ? layer.weights : layer.filter).length
      const deltas = Array.from({ length: channels }, (_, channel) => {
        // Σ over positions of a · ∂L/∂a: how the loss changes when the channel of one image grows by a share.
        const ofImage = (image: number) =>
          slope((h) =>
            lossOf(network, ({ id }, output) => {
              if (id !== layer.id) return output
              const perImage = output.values.length / images
              const isOwn = (index: number) => Math.floor(index / perImage) === image && index % channels === channel
              return { ...output, values: output.values.map((value, index) => (isOwn(index) ? value * (1 + h) : value)) }
            }),
          )
        return 0.5 * (sum(Array.from({ length: images }, (_, image) => ofImage(image) ** 2)) / images)
      })
      return (sum(deltas) * weights) / channels
    }),
  )
}

/** What synflow is about: |w|, no batch-norm, ones; R, the sum of the outputs. */
function flowOf(network: ReferenceNetwork): { network: ReferenceNetwork; sumAt: (changed: ReferenceNetwork) => number } {
  const weights = new Map([...network.weights].map(([key, { shape, values }]) => [key, { shape, values: values.map(Math.abs) }]))
  const { shape } = network.images
  const images: Images = { batch: 1, shape, values: new Float64Array(shape[0] * shape[1] * shape[2]).fill(1) }
  const kept = network.graph.layers.filter(({ kind }) => kind !== 'batchNorm' && kind !== 'activation')
  const source = (id: string): string => {
    const layer = network.graph.layers.find((other) => other.id === id)
    return layer?.kind === 'batchNorm' || layer?.kind === 'activation' ? source(layer.input) : id
  }
  const layers = kept.map((layer) => {
    if ('inputs' in layer) return { ...layer, inputs: layer.inputs.map(source) } as typeof layer
    return 'input' in layer ? { ...layer, input: source(layer.input) } : layer
  })
  return { network: { ...network, graph: { layers }, weights, images }, sumAt: (changed) => sum(run(changed).values) }
}

/** R is linear in every single weight, so that any step gives its slope: a weight's own size. */
function overFlow(given: ReferenceNetwork, term: (weight: number, gradient: number) => number): number {
  const { network, sumAt } = flowOf(given)
  return sum(
    network.keys.map((key) =>
      sum(
        valuesOf(network, key).map((weight, index) => {
          const at = (factor: number) => sumAt(withWeight(network, key, (value, i) => (i === index ? value * factor : value)))
          return weight === 0 ? 0 : term(weight, (at(2) - at(0)) / (2 * weight))
        }),
      ),
    ),
  )
}

/** Patterns of the units of all rectifiers, [unit][image]. */
function patternsOf(network: ReferenceNetwork): boolean[][] {
  const rectifiers: ReadonlySet<Activation> = new Set(['relu', 'relu6', 'swish', 'hardSwish'])
  const units: boolean[][] = []
  run(network, (layer, output) => {
    if (layer.kind !== 'activation' || !rectifiers.has(layer.activation)) return output
    const perImage = output.values.length / output.batch
    for (let unit = 0; unit < perImage; unit++) {
      units.push(Array.from({ length: output.batch }, (_, image) => (output.values[image * perImage + unit] as number) > 0))
    }
    return output
  })
  return units
}

type Matrix = readonly (readonly number[])[]

/** Gauss-Jordan elimination. */
function invert(matrix: Matrix): { inverse: number[][]; logDeterminant: number } {
  const size = matrix.length
  const rows = matrix.map((row, i) => [...row, ...row.map((_, j) => (i === j ? 1 : 0))])
  let logDeterminant = 0
  for (let column = 0; column < size; column++) {
    const best = rows
      .slice(column)
      .reduce((most, row, i) => (Math.abs(row[column] as number) > Math.abs(rows[most]?.[column] as number) ? column + i : most), column)
    const [pivotRow] = rows.splice(best, 1) as [number[]]
    const pivot = pivotRow[column] as number
    logDeterminant += Math.log(Math.abs(pivot))
    const scaled = pivotRow.map((value) => value / pivot)
    for (const [i, row] of rows.entries()) {
      const factor = row[column] as number
      rows[i] = row.map((value, c) => value - factor * (scaled[c] as number))
    }
    rows.splice(column, 0, scaled)
  }
  return { inverse: rows.map((row) => row.slice(size)), logDeterminant }
}

function naswotOf(network: ReferenceNetwork): number {
  const units = patternsOf(network)
  const images = [...network.labels.keys()]
  const kernel = images.map((i) => images.map((j) => units.filter((unit) => unit[i] === unit[j]).length))
  return invert(kernel).logDeterminant
}

/** Σ ln(v + k) = ln det(C + kI) and Σ 1 / (v + k) = tr((C + kI)⁻¹). */
function jacobCovOf(network: ReferenceNetwork): number {
  const { values, batch } = network.images
  const perImage = values.length / batch
  const sumAt = (index: number, h: number) => {
    const moved = values.map((value, i) => (i === index ? value + h : value))
    return sum(run({ ...network, images: { ...network.images, values: moved } }).values)
  }
  const rows = Array.from({ length: batch }, (_, image) => {
    const row = Array.from({ length: perImage }, (__, i) => slope((h) => sumAt(image * perImage + i, h)))
    const mean = sum(row) / perImage
    return row.map((value) => value - mean)
  })
  const dot = (a: readonly number[], b: readonly number[]) => sum(a.map((value, i) => value * (b[i] as number)))
  const shifted = rows.map((a, i) => rows.map((b, j) => dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b)) + (i === j ? 1e-5 : 0)))
  const { inverse, logDeterminant } = invert(shifted)
  return -logDeterminant - sum(inverse.map((row, i) => row[i] as number))
}

const referenceScores: { readonly [Name in ScoreName]: (network: ReferenceNetwork) => number } = {
  params: ({ parameters }) => parameters,
  macs: (network) => network.macs,
  l2_norm: (network) => sum(network.keys.map((key) => norm(valuesOf(network, key)))),
  grad_norm: (network) => sum([...gradientsOf(network).values()].map(norm)),
  plain: (network) => overWeights(network, (weight, gradient) => weight * gradient),
  snip: (network) => overWeights(network, (weight, gradient) => Math.abs(weight * gradient)),
  grasp: graspOf,
  fisher: fisherOf,
  synflow: (network) => overFlow(network, (weight, gradient) => Math.abs(weight * gradient)),
  logsynflow: (network) => overFlow(network, (weight, gradient) => Math.abs(weight * Math.log(gradient + 1))),
  jacob_cov: jacobCovOf,
  naswot: naswotOf,
  swap: (network) => new Set(patternsOf(network).map((unit) => unit.join())).size,
}

export { type ReferenceNetwork, referenceScores }
