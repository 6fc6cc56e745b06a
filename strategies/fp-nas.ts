// FP-NAS (Yan et al. 2021, arXiv 2011.10949, section 3.2): importance weights as in PARSEC, but as many samples as the distribution still
// has to say,
//
//   K = clamp(round(λ · H), least, most),   H = Σ over decisions of the entropy of p, nats
//
// so that a search which is nearly decided samples little. Latency beyond the target is a cost of the samples.

import type { FpNasConfig } from '../protocol/index.ts'
import { entropy, softmax } from './distribution.ts'
import { createImportanceSearch, type ImportanceState } from './importance-search.ts'
import { settingsOf } from './settings.ts'
import type { Strategy } from './strategy.ts'

/** K of a distribution. */
function adaptiveSamples(alpha: readonly (readonly number[])[], { lambda, leastSamples, mostSamples }: FpNasConfig): number {
  const total = alpha.reduce((sum, row) => sum + entropy(softmax(row)), 0)
  return Math.max(leastSamples, Math.min(mostSamples, Math.round(lambda * total)))
}

/** See strategy.ts and importance-search.ts. */
const fpNas: Strategy<ImportanceState> = createImportanceSearch({
  settings: (context) => settingsOf(context, 'fp-nas'),
  samplesOf: (state, context) => adaptiveSamples(state.alpha, settingsOf(context, 'fp-nas')),
})

export { adaptiveSamples, fpNas }
