// How differently a network answers to changes of different images (Mellor et al. 2020, first version, section 3; Abdelfattah et al. 2021,
// section 3.1). The rows of J are the gradients of the sum of the logits by each image; v the eigenvalues of their correlations:
//   score = −Σ_i (ln(v_i + k) + 1 / (v_i + k)),  k = 1e-5

import { inputGradient } from '../executor/index.ts'
import type { Score } from './score.ts'
import { norm } from './sums.ts'
import { symmetricEigenvalues } from './symmetric-eigenvalues.ts'

const K = 1e-5

/** Correlations of the rows of a matrix of `rows` rows; null where a row is constant. */
function rowCorrelations(values: Float32Array, rows: number): Float64Array | null {
  const columns = values.length / rows
  const centred = Array.from({ length: rows }, (_, row) => {
    const own = Float64Array.from(values.subarray(row * columns, (row + 1) * columns))
    const mean = own.reduce((sum, value) => sum + value, 0) / columns
    for (let i = 0; i < columns; i++) own[i] = (own[i] as number) - mean
    const length = norm(own)
    return own.map((value) => value / length)
  })
  const correlations = new Float64Array(rows * rows)
  for (const [i, a] of centred.entries()) {
    for (let j = 0; j <= i; j++) {
      const b = centred[j] as Float64Array
      let dot = 0
      for (let c = 0; c < columns; c++) dot += (a[c] as number) * (b[c] as number)
      correlations[i * rows + j] = dot
      correlations[j * rows + i] = dot
    }
  }
  return correlations.every(Number.isFinite) ? correlations : null
}

const jacobCov: Score = async (network) => {
  const correlations = rowCorrelations(await inputGradient(network), network.labels.length)
  if (!correlations) return null
  return symmetricEigenvalues(correlations, network.labels.length).reduce((sum, v) => sum - Math.log(v + K) - 1 / (v + K), 0)
}

export { jacobCov }
