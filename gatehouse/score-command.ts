// `gatehouse score`: what networks score without training, and how far that puts them into the order of accuracies that are known.

import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { type ArgsDef, type CommandDef, defineCommand } from 'citty'
import { REPEATABLE_HINT, repeatedValues } from '../command-line/dispatch.ts'
import { CliError } from '../command-line/exit-codes.ts'
import { numberIn } from '../command-line/number-flags.ts'
import { openRecorded, recordedFlags } from '../command-line/recorded-flags.ts'
import { printResult, type Terminal } from '../command-line/terminal.ts'
import { renderTable } from '../command-line/text-layout.ts'
import { backendArgs, dataArgs, openChosenBackend, openChosenDataset } from '../command-line/training-flags.ts'
import { checkData } from '../models/cli/check-data.ts'
import { readSpaceRef } from '../models/cli/space-flags.ts'
import { openScoreFile } from '../models/scores/score-file.ts'
import { type ScoredArchitecture, scoreNetworks } from '../models/scores/score-networks.ts'
import { type Summary, summariseScores } from '../models/scores/summary.ts'
import { type ScoreName, scoreNames, scoreNamesSchema } from '../protocol/index.ts'
import {
  createRandom,
  createSpace,
  parseArchitecture,
  type Path,
  printArchitecture,
  randomPath,
  seedState,
  type Space,
  SpaceError,
} from '../search-space/index.ts'
import { mean } from '../simulation/recorded-benchmark.ts'

const MAX_NETWORKS = 1_000_000
const MAX_BATCH = 65_536
const MAX_SEED = 0xffffffff
/** Random architectures that are drawn for each one that is wanted, before a space counts as too small. */
const MAX_TRIES = 100

const scoreFlags = {
  space: { type: 'string', valueHint: 'PRESET|@FILE', description: 'search space that the architectures are of', required: true },
  architecture: {
    type: 'string',
    valueHint: `ENCODING${REPEATABLE_HINT}`,
    description: 'an architecture to score, as `gatehouse derive` prints it',
  },
  list: { type: 'string', valueHint: 'FILE', description: 'architectures to score, one to a line' },
  random: { type: 'string', valueHint: 'N', description: 'random architectures to score (default: 20 where no others are named)' },
  scores: {
    type: 'string',
    valueHint: 'NAMES',
    description: `which scores, with commas between them: ${scoreNames.join(', ')}`,
    default: scoreNames.join(','),
  },
  ...dataArgs,
  ...backendArgs,
  batch: { type: 'string', valueHint: 'N', description: 'training images that networks are scored on', default: '64' },
  seed: { type: 'string', valueHint: 'N', description: 'seed of the weights, the images and the random architectures', default: '0' },
  recorded: {
    type: 'string',
    valueHint: 'FILE',
    description: 'recorded trainings, to correlate the scores with: as for `gatehouse simulate`',
  },
  metric: { type: 'string', valueHint: 'NAME', description: 'of recorded trainings: columns NAME_valid or NAME', default: 'accuracy' },
  out: {
    type: 'string',
    valueHint: 'FILE',
    description: 'also write the scores as CSV, each as soon as it is there; what the file has already is not scored again',
  },
  json: { type: 'boolean', description: 'print one JSON object to standard output', default: false },
} as const satisfies ArgsDef

/** Throws CliError `usage`. */
function parseNames(text: string): ScoreName[] {
  const parsed = scoreNamesSchema.safeParse(text.split(',').map((name) => name.trim()))
  if (parsed.success) return parsed.data
  throw new CliError('usage', `expected --scores to name each of its scores once, out of ${scoreNames.join(', ')}; got "${text}"`)
}

function readList(terminal: Terminal, file: string | undefined): string[] {
  if (file === undefined) return []
  try {
    const lines = readFileSync(resolve(terminal.folder, file), 'utf8').split(/\r?\n/)
    return lines.map((line) => line.trim()).filter((line) => line !== '' && !line.startsWith('#'))
  } catch (error) {
    throw new CliError('usage', `--list ${file}: ${error instanceof Error ? error.message : String(error)}`)
  }
}

/** Different ones, as many as there are. */
function drawPaths(space: Space, wanted: number, seed: number, named: readonly Path[]): Path[] {
  const random = createRandom(seedState('score', seed))
  const seen = new Set(named.map((path) => path.join()))
  const drawn: Path[] = []
  for (let tries = 0; drawn.length < wanted && tries < MAX_TRIES; tries++) {
    const path = randomPath(space, random)
    if (seen.has(path.join())) continue
    seen.add(path.join())
    drawn.push(path)
    tries = -1
  }
  return drawn
}

/** Architectures to score, each once. Throws CliError `usage`. */
function choosePaths(space: Space, encodings: readonly string[], wanted: number | null, seed: number): Path[] {
  try {
    const named = new Map(encodings.map((text) => parseArchitecture(space, text)).map((path) => [path.join(), path]))
    const paths = [...named.values()]
    return [...paths, ...drawPaths(space, wanted ?? (paths.length === 0 ? 20 : 0), seed, paths)]
  } catch (error) {
    throw error instanceof SpaceError ? new CliError('usage', error.message) : error
  }
}

