// FP-NAS (Yan et al. 2021, arXiv 2011.10949, section 3.2): importance weights as in PARSEC, but as many samples as the distribution still
// has to say,
//
//   K = clamp(round(λ · H), least, most),   H = Σ over decisions of the entropy of p, nats
//
// so that a search which is nearly decided samples little. Latency beyond the target is a cost of the samples. From coarse to fine: once
// `jointFrom` of the weight steps are done, the decisions of one place are taken together (joint-distribution.ts), and Adam starts anew.

import type { FpNasConfig } from '../protocol/index.ts'
import { entropy, softmax } from './distribution.ts'
import { groupsByPlace, joinAlpha } from './joint-distribution.ts'
import { createImportanceSearch, type ImportanceState } from './importance-search.ts'
import { settingsOf } from './settings.ts'
import type { Strategy } from './strategy.ts'
import { shareDone } from './supernet-search.ts'

const FIELD = 'strategy.jointFrom'

/** K of a distribution. */
function adaptiveSamples(alpha: readonly (readonly number[])[], { lambda, leastSamples, mostSamples }: FpNasConfig): number {
  const total = alpha.reduce((sum, row) => sum + entropy(softmax(row)), 0)
  return Math.max(leastSamples, Math.min(mostSamples, Math.round(lambda * total)))
}

/** See strategy.ts and importance-search.ts. */
const fpNas: Strategy<ImportanceState> = createImportanceSearch({
  settings: (context) => settingsOf(context, 'fp-nas'),
  check(context) {
    if (settingsOf(context, 'fp-nas').jointFrom !== undefined) groupsByPlace(context.space, FIELD)
  },
  samplesOf: (state, context) => adaptiveSamples(state.alpha, settingsOf(context, 'fp-nas')),
  learnt(state, context) {
    const { jointFrom } = settingsOf(context, 'fp-nas')
    if (state.groups || jointFrom === undefined || shareDone(state, context) < jointFrom) return state
    const groups = groupsByPlace(context.space, FIELD)
    const alpha = joinAlpha(state.alpha, groups)
    const zeros = alpha.map((row) => row.map(() => 0))
    return { ...state, groups, alpha, firstMoment: zeros, secondMoment: zeros, steps: alpha.map(() => 0) }
  },
})

export { adaptiveSamples, fpNas }
