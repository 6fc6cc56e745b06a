// PARSEC (Casale, Gordon and Fusi 2019): the distribution over architectures follows the marginal likelihood of held-out images, with
// importance weights of K samples (importance.ts). The paper's weight step sums the K samples' gradients with their importance, which
// `weightSamples` asks for; by default each mini-batch trains one sampled path, which has the same expectation under equal weights and
// the time of one.

import { createImportanceSearch, type ImportanceState } from './importance-search.ts'
import { settingsOf } from './settings.ts'
import type { Strategy } from './strategy.ts'

/** See strategy.ts and importance-search.ts. */
const parsec: Strategy<ImportanceState> = createImportanceSearch({
  settings: (context) => settingsOf(context, 'parsec'),
  samplesOf: (_state, context) => settingsOf(context, 'parsec').samples,
})

export { parsec }
