// Which options of a space are worth training on a device, and in which order its decisions are searched, after HURRICANE (Zhang et al. 2020,
// arXiv 1910.11609): options are preselected by latency against what they can represent, and the later layers are searched before the
// earlier ones. In public are the abstract and no formula; the score is this,
//
//   s = ½ (macs / most macs + parameters / most parameters) · (most latency / latency)^β,    each "most" of its decision's options
//
// of what an option adds to an architecture; where that depends on other decisions, on average over their options. An option that adds
// nothing to macs and parameters, such as Identity or Zero, has no score and is always kept: it is what makes a network shallower.

import { latencyCosts } from '../latency-lut/table/coverage.ts'
import { costsOfParts, type DecisionCosts, evenProbabilities, expectedCostSlopes } from '../search-space/index.ts'
import { type Bounded, boundedBy, cheapestPath, isWithin } from './evolution.ts'
import type { StrategyContext } from './strategy.ts'

type Preselection = {
  /** Options of each decision, beside those without a score. */
  readonly keep: number
  /** β. */
  readonly latencyWeight: number
}

/** [decision][…], ascending. */
type Options = readonly (readonly number[])[]

type Staged = { readonly stages: number; readonly stage: number; readonly preselect: Preselection | undefined }

/** β where options are only put into an order. */
const DEFAULT_LATENCY_WEIGHT = 1

/** s, [decision][option]; null where an option has none. */
function optionScores({ space, latency }: Pick<StrategyContext, 'space' | 'latency'>, latencyWeight: number): (number | null)[][] {
  const even = evenProbabilities(space)
  const added = (terms: DecisionCosts) => {
    const slopes = expectedCostSlopes(terms, even)
    return space.decisions.map(({ options }, decision) => options.map((_, option) => slopes[decision]?.[option] ?? 0))
  }
  const macs = added(costsOfParts(space, (part) => part.macs))
  const parameters = added(costsOfParts(space, (part) => part.parameters))
  const latencies = added(latencyCosts(latency))
  const share = (row: readonly number[], option: number) => {
    const most = Math.max(...row)
    return most > 0 ? (row[option] as number) / most : 0
  }
  return space.decisions.map(({ options }, decision) =>
    options.map((_, option) => {
      const power = (share(macs[decision] as number[], option) + share(parameters[decision] as number[], option)) / 2
      const slowness = share(latencies[decision] as number[], option)
      if (power === 0) return null
      // Nothing is faster than an option that was measured to take no time.
      return slowness === 0 ? Number.POSITIVE_INFINITY : power / slowness ** latencyWeight
    }),
  )
}

/** Those with the best scores, and those without. */
function keptOptions(context: StrategyContext, { keep, latencyWeight }: Preselection): number[][] {
  return optionScores(context, latencyWeight).map((scores) => {
    const scored = scores.flatMap((score, option) => (score === null ? [] : [{ score, option }]))
    const kept = new Set(
      scored
        .toSorted((a, b) => b.score - a.score)
        .slice(0, keep)
        .map(({ option }) => option),
    )
    return scores.flatMap((score, option) => (score === null || kept.has(option) ? [option] : []))
  })
}

/** The option of each decision that has the best score. */
function bestOptions(context: StrategyContext, kept: Options, latencyWeight: number): number[] {
  const scores = optionScores(context, latencyWeight)
  return kept.map((own, decision) => {
    const scoreOf = (option: number) => scores[decision]?.[option] ?? Number.NEGATIVE_INFINITY
    return own.reduce((best, option) => (scoreOf(option) > scoreOf(best) ? option : best))
  })
}

/** Decisions that a stage searches, from the first to the one before the last of these. */
function searchedDecisions({ stages, stage }: Pick<Staged, 'stages' | 'stage'>, decisions: number): { from: number; to: number } {
  return { from: Math.round((decisions * (stages - 1 - stage)) / stages), to: Math.round((decisions * (stages - stage)) / stages) }
}

/**
 * The options that a stage trains and searches: of its own decisions those that are preselected, of others the one in `fixed`, which is what
 * the stage before has found. In the first stage earlier decisions have their options with the best scores, or, where that leaves nothing
 * within the bounds, those of the cheapest architecture. Undefined where that is all options.
 */
function stagedOptions(context: StrategyContext, staged: Staged, fixed: readonly number[] | undefined): Options | undefined {
  const { stages, preselect } = staged
  const { decisions } = context.space
  if (stages === 1 && !preselect) return undefined
  const kept = preselect ? keptOptions(context, preselect) : decisions.map(({ options }) => options.map((_, option) => option))
  if (stages === 1) return kept
  const { from, to } = searchedDecisions(staged, decisions.length)
  const around = (path: readonly number[]): Options =>
    kept.map((own, decision) => (decision >= from && decision < to ? own : [path[decision] as number]))
  if (fixed) return around(fixed)
  const options = around(bestOptions(context, kept, preselect?.latencyWeight ?? DEFAULT_LATENCY_WEIGHT))
  const bounded: Bounded = boundedBy(context)
  const isEnough = isWithin(bounded, cheapestPath({ ...bounded, options }))
  return isEnough ? options : around(cheapestPath({ ...bounded, options: kept }))
}

export { keptOptions, type Options, optionScores, searchedDecisions, stagedOptions }
