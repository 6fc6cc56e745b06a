// Single path one-shot (Guo et al. 2020, arXiv 1904.00420): the weights of a supernet are trained on paths drawn uniformly, and then an
// evolution looks for the architecture that does best with them (their algorithm 1). The first generation is random; each further one
// is, half and half, crossovers of two of the best so far and mutations of one of them, and random ones where no new ones are found.
//
// What others have made of it are settings: generations found by annealing on a regression (FOX-NAS: regression.ts, annealing.ts), options
// left out and decisions searched in stages (HURRICANE: preselection.ts), batch-norms alone trained and compared (BN-NAS), paths that learn
// from each other (after Pi-NAS). The last weight steps may be on paths near the target alone (near-target.ts).

import { annealingSchema, invalidField } from '../protocol/index.ts'
import { predictBest } from './annealing.ts'
import { cross, mutate } from './evolution.ts'
import { decisionsByPlace } from './joint-distribution.ts'
import { drawNear } from './near-target.ts'
import { stagedOptions } from './preselection.ts'
import { createFeatures, fitRegression } from './regression.ts'
import type { FillSeat } from './rounds.ts'
import { fillWithPaths } from './seat-steps.ts'
import { settingsOf } from './settings.ts'
import { candidatesOf, createSharedWeightSearch, type Generation, type SharedWeightState } from './shared-weight-search.ts'
import type { Strategy, StrategyContext } from './strategy.ts'

/** Of all generations together: each is about twenty numbers in one row of storage. */
const MAX_CANDIDATES = 10_000
/** Of the regression: a fit is the third power of it, and a Worker has seconds for a call. */
const MAX_FEATURES = 800

const SCORE_NAMES = { accuracy: 'accuracy', 'log-likelihood': 'log-likelihood', 'batch-norms': 'batch-norm scales' } as const

const settings = (context: StrategyContext) => settingsOf(context, 'spos')

const annealingOf = (context: StrategyContext) => settings(context).annealing ?? annealingSchema.parse({})

function regressionOf(context: StrategyContext) {
  const { space } = context
  const { products, ridge } = annealingOf(context)
  return { decisions: space.decisions, places: products ? decisionsByPlace(space) : [], ridge }
}

function breedByAnnealing({ best, bounded, random, add }: Generation, context: StrategyContext): void {
  if (best.length === 0) return
  const known = best.map(({ path }) => path)
  const predicted = predictBest(bounded, fitRegression(best, regressionOf(context)), annealingOf(context), random, known)
  for (const path of predicted.slice(0, settings(context).population)) add(() => path)
}

function breedByEvolution({ best, bounded, random, add }: Generation, context: StrategyContext): void {
  const { population, parents: count, mutation } = settings(context)
  const parents = best.slice(0, count)
  if (parents.length === 0) return
  const parent = () => (parents[random.integer(parents.length)] as Generation['best'][number]).path
  const half = Math.floor(population / 2)
  for (let i = 0; i < half; i++) add(() => cross(parent(), parent(), random))
  for (let i = half; i < population; i++) add(() => mutate(bounded, parent(), mutation, random))
}

/** Effective steps after which weights are trained near the target alone; null where they are not. */
function nearFrom(context: StrategyContext): number | null {
  const { nearTarget } = settings(context)
  return nearTarget ? Math.round(context.config.training.steps * (1 - nearTarget.share)) : null
}

/** Where the learning rate of the round is that begins at a step; undefined where it just follows the steps. */
function positionNear(context: StrategyContext, from: number, step: number): number | undefined {
  const { steps } = context.config.training
  const { restart } = settings(context).nearTarget ?? {}
  if (restart === undefined || step < from || from === 0) return undefined
  return steps * (restart + (1 - restart) * ((step - from) / (steps - from)))
}

/** What the steps of a seat train: a round that was opened before the last steps has uniform paths, whoever takes its seats when. */
function fillOf(context: StrategyContext, from: number | null): FillSeat {
  const { trained, consistency, nearTarget } = settings(context)
  const common = { ...(trained === 'batch-norms' && { trained }), ...(consistency && { consistency }) }
  return (seat, place) => {
    const isNear = nearTarget !== undefined && from !== null && place.round.from >= from
    return fillWithPaths({ ...common, ...(isNear && { draw: drawNear(context, nearTarget.least) }) })(seat, place)
  }
}

function checkAnnealing(context: StrategyContext): void {
  const { search, annealing } = settings(context)
  if (search !== 'annealing') {
    if (annealing) throw invalidField('strategy.annealing', 'expected none where strategy.search is not annealing')
    return
  }
  const { count } = createFeatures(regressionOf(context))
  if (count <= MAX_FEATURES) return
  const field = annealingOf(context).products ? 'strategy.annealing.products' : 'strategy.search'
  throw invalidField(field, `expected a regression of at most ${MAX_FEATURES} coefficients, got ${count} for a space of this size`)
}

/** See strategy.ts and shared-weight-search.ts. */
const spos: Strategy<SharedWeightState> = createSharedWeightSearch({
  settings,
  check(context) {
    const { population, generations, parents, stages = 1, nearTarget } = settings(context)
    if (nearTarget && stages > 1) throw invalidField('strategy.nearTarget', `expected none where strategy.stages is not 1, got ${stages}`)
    if (parents > population) throw invalidField('strategy.parents', `expected at most the population of ${population}, got ${parents}`)
    const candidates = candidatesOf(settings(context))
    if (candidates > MAX_CANDIDATES) {
      throw invalidField('strategy.generations', `expected at most ${MAX_CANDIDATES} architectures in all generations, got ${candidates}`)
    }
    const most = Math.min(generations, context.space.decisions.length)
    if (stages > most)
      throw invalidField('strategy.stages', `expected at most as many as generations and decisions, ${most}, got ${stages}`)
    checkAnnealing(context)
  },
  options(context, stage, fixed) {
    const { stages = 1, preselect } = settings(context)
    return stagedOptions(context, { stages, stage, preselect }, fixed)
  },
  weights({ weightStepsProposed }, context) {
    const from = nearFrom(context)
    const fill = fillOf(context, from)
    if (from === null) return { fill }
    if (weightStepsProposed < from) return { fill, end: from }
    return { fill, position: positionNear(context, from, weightStepsProposed) }
  },
  breed(generation, context) {
    if (settings(context).search === 'annealing') breedByAnnealing(generation, context)
    else breedByEvolution(generation, context)
  },
  view: ({ generation }, candidates, context) => ({
    kind: 'population',
    score: SCORE_NAMES[settings(context).score ?? 'accuracy'],
    generation: Math.max(0, generation - 1),
    candidates,
  }),
})

export { spos }
