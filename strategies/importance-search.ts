// Searches whose samples are weighed by the likelihood of the same held-out images (importance.ts), less what latency beyond the target
// and other costs beyond their bounds cost (cost-multipliers.ts). How many samples a step has is each strategy's own.

import * as z from 'zod'
import { MAX_TASK_STEPS } from '../protocol/index.ts'
import { effectiveSamples, importanceWeights } from './importance.ts'
import { costMultipliers } from './cost-multipliers.ts'
import { createSampledSearch, sampledShape, type SampledSettings } from './sampled-search.ts'
import { fillWithPaths } from './seat-steps.ts'
import type { Strategy, StrategyContext } from './strategy.ts'

const stateSchema = z.strictObject({
  ...sampledShape,
  /** Of the last step; null before the first one. */
  effectiveSamples: z.number().nullable(),
  /** Of the last weight task that had samples. */
  effectiveWeightSamples: z.number().optional(),
})
type ImportanceState = z.infer<typeof stateSchema>

type ImportanceSettings = SampledSettings & {
  readonly temper?: number | undefined
  readonly weightSamples?: number | undefined
  readonly latencyWeight: number
}

type ImportanceSearch = {
  settings(context: StrategyContext): ImportanceSettings
  /** Throws ProblemError `invalid-request` where settings of its own make no sense. */
  check?(context: StrategyContext): void
  samplesOf(state: ImportanceState, context: StrategyContext): number
  /** The state after a weight task. */
  learnt?(state: ImportanceState, context: StrategyContext): ImportanceState
}

function createImportanceSearch({ settings, check, samplesOf, learnt }: ImportanceSearch): Strategy<ImportanceState> {
  return createSampledSearch<ImportanceState>({
    stateSchema,
    settings,
    start(base, context) {
      check?.(context)
      return { ...base, effectiveSamples: null }
    },
    samplesOf,
    weigh(state, samples, context) {
      const { temper, images, latencyWeight } = settings(context)
      const losses = samples.map(({ crossEntropy }) => crossEntropy)
      const weights = importanceWeights(losses, temper ?? images)
      const costs = costMultipliers(samples, latencyWeight, context)
      return {
        multipliers: weights.map((weight, k) => weight - (costs[k] as number)),
        state: { ...state, effectiveSamples: effectiveSamples(weights) },
      }
    },
    weights(_, context, draw) {
      const { weightSamples: count, temper } = settings(context)
      if (!count) return { fill: fillWithPaths({ draw }) }
      const fill = fillWithPaths({ draw, samples: { count, temper: temper ?? context.config.training.batchSize } })
      return { fill, mostSteps: Math.floor(MAX_TASK_STEPS / count) }
    },
    learnt(state, result, context) {
      const samples = result.kind === 'trainWeights' ? result.effectiveSamples : undefined
      const next = samples === undefined ? state : { ...state, effectiveWeightSamples: samples }
      return learnt?.(next, context) ?? next
    },
    shows: ({ effectiveSamples: samples, effectiveWeightSamples }) => ({
      ...(samples !== null && { effectiveSamples: samples }),
      ...(effectiveWeightSamples !== undefined && { effectiveWeightSamples }),
    }),
  })
}

export { createImportanceSearch, type ImportanceState }
