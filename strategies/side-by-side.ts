// Strategies that run several options of a decision side by side in one network, with gates or as a mixture, need spaces that can.

import { invalidField } from '../protocol/index.ts'
import type { StrategyContext } from './strategy.ts'

/** Throws ProblemError `invalid-request` where the space's options cannot run side by side. */
function requireSideBySide({ space: { name, gateRefusal } }: Pick<StrategyContext, 'space'>): void {
  if (gateRefusal === undefined) return
  const message = `expected a strategy that takes one option of each decision, such as fp-nas, parsec, proxyless-r or spos, for space ${name}: ${gateRefusal}`
  throw invalidField('strategy.name', message)
}

export { requireSideBySide }
