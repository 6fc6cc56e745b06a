// Single path one-shot (Guo et al. 2020, arXiv 1904.00420): the weights of a supernet are trained on paths drawn uniformly, and then an
// evolution looks for the architecture that does best with them (their algorithm 1). The first generation is random; each further one
// is, half and half, crossovers of two of the best so far and mutations of one of them, and random ones where no new ones are found.

import { invalidField } from '../protocol/index.ts'
import { cross, mutate } from './evolution.ts'
import { settingsOf } from './settings.ts'
import { createSharedWeightSearch, type Evaluated, type SharedWeightState } from './shared-weight-search.ts'
import type { Strategy, StrategyContext } from './strategy.ts'

/** Of all generations together: each is about twenty numbers in one row of storage. */
const MAX_CANDIDATES = 10_000

const settings = (context: StrategyContext) => settingsOf(context, 'spos')

/** See strategy.ts and shared-weight-search.ts. */
const spos: Strategy<SharedWeightState> = createSharedWeightSearch({
  settings,
  check(context) {
    const { population, generations, parents } = settings(context)
    if (parents > population) throw invalidField('strategy.parents', `expected at most the population of ${population}, got ${parents}`)
    if (population * generations > MAX_CANDIDATES) {
      throw invalidField(
        'strategy.generations',
        `expected at most ${MAX_CANDIDATES} architectures in all generations, got ${population * generations}`,
      )
    }
  },
  breed({ best, random, add }, context) {
    const { population, parents: count, mutation } = settings(context)
    const parents = best.slice(0, count)
    if (parents.length === 0) return
    const parent = () => (parents[random.integer(parents.length)] as Evaluated).path
    const half = Math.floor(population / 2)
    for (let i = 0; i < half; i++) add(() => cross(parent(), parent(), random))
    for (let i = half; i < population; i++) add(() => mutate(context.space, parent(), mutation, random))
  },
  view: ({ generation }, candidates) => ({
    kind: 'population',
    score: 'accuracy',
    generation: Math.max(0, generation - 1),
    candidates,
  }),
})

export { spos }
