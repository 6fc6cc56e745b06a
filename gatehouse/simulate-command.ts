// `gatehouse simulate`: a strategy on trainings that somebody has recorded, through the coordinator's own rules, with many seeds.

import { resolve } from 'node:path'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { type ArgsDef, type CommandDef, defineCommand } from 'citty'
import { boundFlag, parseBound } from '../command-line/bound-flag.ts'
import { REPEATABLE_HINT, repeatedValues } from '../command-line/dispatch.ts'
import { CliError } from '../command-line/exit-codes.ts'
import { assignFields } from '../command-line/fields.ts'
import { numberIn } from '../command-line/number-flags.ts'
import { openRecorded, recordedFlags } from '../command-line/recorded-flags.ts'
import { printResult, type Terminal } from '../command-line/terminal.ts'
import { renderTable } from '../command-line/text-layout.ts'
import { writeWholeFile } from '../command-line/whole-files.ts'
import {
  fieldErrors,
  ProblemError,
  type SearchConfig,
  searchConfigSchema,
  strategyFields,
  type StrategyName,
  strategyNames,
} from '../protocol/index.ts'
import { badPlotFile, drawPlot } from '../plots/plot-file.ts'
import type { ScatterPlot } from '../plots/scatter.ts'
import { resolveSpaceConfig } from '../search-space/index.ts'
import type { RecordedBenchmark } from '../simulation/recorded-benchmark.ts'
import { UnansweredError } from '../simulation/recorded-answers.ts'
import { type Simulated, simulateSeeds } from '../simulation/simulate-seeds.ts'

const PERCENT = 100
const HOURS_PLACES = 2
const MAX_SEEDS = 10_000
const MAX_BUDGET = 1_000_000
const MAX_AGENTS = 256
/** No architecture takes so long: what bounds latency in a simulation is a bound on a recorded column. */
const NO_TARGET_MS = 1e9
/** A curve has about so many points where nobody says at which numbers of evaluations. */
const DEFAULT_MARKS = 10

const simulateFlags = {
  ...recordedFlags,
  recorded: { ...recordedFlags.recorded, required: true },
  scores: {
    type: 'string',
    valueHint: 'FILE',
    description: 'recorded scores without training, for strategies that ask for them: a table as CSV (docs/simulation.md)',
  },
  strategy: { type: 'enum', options: [...strategyNames], description: 'search algorithm', default: 'proxyless-r' },
  seeds: { type: 'string', valueHint: 'COUNT', description: 'searches, each with a seed of its own: 1 and up', default: '20' },
  budget: { type: 'string', valueHint: 'COUNT', description: 'evaluations of each search', default: '300' },
  at: {
    type: 'string',
    valueHint: 'LIST',
    description: 'evaluations to look at, with commas between them (default: ten, up to the budget)',
  },
  agents: { type: 'string', valueHint: 'COUNT', description: 'agents that work side by side, on a clock of their own', default: '1' },
  bound: {
    ...boundFlag,
    valueHint: `${boundFlag.valueHint}${REPEATABLE_HINT}`,
    description: `${boundFlag.description}, recorded:COLUMN=… of the table or of --costs`,
  },
  costs: { type: 'string', valueHint: 'FILE', description: 'another table of the same architectures, whose columns are costs' },
  set: {
    type: 'string',
    valueHint: `FIELD=VALUE${REPEATABLE_HINT}`,
    description: 'any field of the search, for example strategy.learningRate=0.1',
  },
  plot: { type: 'string', valueHint: 'FILE', description: 'also draw the curve, as .svg or .png' },
} as const satisfies ArgsDef

/** One architecture step after each weight step, until the budget is spent: a benchmark has no weights to train. */
function createConfig(
  benchmark: RecordedBenchmark,
  strategy: StrategyName,
  budget: number,
  bounds: readonly string[],
  sets: readonly string[],
) {
  const { space } = benchmark
  const fields = strategyFields(strategy)
  const hasSteps = fields.includes('archEvery')
  const defaults = {
    warmupSteps: 0,
    archEvery: 1,
    evaluateEvery: budget,
    ...(strategy === 'proxyless-r' && { reward: { kind: 'accuracy' }, learningRate: 0.1 }),
    candidatesPerTask: 1,
    trials: budget,
    ...(benchmark.epochs !== null && { recipe: { epochs: benchmark.epochs } }),
  }
  return (seed: number): SearchConfig => {
    const config: Record<string, unknown> = {
      space: structuredClone(resolveSpaceConfig(space)),
      dataset: { name: 'recorded' },
      latency: { targetMs: NO_TARGET_MS, table: { name: 'macs' }, loss: { kind: 'none' } },
      ...(bounds.length > 0 && { bounds: bounds.map(parseBound) }),
      seed,
      strategy: { name: strategy, ...Object.fromEntries(Object.entries(defaults).filter(([field]) => fields.includes(field))) },
      training: { steps: hasSteps ? budget : 1 },
      tasks: { weightSteps: 1, architectureSteps: 1 },
    }
    assignFields(config, sets, 'strategy.learningRate=0.1')
    const parsed = searchConfigSchema.safeParse(config)
    if (parsed.success) return parsed.data
    throw new CliError('usage', 'the settings of the search are not valid', fieldErrors(parsed.error))
  }
}

/** Throws CliError `usage`. */
function parseMarks(text: string | undefined, budget: number): number[] {
  if (text === undefined) {
    const step = Math.max(1, Math.round(budget / DEFAULT_MARKS))
    const marks = Array.from({ length: Math.floor(budget / step) }, (_, index) => (index + 1) * step)
    return [...new Set([...marks.filter((mark) => mark < budget), budget])]
  }
  const marks = text.split(',').map((part) => numberIn('at', part.trim(), 1, budget, true))
  return [...new Set(marks)].toSorted((a, b) => a - b)
}

