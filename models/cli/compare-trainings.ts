// Where the trainings of a comparison are done: on this machine, or on agents of a coordinator.

import { resolve } from 'node:path'
import type { ArgsDef, ParsedArgs } from 'citty'
import { connect, connectionFlags } from '../../command-line/connection.ts'
import { CliError } from '../../command-line/exit-codes.ts'
import { typedCommand } from '../../command-line/installation.ts'
import { numberIn } from '../../command-line/number-flags.ts'
import type { Terminal } from '../../command-line/terminal.ts'
import { backendArgs, dataArgs } from '../../command-line/training-flags.ts'
import { physicalCores } from '../../engine/backends/physical-cores.ts'
import { fieldErrors, type Recipe, trainingSpecSchema } from '../../protocol/index.ts'
import type { ExperimentFolder } from '../compare/experiment-folder.ts'
import type { Experiment } from '../compare/run-experiment.ts'
import { trainHere } from '../compare/train-here.ts'
import { trainOnAgents } from '../compare/train-on-agents.ts'
import { intervalFlag, readInterval } from './interval-flag.ts'
import { leaseFlags, readLeaseFlags } from './lease-flags.ts'

const MAX_JOBS = 1000
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

const trainingFlags = {
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
  jobs: { type: 'string', valueHint: 'N', description: 'trainings at a time on this machine (default: as many as physical cores)' },
  test: {
    type: 'boolean',
    description: 'evaluate each once on the test split, at its end, and compare by that instead of by the validation share',
    default: false,
  },
} as const satisfies ArgsDef

type TrainingArgs = ParsedArgs<typeof trainingFlags>

/** How the trainings are done, and what their results depend on besides network and seed. */
type Trainings = { readonly trainAll: Experiment['trainAll']; readonly settings: unknown; readonly where: string }

/** Throws CliError `usage`. */
function trainingsHere(terminal: Terminal, args: TrainingArgs, recipe: Recipe, folder: ExperimentFolder): Trainings {
  if (args.data === undefined) throw new CliError('usage', 'no data: pass --data, or --dataset for trainings on agents')
  if (args.fingerprint !== undefined) throw new CliError('usage', '--fingerprint is for trainings on agents, which --dataset asks for')
  const jobs = args.jobs === undefined ? physicalCores() : numberIn('jobs', args.jobs, 1, MAX_JOBS, true)
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
function trainingsOnAgents(terminal: Terminal, args: TrainingArgs, recipe: Recipe, folder: ExperimentFolder): Trainings {
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

export { trainingFlags, trainingsHere, trainingsOnAgents }
