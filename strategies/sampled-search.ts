// What supernet searches have in common whose architecture step evaluates K sampled architectures on the same images, with shared
// weights, and follows −Σ_k m_k ∇ log p(A_k): REINFORCE with rewards as multipliers, PARSEC and FP-NAS with importance weights.
// Nothing needs to be differentiable but log p, so costs are those of the samples and not expectations. Where there are bounds beside the
// target latency, samples are drawn from p given that they are kept: with importance weights the gradient is then that of the likelihood
// summed over these architectures alone.

import * as z from 'zod'
import { invalidField, MAX_TASK_STEPS, type ResultOf } from '../protocol/index.ts'
import type { Random } from '../search-space/index.ts'
import { type AdamSettings, adamStep, type BlockState, isSound, withBlocks } from './adam.ts'
import { addedBounds, type Bound, keeps } from './bounds.ts'
import { batchesOf, metricOf } from './evaluations.ts'
import { scoreGradient } from './importance.ts'
import { combinationsOf, drawArchitecture, type Group, groupsOf } from './joint-distribution.ts'
import { type Fronts, frontsSchema, withCandidates } from './pareto-fronts.ts'
import type { Strategy, StrategyContext } from './strategy.ts'
import { entropyGradient } from './entropy-schedule.ts'
import {
  type ArchitectureSteps,
  createSupernetSearch,
  entropyPullOf,
  type SupernetSettings,
  supernetShape,
  type SupernetState,
} from './supernet-search.ts'

type SampledSettings = SupernetSettings & AdamSettings & { readonly images: number; readonly maxStaleness: number }

/** Fields of the state of every such strategy. */
const sampledShape = {
  ...supernetShape,
  /** Of the samples, by the accuracies of their own mini-batches; left out by versions that did not keep them. */
  fronts: frontsSchema.optional(),
}
type SampledState = SupernetState & { readonly fronts?: Fronts | undefined }

/** One sample's answer. */
type Sample = { readonly path: readonly number[]; readonly crossEntropy: number; readonly accuracy: number }

/** What a strategy adds to its samples. */
type SampledSearch<State extends SampledState> = Pick<ArchitectureSteps<State>, 'weights' | 'learnt' | 'shows'> & {
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

/** Draws until one keeps the bounds. */
const MAX_DRAWS = 100

/** An architecture drawn from the distribution given that it keeps the bounds; after MAX_DRAWS one that does not, which its cost counts against. */
function drawKeeping(bounds: readonly Bound[], groups: readonly Group[], random: Random): number[] {
  for (let draws = 1; ; draws++) {
    const path = drawArchitecture(groups, random)
    if (draws === MAX_DRAWS || keeps(bounds, path)) return path
  }
}

/** What the coordinator keeps of a task. */
const privateSchema = z.strictObject({ alphaVersion: z.int().min(0) })

function createSampledSearch<State extends SampledState>(strategy: SampledSearch<State>): Strategy<State> {
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
      const bounds = addedBounds(context)
      const count = batchesOfSample(context)
      return {
        work: {
          kind: 'evaluatePaths',
          paths: Array.from({ length: strategy.samplesOf(state, context) }, () => drawKeeping(bounds, groups, random)),
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
      const scored = samples.map(({ path, accuracy }) => ({ path, score: accuracy }))
      const fronts = withCandidates(state.fronts ?? [], scored, context)
      return { kind: 'applied', ...metricOf(answers), state: { ...weighed, ...updated, fronts } }
    },
    frontsOf: (state) => state.fronts ?? [],
    stepsOf: (work) => (work.kind === 'evaluatePaths' && work.batches ? 1 : null),
    ...(strategy.weights && { weights: strategy.weights }),
    ...(strategy.learnt && { learnt: strategy.learnt }),
    ...(strategy.shows && { shows: strategy.shows }),
  })
}

export { createSampledSearch, sampledShape, type Sample, type SampledSearch, type SampledSettings }
