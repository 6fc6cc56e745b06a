// What the searches with one supernet have found, and where it stands among the recorded networks.

import * as z from 'zod'
import type { Trainer } from '../engine/training/trainer.ts'
import { mostProbablePaths, printArchitecture, type Space } from '../search-space/index.ts'
import { rowsOver } from '../strategies/index.ts'
import type { Costs } from './costs.ts'
import { openKeptLines } from './kept-lines.ts'
import { runSearch } from './search.ts'
import { type NearSettings, type ProofStrategy, searchConfig, type Searches, strategyNames, type SupernetSettings } from './settings.ts'
import { standingOf, type Truth } from './truth.ts'

const foundSchema = z.strictObject({
  strategy: z.enum(strategyNames),
  limit: z.number(),
  seed: z.int(),
  path: z.array(z.int().min(0)),
  architecture: z.string(),
  /** In the unit of the limit. */
  cost: z.number(),
  accuracy: z.number(),
  rank: z.int(),
  rankShare: z.number(),
  regret: z.number(),
  percentile: z.number(),
  /** Recorded accuracy of the most probable architecture, percent; null where that is beyond the limit, or nothing is probable. */
  mostProbable: z.number().nullable(),
  /** Of the search without the supernet. */
  seconds: z.number(),
  images: z.int(),
})
type Found = z.infer<typeof foundSchema>

type FindOptions = {
  readonly folder: string
  readonly seed: number
  readonly strategies: readonly ProofStrategy[]
  readonly searches: Searches
  readonly supernet: SupernetSettings
  readonly near: NearSettings
  /** With the weights that searches have. */
  readonly trainer: Trainer
  readonly space: Space
  readonly costs: Costs
  readonly truth: Truth
  readonly interrupted: AbortSignal
  readonly onFound: (found: Found) => void
}

/** What a strategy answers within a limit. Throws where it answers something beyond. */
async function find(options: FindOptions, strategy: ProofStrategy, limit: number): Promise<Found> {
  const { seed, searches, supernet, trainer, space, costs, truth, interrupted } = options
  const { steps, loss, strategy: settings } = searches[strategy]
  const config = searchConfig(supernet, { seed, steps, strategy: settings, limit, loss })
  const startMs = performance.now()
  const context = { space, latency: costs.latency, config, rows: rowsOver(new Map()) }
  const { view, derived, images } = await runSearch(trainer, context, interrupted)
  const seconds = (performance.now() - startMs) / 1000
  const cost = costs.of(derived)
  if (cost > limit) throw new Error(`expected ${strategy} to answer an architecture within ${limit} ${costs.unit}, got one of ${cost}`)
  const [probable] = view.kind === 'distribution' ? mostProbablePaths(view.probabilities, 1) : []
  return {
    strategy,
    limit,
    seed,
    path: derived,
    architecture: printArchitecture(space, derived),
    cost,
    ...standingOf(truth, costs.of, limit, derived),
    mostProbable: probable && costs.of(probable.path) <= limit ? truth.accuracyOf(probable.path) : null,
    seconds,
    images,
  }
}

/** Searches within a limit that have not been done before, one after the other. */
async function findWithin(options: FindOptions, limit: number): Promise<Found[]> {
  const { folder, strategies, searches, costs, near, onFound } = options
  const all: Found[] = []
  for (const strategy of strategies) {
    const settings = { search: searches[strategy], costs: costs.latency, ...(near.steps > 0 && { near }) }
    const kept = openKeptLines(folder, strategy, settings, foundSchema)
    const before = kept.all().find((found) => found.limit === limit)
    const found = before ?? (await find(options, strategy, limit))
    if (!before) kept.add(found)
    all.push(found)
    onFound(found)
  }
  return all
}

export { findWithin, type Found }
