// Random search: what every other strategy has to be better than (Li and Talwalkar 2019, arXiv 1902.07638).

import * as z from 'zod'
import { settingsOf } from './settings.ts'
import type { Strategy, StrategyContext } from './strategy.ts'
import { createTrialSearch, trialShape } from './trial-search.ts'

const stateSchema = z.strictObject(trialShape)
type State = z.infer<typeof stateSchema>

const settings = (context: StrategyContext) => settingsOf(context, 'random')

/** See strategy.ts and trial-search.ts. */
const randomTrials: Strategy<State> = createTrialSearch<State>({
  stateSchema,
  settings,
  start: (base) => base,
  next: () => null,
  learn: (state) => state,
})

export { randomTrials }
