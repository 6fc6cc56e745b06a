// One-Shot (Bender et al. 2018, ICML): every mini-batch trains all operations of a block at once, their outputs added up, and drops some of
// them at random so that the others do not come to rely on them. Then architectures are drawn at random within the target latency and
// ranked by what they reach with the weights that they share.
//
// Each of the k operations of a block is dropped with probability r^(1/k), which drops all of them with probability r, where one is kept
// after all. r grows linearly from 0 to `pathDropout` over the training. The drop of a mini-batch is that of all its images; the paper
// draws it anew for each 32 of them (ghost batch-norm).

import { invalidField, MAX_TASK_GATES } from '../protocol/index.ts'
import type { Random } from '../search-space/index.ts'
import { fillWithMixtures } from './seat-steps.ts'
import { settingsOf } from './settings.ts'
import { requireSideBySide } from './side-by-side.ts'
import { createSharedWeightSearch, type SharedWeightState } from './shared-weight-search.ts'
import type { Strategy, StrategyContext } from './strategy.ts'

const settings = (context: StrategyContext) => settingsOf(context, 'one-shot')

/** Steps whose dropped operations are one row of the log. */
function mostSteps({ space }: StrategyContext): number {
  return Math.floor(MAX_TASK_GATES / space.decisions.reduce((sum, { options }) => sum + options.length, 0))
}

/**
 * The operations of a block that are left out of a mini-batch, never all of them.
 *
 * @param rate r above
 */
function dropOperations(operations: number, rate: number, random: Random): number[] {
  const each = rate ** (1 / operations)
  const all = Array.from({ length: operations }, (_, operation) => operation)
  const dropped = all.filter(() => random.uniform() < each)
  if (dropped.length < operations) return dropped
  const kept = random.integer(operations)
  return all.filter((operation) => operation !== kept)
}

/** See strategy.ts and shared-weight-search.ts. */
const oneShot: Strategy<SharedWeightState> = createSharedWeightSearch({
  settings(context) {
    const { candidates, ...rest } = settings(context)
    return { ...rest, population: candidates, generations: 1 }
  },
  check(context) {
    requireSideBySide(context)
    const most = mostSteps(context)
    const { weightSteps } = context.config.tasks
    if (weightSteps > most) throw invalidField('tasks.weightSteps', `expected at most ${most} for a space of this size, got ${weightSteps}`)
  },
  weights(state, context) {
    const { space, config } = context
    const { pathDropout } = settings(context)
    // Where the training is as the task is made; a task is a small part of it.
    const rate = (pathDropout * Math.min(config.training.steps, state.weightStepsProposed)) / config.training.steps
    const drop = (steps: number, random: Random) =>
      Array.from({ length: steps }, () => space.decisions.map(({ options }) => dropOperations(options.length, rate, random)))
    return { isWhole: true, mostSteps: mostSteps(context), fill: fillWithMixtures(rate > 0 ? { drop } : {}) }
  },
  view: ({ evaluated }, candidates) => ({
    kind: 'ranking',
    score: 'accuracy',
    scored: evaluated.filter(({ score }) => score !== null).length,
    candidates,
  }),
})

export { dropOperations, oneShot }
