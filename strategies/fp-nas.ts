// FP-NAS (Yan et al. 2021, arXiv 2011.10949, section 3.2): importance weights as in PARSEC, but as many samples as the distribution still
// has to say,
//
//   K = clamp(round(λ · H), least, most),   H = Σ over decisions of the entropy of p, nats
//
// so that a search which is nearly decided samples little. Latency beyond the target is a cost of the samples.

import * as z from 'zod'
import type { FpNasConfig } from '../protocol/index.ts'
import { entropy, softmax } from './distribution.ts'
import { effectiveSamples, importanceWeights } from './importance.ts'
import { latencyMultipliers } from './latency-multipliers.ts'
import { createSampledSearch } from './sampled-search.ts'
import type { Strategy, StrategyContext } from './strategy.ts'
import { supernetShape } from './supernet-search.ts'

const stateSchema = z.strictObject({
  ...supernetShape,
  /** Of the last step; null before the first one. */
  effectiveSamples: z.number().nullable(),
})
type State = z.infer<typeof stateSchema>

function settings({ config }: StrategyContext): FpNasConfig {
  const { strategy } = config
  if (strategy.name !== 'fp-nas') throw new Error(`expected the settings of fp-nas, got those of ${strategy.name}`)
  return strategy
}

/** K of a distribution. */
function adaptiveSamples(alpha: readonly (readonly number[])[], { lambda, leastSamples, mostSamples }: FpNasConfig): number {
  const total = alpha.reduce((sum, row) => sum + entropy(softmax(row)), 0)
  return Math.max(leastSamples, Math.min(mostSamples, Math.round(lambda * total)))
}

/** See strategy.ts and sampled-search.ts. */
const fpNas: Strategy<State> = createSampledSearch<State>({
  stateSchema,
  settings,
  start: (base) => ({ ...base, effectiveSamples: null }),
  samplesOf: (state, context) => adaptiveSamples(state.alpha, settings(context)),
  weigh(state, samples, context) {
    const { temper, images, latencyWeight } = settings(context)
    const weights = importanceWeights(
      samples.map(({ crossEntropy }) => crossEntropy),
      temper ?? images,
    )
    const costs = latencyMultipliers(samples, latencyWeight, context)
    return {
      multipliers: weights.map((weight, k) => weight - (costs[k] as number)),
      state: { ...state, effectiveSamples: effectiveSamples(weights) },
    }
  },
})

export { adaptiveSamples, fpNas }
