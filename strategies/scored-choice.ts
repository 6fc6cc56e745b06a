// Scores without training in front of trainings (Abdelfattah et al. 2021, "Zero-Cost Proxies for Lightweight NAS", section 5). Warm-up: random
// architectures are scored at first, and wherever a strategy would train a random one it trains the best of these that is left. Move proposal:
// the next architecture is the best-scored of all neighbours of one that the strategy chooses.
//
// Scores come from agents, as tasks. Rows hold what they said: `warmup/…` each task of the warm-up, `moves/…` the neighbours of an
// architecture, best first.

import * as z from 'zod'
import { logRanks } from '../latency-lut/table/ranks.ts'
import type { ResultOf, ScoreName } from '../protocol/index.ts'
import type { Random } from '../search-space/index.ts'
import { type Bounded, cheapestPath, isWithin, type Known, neighboursOf, pathKey, randomWithin, tryFor } from './evolution.ts'
import type { StrategyRows } from './rows.ts'
import type { Assignment } from './strategy.ts'

/** Architectures of a warm-up that are kept to be trained: as many as a search by trials is likely to train. */
const MAX_KEPT = 1000

const pathSchema = z.array(z.int().min(0))
const pathsSchema = z.array(pathSchema)
const count = z.int().min(0)

const scoringSchema = z.strictObject({
  /** Tasks and architectures of the warm-up that were proposed. */
  asked: count,
  drawn: count,
  /** Of these architectures, those whose tasks have not ended. */
  inFlight: pathsSchema,
  /** And those whose tasks have. */
  scored: count,
  /** What is left of the warm-up, best first; null before it is over. */
  order: pathsSchema.nullable(),
  /** Architectures whose neighbours are being scored, and those whose neighbours are, one of which is to be trained next. */
  asking: pathsSchema,
  sources: pathsSchema,
})
type Scoring = z.infer<typeof scoringSchema>

type ScoreSettings = {
  readonly names: readonly ScoreName[]
  readonly warmup: number
  readonly perTask: number
  readonly moves?: number
}

/** What a strategy has to choose from: the bound, and what has been tried. */
type Choosing = { readonly bounded: Bounded; readonly known: Known; readonly random: Random }

/** `ask`: a task that scores architectures first. `wait`: for such tasks. `go`: train, `path` if it is known. */
type ScoredChoice =
  | ({ readonly kind: 'ask'; readonly scoring: Scoring } & Assignment)
  | { readonly kind: 'wait' }
  | { readonly kind: 'go'; readonly path: readonly number[] | null; readonly scoring: Scoring }

const warmupSchema = z.strictObject({ paths: pathsSchema, values: z.array(z.array(z.number().nullable())).nullable() })
const privateSchema = z.union([z.strictObject({ warmup: count }), z.strictObject({ source: pathSchema })])

const WARMUP = 'warmup/'
const warmupKey = (number: number) => `${WARMUP}${String(number).padStart(6, '0')}`
const movesKey = (path: readonly number[]) => `moves/${pathKey(path)}`

/** Before anything is scored. */
function startScoring({ warmup }: ScoreSettings): Scoring {
  return { asked: 0, drawn: 0, inFlight: [], scored: 0, order: warmup === 0 ? [] : null, asking: [], sources: [] }
}

function readWarmup(rows: StrategyRows, { asked }: Scoring) {
  return rows.scan(WARMUP, '', asked).map(({ value }) => warmupSchema.parse(value))
}

/** Paths from the best score to the worst; of equals the first. `values`: [path][score]. */
function bestFirst(paths: readonly (readonly number[])[], values: readonly (readonly (number | null)[])[]): number[][] {
  const scores = (values[0] ?? []).map((_, score) => values.map((of) => of[score] ?? null))
  const ranks = logRanks(scores)
  const order = paths.map((_, index) => index).toSorted((a, b) => (ranks[b] as number) - (ranks[a] as number))
  return order.map((index) => [...(paths[index] as readonly number[])])
}

function scoreTask({ names }: ScoreSettings, paths: number[][], kept: z.infer<typeof privateSchema>): Assignment {
  return { work: { kind: 'score', paths, scores: [...names], batch: 0 }, private: kept }
}

