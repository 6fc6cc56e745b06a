// Probabilities of a block's operations from its architecture parameters, in float64.

/** p_j = e^alpha_j / Σ e^alpha, computed without overflow. */
function softmax(alpha: readonly number[]): number[] {
  const largest = Math.max(...alpha)
  const powers = alpha.map((value) => Math.exp(value - largest))
  const sum = powers.reduce((total, power) => total + power, 0)
  return powers.map((power) => power / sum)
}

/** ln Σ e^alpha, computed without overflow. */
function logSumExp(alpha: readonly number[]): number {
  const largest = Math.max(...alpha)
  return largest + Math.log(alpha.reduce((total, value) => total + Math.exp(value - largest), 0))
}

/** −Σ p ln p, nats. */
function entropy(probabilities: readonly number[]): number {
  return probabilities.reduce((sum, p) => (p > 0 ? sum - p * Math.log(p) : sum), 0)
}

/** Index of the largest value; the first of equals. */
function argmax(values: readonly number[]): number {
  return values.reduce((best, value, index) => (value > (values[best] ?? Number.NEGATIVE_INFINITY) ? index : best), 0)
}

export { argmax, entropy, logSumExp, softmax }
