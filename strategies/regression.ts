// Accuracies of architectures as a linear regression on the options that they have, after FOX-NAS (Liu et al. 2021, arXiv 2108.08189):
//
//   f(a) = c + Σ_d w_d[a_d] + Σ_k v_k · max(0, n(a) − k) + Σ_(d,e of one place) w_de[a_d, a_e],
//
// w[…] = 0 wherever a decision takes its first option, fitted to scores y by least squares with a ridge, min Σ (f(a_i) − y_i)² + ridge · (Σ w² + 30 Σ v²).
// n(a) is the depth: how many decisions take more than a skip, k = 1 … most − 1 above the least. One more layer adds less to a deep network than to
// a shallow one, which no sum over decisions can say; v_k is how much less, or more, from depth k on, and where the ridge leaves them at 0, f is that sum.
// Weights that are shared make more of it than there is, deep paths being trained the least, hence the 30: with less the order of all networks gets
// worse than without the depth, with much more the best of them are no longer found (docs/strategies.md).
//
// The authors' features are those of their space, MobileNetV3: depth, mean expansion and mean kernel of each stage, and products of depth with
// each of the two. Spaces here are lists of decisions without an order of their options, so that each option has a feature of its own, depth is
// that of the whole, and products are those of decisions of one place (decisionsByPlace). The authors have no ridge; it lets a fit be on fewer
// examples than there are features.

import type { Option } from '../search-space/index.ts'

const DEPTH_SHRINKAGE = 30

type RegressionSettings = {
  readonly decisions: readonly { readonly options: readonly Pick<Option, 'isSkip'>[] }[]
  /** Groups of decisions, by index, whose products are features. */
  readonly places: readonly (readonly number[])[]
  readonly ridge: number
  /** What the ridge of depths is multiplied by; default: 30. */
  readonly depthShrinkage?: number | undefined
}

type RegressionExample = { readonly path: readonly number[]; readonly score: number }

/** f. */
type Regression = (path: readonly number[]) => number

type Feature = { readonly number: number; readonly value: number }

type Features = {
  /** The constant's included, which is number 0. */
  readonly count: number
  /** What the ridge of each feature is multiplied by. */
  readonly shrinkage: readonly number[]
  /** Those that are not 0 in an architecture. */
  of(path: readonly number[]): Feature[]
}

function createFeatures({ decisions, places, depthShrinkage = DEPTH_SHRINKAGE }: Omit<RegressionSettings, 'ridge'>): Features {
  const shrinkage = [0]
  const take = (size: number, factor = 1) => shrinkage.push(...Array.from({ length: size }, () => factor)) - size
  const sizes = decisions.map(({ options }) => options.length)
  const singles = sizes.map((size) => take(size - 1))
  const skips = decisions.map(({ options }) => options.map(({ isSkip = false }) => isSkip))
  const leastDepth = skips.filter((own) => !own.includes(true)).length
  const mostDepth = skips.filter((own) => own.includes(false)).length
  const depths = take(Math.max(0, mostDepth - leastDepth - 1), depthShrinkage)
  const pairs = places.flatMap((place) =>
    place.flatMap((one, i) =>
      place.slice(i + 1).map((other) => {
        const width = (sizes[other] as number) - 1
        return { one, other, width, from: take(((sizes[one] as number) - 1) * width) }
      }),
    ),
  )
  return {
    count: shrinkage.length,
    shrinkage,
    of(path) {
      const found = [{ number: 0, value: 1 }]
      for (const [decision, from] of singles.entries()) {
        const option = path[decision] as number
        if (option > 0) found.push({ number: from + option - 1, value: 1 })
      }
      const depth = path.filter((option, decision) => !skips[decision]?.[option]).length - leastDepth
      for (let k = 1; k < depth; k++) found.push({ number: depths + k - 1, value: depth - k })
      for (const { one, other, width, from } of pairs) {
        const [a, b] = [path[one] as number, path[other] as number]
        if (a > 0 && b > 0) found.push({ number: from + (a - 1) * width + b - 1, value: 1 })
      }
      return found
    },
  }
}

/**
 * Solves A x = b in place by Cholesky's decomposition, A = L Lᵀ.
 *
 * @param matrix A [n][n], symmetric; its lower half is read, and L is left there. A column that is a sum of others, to what float64 holds,
 *   gets x = 0.
 */
function solveSymmetric(matrix: readonly Float64Array[], right: Float64Array): Float64Array {
  const n = right.length
  const tiny = Number.EPSILON * n * Math.max(...matrix.map((row, i) => row[i] as number))
  for (const [i, row] of matrix.entries()) {
    for (let j = 0; j <= i; j++) {
      const other = matrix[j] as Float64Array
      let sum = row[j] as number
      for (let k = 0; k < j; k++) sum -= (row[k] as number) * (other[k] as number)
      if (i === j) row[j] = sum > tiny ? Math.sqrt(sum) : Number.POSITIVE_INFINITY
      else row[j] = sum / (other[j] as number)
    }
  }
  const x = right.slice()
  for (const [i, row] of matrix.entries()) {
    for (let k = 0; k < i; k++) x[i] = (x[i] as number) - (row[k] as number) * (x[k] as number)
    x[i] = (x[i] as number) / (row[i] as number)
  }
  for (let i = n - 1; i >= 0; i--) {
    for (let k = i + 1; k < n; k++) x[i] = (x[i] as number) - ((matrix[k] as Float64Array)[i] as number) * (x[k] as number)
    x[i] = (x[i] as number) / ((matrix[i] as Float64Array)[i] as number)
  }
  return x
}

/** n examples with k features each, of F in all, cost O(n · k² + F³). */
function fitRegression(examples: readonly RegressionExample[], settings: RegressionSettings): Regression {
  const features = createFeatures(settings)
  const matrix = Array.from({ length: features.count }, (_, i) => {
    const row = new Float64Array(features.count)
    row[i] = settings.ridge * (features.shrinkage[i] as number)
    return row
  })
  const right = new Float64Array(features.count)
  for (const { path, score } of examples) {
    const own = features.of(path)
    for (const { number: i, value } of own) {
      right[i] = (right[i] as number) + value * score
      const row = matrix[i] as Float64Array
      for (const { number: j, value: other } of own) row[j] = (row[j] as number) + value * other
    }
  }
  const weights = solveSymmetric(matrix, right)
  return (path) => features.of(path).reduce((sum, { number, value }) => sum + (weights[number] as number) * value, 0)
}

export { createFeatures, fitRegression, type Regression, type RegressionExample, type RegressionSettings }
