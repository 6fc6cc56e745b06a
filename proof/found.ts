// What the searches with one supernet have found, and where it stands among the recorded networks.

import * as z from 'zod'
import type { Trainer } from '../engine/training/trainer.ts'
import { printArchitecture, type Space } from '../search-space/index.ts'
import { rowsOver } from '../strategies/index.ts'
import type { Costs } from './costs.ts'
import { chooseFinalist, finalistsOf } from './finalists.ts'
import { openKeptLines } from './kept-lines.ts'
import { runSearch } from './search.ts'
import { type ProofStrategy, type RankingSettings, searchConfig, type Searches, strategyNames, type SupernetSettings } from './settings.ts'
import type { Evaluator } from './shared-accuracy.ts'
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
  /** Recorded accuracy of what the strategy would have answered by itself; null where that is beyond the limit. */
  derivedAccuracy: z.number().nullable(),
  /** Of the search, its finalists included, without the supernet. */
  seconds: z.number(),
  images: z.int(),
})
type Found = z.infer<typeof foundSchema>

type FindOptions = {
  readonly folder: string
  readonly seed: number
  readonly strategies: readonly ProofStrategy[]
  readonly limits: readonly number[]
  readonly searches: Searches
  /** What the evaluator's images are. */
  readonly ranking: RankingSettings
  readonly supernet: SupernetSettings
  readonly trainer: Trainer
  readonly evaluator: Evaluator
  readonly space: Space
  readonly costs: Costs
  readonly truth: Truth
  readonly interrupted: AbortSignal
  readonly onFound: (found: Found) => void
}

async function find(options: FindOptions, strategy: ProofStrategy, limit: number): Promise<Found> {
  const { seed, searches, supernet, trainer, evaluator, space, costs, truth, interrupted } = options
  const { steps, loss, strategy: settings } = searches.of[strategy]
  const config = searchConfig(supernet, { seed, steps, strategy: settings, limit, loss })
  const startMs = performance.now()
  const { description, derived, images } = await runSearch(
    trainer,
    { space, latency: costs.latency, config, rows: rowsOver(new Map()) },
    interrupted,
  )
  const finalists = finalistsOf(description, searches.finalists, (path) => costs.of(path) <= limit)
  const path = await chooseFinalist(finalists, evaluator)
  return {
    strategy,
    limit,
    seed,
    path: [...path],
    architecture: printArchitecture(space, path),
    cost: costs.of(path),
    ...standingOf(truth, costs.of, limit, path),
    derivedAccuracy: costs.of(derived) <= limit ? truth.accuracyOf(derived) : null,
    seconds: (performance.now() - startMs) / 1000,
    images: images + finalists.length * evaluator.imagesPerNetwork,
  }
}

/** Searches that have not been done before, one after the other. */
async function findAll(options: FindOptions): Promise<Found[]> {
  const { folder, strategies, limits, searches, ranking, costs, onFound } = options
  const all: Found[] = []
  for (const strategy of strategies) {
    const settings = { search: searches.of[strategy], finalists: searches.finalists, ranking, costs: costs.latency }
    const kept = openKeptLines(folder, strategy, settings, foundSchema)
    for (const limit of limits) {
      const before = kept.all().find((found) => found.limit === limit)
      const found = before ?? (await find(options, strategy, limit))
      if (!before) kept.add(found)
      all.push(found)
      onFound(found)
    }
  }
  return all
}

export { findAll, type Found }
