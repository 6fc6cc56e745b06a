// How well predicted latencies agree with measured ones, and the affine correction that makes them agree better.

import type { Correction } from './table.ts'

type Pair = { readonly predictedMs: number; readonly measuredMs: number }

/** Over some networks; with fewer than two, correlations are NaN. */
type Agreement = {
  readonly networks: number
  /** Root of the mean squared error, milliseconds. */
  readonly rmseMs: number
  /** Mean of |predicted − measured| / measured, percent. */
  readonly mapePct: number
  /** Pearson's correlation: 1 where measured = a + b · predicted, b > 0. */
  readonly pearson: number
  /** Kendall's tau-b: 1 where the predictions put all networks into the order measured. */
  readonly kendall: number
  /** Share of the networks whose prediction is at most this far off the measurement, percent. */
  readonly within5Pct: number
  readonly within10Pct: number
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length
}

/** Sums of squares and products about the means. */
function moments(x: readonly number[], y: readonly number[]) {
  const [meanX, meanY] = [mean(x), mean(y)]
  let [xx, xy, yy] = [0, 0, 0]
  for (const [index, value] of x.entries()) {
    const dx = value - meanX
    const dy = (y[index] as number) - meanY
    xx += dx * dx
    xy += dx * dy
    yy += dy * dy
  }
  return { meanX, meanY, xx, xy, yy }
}

/** Pearson's product-moment correlation; NaN where one of both is constant. */
function pearsonCorrelation(x: readonly number[], y: readonly number[]): number {
  const { xx, xy, yy } = moments(x, y)
  return xx > 0 && yy > 0 ? xy / Math.sqrt(xx * yy) : Number.NaN
}

/**
 * Kendall's tau-b (1945): concordant minus discordant pairs, over the pairs that x and y could tell apart,
 *
 *   tau-b = (C − D) / √((n₀ − ties in x) · (n₀ − ties in y)),   n₀ = n (n − 1) / 2
 *
 * NaN where one of both is constant. All pairs are looked at: a thousand networks take milliseconds.
 */
function kendallTau(x: readonly number[], y: readonly number[]): number {
  let balance = 0
  let tellableByX = 0
  let tellableByY = 0
  for (let i = 0; i < x.length; i++) {
    for (let j = 0; j < i; j++) {
      const signX = Math.sign((x[i] as number) - (x[j] as number))
      const signY = Math.sign((y[i] as number) - (y[j] as number))
      balance += signX * signY
      tellableByX += Math.abs(signX)
      tellableByY += Math.abs(signY)
    }
  }
  return balance / Math.sqrt(tellableByX * tellableByY)
}

function relativeError({ predictedMs, measuredMs }: Pair): number {
  return predictedMs / measuredMs - 1
}

function agreementOf(pairs: readonly Pair[]): Agreement {
  const errors = pairs.map((pair) => Math.abs(relativeError(pair)))
  const within = (share: number) => (100 * errors.filter((error) => error <= share).length) / errors.length
  const predicted = pairs.map(({ predictedMs }) => predictedMs)
  const measured = pairs.map(({ measuredMs }) => measuredMs)
  return {
    networks: pairs.length,
    rmseMs: Math.sqrt(mean(pairs.map(({ predictedMs, measuredMs }) => (predictedMs - measuredMs) ** 2))),
    mapePct: 100 * mean(errors),
    pearson: pearsonCorrelation(predicted, measured),
    kendall: kendallTau(predicted, measured),
    within5Pct: within(0.05),
    within10Pct: within(0.1),
  }
}

/**
 * Ordinary least squares of measured on predicted: measured ≈ offset + factor · predicted. Null where the predictions do
 * not differ, or where what is predicted to be slower is faster: then there is nothing to correct, but something wrong.
 */
function fitCorrection(pairs: readonly Pair[]): Correction | null {
  const { meanX, meanY, xx, xy } = moments(
    pairs.map(({ predictedMs }) => predictedMs),
    pairs.map(({ measuredMs }) => measuredMs),
  )
  const factor = xy / xx
  if (!(factor > 0 && Number.isFinite(factor))) return null
  return { offsetMs: meanY - factor * meanX, factor, networks: pairs.length }
}

function correct(predictedMs: number, { offsetMs, factor }: Correction): number {
  return offsetMs + factor * predictedMs
}

export { type Agreement, agreementOf, correct, fitCorrection, kendallTau, type Pair, pearsonCorrelation, relativeError }
