// `worker-agent train`: trains one architecture from scratch on this machine and prints its validation accuracy.

import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { type CommandDef, defineCommand } from 'citty'
import { CliError } from '../../command-line/exit-codes.ts'
import { printResult, type Terminal } from '../../command-line/terminal.ts'
import { fieldErrors, searchConfigSchema } from '../../coordinator/protocol/index.ts'
import { createSpace, parseArchitecture, type Space, SpaceError, spaceRefSchema } from '../../search-space/index.ts'
import { DatasetError } from '../datasets/index.ts'
import { trainFromScratch } from '../training/from-scratch.ts'
import { backendArgs, dataArgs, openChosenBackend, openChosenDataset, positiveInteger } from './shared-flags.ts'

const REPORT_EVERY = 50
const trainingSchema = searchConfigSchema.shape.training

/** A preset's name, or `@file.json` with the settings of a space. Throws CliError `usage`. */
function readSpace(terminal: Terminal, text: string): Space {
  let ref: unknown = text
  if (text.startsWith('@')) {
    try {
      ref = JSON.parse(readFileSync(resolve(terminal.folder, text.slice(1)), 'utf8'))
    } catch (error) {
      throw new CliError('usage', `--space ${text}: ${error instanceof Error ? error.message : String(error)}`)
    }
  }
  const parsed = spaceRefSchema.safeParse(ref)
  if (!parsed.success) throw new CliError('usage', `--space ${text} is not a space`, fieldErrors(parsed.error))
  return createSpace(parsed.data)
}

function createTrainCommand(terminal: Terminal): CommandDef {
  return defineCommand({
    meta: { name: 'train', description: 'Train one architecture from scratch and print its accuracy on the validation share.' },
    args: {
      space: { type: 'string', valueHint: 'PRESET|@FILE', description: 'search space that the architecture is of', required: true },
      architecture: { type: 'string', valueHint: 'ENCODING', description: 'for example fashion-mini:mb3k5,zero,…', required: true },
      ...dataArgs,
      ...backendArgs,
      steps: { type: 'string', valueHint: 'N', description: 'mini-batches', default: '1000' },
      batch: { type: 'string', valueHint: 'N', description: 'images per mini-batch', default: '64' },
      rate: { type: 'string', valueHint: 'X', description: 'learning rate at the start of its half cosine', default: '0.05' },
      seed: { type: 'string', valueHint: 'N', description: 'seed of weights and order', default: '0' },
      'share-seed': { type: 'string', valueHint: 'N', description: "seed of the validation share: that of the search (default: --seed's)" },
      json: { type: 'boolean', description: 'print one JSON object to standard output', default: false },
    },
    async run({ args }) {
      const training = trainingSchema.safeParse({
        steps: positiveInteger(args.steps, '--steps'),
        batchSize: positiveInteger(args.batch, '--batch'),
        learningRate: Number(args.rate),
      })
      if (!training.success) throw new CliError('usage', 'these settings do not make a training', fieldErrors(training.error))
      const seed = Number(args.seed)
      const space = readSpace(terminal, args.space)
      try {
        const path = parseArchitecture(space, args.architecture)
        const backend = await openChosenBackend(terminal, args.backend, args['software-gpu'])
        const dataset = await openChosenDataset(terminal, args, () => space.input)
        const { steps } = training.data
        const result = await trainFromScratch({
          backend,
          dataset,
          space,
          path,
          training: training.data,
          seed,
          shareSeed: args['share-seed'] === undefined ? seed : Number(args['share-seed']),
          signal: terminal.interrupted,
          onStep: (step, loss) => {
            if (step % REPORT_EVERY === 0 || step === steps) terminal.note(`step ${step} of ${steps}  loss ${loss.toFixed(3)}`)
          },
        })
        const broken = result.brokenFiles.length
        if (broken > 0) terminal.note(`${broken} broken images were each replaced by another of their class`)
        printResult(
          terminal,
          args.json,
          { architecture: args.architecture, steps, seed, ...result },
          () => `validation accuracy ${(result.accuracy * 100).toFixed(2)} % of ${result.validationImages} images`,
        )
      } catch (error) {
        throw error instanceof SpaceError || error instanceof DatasetError ? new CliError('usage', error.message) : error
      }
    },
  }) as CommandDef
}

export { createTrainCommand }
