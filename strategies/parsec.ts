// PARSEC (Casale, Gordon and Fusi 2019): the distribution over architectures follows the marginal likelihood of held-out images, with
// importance weights of K samples (importance.ts). The paper's weight step sums the K samples' gradients with their importance; here
// each mini-batch trains one sampled path, which has the same expectation under equal weights and the memory and time of one.

import * as z from 'zod'
import type { ParsecConfig } from '../protocol/index.ts'
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

function settings({ config }: StrategyContext): ParsecConfig {
  const { strategy } = config
  if (strategy.name !== 'parsec') throw new Error(`expected the settings of parsec, got those of ${strategy.name}`)
  return strategy
}

/** See strategy.ts and sampled-search.ts. */
const parsec: Strategy<State> = createSampledSearch<State>({
  stateSchema,
  settings,
  start: (base) => ({ ...base, effectiveSamples: null }),
  samplesOf: (_state, context) => settings(context).samples,
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

export { parsec }
