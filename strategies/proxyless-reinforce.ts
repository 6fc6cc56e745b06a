// ProxylessNAS in REINFORCE form: an architecture step evaluates K sampled architectures on the same images, with shared
// weights, and follows their rewards (rewards.ts).

import * as z from 'zod'
import { pathLatencyMs } from '../latency-lut/table/coverage.ts'
import { addedBounds } from './bounds.ts'
import { baselinesOf, boundFactor, rewardOf } from './rewards.ts'
import { createSampledSearch, sampledShape } from './sampled-search.ts'
import { settingsOf } from './settings.ts'
import type { Strategy, StrategyContext } from './strategy.ts'

const stateSchema = z.strictObject({
  ...sampledShape,
  /** Moving average of the rewards; null before the first one, and without such a baseline. */
  averageReward: z.number().nullable(),
})
type State = z.infer<typeof stateSchema>

const settings = (context: StrategyContext) => settingsOf(context, 'proxyless-r')

/** See strategy.ts and sampled-search.ts. */
const proxylessReinforce: Strategy<State> = createSampledSearch<State>({
  stateSchema,
  settings,
  start: (base) => ({ ...base, averageReward: null }),
  samplesOf: (_state, context) => settings(context).samples,
  weigh(state, samples, context) {
    const { reward, baseline } = settings(context)
    const { targetMs } = context.config.latency
    const bounds = addedBounds(context)
    const rewards = samples.map(({ accuracy, path }) => {
      return rewardOf(reward, accuracy, pathLatencyMs(context.latency, path), targetMs) * boundFactor(bounds, path)
    })
    const { baselines, average } = baselinesOf(baseline, rewards, state.averageReward)
    const multipliers = rewards.map((value, k) => (value - (baselines[k] as number)) / samples.length)
    return { multipliers, state: { ...state, averageReward: average } }
  },
})

export { proxylessReinforce }
