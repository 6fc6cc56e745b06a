// REINFORCE over trainings (Williams 1992; Zoph and Le 2017; on benchmarks as in Dong and Yang 2020 and Abdelfattah et al. 2021): a policy
// of one softmax for each decision, and a step of Adam with every result,
//
//   dL/dalpha^d_i = (A − b) (p^d_i − [a_d = i])  −  β dH^d/dalpha^d_i        dH/dalpha_i = −p_i (ln p_i + H)
//
// the gradient of −(A − b) ln p(a) − β H(p), where A is the accuracy of architecture a, b a moving average of accuracies, and p the policy
// as it is when the result comes: with agents side by side it may have moved since a was drawn.
//
// Nothing is trained twice. What the policy draws again it has the accuracy of, and takes the step without a training.

import * as z from 'zod'
import { createRandom, type Random, seedState } from '../search-space/index.ts'
import { entropy, softmax } from './distribution.ts'
import { tryFor } from './evolution.ts'
import { evenPolicy, policyGradient, policyShape, stepPolicy } from './policy.ts'
import { baselinesOf } from './rewards.ts'
import { settingsOf } from './settings.ts'
import type { Strategy, StrategyContext } from './strategy.ts'
import { createTrialSearch, scoreOfKnown, type Trial, trialShape } from './trial-search.ts'

/** Architectures drawn again between two results, at most. */
const MAX_REPEATS = 10

const stateSchema = z.strictObject({
  ...trialShape,
  ...policyShape,
  /** Null before the first result. */
  averageAccuracy: z.number().nullable(),
})
type State = z.infer<typeof stateSchema>

const settings = (context: StrategyContext) => settingsOf(context, 'reinforce')

const draw = (alpha: readonly (readonly number[])[], random: Random) => alpha.map((row) => random.weighted(softmax(row)))

/** One step along the gradient of one architecture. */
function follow(state: State, { path, score }: Trial, context: StrategyContext): State {
  const { baselineRate, entropyWeight, ...adam } = settings(context)
  const { baselines, average } = baselinesOf({ kind: 'moving-average', rate: baselineRate }, [score], state.averageAccuracy)
  const advantage = score - (baselines[0] as number)
  const gradient = state.alpha.map((row, decision) => policyGradient(softmax(row), path[decision] as number, advantage, entropyWeight))
  return { ...state, ...stepPolicy(state, gradient, adam), averageAccuracy: average }
}

const meanEntropy = (alpha: readonly (readonly number[])[]) => alpha.reduce((sum, row) => sum + entropy(softmax(row)), 0) / alpha.length

/** See strategy.ts and trial-search.ts. */
const reinforce: Strategy<State> = createTrialSearch<State>({
  stateSchema,
  settings,
  start(base, { space }) {
    return { ...base, ...evenPolicy(space), averageAccuracy: null }
  },
  next(state, _context, { bounded, known, random }) {
    const path = tryFor(bounded, known, () => draw(state.alpha, random))
    return path && { path, state }
  },
  learn(state, trial, context) {
    let next = follow(state, trial, context)
    // Of the results alone, whatever was proposed meanwhile.
    const random = createRandom(seedState(`reinforce ${state.ended}`, context.config.seed))
    for (let repeats = 0; repeats < MAX_REPEATS; repeats++) {
      const path = draw(next.alpha, random)
      const score = scoreOfKnown(context.rows, path)
      if (score === undefined) break
      next = follow(next, { path, score }, context)
    }
    return next
  },
  figures: ({ alpha }) => ({
    policy: {
      probabilities: alpha.map((row) => softmax(row)),
      entropy: meanEntropy(alpha),
      startEntropy: meanEntropy(alpha.map((row) => row.map(() => 0))),
    },
  }),
})

export { reinforce }
