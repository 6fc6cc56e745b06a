// F: latency of an operation that a table lacks, predicted from those that it has. Per type of operation,
//
//   latency ≈ Σ weight_i · feature_i,   weight_i ≥ 0
//
// with the features of operation-features.ts and the weights that minimise Σ (predicted / measured − 1)²: relative errors,
// because the entries of one table differ fifty-fold and a network is a sum of large and small ones. Weights and features
// are non-negative, so F is never negative and never falls when an operation grows. Everything here is a pure function of
// the table's entries, whatever their order: a table version always gives the same F.
//
// How good F is, is measured by k-fold cross-validation: every entry is predicted once by an F that was fitted without it.

import { LatencyKeyError, parseTableKey } from './keys.ts'
import { solveNonNegative } from './non-negative-least-squares.ts'
import { type Features, operationFeatures, type Predictable, predictable, type PredictableType } from './operation-features.ts'
import type { LatencyEntry, LatencyTable } from './table.ts'

/**
 * Fewer measured entries of a type than this say too little about it. `proxyless-mobile` on wasm, 100 random subsets: F fitted
 * to 8, 12, 16 and 30 of the 67 MBConvs is 6.7, 3.0, 2.6 and 1.7 % off on the others (median; 16, 6.5, 4.3 and 2.1 % in the
 * worst tenth). The other types have a third of its features.
 */
const MIN_ENTRIES = {
  Conv: 5,
  Conv_1: 5,
  Logits: 5,
  Projection: 5,
  expanded_conv: 12,
  ConvNorm: 5,
  ReluConvNorm: 5,
  SepConv: 8,
  DilConv: 8,
  AvgPool: 5,
  MaxPool: 5,
  ResidualBlock: 5,
  FactorizedReduce: 5,
  NormLogits: 5,
  ConvActivation: 8,
  SplitDepthwise: 12,
  ConvLinear: 8,
  PlainConv: 5,
  NormReluConv: 5,
  Add: 5,
  Concat: 5,
  NormSepConv: 8,
  NormDilConv: 8,
  TreeBlock: 12,
} as const satisfies Record<PredictableType, number>
/** A kernel size that a table hardly knows cannot be told from the others: some runtimes lack fast code for just one. */
const MIN_ENTRIES_OF_KERNEL = 2
const FOLDS = 10

type Accuracy = {
  /** Root of the mean squared error, milliseconds. */
  readonly rmseMs: number
  /** Mean of |predicted − measured| / measured, percent. */
  readonly mapePct: number
}

/** One operation type's part of F. */
type TypeFit = Accuracy & {
  readonly type: PredictableType
  /** Measured entries that it was fitted to. */
  readonly entries: number
  readonly folds: number
  /** Nanoseconds per unit of each feature; those without influence left out. */
  readonly weightsNs: Features
}

type Prediction =
  | { readonly kind: 'predicted'; readonly entry: LatencyEntry & { readonly predicted: Accuracy } }
  | { readonly kind: 'refused'; readonly reason: string }

type Predictor = {
  readonly fits: readonly TypeFit[]
  /** Throws LatencyKeyError for a key that is not of the grammar. */
  predict(key: string): Prediction
}

type Sample = { readonly operation: Predictable; readonly measuredMs: number }
type Model = { readonly weights: Features; predictMs(operation: Predictable): number }

const NS_PER_MS = 1e6

/** The measured entries of a table that F can learn from, in an order that does not depend on the table's. */
function samplesOf(entries: LatencyTable['entries']): Sample[] {
  return Object.entries(entries)
    .filter(([, { predicted }]) => predicted === undefined)
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .flatMap(([key, { meanMs }]) => {
      const operation = readPredictable(key)
      return operation ? [{ operation, measuredMs: meanMs }] : []
    })
}

/** Null for what is not to be predicted; a coordinator's table may have keys that are of no grammar at all. */
function readPredictable(key: string): Predictable | null {
  try {
    return predictable(parseTableKey(key))
  } catch (error) {
    if (error instanceof LatencyKeyError) return null
    throw error
  }
}

function hasDepthwise(operation: Predictable): operation is Extract<Predictable, { type: 'expanded_conv' | 'SplitDepthwise' }> {
  return operation.type === 'expanded_conv' || operation.type === 'SplitDepthwise'
}

function kernelsOf(samples: readonly Sample[]): Map<number, number> {
  const counts = new Map<number, number>()
  for (const { operation } of samples) {
    if (hasDepthwise(operation)) counts.set(operation.kernel, (counts.get(operation.kernel) ?? 0) + 1)
  }
  return counts
}

