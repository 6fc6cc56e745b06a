// What supernet searches have in common whose architecture step evaluates K sampled architectures on the same images, with shared
// weights, and follows −Σ_k m_k ∇ log p(A_k): REINFORCE with rewards as multipliers, PARSEC and FP-NAS with importance weights.
// Nothing needs to be differentiable but log p, so costs are those of the samples and not expectations.

import * as z from 'zod'
import { invalidField, MAX_TASK_STEPS, type ResultOf } from '../protocol/index.ts'
import { type AdamSettings, adamStep, type BlockState, isSound, withBlocks } from './adam.ts'
import { batchesOf, metricOf } from './evaluations.ts'
import { scoreGradient } from './importance.ts'
import { combinationsOf, drawArchitecture, groupsOf } from './joint-distribution.ts'
import type { Strategy, StrategyContext } from './strategy.ts'
import { entropyGradient } from './entropy-schedule.ts'
import {
  type ArchitectureSteps,
  createSupernetSearch,
  entropyPullOf,
  type SupernetSettings,
  type SupernetState,
} from './supernet-search.ts'

type SampledSettings = SupernetSettings & AdamSettings & { readonly images: number; readonly maxStaleness: number }

/** One sample's answer. */
type Sample = { readonly path: readonly number[]; readonly crossEntropy: number; readonly accuracy: number }

/** What a strategy adds to its samples. */
type SampledSearch<State extends SupernetState> = Pick<ArchitectureSteps<State>, 'weights' | 'learnt' | 'shows'> & {
  readonly stateSchema: z.ZodType<State>
  settings(context: StrategyContext): SampledSettings
  start(base: SupernetState, context: StrategyContext): State
  /** Architectures of the next step, 1 or more. */
  samplesOf(state: State, context: StrategyContext): number
  /** m_k of each sample, and the state that remembers what has to be remembered. */
  weigh(
    state: State,
    samples: readonly Sample[],
    context: StrategyContext,
  ): { readonly multipliers: readonly number[]; readonly state: State }
}

/** What the coordinator keeps of a task. */
const privateSchema = z.strictObject({ alphaVersion: z.int().min(0) })

function createSampledSearch<State extends SupernetState>(strategy: SampledSearch<State>): Strategy<State> {
  /** Mini-batches that each sample is evaluated on. */
  const batchesOfSample = (context: StrategyContext) => batchesOf(context, strategy.settings(context).images)
  return createSupernetSearch<State>({
    stateSchema: strategy.stateSchema,
    settings: strategy.settings,
    start(base, context) {
      const batches = batchesOfSample(context)
      if (batches > MAX_TASK_STEPS) {
        const message = `expected at most ${MAX_TASK_STEPS} mini-batches of ${context.config.training.batchSize}, got ${batches}`
        throw invalidField('strategy.images', message)
      }
      return strategy.start(base, context)
    },
    // All samples of a step see the same images and the same alpha: one step is one task.
    stepsOfTask: () => 1,
    propose(state, context, { firstStep, random }) {
      const groups = groupsOf(state, context.space)
      const count = batchesOfSample(context)
      return {
        work: {
          kind: 'evaluatePaths',
          paths: Array.from({ length: strategy.samplesOf(state, context) }, () => drawArchitecture(groups, random)),
          batches: { first: firstStep * count, count },
        },
        private: { alphaVersion: state.alphaVersion } satisfies z.infer<typeof privateSchema>,
      }
    },
    absorb(state, { work, private: kept }, result, context) {
      const { maxStaleness, learningRate, beta1, beta2, epsilon } = strategy.settings(context)
      if (state.alphaVersion - privateSchema.parse(kept).alphaVersion > maxStaleness) return { kind: 'stale' }
      const { paths } = work as Extract<typeof work, { kind: 'evaluatePaths' }>
      const answers = (result as ResultOf<'evaluatePaths'>).paths
      const samples = answers.map(({ crossEntropy, correct, images }, k): Sample => {
        return { path: paths[k] as number[], crossEntropy, accuracy: correct / images }
      })
      const { multipliers, state: weighed } = strategy.weigh(state, samples, context)
      const pull = entropyPullOf(state, context, strategy.settings(context))
      const changed = new Map<number, BlockState>()
      const groups = groupsOf(state, context.space)
      const combinations = paths.map((path) => combinationsOf(groups, path))
      for (const [row, { probabilities }] of groups.entries()) {
        if (probabilities.length === 1) continue
        const chosen = combinations.map((of) => of[row] as number)
        const ofEntropy = pull > 0 ? entropyGradient(probabilities) : []
        const gradient = scoreGradient(probabilities, chosen, multipliers).map((value, option) => value + pull * (ofEntropy[option] ?? 0))
        const next = adamStep(state, row, new Map(gradient.entries()), { learningRate, beta1, beta2, epsilon })
        if (isSound(next)) changed.set(row, next)
      }
      const updated = withBlocks(state, changed) as Pick<State, 'alpha' | 'firstMoment' | 'secondMoment' | 'steps'>
      return { kind: 'applied', ...metricOf(answers), state: { ...weighed, ...updated } }
    },
    stepsOf: (work) => (work.kind === 'evaluatePaths' && work.batches ? 1 : null),
    ...(strategy.weights && { weights: strategy.weights }),
    ...(strategy.learnt && { learnt: strategy.learnt }),
    ...(strategy.shows && { shows: strategy.shows }),
  })
}

export { createSampledSearch, type Sample, type SampledSearch, type SampledSettings }
