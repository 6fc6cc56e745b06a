// Statistics of timings. They are skewed and now and then wildly off (another process ran, the clock rate changed), so
// everything rests on medians, which half of the samples must be wrong to move.

/** A normal distribution's standard deviation over its median absolute deviation. */
const DEVIATIONS_PER_MAD = 1.4826
/** Samples further than this many standard deviations from the median are outliers (Iglewicz and Hoaglin, 1993). */
const OUTLIER_DEVIATIONS = 3.5
/** Two-sided 95 % of a normal distribution. */
const CONFIDENCE_DEVIATIONS = 1.96
/** Median polish settles within two or three sweeps. */
const POLISH_SWEEPS = 3

/** The middle of the values, or the mean of the two in the middle; NaN for none. */
function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const half = sorted.length >> 1
  const upper = sorted[half] ?? Number.NaN
  return sorted.length % 2 === 1 ? upper : ((sorted[half - 1] ?? Number.NaN) + upper) / 2
}

/** The values without outliers by median absolute deviation; all of them if most are equal. */
/** Linear between the two values that are nearest to that share of all; `share` from 0 to 1, at least one value. */
function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  const place = share * (sorted.length - 1)
  const below = sorted[Math.floor(place)] as number
  return below + (place - Math.floor(place)) * ((sorted[Math.ceil(place)] as number) - below)
}

function withoutOutliers(values: readonly number[]): number[] {
  const middle = median(values)
  const limit = OUTLIER_DEVIATIONS * robustDeviation(values)
  return limit > 0 ? values.filter((value) => Math.abs(value - middle) <= limit) : [...values]
}

/** Sample standard deviation; 0 for fewer than two values. */
function standardDeviation(values: readonly number[]): number {
  if (values.length < 2) return 0
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length
  return Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (values.length - 1))
}

/**
 * Half of the median's 95 % confidence interval, as a share of the median. Free of any distribution: the ranks
 * n/2 ± 1.96·√n/2 enclose the true median. Infinite for fewer than six values, which enclose nothing.
 */
function relativeHalfWidth(values: readonly number[]): number {
  const count = values.length
  if (count < 6) return Number.POSITIVE_INFINITY
  const sorted = values.toSorted((a, b) => a - b)
  const reach = (CONFIDENCE_DEVIATIONS * Math.sqrt(count)) / 2
  const low = sorted[Math.max(0, Math.floor(count / 2 - reach))] as number
  const high = sorted[Math.min(count - 1, Math.ceil(count / 2 + reach))] as number
  return (high - low) / 2 / median(sorted)
}

/**
 * How much slower or faster than the others a whole round was, for example because the clock rate changed or somebody
 * else used the machine, as the logarithm of the factor. Tukey's median polish (1977) of the logarithms:
 *
 *   ln samples[subject][round] = subject level + round effect + rest
 *
 * The median round effect is set to 0, so levels stay those of a typical round. `samples`: positive, one list per
 * subject, all equally long.
 */
function roundEffects(samples: readonly (readonly number[])[]): number[] {
  const logarithms = samples.map((row) => row.map(Math.log))
  const rounds = samples[0]?.length ?? 0
  let levels = logarithms.map(median)
  let effects: number[] = []
  for (let sweep = 0; sweep < POLISH_SWEEPS; sweep++) {
    effects = Array.from({ length: rounds }, (_, round) =>
      median(logarithms.map((row, subject) => (row[round] as number) - (levels[subject] as number))),
    )
    const typical = median(effects)
    effects = effects.map((effect) => effect - typical)
    levels = logarithms.map((row) => median(row.map((value, round) => value - (effects[round] as number))))
  }
  return effects
}

/** The samples with the effects of their rounds divided out. */
function removeDrift(samples: readonly (readonly number[])[], effects = roundEffects(samples)): number[][] {
  return samples.map((row) => row.map((value, round) => value / Math.exp(effects[round] as number)))
}

/** Standard deviation that half of the values may not move: 1.4826 times the median distance from the median. */
function robustDeviation(values: readonly number[]): number {
  const middle = median(values)
  return DEVIATIONS_PER_MAD * median(values.map((value) => Math.abs(value - middle)))
}

export { median, quantile, relativeHalfWidth, removeDrift, robustDeviation, roundEffects, standardDeviation, withoutOutliers }
