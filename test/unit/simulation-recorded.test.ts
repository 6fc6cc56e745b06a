// Recorded trainings as tables, and searches on them with many seeds.

import { existsSync, readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { searchConfigSchema, type SearchConfigInput, strategyFields } from '../../protocol/index.ts'
import type { SpaceRef } from '../../search-space/index.ts'
import { createNasBenchMacro } from '../../simulation/nas-bench-macro.ts'
import { createRanking, type RecordedBenchmark, recordedTraining } from '../../simulation/recorded-benchmark.ts'
import { readRecordedTable } from '../../simulation/recorded-table.ts'
import { RecordedTableError } from '../../simulation/recorded-text.ts'
import { simulateSeeds } from '../../simulation/simulate-seeds.ts'
import { makeSpaceRef } from '../fixtures/searches.ts'

const space: SpaceRef = { preset: 'cell-mini', nodes: 3, operations: ['none', 'nor_conv_3x3'] }
const options = { space, metric: 'acc', name: 'mine' }

describe('a table of recorded trainings', () => {
  it('is read by architecture or by digits, with what a search is shown, other images and seconds', () => {
    const table = readRecordedTable(
      [
        'architecture,acc_valid,acc_test,seconds',
        'cell-mini-custom:|none~0|+|none~0|none~1|,50,49.5,10',
        '"|nor_conv_3x3~0|+|none~0|nor_conv_3x3~1|",75.25,74,20',
        '',
      ].join('\n'),
      options,
    )
    expect([...table.paths()]).toEqual([
      [0, 0, 0],
      [1, 0, 1],
    ])
    expect(table.read([1, 0, 1])).toEqual({ accuracies: [0.7525], test: 0.74, seconds: 20 })
    expect(table.read([1, 1, 1])).toBe('not-recorded')
    const digits = readRecordedTable('ops,acc\n000,50\n101,75.25', options)
    expect(digits.read([1, 0, 1])).toEqual({ accuracies: [0.7525], test: null, seconds: null })
  })

  it.each([
    ['name,acc\nx,1', 'expected a column called architecture or ops, got name, acc'],
    ['ops,c10\n000,1', 'expected a column called acc_valid or acc, got ops, c10'],
    ['ops,acc\n00,1', 'line 2: expected a digit for each of 3 decisions, got "00"'],
    ['ops,acc\n002,1', 'line 2: expected a digit for each of 3 decisions, got "002"'],
    ['ops,acc\n000,1\n000,2', 'line 3: this architecture has a row before'],
    ['ops,acc\n000,101', 'line 2, acc: expected a percentage from 0 to 100, got "101"'],
    ['ops,acc\n000,', 'line 2, acc: expected a percentage from 0 to 100, got ""'],
    ['ops,acc\n000', 'line 2: expected 2 fields, got 1'],
    ['ops,acc\n', 'expected a row for each architecture, got none'],
    ['architecture,acc\n|max~0|+|none~0|none~1|,1', 'line 2: expected one of none, nor_conv_3x3 for edge1.0, got "max"'],
  ])('that is none is refused, line and column named: %j', (text, message) => {
    expect(() => readRecordedTable(text, options)).toThrow(RecordedTableError)
    expect(() => readRecordedTable(text, options)).toThrow(message)
  })

  it('has its other columns, and those of a second table by index, as costs', () => {
    const trainings = ['index,ops,acc,joules', '7,000,50,1.5', '8,101,75,2.5', '9,111,60,2', ''].join('\n')
    const costs = ['index,phone ms,joules', '8,30,99', '7,10,98', '404,1,1', '']
    const { costs: read } = readRecordedTable(trainings, { ...options, costs: costs.join('\n') })
    expect(read?.columns).toEqual(['phone ms', 'joules', 'acc'])
    expect(
      [
        [0, 0, 0],
        [1, 0, 1],
        [1, 1, 1],
      ].map((path) => read?.read('phone ms', path)),
    ).toEqual([10, 30, null])
    // Of two columns of one name that of the second table counts.
    expect([read?.read('joules', [1, 0, 1]), read?.least('joules'), read?.least('phone ms')]).toEqual([99, 98, 10])
    const bad = readRecordedTable(trainings, { ...options, costs: 'index,phone\n7,fast' })
    expect(() => bad.costs?.least('phone')).toThrow('line 2, phone: expected a number, 0 or more, got "fast"')
    expect(() => readRecordedTable(trainings, { ...options, costs: 'device,phone\n7,1' })).toThrow(
      'expected a column called architecture, ops or index, got device, phone',
    )
  })

  it('has what fewer epochs come to, on a clock of its seconds, and refuses what it does not have', async () => {
    const rows = Array.from({ length: 8 }, (_, i) => {
      const digits = i.toString(2).padStart(3, '0')
      return `${digits},${60 + i},${59 + i},${50 - i},${90 + i}`
    })
    const table = readRecordedTable(['ops,acc_valid,acc_test,acc_valid_4ep,acc_cost_4ep_s', ...rows].join('\n'), { ...options, epochs: 40 })
    expect(table.read([0, 0, 1])).toEqual({
      accuracies: [0.61],
      test: 0.6,
      seconds: null,
      early: [{ epochs: 4, accuracy: 0.49, seconds: 91 }],
    })
    expect(recordedTraining(table, [0, 0, 1], 4)).toEqual({ accuracies: [0.49], seconds: 91, epochs: 4 })
    expect(recordedTraining(table, [0, 0, 1], 40)).toEqual({ accuracies: [0.61], seconds: 910, epochs: null })
    expect(recordedTraining(table, [0, 0, 1], 20)).toBe('not-recorded')
    const run = (strategy: Strategy, agents = 1) =>
      simulateSeeds({ benchmark: table, configOf: configOf(table, strategy, 1), seeds: [1], agents, budget: 100, marks: [100] })
    const seconds = rows.map((_, i) => 90 + i).reduce((sum, value) => sum + value, 0)
    // What is best after 4 epochs is worst after 40.
    const early = await run({ name: 'random', trials: 8, recipe: { epochs: 4 } })
    expect(early).toMatchObject({ samples: 8, curve: [{ valid: 0.5, test: 0.59 }] })
    expect(early.hours).toBeCloseTo(seconds / 3600, 9)
    const full = await run({ name: 'random', trials: 8, recipe: { epochs: 40 } })
    expect(full).toMatchObject({ curve: [{ valid: 0.67, test: 0.66 }] })
    expect(full.hours).toBeCloseTo((10 * seconds) / 3600, 9)
    // Of eight, one in ten is none; rungs that nobody has recorded are refused.
    const halving: Strategy = {
      name: 'successive-halving',
      trials: 8,
      eta: 4,
      leastEpochs: 4,
      recipe: { epochs: 40 },
      proposer: { name: 'random' },
    }
    const halved = await run({ ...halving, eta: 10 })
    expect(halved).toMatchObject({ samples: 8, curve: [{ valid: 0.5 }] })
    expect(halved.hours).toBeCloseTo(seconds / 3600, 9)
    await expect(run(halving)).rejects.toThrow(/after 16 epochs/)
  })

  it('says nothing of networks that begin with the weights of others', async () => {
    const growing = { space: makeSpaceRef({ blocks: 2 }), metric: 'acc', name: 'mine' }
    const digits = [0, 1, 2]
    const rows = digits.flatMap((a) => digits.map((b) => `${a}${b},${50 + a + b}`))
    const table = readRecordedTable(['ops,acc', ...rows].join('\n'), growing)
    const configs = configOf(table, { name: 'eas', trials: 8 }, 1)
    const run = simulateSeeds({ benchmark: table, configOf: configs, seeds: [1], agents: 1, budget: 8, marks: [8] })
    await expect(run).rejects.toThrow('recorded trainings began with random weights, not with those of another network')
  })

  it('ranks what it has, equals alike, and what it lacks last', () => {
    const table = readRecordedTable('ops,acc\n000,50\n101,75\n111,75\n011,60', options)
    const { best, count, rankOf } = createRanking(table)
    expect({ best, count }).toEqual({ best: 0.75, count: 4 })
    expect(
      [
        [1, 0, 1],
        [1, 1, 1],
        [0, 1, 1],
        [0, 0, 0],
        [1, 0, 0],
      ].map(rankOf),
    ).toEqual([1, 1, 3, 4, 5])
    // Among those that start with 0; the others come after all of them.
    const some = createRanking(table, ([first]) => first === 0)
    expect([some.best, some.count, some.rankOf([0, 1, 1]), some.rankOf([1, 0, 1])]).toEqual([0.6, 2, 1, 3])
  })
})

type Strategy = NonNullable<SearchConfigInput['strategy']>

/** As `gatehouse simulate` sets a search up. */
function configOf(benchmark: RecordedBenchmark, strategy: Strategy, budget: number) {
  return (seed: number) =>
    searchConfigSchema.parse({
      space: structuredClone(benchmark.space),
      dataset: { name: 'recorded' },
      latency: { targetMs: 1000, table: { name: 'macs' }, loss: { kind: 'none' } },
      seed,
      strategy: strategyFields(strategy.name).includes('archEvery')
        ? ({ warmupSteps: 0, archEvery: 1, evaluateEvery: budget, ...strategy } as Strategy)
        : strategy,
      training: { steps: budget },
      tasks: { weightSteps: 1, architectureSteps: 1 },
    } satisfies SearchConfigInput)
}

const strategies: readonly (readonly [string, Strategy])[] = [
  ['parsec', { name: 'parsec', samples: 16, temper: 256, learningRate: 0.1 }],
  ['fp-nas', { name: 'fp-nas', lambda: 1, temper: 256, learningRate: 0.1 }],
  ['spos', { name: 'spos', candidatesPerTask: 1 }],
  ['proxyless-r', { name: 'proxyless-r', learningRate: 0.1, reward: { kind: 'accuracy' } }],
]

// All eight architectures of the toy are one generation of spos.
describe.each(strategies.filter(([name]) => name !== 'spos'))('%s with many seeds', (_, strategy) => {
  it('says the same of the same seeds, and leaves a search when its budget is spent', async () => {
    const rows = Array.from({ length: 8 }, (__, i) => {
      const digits = i.toString(2).padStart(3, '0')
      return `${digits},${50 + 5 * [...digits].filter((digit) => digit === '1').length + (digits === '101' ? 20 : 0)}`
    })
    const benchmark = readRecordedTable(['ops,acc', ...rows].join('\n'), options)
    const run = () =>
      simulateSeeds({
        benchmark,
        configOf: configOf(benchmark, strategy, 400),
        seeds: [1, 2, 3],
        agents: 2,
        budget: 400,
        marks: [100, 400],
      })
    const result = await run()
    expect(result).toEqual(await run())
    expect(result).toMatchObject({ seeds: 3, of: 8, medianRank: 1, ranks: [1, 1, 1], regret: 0, optimumShare: 1 })
    expect(result.samples).toBeGreaterThanOrEqual(400)
    expect(result.samples).toBeLessThan(440)
    expect(result.curve.map(({ evaluations, valid }) => [evaluations, valid])).toEqual([
      [100, 0.8],
      [400, 0.8],
    ])
  })
})

const folder = new URL('../../../shared/benchmarks/', import.meta.url)
const nasBench201 = new URL('nas-bench-201.csv', folder)
const nasBenchMacro = new URL('nas-bench-macro.json', folder)
const seeds = Array.from({ length: 20 }, (_, i) => i + 1)

describe.skipIf(!existsSync(nasBench201) || !existsSync(nasBenchMacro))('on recorded benchmarks (../shared/benchmarks), 20 seeds', () => {
  const read = () => readRecordedTable(readFileSync(nasBench201, 'utf8'), { space: 'nas-bench-201', metric: 'c100', name: 'NAS-Bench-201' })

  it.each(strategies)('%s finds the best network of NAS-Bench-201 for CIFAR-100, by the median', async (name, strategy) => {
    const benchmark = read()
    const result = await simulateSeeds({
      benchmark,
      configOf: configOf(benchmark, strategy, 1000),
      seeds,
      agents: 1,
      budget: 1000,
      marks: [300, 450, 1000],
    })
    const rank = (at: number) => result.curve.find(({ evaluations }) => evaluations === at)?.medianRank
    expect(rank(1000)).toBeLessThanOrEqual(name === 'proxyless-r' ? 21 : 1)
    // A third fewer samples than PARSEC wants for it.
    if (name === 'parsec') expect(rank(300)).toBeGreaterThan(1)
    if (name === 'fp-nas') expect(rank(300)).toBe(1)
  })

  it.each(strategies)('%s is among the best of NAS-Bench-Macro', async (_, strategy) => {
    const benchmark = createNasBenchMacro(JSON.parse(readFileSync(nasBenchMacro, 'utf8')))
    const result = await simulateSeeds({
      benchmark,
      configOf: configOf(benchmark, strategy, 3000),
      seeds: seeds.slice(0, 10),
      agents: 1,
      budget: 3000,
      marks: [1000, 3000],
    })
    const [early, late] = result.curve.map(({ medianRank }) => medianRank)
    expect(early).toBeLessThanOrEqual(21)
    expect(late).toBeLessThanOrEqual(11)
  })

  const latencies = new URL('nas-bench-201-latency.csv', folder)
  const within = async (strategy: Strategy, budget: number, column: string, atMost: number, steps = budget) => {
    const options = { space: 'nas-bench-201', metric: 'c100', name: 'NAS-Bench-201', costs: readFileSync(latencies, 'utf8') } as const
    const benchmark = readRecordedTable(readFileSync(nasBench201, 'utf8'), options)
    const own = configOf(benchmark, strategy, budget)
    const bounds = [{ cost: `recorded:${column}`, atMost, weight: 1 }]
    const ofSeed = (seed: number) => {
      const config = own(seed)
      return { ...config, bounds, training: { ...config.training, steps } }
    }
    const simulated = { benchmark, configOf: ofSeed, agents: 1, budget, marks: [budget] }
    return { ranking: createRanking(benchmark), result: await simulateSeeds({ ...simulated, seeds: seeds.slice(0, 5) }) }
  }

  // Of 5.31 ms the best lies apart from all others that are nearly as good: half of the seeds settle on those (docs/strategies.md).
  it.each([
    [4.14, 0.005],
    [5.31, 0.0125],
    [6.14, 0.005],
  ])('parsec ends near the best that an edge GPU runs in %d ms: short of it by less than %d', async (atMost, regret) => {
    const column = 'hwnas_cifar10_edgegpu_latency'
    const { result } = await within({ name: 'parsec', samples: 16, temper: 256, learningRate: 0.1 }, 2000, column, atMost)
    expect(result.keptShare).toBe(1)
    expect(result.regret).toBeLessThan(regret)
  })

  it('the best of the finalists is nearer to it than the most probable one, in as many evaluations', async () => {
    const parsec = { name: 'parsec', samples: 16, temper: 256, learningRate: 0.1, finalists: { count: 64, images: 64 } } as const
    const { result } = await within(parsec, 2000, 'hwnas_cifar10_edgegpu_latency', 6.14, 121)
    expect(result.samples).toBe(2000)
    expect(result.regret).toBeLessThan(0.0025)
  })

  it('local search finds the best that an edge GPU runs in the time of three quarters of all, in 300 trainings', async () => {
    const { result, ranking } = await within({ name: 'local-search', trials: 300 }, 300, 'hwnas_cifar10_edgegpu_latency', 6.14)
    expect(result.of).toBeLessThan(ranking.count)
    expect(result.optimumShare).toBeGreaterThanOrEqual(0.8)
  })
})
