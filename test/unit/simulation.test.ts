import { describe, expect, it } from 'vitest'
import { searchConfigSchema } from '../../protocol/index.ts'
import { createSpace, type Path, spaceConfigSchema } from '../../search-space/index.ts'
import { createEvents } from '../../simulation/events.ts'
import { createRanking, type RecordedBenchmark } from '../../simulation/recorded-benchmark.ts'
import { UnansweredError } from '../../simulation/recorded-answers.ts'
import { simulateSearch } from '../../simulation/simulate-search.ts'

/** Five blocks of three operations, the best of which is 0, 1, 2, 0, 1; every architecture was trained three times. */
const best = [0, 1, 2, 0, 1]
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
const benchmark: RecordedBenchmark = {
  name: 'toy',
  citation: 'made up here',
  space,
  epochs: null,
  images: 10_000,
  paths: () => allPaths(),
  read: (path) => {
    const mean = 0.6 + path.reduce((sum, operation, block) => sum + (operation === best[block] ? 0.05 : 0), 0)
    return { accuracies: [mean - 0.004, mean, mean + 0.004], test: null, seconds: null }
  },
}
const allPaths = function* (): Generator<Path> {
  const count = createSpace(space).decisions.length
  for (let i = 0; i < 3 ** count; i++) yield Array.from({ length: count }, (_, block) => Math.floor(i / 3 ** block) % 3)
}
const config = (seed: number, updates = 100) =>
  searchConfigSchema.parse({
    space,
    dataset: { name: 'recorded' },
    latency: { targetMs: 1, table: { name: 'macs' } },
    seed,
    strategy: {
      name: 'proxyless-r',
      warmupSteps: 0,
      archEvery: 1,
      reward: { kind: 'accuracy' },
      learningRate: 0.1,
      evaluateEvery: updates,
    },
    training: { steps: updates },
    tasks: { weightSteps: 1, architectureSteps: 1 },
  })

describe('a search on recorded trainings', () => {
  it('finds the best architecture', () => {
    const { rankOf } = createRanking(benchmark)
    const ranks = [1, 2, 3, 4, 5].map((seed) => {
      const { derive, evaluations, search } = simulateSearch({ benchmark, config: config(seed) })
      expect(evaluations).toHaveLength(1000)
      expect(search.store.readState().finishedAtMs).not.toBeNull()
      return rankOf(derive())
    })
    expect(ranks).toEqual([1, 1, 1, 1, 1])
  })

  it.each([1, 3])('gives the same log for the same seed, with %d agents', (agents) => {
    const logOf = () => {
      const { search } = simulateSearch({ benchmark, config: config(7, 20), agents })
      return JSON.stringify(search.store.readLog(0, 1e6))
    }
    expect(logOf()).toBe(logOf())
  })

  it('says which architecture has no record', () => {
    const holes = { ...benchmark, read: () => 'not-recorded' as const }
    expect(() => simulateSearch({ benchmark: holes, config: config(1, 4) })).toThrow(UnansweredError)
  })
})

describe('events', () => {
  it('happen in the order of their times, and of two at the same time in that of their planning', () => {
    const events = createEvents(100)
    const seen: [string, number][] = []
    const note = (name: string) => () => void seen.push([name, events.nowMs()])
    events.after(5, note('second'))
    events.after(5, note('third'))
    events.after(1, () => {
      note('first')()
      events.after(4, note('fourth'))
    })
    while (events.step());
    expect(seen).toEqual([
      ['first', 101],
      ['second', 105],
      ['third', 105],
      ['fourth', 105],
    ])
    expect(() => events.after(-1, () => undefined)).toThrow(RangeError)
  })
})
