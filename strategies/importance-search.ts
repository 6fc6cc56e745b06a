// Searches whose samples are weighed by the likelihood of the same held-out images (importance.ts), less what latency beyond the target
// costs (latency-multipliers.ts). How many samples a step has is each strategy's own.

import * as z from 'zod'
import { effectiveSamples, importanceWeights } from './importance.ts'
import { latencyMultipliers } from './latency-multipliers.ts'
import { createSampledSearch, type SampledSettings } from './sampled-search.ts'
import type { Strategy, StrategyContext } from './strategy.ts'
import { supernetShape } from './supernet-search.ts'

const stateSchema = z.strictObject({
  ...supernetShape,
  /** Of the last step; null before the first one. */
  effectiveSamples: z.number().nullable(),
})
type ImportanceState = z.infer<typeof stateSchema>

type ImportanceSettings = SampledSettings & { readonly temper?: number | undefined; readonly latencyWeight: number }

type ImportanceSearch = {
  settings(context: StrategyContext): ImportanceSettings
  samplesOf(state: ImportanceState, context: StrategyContext): number
}

function createImportanceSearch({ settings, samplesOf }: ImportanceSearch): Strategy<ImportanceState> {
  return createSampledSearch<ImportanceState>({
    stateSchema,
    settings,
    start: (base) => ({ ...base, effectiveSamples: null }),
    samplesOf,
    weigh(state, samples, context) {
      const { temper, images, latencyWeight } = settings(context)
      const losses = samples.map(({ crossEntropy }) => crossEntropy)
      const weights = importanceWeights(losses, temper ?? images)
      const costs = latencyMultipliers(samples, latencyWeight, context)
      return {
        multipliers: weights.map((weight, k) => weight - (costs[k] as number)),
        state: { ...state, effectiveSamples: effectiveSamples(weights) },
      }
    },
    shows: (state) => (state.effectiveSamples === null ? {} : { effectiveSamples: state.effectiveSamples }),
  })
}

export { createImportanceSearch, type ImportanceState }
