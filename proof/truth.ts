// What is known of every network without training it: its recorded accuracy, and what it costs.

import { openRecorded } from '../command-line/recorded-flags.ts'
import { quantile } from '../latency-lut/table/robust.ts'
import { architectureCosts, createSpace, type Path, type Random, type Space } from '../search-space/index.ts'
import { mean, type RecordedBenchmark } from '../simulation/recorded-benchmark.ts'
import { EQUAL_COST, RECORDED_PRESET } from './settings.ts'

const PERCENT = 100
const UPPER = 0.95

type Truth = Pick<Space, 'decisions'> & {
  /** Every network that has a record. */
  readonly paths: readonly Path[]
  /** Mean of its recorded trainings, percent. Throws where it has none. */
  accuracyOf(path: Path): number
  macsOf(path: Path): number
}

/** Recorded accuracies of some networks, percent. */
type Spread = {
  readonly networks: number
  readonly median: number
  /** 95th percentile. */
  readonly upper: number
  readonly best: number
}

/** Networks among which a search at a limit looks, and those that cost about as much as the limit. */
type LimitTruth = { readonly limit: number; readonly within: Spread; readonly equal: Spread }

type Standing = {
  /** Percent. */
  readonly accuracy: number
  /** Among networks within the limit, 1 the best. */
  readonly rank: number
  /** `rank` as a share of them. */
  readonly rankShare: number
  /** The best recorded within the limit, less this one, points. */
  readonly regret: number
  /** Share of the networks of equal cost that are less accurate. */
  readonly percentile: number
}

/** @param space of the recorded networks */
function createTruth({ paths, read, name }: RecordedBenchmark, space: Space): Truth {
  const known = new Map<string, { readonly path: Path; readonly accuracy: number; readonly macs: number }>()
  for (const path of paths()) {
    const recorded = read(path)
    if (recorded === 'not-recorded') continue
    known.set(path.join(), { path, accuracy: PERCENT * mean(recorded.accuracies), macs: architectureCosts(space, path).macs })
  }
  const find = (path: Path) => {
    const found = known.get(path.join())
    if (!found) throw new Error(`${name} has no training of ${path.join(' ')}`)
    return found
  }
  return {
    decisions: space.decisions,
    paths: [...known.values()].map(({ path }) => path),
    accuracyOf: (path) => find(path).accuracy,
    macsOf: (path) => find(path).macs,
  }
}

/** Of NAS-Bench-Macro as its authors publish it, with the space of the recorded networks. Throws CliError. */
function openTruth(file: string) {
  const benchmark = openRecorded(file, { space: RECORDED_PRESET, metric: 'accuracy', seconds: 'seconds' })
  const recordedSpace = createSpace(benchmark.space)
  return { benchmark, recordedSpace, truth: createTruth(benchmark, recordedSpace) }
}

/** Different ones, all as likely; fewer where there are not so many. */
function drawSome<T>(from: readonly T[], count: number, random: Random): T[] {
  const order = random.shuffle(from.map((_, index) => index))
  return order.slice(0, count).map((index) => from[index] as T)
}

type CostOf = (path: Path) => number

const isWithin = (costOf: CostOf, limit: number) => (path: Path) => costOf(path) <= limit
/** Whether a network costs about as much. */
const costsAsMuch = (costOf: CostOf, cost: number) => (path: Path) => Math.abs(costOf(path) - cost) <= EQUAL_COST * cost

function spreadOf({ paths, accuracyOf }: Truth, belongs: (path: Path) => boolean): Spread {
  const accuracies = paths.filter(belongs).map(accuracyOf)
  const at = (share: number) => (accuracies.length > 0 ? quantile(accuracies, share) : Number.NaN)
  return { networks: accuracies.length, median: at(0.5), upper: at(UPPER), best: at(1) }
}

function limitTruth(truth: Truth, costOf: CostOf, limit: number): LimitTruth {
  return { limit, within: spreadOf(truth, isWithin(costOf, limit)), equal: spreadOf(truth, costsAsMuch(costOf, limit)) }
}

/** Where a network stands that a search at a limit has found. */
function standingOf(truth: Truth, costOf: CostOf, limit: number, path: Path): Standing {
  const accuracy = truth.accuracyOf(path)
  const within = truth.paths.filter(isWithin(costOf, limit)).map(truth.accuracyOf)
  const equal = truth.paths.filter(costsAsMuch(costOf, limit)).map(truth.accuracyOf)
  const rank = 1 + within.filter((other) => other > accuracy).length
  return {
    accuracy,
    rank,
    rankShare: rank / within.length,
    regret: Math.max(...within) - accuracy,
    percentile: equal.filter((other) => other < accuracy).length / equal.length,
  }
}

export { costsAsMuch, createTruth, drawSome, type LimitTruth, limitTruth, openTruth, type Spread, type Standing, standingOf, type Truth }