function fitModel(samples: readonly Sample[], kernels: readonly number[]): Model {
  const featured = samples.map(({ operation, measuredMs }) => ({ features: operationFeatures(operation, kernels), measuredMs }))
  const names = [...new Set(featured.flatMap(({ features }) => Object.keys(features)))]
  const rows = featured.map(({ features, measuredMs }) => names.map((name) => (features[name] ?? 0) / measuredMs))
  const solution = solveNonNegative(
    rows,
    rows.map(() => 1),
  )
  const weights = Object.fromEntries(names.map((name, index) => [name, solution[index] as number]))
  return {
    weights,
    predictMs: (operation) =>
      Object.entries(operationFeatures(operation, kernels)).reduce((sum, [name, value]) => sum + value * (weights[name] ?? 0), 0),
  }
}

function accuracyOf(pairs: readonly { readonly predictedMs: number; readonly measuredMs: number }[]): Accuracy {
  const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length
  return {
    rmseMs: Math.sqrt(mean(pairs.map(({ predictedMs, measuredMs }) => (predictedMs - measuredMs) ** 2))),
    mapePct: 100 * mean(pairs.map(({ predictedMs, measuredMs }) => Math.abs(predictedMs - measuredMs) / measuredMs)),
  }
}

function crossValidate(samples: readonly Sample[], kernels: readonly number[], folds: number): Accuracy {
  const pairs = Array.from({ length: folds }, (_, fold) => {
    const model = fitModel(
      samples.filter((__, index) => index % folds !== fold),
      kernels,
    )
    return samples
      .filter((__, index) => index % folds === fold)
      .map(({ operation, measuredMs }) => ({ predictedMs: model.predictMs(operation), measuredMs }))
  })
  return accuracyOf(pairs.flat())
}

/** F, fitted to the measured entries of a table. Types with too few of them are left out. */
function fitPredictor({ entries }: Pick<LatencyTable, 'entries'>): Predictor {
  const samples = samplesOf(entries)
  const parts = new Map<PredictableType, { fit: TypeFit; model: Model }>()
  const kernelCounts = kernelsOf(samples)
  const kernels = [...kernelCounts.keys()].toSorted((a, b) => a - b)
  const countOf = (type: PredictableType) => samples.filter(({ operation }) => operation.type === type).length
  for (const type of Object.keys(MIN_ENTRIES) as PredictableType[]) {
    const own = samples.filter(({ operation }) => operation.type === type)
    if (own.length < MIN_ENTRIES[type]) continue
    const model = fitModel(own, kernels)
    const folds = Math.min(FOLDS, own.length)
    const used = Object.entries(model.weights).filter(([, weight]) => weight > 0)
    const weightsNs = Object.fromEntries(used.map(([name, weight]) => [name, weight * NS_PER_MS]))
    parts.set(type, { model, fit: { type, entries: own.length, folds, ...crossValidate(own, kernels, folds), weightsNs } })
  }
  const refused = (reason: string): Prediction => ({ kind: 'refused', reason })
  return {
    fits: [...parts.values()].map(({ fit }) => fit),
    predict(key) {
      const operation = predictable(parseTableKey(key))
      if (!operation) return refused('no space asks for such an operation')
      const { type } = operation
      const part = parts.get(type)
      if (!part) return refused(`the table has ${countOf(type)} measured entries of type ${type}; expected ${MIN_ENTRIES[type]} at least`)
      if (hasDepthwise(operation)) {
        const count = kernelCounts.get(operation.kernel) ?? 0
        if (count < MIN_ENTRIES_OF_KERNEL) {
          return refused(
            `the table has ${count} measured entries of type ${type} with kernel ${operation.kernel}; expected ${MIN_ENTRIES_OF_KERNEL} at least`,
          )
        }
      }
      const meanMs = part.model.predictMs(operation)
      // With positive measurements only an operation that shares no feature with any of them comes to 0.
      if (!(meanMs > 0 && Number.isFinite(meanMs))) return refused('nothing in the table is like it')
      const { rmseMs, mapePct } = part.fit
      return { kind: 'predicted', entry: { meanMs, stdMs: 0, count: 0, predicted: { rmseMs, mapePct } } }
    },
  }
}

export { type Accuracy, accuracyOf, fitPredictor, type Prediction, type Predictor, type TypeFit }
