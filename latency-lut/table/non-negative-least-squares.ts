// Non-negative least squares: the x >= 0 that minimises ½·|A·x − b|².
//
// Coordinate descent on the normal equations (Franc, Hlaváč and Navara 2005, "Sequential coordinate-wise algorithm for
// the non-negative least squares problem"): with H = AᵀA and the gradient g = H·x − Aᵀb, each coordinate in turn goes to
// its own optimum,
//
//   x_j ← max(0, x_j − g_j / H_jj)
//
// which never makes the sum of squares larger and converges to the minimum. Columns are scaled to length 1 first, so H_jj
// is 1 and the result does not depend on the units of the columns.

/** Sweeps over all coordinates; for the dozen nearly parallel columns of a latency table some hundreds are usual. */
const MAX_SWEEPS = 20_000
/** Settled once no coordinate moves by more than this share of the longest possible step. */
const SETTLED = 1e-12

/** `rows`: A, one list per row, all as long as `x`. `targets`: b. Columns that are all 0 get 0. */
function solveNonNegative(rows: readonly (readonly number[])[], targets: readonly number[]): number[] {
  const width = rows[0]?.length ?? 0
  // Not Math.hypot: a table's 20,000 rows are too many arguments for some engines.
  const lengths = Array.from({ length: width }, (_, j) => Math.sqrt(rows.reduce((sum, row) => sum + (row[j] as number) ** 2, 0)))
  const used = lengths.flatMap((length, j) => (length > 0 ? [j] : []))
  const columns = used.map((j) => rows.map((row) => (row[j] as number) / (lengths[j] as number)))
  const dot = (a: readonly number[], b: readonly number[]) => a.reduce((sum, value, i) => sum + value * (b[i] as number), 0)
  const products = columns.map((column) => columns.map((other) => dot(column, other)))
  const gradient = columns.map((column) => -dot(column, targets))
  const limit = SETTLED * Math.max(...gradient.map(Math.abs), Number.MIN_VALUE)
  const x = columns.map(() => 0)
  for (let sweep = 0; sweep < MAX_SWEEPS; sweep++) {
    let largest = 0
    for (let j = 0; j < x.length; j++) {
      const step = Math.max(-(x[j] as number), -(gradient[j] as number))
      if (step === 0) continue
      x[j] = (x[j] as number) + step
      const row = products[j] as readonly number[]
      for (let k = 0; k < x.length; k++) gradient[k] = (gradient[k] as number) + step * (row[k] as number)
      largest = Math.max(largest, Math.abs(step))
    }
    if (largest <= limit) break
  }
  const solution = Array.from({ length: width }, () => 0)
  for (const [index, j] of used.entries()) solution[j] = (x[index] as number) / (lengths[j] as number)
  return solution
}

export { solveNonNegative }
