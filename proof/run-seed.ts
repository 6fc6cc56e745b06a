// One seed of the proof: a supernet, how it ranks networks, and what searches find with it.

import { join } from 'node:path'
import { openBatchSource } from '../engine/datasets/index.ts'
import { createTrainer } from '../engine/training/trainer.ts'
import { createSpace } from '../search-space/index.ts'
import { findWithin, type Found } from './found.ts'
import { type Ranked, type RankingFigures, rankingFigures, rankNear, rankNetworks } from './ranking.ts'
import { isNearLimit, type NearParts, nearWeights } from './near-weights.ts'
import { perSecond, supernetOf } from './seed-supernet.ts'
import { type ProofStrategy, proofSpace, type RankingSettings, searchConfig, type Searches } from './settings.ts'
import { createEvaluator } from './shared-accuracy.ts'
import { type Cost, restore } from './supernet.ts'
import type { Truth } from './truth.ts'

type Proof = NearParts & {
  readonly ranking: RankingSettings
  readonly searches: Searches
  readonly strategies: readonly ProofStrategy[]
  readonly limits: readonly number[]
  readonly truth: Truth
}

type NearResult = {
  readonly limit: number
  readonly cost: Cost
  /** Of networks near the limit, with the weights of the supernet, and with those that were trained on. */
  readonly kendall: { readonly before: number; readonly after: number }
}

type SeedResult = {
  readonly seed: number
  readonly supernet: Cost
  /** Of training on, for each limit; none where there are no such steps. */
  readonly near: readonly NearResult[]
  /** Of random networks, and of those of nearly equal cost. */
  readonly ranking: { readonly all: RankingFigures; readonly near: RankingFigures }
  readonly ranked: readonly Ranked[]
  readonly found: readonly Found[]
}

const RANKED_PER_NOTE = 20
const SECONDS_PER_MINUTE = 60

async function runSeed(proof: Proof, seed: number): Promise<SeedResult> {
  const { terminal, backend, dataset, supernet: settings, ranking, truth, costs } = proof
  const note = (text: string) => terminal.note(`seed ${seed}   ${text}`)
  const folder = join(proof.folder, `seed-${seed}`)
  const space = createSpace(proofSpace(settings.width))
  const supernet = await supernetOf(proof, space, seed)
  const { cost } = supernet
  note(
    `supernet: ${cost.images} images in ${(cost.seconds / SECONDS_PER_MINUTE).toFixed(1)} min, ${perSecond(cost.images, cost.cpuSeconds ?? cost.seconds)} images/s${cost.cpuSeconds === null ? '' : ' by processor time'}`,
  )
  const config = searchConfig(settings, { seed, steps: cost.steps, strategy: { name: 'spos' } })
  const source = await openBatchSource(dataset)
  const trainer = createTrainer({ backend, dataset, source, space, config, accumulate: 1 })
  restore(trainer, space, supernet)
  const evaluator = await createEvaluator({ trainer, dataset, source, space, config, ...ranking })
  try {
    const ranked = await rankNetworks(folder, truth, ranking, evaluator, (done, total) => {
      if (done % RANKED_PER_NOTE === 0) note(`${done} of ${total} networks evaluated`)
      terminal.interrupted.throwIfAborted()
    })
    const figures = rankingFigures(truth, ranked)
    note(
      `Kendall's tau with recorded accuracy: ${figures.all.smoothedLoss.kendall.toFixed(3)}, at equal cost ${figures.near.smoothedLoss.kendall.toFixed(3)}`,
    )
    const search = {
      ...proof,
      folder,
      seed,
      supernet: settings,
      trainer,
      space,
      interrupted: terminal.interrupted,
      onFound: ({ strategy, limit, accuracy, rank, regret }: Found) =>
        note(`${strategy} within ${limit} ${costs.unit}: ${accuracy.toFixed(2)} %, rank ${rank}, regret ${regret.toFixed(2)}`),
    }
    const rankAt = (limit: number, name: string) =>
      rankNear(folder, `${name}-${limit}`, truth, ranking, isNearLimit(costs.of, limit, proof.near), evaluator)
    const found: Found[] = []
    const near: NearResult[] = []
    for (const limit of proof.limits) {
      if (proof.near.steps > 0) {
        restore(trainer, space, supernet)
        const before = await rankAt(limit, 'supernet')
        const weights = await nearWeights(proof, space, seed, supernet, limit)
        restore(trainer, space, weights)
        const after = await rankAt(limit, 'near')
        note(`Kendall's tau near ${limit} ${costs.unit}: ${before.toFixed(3)}, and ${after.toFixed(3)} after training there`)
        near.push({ limit, cost: weights.cost, kendall: { before, after } })
      }
      found.push(...(await findWithin(search, limit)))
    }
    return { seed, supernet: cost, near, ranking: figures, ranked, found }
  } finally {
    evaluator.dispose()
    await trainer.close()
  }
}

export { type Proof, runSeed, type SeedResult }
