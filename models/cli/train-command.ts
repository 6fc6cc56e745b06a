// `gatehouse train`: trains one architecture from scratch on this machine and writes the trained network.

import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { type CommandDef, defineCommand } from 'citty'
import { repeatedValues } from '../../command-line/dispatch.ts'
import { CliError } from '../../command-line/exit-codes.ts'
import { readJsonFile } from '../../command-line/json-file.ts'
import { printResult, type Terminal } from '../../command-line/terminal.ts'
import { printShare } from '../../command-line/quantities.ts'
import {
  accumulateArg,
  backendArgs,
  dataArgs,
  openChosenBackend,
  openChosenDataset,
  parseAccumulate,
  parseThreads,
} from '../../command-line/training-flags.ts'
import { bitsOf, type Dataset, DatasetError, DEFAULT_BITS, describeBroken } from '../../engine/datasets/index.ts'
import { readCheckpoint, removeCheckpoint, writeCheckpoint } from '../../engine/training/checkpoint-folder.ts'
import { type Checkpoint, CheckpointError } from '../../engine/training/checkpoint.ts'
import { type FromScratchResult, trainFromScratch, TrainingDivergedError } from '../../engine/training/from-scratch.ts'
import type { Score } from '../../engine/training/score.ts'
import { NetworkWeightsError } from '../../engine/training/network-weights.ts'
import { TeacherError } from '../../engine/training/teacher.ts'
import { TrainingThreadError } from '../../engine/training/threads/thread-team.ts'
import { TrainerError } from '../../engine/training/trainer.ts'
import { withNormalisation } from '../../engine/training/with-normalisation.ts'
import { readInitialWeights } from '../initial-weights.ts'
import { DESCRIPTION_FILE, ModelFolderError, writeModelFolder } from '../model-folder.ts'
import { openTeacher } from '../teacher.ts'
import { numberIn } from '../../command-line/number-flags.ts'
import { checkData } from './check-data.ts'
import { exceptFlag, parseExcept } from './except-flag.ts'
import { buildRecipe, recipeFlags } from './recipe-flags.ts'
import { type Network, networkFlags, readNetwork } from './space-flags.ts'
import { createTrainProgress } from './train-progress.ts'

const MAX_SEED = 0xffffffff
const MINUTE_MS = 60_000

const flags = {
  ...networkFlags,
  ...dataArgs,
  ...backendArgs,
  threads: {
    type: 'string',
    valueHint: 'N|auto',
    description:
      'threads that share each mini-batch; auto: on the wasm backend one per physical core, as long as each has 16 images, elsewhere 1',
    default: 'auto',
  },
  ...accumulateArg,
  ...recipeFlags,
  seed: { type: 'string', valueHint: 'N', description: 'seed of weights, order and augmentation', default: '0' },
  'share-seed': { type: 'string', valueHint: 'N', description: "seed of the validation share: that of the search (default: --seed's)" },
  weights: {
    type: 'string',
    valueHint: 'FILE',
    description: "start from the weights of a safetensors file with the search's keys, instead of random ones",
  },
  ...exceptFlag,
  teacher: { type: 'string', valueHint: 'FOLDER', description: 'learn from this trained network as well; see distillation in the recipe' },
  out: { type: 'string', valueHint: 'FOLDER', description: 'where the trained network goes: model.json and model.safetensors' },
  checkpoint: {
    type: 'string',
    valueHint: 'FOLDER',
    description: 'where the training is kept as it goes (default: checkpoint in --out, removed when the network is written)',
  },
  'checkpoint-epochs': { type: 'string', valueHint: 'N', description: 'epochs between checkpoints', default: '1' },
  'checkpoint-minutes': { type: 'string', valueHint: 'X', description: 'most minutes between checkpoints', default: '10' },
  resume: { type: 'boolean', description: 'go on from the checkpoint; all other flags as they were', default: false },
  test: { type: 'boolean', description: 'at the end, evaluate on the test split, which is not touched before', default: false },
  json: { type: 'boolean', description: 'print one JSON object to standard output', default: false },
} as const

