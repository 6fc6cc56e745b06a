// `gatehouse compare`: trains architectures by one recipe, here or on agents, measures them, and puts accuracy beside latency.

import { resolve } from 'node:path'
import { type CommandDef, defineCommand } from 'citty'
import { repeatedValues, REPEATABLE_HINT } from '../../command-line/dispatch.ts'
import { CliError } from '../../command-line/exit-codes.ts'
import { readJsonFile } from '../../command-line/json-file.ts'
import { numberIn } from '../../command-line/number-flags.ts'
import { latencyOf, readTableFile } from '../../command-line/table-file.ts'
import { printResult, type Terminal } from '../../command-line/terminal.ts'
import { pngOf } from '../../plots/png.ts'
import type { LatencyTable } from '../../latency-lut/table/table.ts'
import { createSpace, SpaceError, type SpaceRef } from '../../search-space/index.ts'
import { type Candidate, listCandidates } from '../compare/candidates.ts'
import { openExperimentFolder } from '../compare/experiment-folder.ts'
import { accuracyPlot, macsPlot } from '../compare/plots.ts'
import { renderComparison } from '../compare/report.ts'
import { runExperiment } from '../compare/run-experiment.ts'
import { summarise } from '../compare/summary.ts'
import { trainingFlags, trainingsHere, trainingsOnAgents } from './compare-trainings.ts'
import { buildRecipe, recipeFlags } from './recipe-flags.ts'
import { readSpaceRef } from './space-flags.ts'

const MAX_COUNT = 1000
const DEFAULT_SEEDS = 3

const flags = {
  space: { type: 'string', valueHint: 'PRESET|@FILE', description: 'search space that the architectures are of', required: true },
  architecture: {
    type: 'string',
    valueHint: `NAME=ENCODING${REPEATABLE_HINT}`,
    description: 'an architecture to compare, as `gatehouse derive` prints it',
  },
  random: { type: 'string', valueHint: 'N', description: 'random architectures of the space', default: '3' },
  table: {
    type: 'string',
    valueHint: 'FILE',
    description: 'latency table of the space: --random are then so many for each --architecture, of its latency within 10 %',
  },
  'random-seed': { type: 'string', valueHint: 'N', description: 'seed of the random architectures', default: '1' },
  uniform: { type: 'string', valueHint: 'OPERATIONS', description: 'architectures with one operation everywhere, for example mb6k3,mb3k5' },
  largest: { type: 'boolean', description: 'leave out the largest architecture of the space', default: true },
  'mobilenet-v2': { type: 'string', valueHint: 'WIDTHS', description: 'MobileNetV2 at these width multipliers, for example 0.35,0.5,1' },
  ...trainingFlags,
  ...recipeFlags,
  seeds: { type: 'string', valueHint: 'N', description: 'trainings of each, with seeds 1 to N', default: String(DEFAULT_SEEDS) },
  'latency-batch': { type: 'string', valueHint: 'N', description: 'images in one measured run', default: '8' },
  'latency-rounds': {
    type: 'string',
    valueHint: 'N',
    description: 'how often each latency is measured, all in turn; the median counts',
    default: '3',
  },
  'latency-runtime': { type: 'string', valueHint: 'NAME', description: 'what latency is measured in', default: 'tfjs-wasm' },
  out: {
    type: 'string',
    valueHint: 'FOLDER',
    description: 'where results, table and plots go; what is there already is not repeated',
    required: true,
  },
  json: { type: 'boolean', description: 'print one JSON object to standard output', default: false },
} as const

function parseArchitectureFlag(text: string): { name: string; encoding: string } {
  const equals = text.indexOf('=')
  if (equals < 1) throw new CliError('usage', `expected --architecture NAME=ENCODING, got "${text}"`)
  return { name: text.slice(0, equals), encoding: text.slice(equals + 1) }
}

function splitList(text: string | undefined): string[] {
  return text === undefined ? [] : text.split(',').map((part) => part.trim())
}

function parseWidths(text: string | undefined): number[] {
  return splitList(text).map((part) => {
    const width = Number(part)
    if (!(width > 0 && width <= 10)) throw new CliError('usage', `expected --mobilenet-v2 to list widths above 0 to 10, got "${part}"`)
    return width
  })
}

