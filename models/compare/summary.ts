// What trainings with several seeds and a measured latency come to.

import { paretoFront } from '../../search-space/index.ts'
import { median } from '../../latency-lut/table/robust.ts'
import { compared, type ExperimentResult } from './run-experiment.ts'

/** Images that accuracies are of. */
type Split = 'validation' | 'test'

type Spread = {
  readonly mean: number
  /** Of the sample, n - 1 below; null for a single value. */
  readonly std: number | null
  readonly least: number
  readonly most: number
}

type Compared = ExperimentResult & {
  /** Median of the rounds. */
  readonly latencyMs: number
  /** Top-1 over the seeds, 0 to 1: on the test split where it was evaluated, else on the validation share. */
  readonly accuracy: Spread
  /** True where no other is at least as fast and more accurate, or as accurate and faster. */
  readonly isOnFront: boolean
}

/** Throws for no values. */
function spreadOf(values: readonly number[]): Spread {
  if (values.length === 0) throw new Error('expected at least one value')
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0)
  const std = values.length > 1 ? Math.sqrt(squares / (values.length - 1)) : null
  return { mean, std, least: Math.min(...values), most: Math.max(...values) }
}

function summarise(results: readonly ExperimentResult[]): Compared[] {
  const points = results.map((result) => {
    const accuracy = spreadOf(result.trainings.map(compared))
    return { x: median(result.latenciesMs), y: accuracy.mean, result, accuracy }
  })
  const front = new Set(paretoFront(points, { x: 'low', y: 'high' }))
  return points.map((point) => ({ ...point.result, latencyMs: point.x, accuracy: point.accuracy, isOnFront: front.has(point) }))
}

/** How much faster `ours` is than what a line between the neighbours of `others` needs for the same accuracy; null outside of them. */
function speedUpAtEqualAccuracy(ours: Pick<Compared, 'latencyMs' | 'accuracy'>, others: readonly Compared[]): number | null {
  const sorted = others.toSorted((a, b) => a.accuracy.mean - b.accuracy.mean)
  const above = sorted.find(({ accuracy }) => accuracy.mean >= ours.accuracy.mean)
  const below = sorted.findLast(({ accuracy }) => accuracy.mean <= ours.accuracy.mean)
  if (!above || !below) return null
  const span = above.accuracy.mean - below.accuracy.mean
  const share = span > 0 ? (ours.accuracy.mean - below.accuracy.mean) / span : 0
  return (below.latencyMs + share * (above.latencyMs - below.latencyMs)) / ours.latencyMs
}

export { type Compared, speedUpAtEqualAccuracy, type Split, type Spread, spreadOf, summarise }