const percent = (share: number | null) => (share === null ? '–' : `${(share * PERCENT).toFixed(2)} %`)

function renderSimulated(result: Simulated): string {
  const rows = result.curve.map(({ evaluations, hours, valid, test, testQ1, testQ3, medianRank }) => [
    String(evaluations),
    hours.toFixed(HOURS_PLACES),
    percent(valid),
    percent(test),
    test === null ? '' : `${percent(testQ1)} to ${percent(testQ3)}`,
    String(medianRank),
  ])
  const optimum =
    result.evaluationsToOptimum === null
      ? 'no seed evaluated the best of all'
      : `${Math.round(result.optimumShare * result.seeds)} of ${result.seeds} seeds evaluated the best of all, after ${result.evaluationsToOptimum} evaluations (median)`
  return [
    `${result.strategy} on ${result.benchmark}: ${result.seeds} seeds, ${result.agents} ${result.agents === 1 ? 'agent' : 'agents'}, ${result.of} architectures`,
    '',
    renderTable(
      [
        { title: 'evaluations', align: 'right' },
        { title: 'hours', align: 'right' },
        { title: 'best evaluated', align: 'right' },
        { title: 'its test', align: 'right' },
        { title: 'quartiles' },
        { title: 'rank of the derived', align: 'right' },
      ],
      rows,
    ),
    '',
    `regret of the derived architecture ${percent(result.regret)} (mean); ${optimum}`,
    ...(result.bounds.length === 0
      ? []
      : [
          `${Math.round(result.keptShare * result.seeds)} of ${result.seeds} keep ${result.bounds.map(({ cost, atMost }) => `${cost} ≤ ${atMost}`).join(' and ')}; all figures are among the ${result.of} architectures that do`,
        ]),
    ...(result.samplesPerAgentHour === null
      ? []
      : [`${result.samplesPerAgentHour.toFixed(HOURS_PLACES)} evaluations in an hour of each agent`]),
  ].join('\n')
}

function plotOf(result: Simulated): ScatterPlot {
  const line = (name: string, valueOf: (point: Simulated['curve'][number]) => number | null, isDashed = false) => ({
    name,
    isDashed,
    points: result.curve.flatMap((point) => {
      const value = valueOf(point)
      return value === null ? [] : [{ x: point.evaluations, y: value * PERCENT }]
    }),
  })
  const hasTest = result.curve.every(({ test }) => test !== null)
  return {
    title: `${result.strategy}, ${result.seeds} seeds`,
    x: { label: 'evaluations' },
    y: { label: 'accuracy of the best so far, %' },
    series: [],
    lines: [
      line('as the search is shown', ({ valid }) => valid, hasTest),
      ...(hasTest ? [line('on other images', ({ test }) => test)] : []),
    ],
  }
}

function createSimulateCommand(terminal: Terminal): CommandDef {
  return defineCommand({
    meta: {
      name: 'simulate',
      description: 'Run a strategy on recorded trainings, with many seeds, and say how good what it finds is. Needs no coordinator.',
    },
    args: {
      ...simulateFlags,
      json: { type: 'boolean', description: 'print the results as JSON' },
    },
    async run({ args, rawArgs }) {
      const seeds = numberIn('seeds', args.seeds, 1, MAX_SEEDS, true)
      const budget = numberIn('budget', args.budget, 1, MAX_BUDGET, true)
      const agents = numberIn('agents', args.agents, 1, MAX_AGENTS, true)
      const marks = parseMarks(args.at, budget)
      const { plot } = args
      const badPlot = plot === undefined ? null : badPlotFile(plot)
      if (badPlot !== null) throw new CliError('usage', badPlot)
      const fileOf = (name: string | undefined) => (name === undefined ? undefined : resolve(terminal.folder, name))
      const benchmark = openRecorded(resolve(terminal.folder, args.recorded), {
        ...args,
        costs: fileOf(args.costs),
        scores: fileOf(args.scores),
      })
      const configOf = createConfig(
        benchmark,
        args.strategy as StrategyName,
        budget,
        repeatedValues(rawArgs, simulateFlags, 'bound'),
        repeatedValues(rawArgs, simulateFlags, 'set'),
      )
      const startMs = performance.now()
      try {
        const result = await simulateSeeds({
          benchmark,
          configOf,
          seeds: Array.from({ length: seeds }, (_, index) => index + 1),
          agents,
          budget,
          marks,
          async onSeed(seed, { found, evaluations }) {
            const seconds = ((performance.now() - startMs) / 1000).toFixed(1)
            terminal.note(`seed ${seed} of ${seeds}  ${evaluations} evaluations  rank ${found.at(-1)?.rank ?? '–'}  (${seconds} s)`)
            // A signal is heard between two turns of the event loop only.
            await nextTurn()
            terminal.interrupted.throwIfAborted()
          },
        })
        if (plot !== undefined) writeWholeFile(resolve(terminal.folder, plot), await drawPlot(plot, plotOf(result)))
        printResult(terminal, args.json === true, result, () => renderSimulated(result))
      } catch (error) {
        if (error instanceof UnansweredError) throw new CliError('conflict', error.message)
        if (error instanceof ProblemError) throw new CliError('usage', error.message, error.errors)
        throw error
      }
    },
  }) as CommandDef
}

export { createSimulateCommand }
