// What the proof says of networks: all of it from recorded accuracies and costs that are made up here.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, describe, expect, it } from 'vitest'
import * as z from 'zod'
import { coverSpace, pathLatencyMs } from '../../latency-lut/table/coverage.ts'
import { costsOf } from '../../proof/costs.ts'
import type { Found } from '../../proof/found.ts'
import { openKeptLines } from '../../proof/kept-lines.ts'
import { renderPage, shortcomings } from '../../proof/page.ts'
import { rankingFigures, type Ranked } from '../../proof/ranking.ts'
import { reportOf } from '../../proof/report.ts'
import type { SeedResult } from '../../proof/run-seed.ts'
import { fairPath } from '../../proof/sample-paths.ts'
import { defaultLimits, full, proofSpace } from '../../proof/settings.ts'
import { createTruth, drawSome, limitTruth, standingOf, type Truth } from '../../proof/truth.ts'
import { architectureCosts, createRandom, createSpace, type Path, randomPath, seedState } from '../../search-space/index.ts'
import { macsTable } from '../../simulation/macs-table.ts'

const recorded = createSpace('nas-bench-macro')
const random = createRandom(seedState('proof figures'))

const decisionsOf = (sizes: readonly number[]): Truth['decisions'] =>
  sizes.map((size, index) => {
    const options = Array.from({ length: size }, (_, option) => ({ name: String(option), isZero: false }))
    return { name: String(index), where: '', options }
  })

/** Networks of one decision: option i has 80 + i %, and costs i + 1. */
function ladder(count: number): { truth: Truth; costOf: (path: Path) => number } {
  const paths = Array.from({ length: count }, (_, i) => [i])
  const costOf = ([option = 0]: Path) => option + 1
  return {
    truth: { decisions: decisionsOf([count]), paths, accuracyOf: ([option = 0]) => 80 + option, macsOf: (path) => costOf(path) * 1e6 },
    costOf,
  }
}

describe('fair paths', () => {
  it('use each of n options of a decision once in n steps, by the number of the step alone', () => {
    fc.assert(
      fc.property(fc.nat(100), fc.nat(1000), (seed, round) => {
        const paths = [0, 1, 2].map((turn) => fairPath(recorded, 3 * round + turn, seed))
        for (const decision of recorded.decisions.keys()) {
          expect(paths.map((path) => path[decision]).toSorted()).toEqual([0, 1, 2])
        }
        expect(fairPath(recorded, 3 * round + 1, seed)).toEqual(paths[1])
      }),
    )
  })

  it('draw every combination', () => {
    const pairs = new Set(Array.from({ length: 300 }, (_, step) => fairPath(recorded, step, 1).slice(0, 2).join('')))
    expect(pairs.size).toBe(9)
  })
})

describe('costs of a narrow network', () => {
  it('are the multiply-accumulates of the recorded one, in millions', () => {
    const costs = costsOf(recorded, null)
    for (let i = 0; i < 20; i++) {
      const path = randomPath(recorded, random)
      expect(costs.of(path)).toBeCloseTo(architectureCosts(recorded, path).macs / 1e6, 9)
      expect(pathLatencyMs(costs.latency, path)).toBeCloseTo(costs.of(path), 9)
    }
    expect(createSpace(proofSpace(0.5)).decisions.map(({ options }) => options)).toEqual(recorded.decisions.map(({ options }) => options))
  })

  it('are latencies of the recorded one where there is a table, which has to have them all', () => {
    const table = macsTable(recorded)
    const coverage = coverSpace(recorded, table)
    const path = randomPath(recorded, random)
    expect(costsOf(recorded, table).of(path)).toBe(coverage.kind === 'covered' && pathLatencyMs(coverage.latency, path))
    const [key = ''] = Object.keys(table.entries)
    const { [key]: _, ...entries } = table.entries
    expect(() => costsOf(recorded, { ...table, entries })).toThrow(`the latency table bench lacks ${key}`)
  })

  it('have limits where nobody says them: known ones of multiply-accumulates, shares of all networks of latencies', () => {
    expect(defaultLimits('million MACs', [])).toEqual([45, 60, 75])
    expect(
      defaultLimits(
        'ms',
        Array.from({ length: 101 }, (_, i) => i / 7),
      ),
    ).toEqual([3.57, 8.57, 12.9])
  })
})

