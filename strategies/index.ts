import type { SearchConfig } from '../protocol/index.ts'
import { proxylessGradient } from './proxyless-gradient.ts'
import type { Strategy } from './strategy.ts'

type StrategyName = SearchConfig['strategy']['name']

const strategies = {
  'proxyless-g': proxylessGradient,
} satisfies Record<StrategyName, unknown>

/** The strategy of this name. Its state is opaque to the caller: parsed by `stateSchema`, passed back as it came. */
function findStrategy(name: StrategyName): Strategy<unknown> {
  return strategies[name] as Strategy<unknown>
}

export { findStrategy }
export type { Attendance, Member, Outstanding } from './rounds.ts'
export type { Absorbed, Description, Proposal, Strategy, StrategyContext } from './strategy.ts'
