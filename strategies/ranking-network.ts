// A small network that says which of two architectures is better (Dudziak et al. 2020, "BRP-NAS", section 4, a binary relation
// predictor; the loss is RankNet's, Burges et al. 2005):
//
//   f(a) = w3 · relu(W2 relu(Σ_d W1[d, a_d] + b1) + b2)             P(a better than b) = σ(f(a) − f(b))
//   L    = − mean over pairs with s_a > s_b of ln P(a better than b)  +  decay/2 |W|²
//
// An architecture enters as its options, one-hot over all decisions, in place of BRP-NAS's graph convolution: spaces here are lists of
// decisions, whose graphs differ by family. Trained on all pairs at once with Adam from seeded weights, in float64: the same examples
// give the same function on every machine. One epoch of n examples costs O(n · hidden² + n²).

import { createRandom, type RandomState } from '../search-space/index.ts'

type RankedExample = { readonly path: readonly number[]; readonly score: number }

type RankingSettings = {
  /** Options of each decision. */
  readonly options: readonly number[]
  /** Units of each of the two layers. */
  readonly hidden: number
  /** Steps of Adam, each on all pairs. */
  readonly epochs: number
  readonly learningRate: number
  /** Of Adam's decoupled weight decay (Loshchilov and Hutter 2019). */
  readonly weightDecay: number
}

/** Higher is better; only differences mean something. */
type RankingNetwork = (path: readonly number[]) => number

const BETA_1 = 0.9
const BETA_2 = 0.999
const EPSILON = 1e-8

/** Slope of the loss by each f, at `values`: pairs of equal scores say nothing. Returns the slopes; the mean is over all other pairs. */
function pairSlopes(values: Float64Array, scores: readonly number[]): Float64Array {
  const slopes = new Float64Array(values.length)
  let pairs = 0
  for (let i = 0; i < values.length; i++) {
    for (let j = 0; j < i; j++) {
      const order = Math.sign((scores[i] as number) - (scores[j] as number))
      if (order === 0) continue
      pairs += 1
      // d/df_i of −ln σ(order (f_i − f_j))
      const slope = -order / (1 + Math.exp(order * ((values[i] as number) - (values[j] as number))))
      slopes[i] = (slopes[i] as number) + slope
      slopes[j] = (slopes[j] as number) - slope
    }
  }
  return pairs === 0 ? slopes : slopes.map((slope) => slope / pairs)
}

/** Where each tensor lies in the one array of all weights. */
function layoutOf({ options, hidden }: RankingSettings) {
  let inputs = 0
  const offsets = options.map((count) => {
    inputs += count
    return inputs - count
  })
  const bias1 = inputs * hidden
  const weights2 = bias1 + hidden
  const bias2 = weights2 + hidden * hidden
  const weights3 = bias2 + hidden
  return { offsets, bias1, weights2, bias2, weights3, size: weights3 + hidden }
}

type Layout = ReturnType<typeof layoutOf>

/** Uniform within ±√(6 / fan-in), biases 0 (He et al. 2015); the fan-in of the first layer is the decisions, since one option of each is on. */
function startWeights(layout: Layout, { options, hidden }: RankingSettings, state: RandomState): Float64Array {
  const random = createRandom(state)
  const weights = new Float64Array(layout.size)
  const fill = (begin: number, end: number, fanIn: number) => {
    const bound = Math.sqrt(6 / fanIn)
    for (let i = begin; i < end; i++) weights[i] = (2 * random.uniform() - 1) * bound
  }
  fill(0, layout.bias1, options.length)
  fill(layout.weights2, layout.bias2, hidden)
  fill(layout.weights3, layout.size, hidden)
  return weights
}