describe('where a network stands', () => {
  it('is its rank, regret and percentile among recorded networks', () => {
    const { truth, costOf } = ladder(200)
    // 1 to 100 are within the limit, 97 to 103 cost as much.
    expect(standingOf(truth, costOf, 100, [98])).toEqual({ accuracy: 178, rank: 2, rankShare: 0.02, regret: 1, percentile: 2 / 7 })
    expect(limitTruth(truth, costOf, 100)).toEqual({
      limit: 100,
      within: { networks: 100, median: 129.5, upper: 80 + 0.95 * 99, best: 179 },
      equal: { networks: 7, median: 179, upper: 176 + 0.95 * 6, best: 182 },
    })
  })

  it('is of the mean of its trainings, and known of recorded networks only', () => {
    const benchmark = {
      name: 'mine',
      paths: () => [[0, 0, 0, 0, 0, 0, 0, 0]],
      read: (path: Path) => (path.every((option) => option === 0) ? { accuracies: [0.5, 0.6], test: null, seconds: null } : 'not-recorded'),
    } as unknown as Parameters<typeof createTruth>[0]
    const truth = createTruth(benchmark, recorded)
    expect(truth.accuracyOf([0, 0, 0, 0, 0, 0, 0, 0])).toBeCloseTo(55, 9)
    expect(truth.macsOf([0, 0, 0, 0, 0, 0, 0, 0])).toBe(7_713_280)
    expect(() => truth.accuracyOf([1, 0, 0, 0, 0, 0, 0, 0])).toThrow('mine has no training of 1 0 0 0 0 0 0 0')
  })

  it('is asked of different networks', () => {
    expect(drawSome([1, 2, 3], 5, random).toSorted()).toEqual([1, 2, 3])
    expect(new Set(drawSome([1, 2, 3, 4, 5, 6], 4, random)).size).toBe(4)
  })
})

const shared = (loss: number, accuracy = 1 - loss) => ({ loss, accuracy })

describe('a ranking by shared weights', () => {
  it('agrees with recorded accuracies where losses fall as these rise', () => {
    const { truth } = ladder(5)
    const losses = [0.9, 0.7, 0.8, 0.4, 0.2]
    const ranked = losses.map((loss, option): Ranked => {
      return { sample: 'all', path: [option], batch: shared(loss), reestimated: shared(1 - loss) }
    })
    const { batch, batchLoss, reestimated, reestimatedLoss, macs } = rankingFigures(truth, ranked).all
    // One of ten pairs is the wrong way round.
    expect([batch, batchLoss, reestimated, reestimatedLoss, macs].map((agreement) => agreement?.kendall)).toEqual([0.8, 0.8, -0.8, -0.8, 1])
    expect(batchLoss.spearman).toBeCloseTo(0.9, 9)
    expect(rankingFigures(truth, ranked).all.networks).toBe(5)
  })

  it('is smoothed by what options add in all networks, whichever sample they are of', () => {
    // 27 networks of three decisions: accuracies are sums over options, losses too, but for what each has by itself.
    const paths = Array.from({ length: 27 }, (_, i) => [i % 3, Math.floor(i / 3) % 3, Math.floor(i / 9)])
    const sum = ([a = 0, b = 0, c = 0]: readonly number[]) => a + 3 * b + 9 * c
    const truth = { decisions: decisionsOf([3, 3, 3]), paths, accuracyOf: sum, macsOf: sum }
    const ranked = paths.map((path, i): Ranked => {
      return { sample: i % 2 === 0 ? 'all' : 'near', path, batch: shared(10 - sum(path) / 10 + 0.8 * random.uniform()) }
    })
    const { all, near } = rankingFigures(truth, ranked)
    expect(all.batchLoss.kendall).toBeLessThan(0.9)
    expect(all.smoothedLoss.kendall).toBeGreaterThan(all.batchLoss.kendall)
    expect(near.smoothedLoss.kendall).toBeGreaterThan(near.batchLoss.kendall)
    expect(all.reestimated).toBeUndefined()
  })

  it('is smoothed by the depth as well, where layers add the less the more there are, and without it too', () => {
    const paths = Array.from({ length: 81 }, (_, i) => [i % 3, Math.floor(i / 3) % 3, Math.floor(i / 9) % 3, Math.floor(i / 27)])
    const worth = (path: readonly number[]) =>
      path.reduce((sum, option) => sum + option, 0) - 2 * Math.max(0, path.filter((option) => option > 0).length - 2) ** 2
    const decisions = decisionsOf([3, 3, 3, 3]).map((decision) => ({
      ...decision,
      options: decision.options.map((option, index) => ({ ...option, ...(index === 0 && { isSkip: true as const }) })),
    }))
    const ranked = paths.map((path): Ranked => ({ sample: 'all', path, batch: shared(10 - worth(path) + 8 * random.uniform()) }))
    const { smoothedLoss, smoothedDepthLoss } = rankingFigures({ decisions, paths, accuracyOf: worth, macsOf: worth }, ranked).all
    expect(smoothedDepthLoss.kendall).toBeGreaterThan(smoothedLoss.kendall)
  })
})

