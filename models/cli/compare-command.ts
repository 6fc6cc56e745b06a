// `gatehouse compare`: trains architectures by one recipe, here or on agents, measures them, and puts accuracy beside latency.

import { resolve } from 'node:path'
import { type CommandDef, defineCommand, type ParsedArgs } from 'citty'
import { repeatedValues, REPEATABLE_HINT } from '../../command-line/dispatch.ts'
import { connect, connectionFlags } from '../../command-line/connection.ts'
import { CliError } from '../../command-line/exit-codes.ts'
import { typedCommand } from '../../command-line/installation.ts'
import { readJsonFile } from '../../command-line/json-file.ts'
import { numberIn } from '../../command-line/number-flags.ts'
import { printResult, type Terminal } from '../../command-line/terminal.ts'
import { pngOf } from '../../plots/png.ts'
import { SpaceError, type SpaceRef } from '../../search-space/index.ts'
import { backendArgs, dataArgs } from '../../command-line/training-flags.ts'
import { physicalCores } from '../../engine/backends/physical-cores.ts'
import { type Candidate, listCandidates } from '../compare/candidates.ts'
import { type ExperimentFolder, openExperimentFolder } from '../compare/experiment-folder.ts'
import { accuracyPlot, macsPlot } from '../compare/plots.ts'
import { renderComparison } from '../compare/report.ts'
import { type Experiment, runExperiment } from '../compare/run-experiment.ts'
import { summarise } from '../compare/summary.ts'
import { trainHere } from '../compare/train-here.ts'
import { trainOnAgents } from '../compare/train-on-agents.ts'
import { fieldErrors, type Recipe, trainingSpecSchema } from '../../protocol/index.ts'
import { intervalFlag, readInterval } from './interval-flag.ts'
import { leaseFlags, readLeaseFlags } from './lease-flags.ts'
import { buildRecipe, recipeFlags } from './recipe-flags.ts'
import { readSpaceRef } from './space-flags.ts'

const MAX_COUNT = 1000
const DEFAULT_SEEDS = 3
/** Of the validation share: the same for all trainings. */
const SHARE_SEED = 0
/** Within --out: tokens of the agents that are to do the trainings. */
const TOKENS_FILE = 'agent-tokens.txt'

/** Of a training on agents, what is the same for all. */
const agentSpecSchema = trainingSpecSchema.pick({
  dataset: true,
  recipe: true,
  shareSeed: true,
  test: true,
  leaseMs: true,
  checkpointMs: true,
})