/** f of one architecture; the layers' outputs are left in `first` and `second`. */
function forward(weights: Float64Array, layout: Layout, path: readonly number[], first: Float64Array, second: Float64Array): number {
  const hidden = first.length
  for (let h = 0; h < hidden; h++) {
    let sum = weights[layout.bias1 + h] as number
    for (let d = 0; d < path.length; d++) sum += weights[((layout.offsets[d] as number) + (path[d] as number)) * hidden + h] as number
    first[h] = Math.max(0, sum)
  }
  let value = 0
  for (let k = 0; k < hidden; k++) {
    let sum = weights[layout.bias2 + k] as number
    const row = layout.weights2 + k * hidden
    for (let h = 0; h < hidden; h++) sum += (weights[row + h] as number) * (first[h] as number)
    const output = Math.max(0, sum)
    second[k] = output
    value += (weights[layout.weights3 + k] as number) * output
  }
  return value
}

/** Adds to `gradient` what one architecture has of it, where the loss has this slope by its f. */
function addGradient(
  gradient: Float64Array,
  weights: Float64Array,
  layout: Layout,
  { path, slope, first, second }: { path: readonly number[]; slope: number; first: Float64Array; second: Float64Array },
): void {
  const hidden = first.length
  const back = new Float64Array(hidden)
  const add = (index: number, value: number) => {
    gradient[index] = (gradient[index] as number) + value
  }
  for (let k = 0; k < hidden; k++) {
    const output = second[k] as number
    if (output <= 0) continue
    add(layout.weights3 + k, slope * output)
    const inner = slope * (weights[layout.weights3 + k] as number)
    add(layout.bias2 + k, inner)
    const row = layout.weights2 + k * hidden
    for (let h = 0; h < hidden; h++) {
      gradient[row + h] = (gradient[row + h] as number) + inner * (first[h] as number)
      back[h] = (back[h] as number) + inner * (weights[row + h] as number)
    }
  }
  for (let h = 0; h < hidden; h++) {
    if ((first[h] as number) <= 0) continue
    const inner = back[h] as number
    add(layout.bias1 + h, inner)
    for (let d = 0; d < path.length; d++) add(((layout.offsets[d] as number) + (path[d] as number)) * hidden + h, inner)
  }
}

/** @param start of the generator that the weights start from */
function fitRankingNetwork(examples: readonly RankedExample[], settings: RankingSettings, start: RandomState): RankingNetwork {
  const { hidden, epochs, learningRate, weightDecay } = settings
  const layout = layoutOf(settings)
  const weights = startWeights(layout, settings, start)
  const firstMoment = new Float64Array(layout.size)
  const secondMoment = new Float64Array(layout.size)
  const scores = examples.map(({ score }) => score)
  const firsts = examples.map(() => new Float64Array(hidden))
  const seconds = examples.map(() => new Float64Array(hidden))
  const values = new Float64Array(examples.length)
  for (let epoch = 1; epoch <= epochs; epoch++) {
    for (const [n, { path }] of examples.entries()) {
      values[n] = forward(weights, layout, path, firsts[n] as Float64Array, seconds[n] as Float64Array)
    }
    const slopes = pairSlopes(values, scores)
    const gradient = new Float64Array(layout.size)
    for (const [n, { path }] of examples.entries()) {
      const outputs = { first: firsts[n] as Float64Array, second: seconds[n] as Float64Array }
      addGradient(gradient, weights, layout, { path, slope: slopes[n] as number, ...outputs })
    }
    // Half a cosine, from the rate to 0.
    const rate = (learningRate / 2) * (1 + Math.cos((Math.PI * (epoch - 1)) / epochs))
    const [correction1, correction2] = [1 - BETA_1 ** epoch, 1 - BETA_2 ** epoch]
    for (let i = 0; i < layout.size; i++) {
      const slope = gradient[i] as number
      const m = BETA_1 * (firstMoment[i] as number) + (1 - BETA_1) * slope
      const v = BETA_2 * (secondMoment[i] as number) + (1 - BETA_2) * slope * slope
      firstMoment[i] = m
      secondMoment[i] = v
      const before = weights[i] as number
      weights[i] = before - rate * (m / correction1 / (Math.sqrt(v / correction2) + EPSILON) + weightDecay * before)
    }
  }
  const first = new Float64Array(hidden)
  const second = new Float64Array(hidden)
  return (path) => forward(weights, layout, path, first, second)
}

export { fitRankingNetwork, pairSlopes, type RankedExample, type RankingNetwork, type RankingSettings }