/** What is known to be wrong, as the command line reports it. */
function cliError(error: unknown): unknown {
  if (error instanceof CheckpointError) {
    const reasons = { 'does-not-fit': 'conflict', malformed: 'usage', 'not-written': 'failure' } as const
    return new CliError(reasons[error.code], error.message, error.errors)
  }
  const isUsage = [TrainerError, ModelFolderError, NetworkWeightsError, TeacherError, DatasetError].some((type) => error instanceof type)
  if (isUsage) return new CliError('usage', (error as Error).message)
  return error instanceof TrainingDivergedError || error instanceof TrainingThreadError ? new CliError('failure', error.message) : error
}

/** Where checkpoints are kept. Throws CliError where the flags contradict each other or the folder. */
function openCheckpoints(terminal: Terminal, args: { out?: string; checkpoint?: string; resume: boolean }) {
  const { out, checkpoint, resume } = args
  const named = checkpoint ?? (out === undefined ? undefined : join(out, 'checkpoint'))
  if (named === undefined) {
    if (resume) throw new CliError('usage', 'expected --checkpoint or --out with --resume')
    return null
  }
  const folder = resolve(terminal.folder, named)
  const found = readCheckpoint(folder)
  if (found && !resume) {
    throw new CliError('conflict', `${folder} has a checkpoint at step ${found.step}: go on from it with --resume, or remove it`)
  }
  if (!found && resume) throw new CliError('usage', `${folder} has no checkpoint to go on from; leave --resume out to begin`)
  return { folder, found, isKept: checkpoint !== undefined }
}

/** Throws CliError `conflict` where a trained network is there already. */
function checkOut(terminal: Terminal, out: string | undefined): string | undefined {
  if (out === undefined) return undefined
  const folder = resolve(terminal.folder, out)
  if (existsSync(join(folder, DESCRIPTION_FILE))) {
    throw new CliError('conflict', `${folder} has a trained network already: choose another --out or remove it`)
  }
  return folder
}

/** The settings that are not in the recipe, and the figures, as model.json keeps them. */
function writeModel(folder: string, { ref }: Network, dataset: Dataset, result: FromScratchResult): void {
  const { identity, steps, validation, test, reports, weights, statistics } = result
  const { architecture, recipe, seed, shareSeed, teacher, initial } = identity
  const { name, fingerprint, normalisation, classNames, storage } = dataset
  const bits = bitsOf(dataset)
  writeModelFolder(folder, {
    description: {
      format: 'gatehouse-model/1',
      space: ref,
      architecture,
      normalisation,
      ...(classNames && { classNames: [...classNames] }),
      dataset: { name, fingerprint, storage, ...(bits !== DEFAULT_BITS && { bits }) },
      training: { recipe, seed, shareSeed, steps, teacher, initial },
      results: { validation, test, trainLoss: reports.at(-1)?.trainLoss ?? null },
    },
    weights,
    statistics,
  })
}

function printScore(name: string, { top1, top5, images }: Score): string {
  return `${name} accuracy ${(top1 * 100).toFixed(2)} % top-1, ${(top5 * 100).toFixed(2)} % top-5, of ${images} images`
}