const flags = {
  space: { type: 'string', valueHint: 'PRESET|@FILE', description: 'search space that the architectures are of', required: true },
  architecture: {
    type: 'string',
    valueHint: `NAME=ENCODING${REPEATABLE_HINT}`,
    description: 'an architecture to compare, as `gatehouse derive` prints it',
  },
  random: { type: 'string', valueHint: 'N', description: 'random architectures of the space', default: '3' },
  'random-seed': { type: 'string', valueHint: 'N', description: 'seed of the random architectures', default: '1' },
  uniform: { type: 'string', valueHint: 'OPERATIONS', description: 'architectures with one operation everywhere, for example mb6k3,mb3k5' },
  largest: { type: 'boolean', description: 'leave out the largest architecture of the space', default: true },
  'mobilenet-v2': { type: 'string', valueHint: 'WIDTHS', description: 'MobileNetV2 at these width multipliers, for example 0.35,0.5,1' },
  ...dataArgs,
  data: { ...dataArgs.data, required: false },
  ...backendArgs,
  dataset: {
    type: 'string',
    valueHint: 'NAME',
    description: 'instead of --data: what the data are called that agents of a coordinator have, which then do the trainings',
  },
  fingerprint: { type: 'string', valueHint: 'SHA256', description: "of the agents' data; agents with others are refused" },
  ...leaseFlags,
  ...intervalFlag,
  ...connectionFlags,
  ...recipeFlags,
  seeds: { type: 'string', valueHint: 'N', description: 'trainings of each, with seeds 1 to N', default: String(DEFAULT_SEEDS) },
  jobs: { type: 'string', valueHint: 'N', description: 'trainings at a time on this machine (default: as many as physical cores)' },
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
  test: {
    type: 'boolean',
    description: 'evaluate each once on the test split, at its end, and compare by that instead of by the validation share',
    default: false,
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

function chooseCandidates(space: SpaceRef, args: Record<string, unknown>, architectures: readonly string[]): Candidate[] {
  const text = (flag: string) => args[flag] as string
  let candidates: Candidate[]
  try {
    candidates = listCandidates({
      space,
      architectures: architectures.map(parseArchitectureFlag),
      randomCount: numberIn('random', text('random'), 0, MAX_COUNT, true),
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

type CompareArgs = ParsedArgs<typeof flags>

/** How the trainings are done, and what their results depend on besides network and seed. */
type Trainings = { readonly trainAll: Experiment['trainAll']; readonly settings: unknown; readonly where: string }

/** Throws CliError `usage`. */
function trainingsHere(terminal: Terminal, args: CompareArgs, recipe: Recipe, folder: ExperimentFolder): Trainings {
  if (args.data === undefined) throw new CliError('usage', 'no data: pass --data, or --dataset for trainings on agents')
  if (args.fingerprint !== undefined) throw new CliError('usage', '--fingerprint is for trainings on agents, which --dataset asks for')
  const jobs = args.jobs === undefined ? physicalCores() : numberIn('jobs', args.jobs, 1, MAX_COUNT, true)
  const data = args.data.startsWith('npm:') ? args.data : resolve(terminal.folder, args.data)
  const recipeFile = folder.writeReport('recipe.json', `${JSON.stringify(recipe, null, 2)}\n`)
  const bits = args.bits === undefined ? [] : ['--bits', args.bits]
  const dataFlags = ['--data', data, ...bits, '--cache', resolve(terminal.folder, args.cache)]
  const trainFlags = ['--recipe', recipeFile, ...dataFlags, '--backend', args.backend, '--share-seed', String(SHARE_SEED)]
  return {
    trainAll: trainHere({ trainFlags, test: args.test, jobs, signal: terminal.interrupted }),
    settings: [recipe, data, args.backend, ...bits],
    where: `${jobs} at a time`,
  }
}

/** Throws CliError `usage`, or `unauthorized` without an admin token. */
function trainingsOnAgents(terminal: Terminal, args: CompareArgs, recipe: Recipe, folder: ExperimentFolder): Trainings {
  for (const flag of ['data', 'jobs'] as const) {
    if (args[flag] !== undefined)
      throw new CliError('usage', `expected either --${flag} or --dataset: agents bring their own data and cores`)
  }
  const dataset = {
    name: args.dataset as string,
    ...(args.fingerprint === undefined ? {} : { fingerprint: args.fingerprint }),
    ...(args.bits === undefined ? {} : { bits: Number(args.bits) }),
  }
  const parsed = agentSpecSchema.safeParse({ dataset, recipe, shareSeed: SHARE_SEED, test: args.test, ...readLeaseFlags(args) })
  if (!parsed.success) throw new CliError('usage', 'the trainings are not valid', fieldErrors(parsed.error))
  const client = connect(terminal, args, { readAttempts: 1 })
  const trainAll = trainOnAgents({
    client,
    folder,
    spec: parsed.data,
    intervalMs: readInterval(args.interval),
    signal: terminal.interrupted,
    onNote: terminal.note,
    onBegun(tokens) {
      const path = folder.writeSecret(TOKENS_FILE, `${tokens.join('\n')}\n`)
      terminal.note('Start agents, on this machine or any other that reaches the coordinator and has the file of tokens:')
      terminal.note(`  ${typedCommand('worker-agent')} --coordinator ${client.url} --token @${path} --data PATH`)
    },
  })
  return { trainAll, settings: [recipe, { dataset }, 'agents'], where: `on agents of ${client.url}` }
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
      const candidates = chooseCandidates(space, args, repeatedValues(rawArgs, flags, 'architecture'))
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