describe('a report', () => {
  const { truth, costOf } = ladder(200)
  const costs = { unit: 'million MACs', latency: { fixedMs: 0, operationMs: [] }, of: costOf } as const
  const settings = {
    data: { name: 'cifar10', fingerprint: 'f' },
    recorded: { name: 'mine', citation: 'me' },
    machine: 'a machine',
    jobs: 1,
    supernet: {
      width: 0.5,
      epochs: 7,
      batchSize: 64,
      learningRate: 0.1,
      weightDecay: 1e-4,
      sampling: 'fair',
      consistency: 0,
      reduced: 0,
      threads: 1,
      agents: 0,
    },
    near: { steps: 100, learningRate: 0.05, least: 0.85 },
    ranking: full.ranking,
    searches: full.searches,
    unit: costs.unit,
  } as const
  const found = (option: number, seed: number): Found => {
    const own = [option]
    return {
      strategy: 'spos',
      limit: 100,
      seed,
      path: own,
      architecture: `mine:${option}`,
      cost: costOf(own),
      ...standingOf(truth, costOf, 100, own),
      mostProbable: null,
      seconds: 1800,
      images: 3_000_000,
    }
  }
  const seedOf = (seed: number, option: number, kendall: number): SeedResult => {
    const agreement = { kendall, spearman: kendall }
    const of = {
      batch: agreement,
      reestimated: agreement,
      batchLoss: agreement,
      reestimatedLoss: agreement,
      smoothedLoss: agreement,
      smoothedDepthLoss: agreement,
      macs: agreement,
    }
    return {
      seed,
      supernet: { steps: 1, images: 2_000_000, seconds: 7200, cpuSeconds: 3600, curve: [] },
      near: [
        {
          limit: 100,
          cost: { steps: 100, images: 50_000, seconds: 180, cpuSeconds: 180, curve: [] },
          kendall: { before: 0.4, after: 0.6 },
        },
      ],
      ranking: { all: { networks: 2, ...of }, near: { networks: 1, ...of } },
      ranked: [],
      found: [found(option, seed)],
    }
  }

  it('has means over the seeds, and what they do not reach', () => {
    const { outcomes } = reportOf(settings, [seedOf(1, 99, 0.9), seedOf(2, 97, 0.7)], [100], truth, costs)
    expect(outcomes).toEqual([
      {
        strategy: 'spos',
        limit: 100,
        seeds: 2,
        accuracy: 178,
        regret: 1,
        rankShare: 0.02,
        percentile: expect.closeTo(2 / 7, 9),
        leastPercentile: 1 / 7,
        hours: 0.5,
        images: 3_000_000,
        missed: ['regret', 'accuracy', 'leastPercentile'],
      },
    ])
  })

  it('is a page that says what falls short, and by how much', () => {
    const short = reportOf(settings, [seedOf(1, 97, 0.7)], [100], truth, costs)
    expect(shortcomings(short)).toEqual([
      "Kendall's tau of random networks is 0.700, wanted 0.8.",
      'spos within 100 million MACs: a regret of 2.00 points, wanted at most 0.3; a true rank within the best 3.0 %, wanted 2.0 %; a mean accuracy of 177.00 %, not above the 95th percentile of random networks of equal cost (better than 14.3 %); one seed better than only 14.3 % of them, wanted 80.0 %.',
    ])
    const page = renderPage(short)
    for (const line of shortcomings(short)) expect(page).toContain(`- ${line}`)
    expect(page).toContain('| spos | 100 | 177.00 | 2.00 | 3.0 % | 14.3 % | 14.3 % | 0.50 | 3.00 |')
    expect(page).toContain('0.5 times the width of the recorded networks')
    expect(page).toContain(
      '100 steps, learning rate 0.05 to 0, on random paths that cost 85 % to 100 % of it: 0.05 million images in 0.05 hours',
    )
    const untrained = { ...short, settings: { ...settings, near: { ...settings.near, steps: 0 } } }
    expect(renderPage(untrained)).not.toContain('trained on for')
    const reached = { ...short, outcomes: [], seeds: [seedOf(1, 99, 0.9)] }
    expect(renderPage(reached)).toContain('Nothing that was to be reached.')
  })
})

describe('kept lines', () => {
  const folder = mkdtempSync(join(tmpdir(), 'gatehouse-proof-'))
  afterAll(() => rmSync(folder, { recursive: true }))

  it('are there again for the same settings, and for no others', () => {
    const schema = z.strictObject({ value: z.number() })
    const lines = openKeptLines(folder, 'lines', { images: 1 }, schema)
    expect(lines.all()).toEqual([])
    lines.add({ value: 1 })
    lines.add({ value: 2 })
    expect(openKeptLines(folder, 'lines', { images: 1 }, schema).all()).toEqual([{ value: 1 }, { value: 2 }])
    expect(openKeptLines(folder, 'lines', { images: 2 }, schema).all()).toEqual([])
  })
})
