// Efficient architecture search by network transformation (EAS; Cai et al. 2018, arXiv 1707.04873): networks grow, wider and deeper, with the
// weights that they have (search-space/net2net/growth.ts), so that a short training says what one is worth. A policy over the ways to grow
// takes a step of REINFORCE with every result,
//
//   R = tan(π/2 · accuracy) − b          b a moving average of tan(π/2 · accuracy)
//   dL/dalpha = Σ_t R (p_t − [action t])  −  β dH_t/dalpha
//
// by Adam, where p_t is the policy as it is when the result comes. A new network takes some actions that widen, then some that deepen; each is
// drawn from one softmax over all growths of this kind that the network has at that moment and that keep it within the bounds,
// alpha[decision][option] the logit of taking the decision as that option.
//
// The authors' policy reads the whole network with a bidirectional LSTM, widens each layer or not by a sigmoid of its own, and chooses place,
// kernel and stride of a new layer one after the other. Here a space has a fixed number of places, and the policy sees of a network
// which growths it has left. Theirs takes a step with ten results of one policy; here it may have moved since a network was proposed.
//
// The first network is the one that costs least. What comes after it grows out of one parent, the best network there is, chosen anew after every
// `round` results; the paper does so once or twice in a search. Where the parent has nothing to grow into that is new, it grows out of the best one
// since the parent was chosen, and where that has nothing either, a random architecture is trained from random weights.

import * as z from 'zod'
import { invalidField } from '../protocol/index.ts'
import { type Growth, growthsOf, type Path, type Random, type Space } from '../search-space/index.ts'
import { softmax } from './distribution.ts'
import { type Bounded, boundedBy, cheapestPath, isWithin } from './evolution.ts'
import { evenPolicy, policyGradient, policyShape, stepPolicy } from './policy.ts'
import { baselinesOf } from './rewards.ts'
import { settingsOf } from './settings.ts'
import type { Strategy, StrategyContext } from './strategy.ts'
import { createTrialSearch, pathSchema, trialSchema, trialShape } from './trial-search.ts'

/** Networks drawn from the policy before none is taken to be new. */
const MAX_DRAWS = 50
/** Accuracies above it have this one's reward: the tangent has no end. */
const MAX_ACCURACY = 0.999

const numberedSchema = trialSchema.extend({ trial: z.int().min(0) })
const stateSchema = z.strictObject({
  ...trialShape,
  ...policyShape,
  /** Null before the first reward of the policy. */
  averageReward: z.number().nullable(),
  /** What networks grow out of; null before there is a result. */
  parent: numberedSchema.nullable(),
  /** The best since `parent` was chosen, and how many there were. */
  candidate: numberedSchema.nullable(),
  sinceParent: z.int().min(0),
})
type State = z.infer<typeof stateSchema>
type Alpha = State['alpha']

/** What became of the parent action by action, the parent first: all that the policy decided. */
const stagesSchema = z.array(pathSchema)

const settings = (context: StrategyContext) => settingsOf(context, 'eas')

const growthsOfSpaces = new WeakMap<Space, Growth[][][]>()

function growthsWithin({ space }: Bounded): Growth[][][] {
  const growths = growthsOfSpaces.get(space) ?? growthsOf(space)
  growthsOfSpaces.set(space, growths)
  return growths
}

/** What an action may do to a network, by decision and option. */
function choicesOf(bounded: Bounded, path: Path, kind: Growth['kind']): Growth[] {
  const growths = growthsWithin(bounded)
  return path.flatMap((own, decision) =>
    (growths[decision]?.[own] ?? []).filter((growth) => growth.kind === kind && isWithin(bounded, path.with(decision, growth.option))),
  )
}

const probabilitiesOf = (alpha: Alpha, choices: readonly Growth[]) =>
  softmax(choices.map(({ decision, option }) => alpha[decision]?.[option] as number))

