/** Largest difference as a share of the largest expected magnitude; Infinity for a NaN or another length. */
function relativeError(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (actual.length !== expected.length) return Infinity
  let difference = 0
  let largest = 1e-6
  for (let i = 0; i < expected.length; i++) {
    const gap = Math.abs((actual[i] as number) - (expected[i] as number))
    // A NaN must not pass for no difference.
    difference = gap >= 0 ? Math.max(difference, gap) : Infinity
    largest = Math.max(largest, Math.abs(expected[i] as number))
  }
  return difference / largest
}

export { relativeError }
