// Random search: what every other strategy has to be better than (Li and Talwalkar 2019, arXiv 1902.07638).

import * as z from 'zod'
import type { RandomTrialsConfig } from '../protocol/index.ts'
import type { Strategy, StrategyContext } from './strategy.ts'
import { createTrialSearch, trialShape } from './trial-search.ts'

const stateSchema = z.strictObject(trialShape)
type State = z.infer<typeof stateSchema>

function settings({ config }: StrategyContext): RandomTrialsConfig {
  const { strategy } = config
  if (strategy.name !== 'random') throw new Error(`expected the settings of random, got those of ${strategy.name}`)
  return strategy
}

/** See strategy.ts and trial-search.ts. */
const randomTrials: Strategy<State> = createTrialSearch<State>({
  stateSchema,
  settings,
  start: (base) => base,
  next: () => null,
  learn: (state) => state,
})

export { randomTrials }