function chooseCandidates(
  space: SpaceRef,
  args: Record<string, unknown>,
  architectures: readonly string[],
  table: LatencyTable | null,
): Candidate[] {
  if (table && architectures.length === 0)
    throw new CliError('usage', 'expected --architecture with --table, which says how long random ones take')
  const text = (flag: string) => args[flag] as string
  let candidates: Candidate[]
  try {
    candidates = listCandidates({
      space,
      architectures: architectures.map(parseArchitectureFlag),
      randomCount: numberIn('random', text('random'), 0, MAX_COUNT, true),
      latency: table && latencyOf(createSpace(space), table),
      randomSeed: numberIn('random-seed', text('random-seed'), 0, MAX_COUNT, true),
      uniform: splitList(args['uniform'] as string | undefined),
      largest: args['largest'] === true,
      mobileNetWidths: parseWidths(args['mobilenet-v2'] as string | undefined),
    })
  } catch (error) {
    throw error instanceof SpaceError ? new CliError('usage', error.message) : error
  }
  const names = new Set<string>()
  for (const { name } of candidates) {
    if (names.has(name)) throw new CliError('usage', `expected every network to have a name of its own, got "${name}" twice`)
    names.add(name)
  }
  if (candidates.length === 0) throw new CliError('usage', 'nothing to compare: name architectures, or ask for random ones')
  return candidates
}

function createCompareCommand(terminal: Terminal): CommandDef {
  return defineCommand({
    meta: {
      name: 'compare',
      description:
        'Train architectures by one recipe, here or on agents, measure their latency, and plot accuracy against it: searched, random, largest, MobileNetV2.',
    },
    args: flags,
    async run({ args, rawArgs }) {
      const file = args.recipe === undefined ? undefined : await readJsonFile(resolve(terminal.folder, args.recipe))
      const sets = repeatedValues(rawArgs, flags, 'set')
      const recipe = buildRecipe(file, args, sets)
      const space = readSpaceRef(terminal, args.space)
      const latencyTable = args.table === undefined ? null : await readTableFile(resolve(terminal.folder, args.table))
      const candidates = chooseCandidates(space, args, repeatedValues(rawArgs, flags, 'architecture'), latencyTable)
      const seeds = Array.from({ length: numberIn('seeds', args.seeds, 1, MAX_COUNT, true) }, (_, index) => index + 1)
      const latencyRounds = numberIn('latency-rounds', args['latency-rounds'], 1, MAX_COUNT, true)
      const split = args.test ? 'test' : 'validation'
      const folder = openExperimentFolder(resolve(terminal.folder, args.out))
      const measureFlags = ['--runtime', args['latency-runtime'], '--batch', args['latency-batch']]
      const trainings =
        args.dataset === undefined ? trainingsHere(terminal, args, recipe, folder) : trainingsOnAgents(terminal, args, recipe, folder)
      terminal.note(`${candidates.length} networks, ${seeds.length} trainings each, ${trainings.where}`)
      const results = summarise(
        await runExperiment({
          candidates,
          seeds,
          trainAll: trainings.trainAll,
          measureFlags,
          trainingSettings: trainings.settings,
          latencySettings: measureFlags,
          test: args.test,
          latencyRounds,
          folder,
          signal: terminal.interrupted,
          onNote: terminal.note,
        }),
      )
      const latency = { runtime: args['latency-runtime'], batch: Number(args['latency-batch']), rounds: latencyRounds }
      const comparison = { recipe, seeds, accuracyOf: split, latency, results }
      const plots = { 'accuracy-latency': accuracyPlot(results, split), 'macs-latency': macsPlot(results) }
      for (const [name, svg] of Object.entries(plots)) {
        folder.writeReport(`${name}.svg`, svg)
        folder.writeReport(`${name}.png`, await pngOf(svg))
      }
      const table = renderComparison(results, split)
      folder.writeReport('table.txt', `${table}\n`)
      const path = folder.writeReport('compare.json', `${JSON.stringify(comparison, null, 2)}\n`)
      terminal.note(`results, table and plots are beside ${path}`)
      printResult(terminal, args.json, comparison, () => table)
    },
  }) as CommandDef
}

export { createCompareCommand }