/** The warm-up's next task, or what to go on with when it is over. */
function proposeWarmup(scoring: Scoring, settings: ScoreSettings, rows: StrategyRows, { bounded, random }: Choosing): ScoredChoice {
  if (scoring.order) return { kind: 'go', path: null, scoring }
  const ended = readWarmup(rows, scoring)
  const seen = new Set([...scoring.inFlight, ...ended.flatMap(({ paths }) => paths)].map((path) => path.join()))
  const paths: number[][] = []
  const wanted = Math.min(settings.perTask, settings.warmup - scoring.drawn)
  for (let i = 0; i < wanted; i++) {
    const path = tryFor(bounded, { has: (other) => seen.has(other.join()) }, () => randomWithin(bounded, random) ?? cheapestPath(bounded))
    // A space may have fewer architectures within the bound.
    if (!path) break
    seen.add(path.join())
    paths.push([...path])
  }
  if (paths.length > 0) {
    const next = { asked: scoring.asked + 1, drawn: scoring.drawn + paths.length, inFlight: [...scoring.inFlight, ...paths] }
    return { kind: 'ask', scoring: { ...scoring, ...next }, ...scoreTask(settings, paths, { warmup: scoring.asked }) }
  }
  if (scoring.inFlight.length > 0) return { kind: 'wait' }
  const scored = ended.flatMap(({ paths: own, values }) => own.flatMap((path, i) => (values ? [{ path, values: values[i] ?? [] }] : [])))
  const order = bestFirst(
    scored.map(({ path }) => path),
    scored.map(({ values }) => values),
  )
  return { kind: 'go', path: null, scoring: { ...scoring, order: order.slice(0, MAX_KEPT) } }
}

/**
 * The best-scored neighbour that has not been tried, or a task that scores neighbours.
 *
 * @param choose an architecture to move from, null where the strategy has none
 */
function proposeMove(
  scoring: Scoring,
  settings: ScoreSettings,
  rows: StrategyRows,
  { bounded, known, random }: Choosing,
  choose: () => readonly number[] | null,
): ScoredChoice {
  const none: ScoredChoice = { kind: 'go', path: null, scoring }
  const [scored, ...sources] = scoring.sources
  const source = scored ?? (random.uniform() < (settings.moves ?? 0) ? choose() : null)
  if (!source) return none
  const isOpen = (path: readonly number[]) => !known.has(path) && isWithin(bounded, path)
  const row = rows.get(movesKey(source))
  if (row !== undefined) {
    const path = pathsSchema.parse(row).find(isOpen) ?? null
    return { kind: 'go', path, scoring: scored ? { ...scoring, sources } : scoring }
  }
  if (scoring.asking.some((path) => path.join() === source.join())) return none
  const neighbours = neighboursOf(bounded.space, source, random).filter(isOpen)
  if (neighbours.length === 0) return none
  const asking = [...scoring.asking, [...source]]
  return { kind: 'ask', scoring: { ...scoring, asking }, ...scoreTask(settings, neighbours, { source: [...source] }) }
}

/** The best of the warm-up that has not been tried, and what is left of it. */
function takeWarm(scoring: Scoring, { known }: Choosing): { readonly path: readonly number[] | null; readonly scoring: Scoring } {
  const order = scoring.order ?? []
  const index = order.findIndex((path) => !known.has(path))
  if (index === -1) return { path: null, scoring: order.length > 0 ? { ...scoring, order: [] } : scoring }
  return { path: order[index] as number[], scoring: { ...scoring, order: order.slice(index + 1) } }
}

/** @param result null where the task was given up: its architectures go without scores */
function absorbScores(
  scoring: Scoring,
  { work, private: kept }: Assignment,
  result: ResultOf<'score'> | null,
  rows: StrategyRows,
): Scoring {
  const { paths } = work as Extract<typeof work, { kind: 'score' }>
  const values = result?.paths.map((path) => path.values) ?? null
  const about = privateSchema.parse(kept)
  if ('warmup' in about) {
    rows.put(warmupKey(about.warmup), { paths, values })
    const ended = new Set(paths.map((path) => path.join()))
    const inFlight = scoring.inFlight.filter((path) => !ended.has(path.join()))
    return { ...scoring, inFlight, scored: scoring.scored + paths.length }
  }
  rows.put(movesKey(about.source), values ? bestFirst(paths, values) : paths)
  const asking = scoring.asking.filter((path) => path.join() !== about.source.join())
  return { ...scoring, asking, sources: [...scoring.sources, about.source] }
}

export { absorbScores, type Choosing, proposeMove, proposeWarmup, type ScoreSettings, type Scoring, scoringSchema, startScoring, takeWarm }