/** A network that the policy makes of another one, by the stages on the way, both ends included. */
function drawChild(state: State, context: StrategyContext, parent: Path, bounded: Bounded, random: Random): number[][] {
  const { widerActions, deeperActions } = settings(context)
  const stages = [[...parent]]
  const act = (kind: Growth['kind']) => {
    const path = stages.at(-1) as number[]
    const choices = choicesOf(bounded, path, kind)
    if (choices.length === 0) return
    const { decision, option } = choices[random.weighted(probabilitiesOf(state.alpha, choices))] as Growth
    stages.push(path.with(decision, option))
  }
  for (let action = 0; action < widerActions; action++) act('widen')
  for (let action = 0; action < deeperActions; action++) act('deepen')
  return stages
}

/** d(−advantage · Σ ln p − entropyWeight · Σ H)/dalpha over the actions that led from stage to stage, [decision][option]. */
function growthGradient(alpha: Alpha, bounded: Bounded, stages: readonly Path[], advantage: number, entropyWeight: number): number[][] {
  const gradient = alpha.map((row) => row.map(() => 0))
  for (const [index, to] of stages.slice(1).entries()) {
    const from = stages[index] as Path
    const changed = from.findIndex((option, decision) => option !== to[decision])
    const kind = growthsWithin(bounded)[changed]?.[from[changed] as number]?.find(({ option }) => option === to[changed])?.kind
    const choices = kind ? choicesOf(bounded, from, kind) : []
    const taken = choices.findIndex(({ decision, option }) => decision === changed && option === to[changed])
    const slopes = policyGradient(probabilitiesOf(alpha, choices), taken, advantage, entropyWeight)
    for (const [i, { decision, option }] of choices.entries()) {
      const row = gradient[decision] as number[]
      row[option] = (row[option] as number) + (slopes[i] as number)
    }
  }
  return gradient
}

/** Takes one step of the policy. */
function follow(state: State, context: StrategyContext, stages: readonly Path[], accuracy: number): State {
  const { baselineRate, entropyWeight, ...adam } = settings(context)
  const reward = Math.tan((Math.PI / 2) * Math.min(accuracy, MAX_ACCURACY))
  const { baselines, average } = baselinesOf({ kind: 'moving-average', rate: baselineRate }, [reward], state.averageReward)
  const gradient = growthGradient(state.alpha, boundedBy(context), stages, reward - (baselines[0] as number), entropyWeight)
  return { ...state, ...stepPolicy(state, gradient, adam), averageReward: average }
}

/** See strategy.ts and trial-search.ts. */
const eas: Strategy<State> = createTrialSearch<State>({
  stateSchema,
  settings,
  start(base, context) {
    const { space } = context
    if (growthsWithin(boundedBy(context)).flat(2).length === 0) {
      const message = `expected a space whose blocks can be left out, or be as they are and wider; ${space.name} has none of these`
      throw invalidField('strategy.name', message)
    }
    return { ...base, ...evenPolicy(space), averageReward: null, parent: null, candidate: null, sinceParent: 0 }
  },
  isWaiting: ({ parent, inFlight }) => parent === null && inFlight.length > 0,
  next(state, context, { bounded, known, random }) {
    const { parent, candidate } = state
    if (!parent) {
      const path = cheapestPath(bounded)
      return known.has(path) || !isWithin(bounded, path) ? null : { path, state }
    }
    for (const { trial, path: from } of candidate ? [parent, candidate] : [parent]) {
      for (let draw = 0; draw < MAX_DRAWS; draw++) {
        const stages = drawChild(state, context, from, bounded, random)
        const path = stages.at(-1) as number[]
        if (stages.length === 1) break
        if (!known.has(path)) return { path, state, start: { trial, path: from }, kept: stages }
      }
    }
    return null
  },
  isInherited: true,
  learn(state, trial, context, _random, { number, kept }) {
    const stages = stagesSchema.optional().parse(kept)
    const next = stages ? follow(state, context, stages, trial.score) : state
    const own = { ...trial, trial: number }
    if (!next.parent) return { ...next, parent: own }
    const candidate = next.candidate && next.candidate.score >= trial.score ? next.candidate : own
    const sinceParent = next.sinceParent + 1
    if (sinceParent < settings(context).round) return { ...next, candidate, sinceParent }
    const parent = candidate.score > next.parent.score ? candidate : next.parent
    return { ...next, parent, candidate: null, sinceParent: 0 }
  },
  keeps: ({ parent, candidate }) => [parent, candidate].flatMap((one) => (one ? [one.trial] : [])),
})

export { eas }
