// Sums over the filters and matrices of a network, in float64.

/** Sum of `term` over pairs of numbers, first within each pair of arrays. */
function sumOver(pairs: Iterable<readonly [ArrayLike<number>, ArrayLike<number>]>, term: (a: number, b: number) => number): number {
  let total = 0
  for (const [as, bs] of pairs) {
    let sum = 0
    for (let i = 0; i < as.length; i++) sum += term(as[i] as number, bs[i] as number)
    total += sum
  }
  return total
}

/** Euclidean length. */
function norm(values: ArrayLike<number>): number {
  return Math.sqrt(sumOver([[values, values]], (a, b) => a * b))
}

export { norm, sumOver }
