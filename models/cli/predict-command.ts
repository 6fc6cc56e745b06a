// `gatehouse predict`: what a trained or imported model says of images that have no labels.

import { resolve } from 'node:path'
import { type CommandDef, defineCommand } from 'citty'
import { CliError } from '../../command-line/exit-codes.ts'
import { numberIn } from '../../command-line/number-flags.ts'
import type { Terminal } from '../../command-line/terminal.ts'
import { backendArgs, openChosenBackend } from '../../command-line/training-flags.ts'
import { writeWholeFile } from '../../command-line/whole-files.ts'
import { modelClassNames } from '../evaluate/class-map.ts'
import { predictionLine, predictionsHeader, type Ranked } from '../evaluate/csv.ts'
import { predictImages } from '../evaluate/predict-images.ts'
import { modelArg, modelUseError, readModel } from './model-flags.ts'

const DEFAULT_TOP = 5

const flags = {
  path: { type: 'positional', required: true, description: 'an image, a folder with images in it and below it, or a file of IDX images' },
  ...modelArg,
  top: {
    type: 'string',
    valueHint: 'N',
    description: `classes named of each image, the likeliest first (default: ${DEFAULT_TOP}, or all)`,
  },
  out: { type: 'string', valueHint: 'FILE.csv', description: 'where the table goes (default: standard output)' },
  ...backendArgs,
  json: { type: 'boolean', description: 'print one JSON array instead of CSV', default: false },
} as const

function createPredictCommand(terminal: Terminal): CommandDef {
  return defineCommand({
    meta: {
      name: 'predict',
      description: 'Say what images are, by a trained or imported model: a CSV table of classes and probabilities.',
    },
    args: flags,
    async run({ args }) {
      const model = readModel(terminal, args.model)
      const { classes } = model.space
      const top = args.top === undefined ? Math.min(DEFAULT_TOP, classes) : numberIn('top', args.top, 1, classes, true)
      const backend = await openChosenBackend(terminal, args)
      const predictions: { image: string; classes: Ranked[] }[] = []
      let broken = 0
      try {
        for await (const said of predictImages({
          backend,
          model,
          path: resolve(terminal.folder, args.path),
          classNames: modelClassNames(model),
          top,
        })) {
          terminal.interrupted.throwIfAborted()
          if (said.kind === 'prediction') predictions.push({ image: said.name, classes: said.ranked })
          else {
            broken += 1
            terminal.note(`broken image ${said.name}: ${said.reason}`)
          }
        }
      } catch (error) {
        throw modelUseError(error)
      }
      const csv = () =>
        predictionsHeader(top, false) + predictions.map(({ image, classes: ranked }) => predictionLine(image, undefined, ranked)).join('')
      const text = args.json ? `${JSON.stringify(predictions)}\n` : csv()
      if (args.out === undefined) terminal.write(text)
      else writeWholeFile(resolve(terminal.folder, args.out), text)
      if (broken > 0)
        throw new CliError('failure', `${broken} of ${broken + predictions.length} images could not be decoded; the others are predicted`)
    },
  }) as CommandDef
}

export { createPredictCommand }
