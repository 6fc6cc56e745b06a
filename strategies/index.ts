import type { StrategyName } from '../protocol/index.ts'
import { agingEvolution } from './aging-evolution.ts'
import { darts } from './darts.ts'
import { eas } from './eas.ts'
import { fpNas } from './fp-nas.ts'
import { localSearch } from './local-search.ts'
import { oneShot } from './one-shot.ts'
import { parsec } from './parsec.ts'
import { predictor } from './predictor.ts'
import { proxylessGradient } from './proxyless-gradient.ts'
import { proxylessReinforce } from './proxyless-reinforce.ts'
import { randomTrials } from './random-trials.ts'
import { reinforce } from './reinforce.ts'
import { spos } from './spos.ts'
import type { Strategy } from './strategy.ts'
import { createSuccessiveHalving } from './successive-halving.ts'

/** Of each, nothing is known but the interface: its state is parsed by `stateSchema` and passed back as it came. */
const strategies: { readonly [Name in StrategyName]: Strategy<unknown> } = {
  'proxyless-g': proxylessGradient,
  'proxyless-r': proxylessReinforce,
  parsec,
  'fp-nas': fpNas,
  darts,
  spos,
  'one-shot': oneShot,
  random: randomTrials,
  'aging-evolution': agingEvolution,
  'local-search': localSearch,
  reinforce,
  predictor,
  eas,
  'successive-halving': createSuccessiveHalving(findStrategy),
}

function findStrategy(name: StrategyName): Strategy<unknown> {
  return strategies[name]
}

export { addedBounds, type BoundContext, boundStatus, keeps } from './bounds.ts'
export { candidateOf } from './candidates.ts'
export type { RecordedCosts } from './costs.ts'
export { findStrategy }
export type { Attendance, Member, Outstanding } from './rounds.ts'
export { fitRegression } from './regression.ts'
export { fitOptions, smoothScores } from './smoothing.ts'
export { AFTER_ALL, draftOf, rowsOver, rowText, type StrategyRow, type StrategyRows } from './rows.ts'
export type { Absorbed, Assignment, Description, Proposal, Strategy, StrategyContext } from './strategy.ts'