const figure = (value: number | null, digits: number) => (value === null ? '–' : value.toFixed(digits))
const short = (value: number | null) => (value === null ? '–' : Number(value.toPrecision(5)).toString())
const milliseconds = (seconds: number) => `${(seconds * 1000).toFixed(1)} ms`

function renderScores(space: Space, names: readonly ScoreName[], networks: readonly ScoredArchitecture[], summary: Summary): string {
  const columns = [{ title: 'architecture' }, ...names.map((title) => ({ title, align: 'right' as const }))]
  const rows = networks.map(({ path, values }) => [printArchitecture(space, path), ...values.map(short)])
  const { stepSeconds, recorded } = summary
  const about = summary.scores.map(({ name, seconds, without, spearman, kendall }) => [
    name,
    milliseconds(seconds),
    (seconds / stepSeconds).toFixed(2),
    String(without),
    ...(recorded > 0 ? [figure(spearman, 3), figure(kendall, 3)] : []),
  ])
  const right = (title: string) => ({ title, align: 'right' as const })
  return [
    renderTable(columns, rows),
    '',
    renderTable(
      [
        { title: 'score' },
        right('time'),
        right('training steps'),
        right('without'),
        ...(recorded > 0 ? [right('Spearman'), right('Kendall')] : []),
      ],
      about,
    ),
    '',
    `${networks.length} networks; median times; one training step takes ${milliseconds(stepSeconds)}`,
    ...(recorded > 0 ? [`correlations with the accuracies of ${recorded} networks`] : []),
  ].join('\n')
}

function createScoreCommand(terminal: Terminal): CommandDef {
  return defineCommand({
    meta: {
      name: 'score',
      description: 'Score architectures without training them, on this machine, and say how the scores agree with known accuracies.',
    },
    args: scoreFlags,
    async run({ args, rawArgs }) {
      const names = parseNames(args.scores)
      const batchSize = numberIn('batch', args.batch, 2, MAX_BATCH, true)
      const seed = numberIn('seed', args.seed, 0, MAX_SEED, true)
      const wanted = args.random === undefined ? null : numberIn('random', args.random, 0, MAX_NETWORKS, true)
      const ref = readSpaceRef(terminal, args.space)
      const space = createSpace(ref)
      const encodings = [...repeatedValues(rawArgs, scoreFlags, 'architecture'), ...readList(terminal, args.list)]
      const paths = choosePaths(space, encodings, wanted, seed)
      const recorded =
        args.recorded === undefined
          ? null
          : openRecorded(resolve(terminal.folder, args.recorded), {
              space: ref,
              metric: args.metric,
              seconds: recordedFlags.seconds.default,
            })
      const backend = await openChosenBackend(terminal, args)
      const dataset = await openChosenDataset(terminal, args, () => space.input)
      checkData(space, dataset)
      const settings = createHash('sha256')
        .update(JSON.stringify([ref, seed, batchSize, dataset.fingerprint]))
        .digest('hex')
        .slice(0, 16)
      const file = args.out === undefined ? null : openScoreFile(resolve(terminal.folder, args.out), space, names, settings)
      const scored = new Map((file?.found ?? []).map((network) => [network.path.join(), network]))
      const missing = paths.filter((path) => !scored.has(path.join()))
      if (missing.length < paths.length) terminal.note(`${paths.length - missing.length} of ${paths.length} networks are in ${args.out}`)
      const startMs = performance.now()
      let done = 0
      await scoreNetworks({
        backend,
        dataset,
        space,
        paths: missing,
        names,
        seed,
        batchSize,
        signal: terminal.interrupted,
        onScored(network) {
          scored.set(network.path.join(), network)
          file?.append(network)
          done += 1
          const leftSeconds = ((performance.now() - startMs) / 1000 / done) * (missing.length - done)
          terminal.note(`${done} of ${missing.length}  ${printArchitecture(space, network.path)}  (${leftSeconds.toFixed(0)} s left)`)
        },
      })
      const networks = paths.flatMap((path) => scored.get(path.join()) ?? [])
      const accuracies = paths.map((path) => {
        const known = recorded?.read(path) ?? 'not-recorded'
        return known === 'not-recorded' ? null : mean(known.accuracies)
      })
      const summary = summariseScores(names, networks, accuracies)
      const printed = networks.map(({ path, values, seconds, stepSeconds }, index) => ({
        architecture: printArchitecture(space, path),
        scores: Object.fromEntries(names.map((name, i) => [name, values[i] ?? null])),
        seconds: Object.fromEntries(names.map((name, i) => [name, seconds[i] ?? null])),
        stepSeconds,
        accuracy: accuracies[index] ?? null,
      }))
      printResult(terminal, args.json, { summary, networks: printed }, () => renderScores(space, names, networks, summary))
    },
  }) as CommandDef
}

export { createScoreCommand }
