// Whether a supernet puts networks into their true order: shared-weight accuracies beside recorded ones.

import * as z from 'zod'
import { kendallTau } from '../latency-lut/table/agreement.ts'
import { spearmanRho } from '../latency-lut/table/ranks.ts'
import { createRandom, type Path, seedState, type Space } from '../search-space/index.ts'
import { smoothScores } from '../strategies/index.ts'
import { openKeptLines } from './kept-lines.ts'
import { type RankingSettings, SMOOTHING } from './settings.ts'
import type { Evaluator } from './shared-accuracy.ts'
import { costsAsMuch, drawSome, type Truth } from './truth.ts'

const shared = z.strictObject({ accuracy: z.number(), loss: z.number() })
const rankedSchema = z.strictObject({
  /** Of all networks, or of those of nearly equal cost. */
  sample: z.enum(['all', 'near']),
  path: z.array(z.int().min(0)),
  batch: shared,
  reestimated: shared.optional(),
})
type Ranked = z.infer<typeof rankedSchema>

/** Of shared-weight figures with recorded accuracies; losses count with the smaller one as the better. */
type Agreement = { readonly kendall: number; readonly spearman: number }
type RankingFigures = {
  readonly networks: number
  readonly batch: Agreement
  readonly reestimated?: Agreement
  readonly batchLoss: Agreement
  readonly reestimatedLoss?: Agreement
  /** Losses with the statistics of mini-batches, smoothed by what the losses of all ranked networks say of single options. */
  readonly smoothedLoss: Agreement
  /** And of the depth, as searches do it. */
  readonly smoothedDepthLoss: Agreement
  /** Of multiply-accumulates in place of a supernet. */
  readonly macs: Agreement
}

/** Different networks, drawn by the seed alone: every supernet is asked for the same ones. */
function sampleOf(truth: Truth, { networks, near }: RankingSettings): { readonly sample: Ranked['sample']; readonly path: Path }[] {
  const isNear = costsAsMuch(truth.macsOf, near.macs)
  const of = (sample: Ranked['sample'], from: readonly Path[], count: number) =>
    drawSome(from, count, createRandom(seedState('ranking', sample))).map((path) => ({ sample, path }))
  return [...of('all', truth.paths, networks), ...of('near', truth.paths.filter(isNear), near.networks)]
}

const bandSchema = z.strictObject({ path: z.array(z.int().min(0)), loss: z.number() })

/**
 * Kendall's tau of networks that cost nearly as much as a limit, by their smoothed losses with the evaluator's weights.
 *
 * @param name of these weights
 * @param isNear whether a network does
 */
async function rankNear(
  folder: string,
  name: string,
  truth: Truth,
  { images, nearNetworks }: RankingSettings,
  isNear: (path: Path) => boolean,
  evaluator: Evaluator,
): Promise<number> {
  const kept = openKeptLines(folder, `ranking-${name}`, { images }, bandSchema)
  const done = new Map(kept.all().map((each) => [each.path.join(), each]))
  const paths = drawSome(truth.paths.filter(isNear), nearNetworks, createRandom(seedState('ranking', 'limit')))
  const ranked = []
  for (const path of paths) {
    const before = done.get(path.join())
    const each = before ?? { path: [...path], loss: (await evaluator.evaluate(path)).batch.loss }
    if (!before) kept.add(each)
    ranked.push(each)
  }
  return kendallTau(
    smoothedLosses(truth, ranked),
    ranked.map(({ path }) => truth.accuracyOf(path)),
  )
}

/** Evaluates what has not been evaluated before. */
async function rankNetworks(
  folder: string,
  truth: Truth,
  settings: RankingSettings,
  evaluator: Evaluator,
  onProgress: (done: number, total: number) => void,
): Promise<readonly Ranked[]> {
  const { images, statisticsBatches } = settings
  const kept = openKeptLines(folder, 'ranking', { images, statisticsBatches }, rankedSchema)
  const keyOf = ({ sample, path }: Pick<Ranked, 'sample'> & { readonly path: Path }) => `${sample} ${path.join('')}`
  const done = new Set(kept.all().map(keyOf))
  const all = sampleOf(truth, settings)
  for (const [index, each] of all.entries()) {
    if (done.has(keyOf(each))) continue
    kept.add({ sample: each.sample, path: [...each.path], ...(await evaluator.evaluate(each.path)) })
    onProgress(index + 1, all.length)
  }
  const wanted = new Set(all.map(keyOf))
  return kept.all().filter((ranked) => wanted.has(keyOf(ranked)))
}

/** The same, for a regression that is to know nothing of the depth. */
function withoutSkips(decisions: Space['decisions']): Space['decisions'] {
  return decisions.map((decision) => ({ ...decision, options: decision.options.map(({ name, isZero }) => ({ name, isZero })) }))
}

/** Scores by losses, smoothed by what all of them say of single options, and of the depth where that is asked for. */
function smoothedLosses(
  { decisions }: Truth,
  ranked: readonly { readonly path: readonly number[]; readonly loss: number }[],
  depth: 'without depth' | 'with depth' = 'without depth',
): number[] {
  return smoothScores(
    ranked.map(({ path, loss }) => ({ path, score: -loss })),
    { decisions: depth === 'with depth' ? decisions : withoutSkips(decisions) },
    SMOOTHING,
  )
}

/** Of each sample. */
function rankingFigures(truth: Truth, ranked: readonly Ranked[]): { readonly [S in Ranked['sample']]: RankingFigures } {
  const losses = ranked.map(({ path, batch }) => ({ path, loss: batch.loss }))
  const smoothed = smoothedLosses(truth, losses)
  const withDepth = smoothedLosses(truth, losses, 'with depth')
  const all = ranked.map((each, i) => ({ ...each, smoothed: smoothed[i] as number, withDepth: withDepth[i] as number }))
  const of = (sample: Ranked['sample']) =>
    figuresOf(
      truth,
      all.filter((each) => each.sample === sample),
    )
  return { all: of('all'), near: of('near') }
}

function figuresOf(truth: Truth, ranked: readonly (Ranked & { readonly smoothed: number; readonly withDepth: number })[]): RankingFigures {
  const accuracies = ranked.map(({ path }) => truth.accuracyOf(path))
  const agreement = (values: readonly number[]): Agreement => ({
    kendall: kendallTau(values, accuracies),
    spearman: spearmanRho(values, accuracies),
  })
  const reestimated = ranked.flatMap((each) => (each.reestimated ? [each.reestimated] : []))
  return {
    networks: ranked.length,
    batch: agreement(ranked.map(({ batch }) => batch.accuracy)),
    batchLoss: agreement(ranked.map(({ batch }) => -batch.loss)),
    ...(reestimated.length === ranked.length && {
      reestimated: agreement(reestimated.map(({ accuracy }) => accuracy)),
      reestimatedLoss: agreement(reestimated.map(({ loss }) => -loss)),
    }),
    smoothedLoss: agreement(ranked.map((each) => each.smoothed)),
    smoothedDepthLoss: agreement(ranked.map((each) => each.withDepth)),
    macs: agreement(ranked.map(({ path }) => truth.macsOf(path))),
  }
}

export { type Ranked, type RankingFigures, rankingFigures, rankNear, rankNetworks, withoutSkips }
