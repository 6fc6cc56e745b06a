// Scores without training in front of trainings: what is trained, and in which order, in whole searches on a made-up record.

import { describe, expect, it } from 'vitest'
import { pathLatencyMs } from '../../latency-lut/table/coverage.ts'
import { type SearchConfig, searchConfigSchema, type ScoreName } from '../../protocol/index.ts'
import { createSpace, type Path, spaceConfigSchema } from '../../search-space/index.ts'
import type { RecordedBenchmark } from '../../simulation/recorded-benchmark.ts'
import { UnansweredError } from '../../simulation/recorded-answers.ts'
import { simulateSearch } from '../../simulation/simulate-search.ts'

const space = spaceConfigSchema.parse({
  name: 'toy',
  input: [8, 8, 1],
  classes: 2,
  stem: { width: 8, stride: 1 },
  stages: [{ width: 8, cells: 5, stride: 1 }],
  kernels: [3],
  expansions: [1, 2, 3],
  zero: false,
  headWidth: null,
})
const COUNT = 3 ** createSpace(space).decisions.length
const digits = (path: Path) => path.reduce((sum, option) => 3 * sum + option, 0)
/** No order that anything else has. */
const naswotOf = (path: Path) => (digits(path) * 101) % COUNT

const benchmark: RecordedBenchmark = {
  name: 'toy',
  citation: 'made up here',
  space,
  images: 10_000,
  epochs: null,
  paths: () => [],
  read: (path) => ({ accuracies: [0.5 + (path[0] ?? 0) / 100], test: null, seconds: null }),
  scores: {
    read(name, path) {
      if (name === 'naswot') return path[4] === 1 ? null : naswotOf(path)
      return name === 'snip' ? -naswotOf(path) : 'not-recorded'
    },
  },
}

type Strategy = Extract<SearchConfig['strategy'], { scores?: unknown }>

function trained(
  strategy: object,
  { agents = 1, targetMs = 1000 } = {},
): { paths: readonly Path[]; latencies: number[]; kinds: string[]; metrics: number } {
  const config = searchConfigSchema.parse({
    space,
    dataset: { name: 'recorded' },
    latency: { targetMs, table: { name: 'macs' } },
    seed: 3,
    strategy: strategy as Strategy,
    training: { steps: 1 },
  })
  const { search, evaluations } = simulateSearch({ benchmark, config, agents })
  const evaluated = evaluations.map(({ path }) => path)
  expect(search.store.readState().finishedAtMs).not.toBeNull()
  const kinds = search.store.readLog(0, 10_000).map(({ work }) => work.kind)
  const latencies = evaluated.map((path) => pathLatencyMs(search.context.latency, path))
  return { paths: evaluated, latencies, kinds, metrics: search.store.readMetrics(0, 10_000).length }
}
const warm = (names: ScoreName[], warmup: number, perTask = 7) => ({ scores: { names, warmup, perTask } })

describe('a warm-up', () => {
  it('scores architectures in tasks of their own, and trains them from the best on', () => {
    const { paths, kinds, metrics } = trained({ name: 'random', trials: 20, ...warm(['naswot'], 60) })
    expect(kinds.slice(0, 9)).toEqual(Array.from({ length: 9 }, () => 'score'))
    expect(kinds.slice(9)).toEqual(Array.from({ length: 20 }, () => 'trainArchitecture'))
    // Scores are on no curve.
    expect(metrics).toBe(20)
    const scores = paths.map((path) => (path[4] === 1 ? -1 : naswotOf(path)))
    expect(scores).toEqual(scores.toSorted((a, b) => b - a))
    // 20 of 60 at random would have some of the third that has no score.
    expect(scores).not.toContain(-1)
  })

  it('may be of more architectures than there are, and be used up before the trainings are', () => {
    const { paths } = trained({ name: 'random', trials: 200, ...warm(['naswot'], 1000, 100) })
    expect(new Set(paths.map((path) => path.join())).size).toBe(200)
    expect(naswotOf(paths[0] as Path)).toBe(Math.max(...paths.filter((path) => path[4] !== 1).map(naswotOf)))
    const short = trained({ name: 'random', trials: 30, ...warm(['naswot'], 10) }).paths
    expect(new Set(short.map((path) => path.join())).size).toBe(30)
  })

  it('keeps to the bound', () => {
    const settings = { name: 'random', trials: 10, ...warm(['naswot'], 40) }
    const targetMs = Math.min(...trained(settings).latencies) * 0.999
    for (const latencyMs of trained(settings, { targetMs }).latencies) expect(latencyMs).toBeLessThanOrEqual(targetMs)
  })

  it('fills the first population of an evolution, and the starts of a local search', () => {
    for (const strategy of [
      { name: 'aging-evolution', trials: 10, population: 6, sample: 3 },
      { name: 'local-search', trials: 10, starts: 6 },
    ]) {
      const first = trained({ ...strategy, ...warm(['naswot'], 60) })
        .paths.slice(0, 6)
        .map(naswotOf)
      expect(first).toEqual(first.toSorted((a, b) => b - a))
    }
  })

  it('puts several scores together: one and its opposite have no favourite at either end', () => {
    const { paths } = trained({ name: 'random', trials: 5, ...warm(['naswot', 'snip'], 150, 150) })
    const scores = paths.map(naswotOf)
    // ln(r/m) + ln((m + 1 − r)/m) is largest in the middle.
    for (const score of scores) expect(Math.abs(score / COUNT - 0.5)).toBeLessThan(0.3)
  })

  it('goes the same way with several agents, who wait for its end', () => {
    const { paths, kinds } = trained({ name: 'random', trials: 12, ...warm(['naswot'], 50, 5) }, { agents: 4 })
    expect(kinds.lastIndexOf('score')).toBeLessThan(kinds.indexOf('trainArchitecture'))
    expect(new Set(paths.map((path) => path.join())).size).toBe(12)
  })

  it('ends a simulation whose record lacks the score', () => {
    expect(() => trained({ name: 'random', trials: 2, ...warm(['swap'], 5) })).toThrow(UnansweredError)
  })
})

describe('a move', () => {
  it('is to the best-scored neighbour that has not been trained', () => {
    const { paths, kinds } = trained({
      name: 'local-search',
      trials: 6,
      starts: 1,
      scores: { names: ['naswot'], warmup: 0, perTask: 20, moves: 1 },
    })
    expect(kinds.slice(0, 3)).toEqual(['trainArchitecture', 'score', 'trainArchitecture'])
    const [start = [], second = []] = paths
    const neighbours = start.flatMap((own, decision) =>
      [0, 1, 2].filter((option) => option !== own).map((option) => start.with(decision, option)),
    )
    const best = Math.max(...neighbours.filter((path) => path[4] !== 1).map(naswotOf))
    expect(naswotOf(second)).toBe(best)
  })

  it('asks for the neighbours of an architecture once', () => {
    const { kinds } = trained({
      name: 'local-search',
      trials: 40,
      starts: 1,
      scores: { names: ['naswot'], warmup: 0, perTask: 20, moves: 1 },
    })
    expect(kinds.filter((kind) => kind === 'score').length).toBeLessThan(8)
  })

  it.each([1, 4])('never trains one twice, and ends, with %d agents', (agents) => {
    const scores = { names: ['naswot'], warmup: 20, perTask: 6, moves: 0.75 }
    const { paths } = trained({ name: 'aging-evolution', trials: 60, population: 8, sample: 4, scores }, { agents })
    expect(new Set(paths.map((path) => path.join())).size).toBe(60)
  })
})
