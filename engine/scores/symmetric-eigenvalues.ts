// Eigenvalues of a small symmetric matrix by Jacobi's rotations, row after row until nothing is left off the diagonal (Golub and Van Loan,
// Matrix Computations, section 8.5).

/** Off the diagonal, against the whole matrix. */
const TOLERANCE = 1e-14
/** Convergence is quadratic: matrices of some hundred rows take about ten. */
const MAX_SWEEPS = 50

/**
 * In no order. Throws RangeError where they are not found, which no finite matrix has shown.
 *
 * @param matrix symmetric, row-major [size, size]
 */
function symmetricEigenvalues(matrix: Float64Array, size: number): Float64Array {
  const a = matrix.slice()
  const get = (i: number, j: number) => a[i * size + j] as number
  const whole = Math.sqrt(a.reduce((sum, value) => sum + value * value, 0))
  const offDiagonal = () => {
    let sum = 0
    for (let i = 0; i < size; i++) for (let j = 0; j < i; j++) sum += 2 * get(i, j) ** 2
    return Math.sqrt(sum)
  }
  for (let sweep = 0; offDiagonal() > TOLERANCE * whole; sweep++) {
    if (sweep === MAX_SWEEPS) throw new RangeError(`no eigenvalues of a matrix of ${size} rows after ${MAX_SWEEPS} sweeps`)
    for (let p = 0; p < size; p++) {
      for (let q = p + 1; q < size; q++) {
        const off = get(p, q)
        if (off === 0) continue
        const theta = (get(q, q) - get(p, p)) / (2 * off)
        const t = (theta < 0 ? -1 : 1) / (Math.abs(theta) + Math.sqrt(theta * theta + 1))
        const c = 1 / Math.sqrt(t * t + 1)
        const s = t * c
        for (let k = 0; k < size; k++) {
          const [kp, kq] = [get(k, p), get(k, q)]
          a[k * size + p] = c * kp - s * kq
          a[k * size + q] = s * kp + c * kq
        }
        for (let k = 0; k < size; k++) {
          const [pk, qk] = [get(p, k), get(q, k)]
          a[p * size + k] = c * pk - s * qk
          a[q * size + k] = s * pk + c * qk
        }
      }
    }
  }
  return Float64Array.from({ length: size }, (_, i) => get(i, i))
}

export { symmetricEigenvalues }
