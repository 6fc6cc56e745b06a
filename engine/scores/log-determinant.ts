// ln |det A| by Gaussian elimination with partial pivoting.

/** Pivots below this share of the largest element are rounding errors of 0. */
const TOLERANCE = 1e-13

/**
 * −Infinity for a singular matrix.
 *
 * @param matrix row-major [size, size]
 */
function logDeterminant(matrix: Float64Array, size: number): number {
  const a = matrix.slice()
  const least = TOLERANCE * a.reduce((most, value) => Math.max(most, Math.abs(value)), 0)
  let sum = 0
  for (let column = 0; column < size; column++) {
    let pivotRow = column
    const at = (row: number, c: number) => a[row * size + c] as number
    for (let row = column + 1; row < size; row++) if (Math.abs(at(row, column)) > Math.abs(at(pivotRow, column))) pivotRow = row
    const pivot = at(pivotRow, column)
    if (Math.abs(pivot) <= least) return Number.NEGATIVE_INFINITY
    sum += Math.log(Math.abs(pivot))
    for (let c = column; c < size; c++) {
      const value = at(pivotRow, c)
      a[pivotRow * size + c] = at(column, c)
      a[column * size + c] = value
    }
    for (let row = column + 1; row < size; row++) {
      const factor = at(row, column) / pivot
      if (factor === 0) continue
      for (let c = column; c < size; c++) a[row * size + c] = at(row, c) - factor * at(column, c)
    }
  }
  return sum
}

export { logDeterminant }