function createTrainCommand(terminal: Terminal): CommandDef {
  return defineCommand({
    meta: { name: 'train', description: 'Train one architecture from scratch, on this machine, and write the trained network.' },
    args: flags,
    async run({ args, rawArgs }) {
      const file = args.recipe === undefined ? undefined : await readJsonFile(resolve(terminal.folder, args.recipe))
      const recipe = buildRecipe(file, args, repeatedValues(rawArgs, flags, 'set'))
      const seed = numberIn('seed', args.seed, 0, MAX_SEED, true)
      const shareSeed = args['share-seed'] === undefined ? seed : numberIn('share-seed', args['share-seed'], 0, MAX_SEED, true)
      const everyEpochs = numberIn('checkpoint-epochs', args['checkpoint-epochs'], 1, 100_000, true)
      const everyMs = numberIn('checkpoint-minutes', args['checkpoint-minutes'], 0, 100_000, false) * MINUTE_MS
      const accumulate = parseAccumulate(args.accumulate)
      const threads = parseThreads(args.threads, '--threads')
      const network = readNetwork(terminal, args)
      const out = checkOut(terminal, args.out)
      let teacher: ReturnType<typeof openTeacher> | undefined
      /** Of the last checkpoint that there is. */
      let savedStep: number | null = null
      try {
        const checkpoints = openCheckpoints(terminal, args)
        savedStep = checkpoints?.found?.step ?? null
        const except = parseExcept(args.weights, repeatedValues(rawArgs, flags, 'except'), seed)
        const initial =
          args.weights === undefined
            ? undefined
            : readInitialWeights(resolve(terminal.folder, args.weights), network.space, network.path, except)
        const backend = await openChosenBackend(terminal, args)
        const dataset = withNormalisation(await openChosenDataset(terminal, args, () => network.space.input), recipe)
        checkData(network.space, dataset)
        if (args.teacher !== undefined) teacher = openTeacher(resolve(terminal.folder, args.teacher), dataset)
        if (checkpoints?.found) terminal.note(`resume   from step ${checkpoints.found.step}`)
        const startMs = performance.now()
        const progress = createTrainProgress(terminal.note, recipe.batchSize, () => performance.now())
        const save = (checkpoint: Checkpoint) => {
          if (checkpoints) writeCheckpoint(checkpoints.folder, checkpoint)
          savedStep = checkpoint.step
        }
        const result = await trainFromScratch({
          backend,
          dataset,
          space: network.space,
          path: network.path,
          recipe,
          seed,
          shareSeed,
          initial,
          teacher,
          checkpoint: checkpoints?.found ?? undefined,
          checkpoints: checkpoints ? { everyEpochs, everyMs, save } : undefined,
          threads,
          accumulate,
          test: args.test,
          onNote: terminal.note,
          signal: terminal.interrupted,
          onStep: progress.onStep,
          onReport: progress.onReport,
        })
        const isFinished = result.end === 'finished'
        if (result.brokenFiles.length > 0) terminal.note(`data     ${describeBroken(result.brokenFiles)}`)
        if (out !== undefined && isFinished) {
          writeModel(out, network, dataset, result)
          if (checkpoints && !checkpoints.isKept) removeCheckpoint(checkpoints.folder)
        }
        const { end, identity, steps, threads: used, validation, test, reports } = result
        const figures = {
          end,
          architecture: identity.architecture,
          steps,
          seed,
          threads: used,
          accuracy: validation.top1,
          validation,
          test,
          trainLoss: reports.at(-1)?.trainLoss ?? null,
          epochs: reports,
          imagesPerSecond: progress.imagesPerSecond(),
          brokenFiles: result.brokenFiles,
          seconds: (performance.now() - startMs) / 1000,
          out: isFinished ? (out ?? null) : null,
        }
        printResult(terminal, args.json, figures, () =>
          [
            printScore('validation', validation),
            ...(test ? [printScore('test', test)] : []),
            ...(out !== undefined && isFinished ? [`written to ${out}`] : []),
          ].join('\n'),
        )
        if (!isFinished) {
          const { accuracy, epoch } = recipe.stopBelow ?? { accuracy: 0, epoch: 0 }
          throw new CliError(
            'unfinished',
            `stopped as hopeless: less than ${printShare(accuracy)} after epoch ${epoch}; no network is written`,
          )
        }
      } catch (error) {
        if (!terminal.interrupted.aborted) throw cliError(error)
        if (savedStep !== null) terminal.note(`interrupted; the same command with --resume goes on from step ${savedStep}`)
        throw terminal.interrupted.reason
      } finally {
        teacher?.dispose()
      }
    },
  }) as CommandDef
}

export { createTrainCommand }
