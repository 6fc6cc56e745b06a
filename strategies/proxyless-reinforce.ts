// ProxylessNAS in REINFORCE form: an architecture step evaluates K sampled architectures on the same images, with shared
// weights, and follows their rewards (reinforce.ts). Nothing needs to be differentiable, so latency is that of the sampled
// architectures and not an expectation.

import * as z from 'zod'
import { pathLatencyMs } from '../latency-lut/table/coverage.ts'
import { invalidField, MAX_TASK_STEPS, type ProxylessReinforceConfig, type ResultOf } from '../protocol/index.ts'
import { adamStep, type BlockState, isSound, withBlocks } from './adam.ts'
import { softmax } from './distribution.ts'
import { baselinesOf, reinforceGradient, rewardOf } from './reinforce.ts'
import type { Strategy, StrategyContext } from './strategy.ts'
import { createSupernetSearch, supernetShape } from './supernet-search.ts'

const stateSchema = z.strictObject({
  ...supernetShape,
  /** Moving average of the rewards; null before the first one, and without such a baseline. */
  averageReward: z.number().nullable(),
})
type State = z.infer<typeof stateSchema>

/** What the coordinator keeps of a task. */
const privateSchema = z.strictObject({ alphaVersion: z.int().min(0) })

function settings({ config }: StrategyContext): ProxylessReinforceConfig {
  const { strategy } = config
  if (strategy.name !== 'proxyless-r') throw new Error(`expected the settings of proxyless-r, got those of ${strategy.name}`)
  return strategy
}

/** Mini-batches that each sample is evaluated on. */
function batchesOfStep(context: StrategyContext): number {
  return Math.max(1, Math.round(settings(context).images / context.config.training.batchSize))
}

function checkSize(context: StrategyContext): void {
  const batches = batchesOfStep(context)
  if (batches <= MAX_TASK_STEPS) return
  const message = `expected at most ${MAX_TASK_STEPS} mini-batches of ${context.config.training.batchSize}, got ${batches}`
  throw invalidField('strategy.images', message)
}

/** See strategy.ts and supernet-search.ts. */
const proxylessReinforce: Strategy<State> = createSupernetSearch<State>({
  stateSchema,
  settings,
  start(base, context) {
    checkSize(context)
    return { ...base, averageReward: null }
  },
  // All samples of a step see the same images and the same alpha: one step is one task.
  stepsOfTask: () => 1,
  propose(state, context, { firstStep, random }) {
    const probabilities = state.alpha.map(softmax)
    const count = batchesOfStep(context)
    return {
      work: {
        kind: 'evaluatePaths',
        paths: Array.from({ length: settings(context).samples }, () => probabilities.map((row) => random.weighted(row))),
        batches: { first: firstStep * count, count },
      },
      private: { alphaVersion: state.alphaVersion } satisfies z.infer<typeof privateSchema>,
    }
  },
  absorb(state, { work, private: kept }, result, context) {
    const { maxStaleness, reward, baseline, learningRate, beta1, beta2, epsilon } = settings(context)
    if (state.alphaVersion - privateSchema.parse(kept).alphaVersion > maxStaleness) return { kind: 'stale' }
    const { paths } = work as Extract<typeof work, { kind: 'evaluatePaths' }>
    const answers = (result as ResultOf<'evaluatePaths'>).paths
    const rewards = answers.map(({ correct, images }, k) =>
      rewardOf(reward, correct / images, pathLatencyMs(context.latency, paths[k] as number[]), context.config.latency.targetMs),
    )
    const { baselines, average } = baselinesOf(baseline, rewards, state.averageReward)
    const advantages = rewards.map((value, k) => value - (baselines[k] as number))
    const changed = new Map<number, BlockState>()
    for (const [block, alpha] of state.alpha.entries()) {
      if (alpha.length === 1) continue
      const chosen = paths.map((path) => path[block] as number)
      const gradient = reinforceGradient(softmax(alpha), chosen, advantages)
      const next = adamStep(state, block, new Map(gradient.entries()), { learningRate, beta1, beta2, epsilon })
      if (isSound(next)) changed.set(block, next)
    }
    const updated = withBlocks(state, changed) as Pick<State, 'alpha' | 'firstMoment' | 'secondMoment' | 'steps'>
    return {
      kind: 'applied',
      loss: answers.reduce((sum, { crossEntropy }) => sum + crossEntropy / answers.length, 0),
      correct: answers.reduce((sum, { correct }) => sum + correct, 0),
      images: answers.reduce((sum, { images }) => sum + images, 0),
      state: { ...state, ...updated, averageReward: average },
    }
  },
  stepsOf: (work) => (work.kind === 'evaluatePaths' && work.batches ? 1 : null),
})

export { proxylessReinforce }
