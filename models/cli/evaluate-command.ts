// `gatehouse evaluate`: how well a trained or imported model does on labelled images.

import { resolve } from 'node:path'
import { type ArgsDef, type CommandDef, defineCommand } from 'citty'
import { printResult, type Terminal } from '../../command-line/terminal.ts'
import { backendArgs, dataArgs, openChosenBackend, openChosenDataset } from '../../command-line/training-flags.ts'
import { writeWholeFile } from '../../command-line/whole-files.ts'
import { describeBroken } from '../../engine/datasets/index.ts'
import { modelClassNames } from '../evaluate/class-map.ts'
import { confusionCsv, predictionLine, predictionsHeader, rankClasses } from '../evaluate/csv.ts'
import { evaluateData, type EvaluatedSplit, evaluatedSplits } from '../evaluate/evaluate-data.ts'
import { renderEvaluation } from '../evaluate/render-evaluation.ts'
import { bitsOfModel } from '../model-folder.ts'
import { modelArg, modelUseError, readModel } from './model-flags.ts'

/** Classes of each image in a file of predictions. */
const PREDICTED_CLASSES = 5

const flags = {
  ...modelArg,
  ...dataArgs,
  split: {
    type: 'enum',
    options: [...evaluatedSplits],
    description: 'images to evaluate on; validation: those that the training of the model held back',
    default: 'test',
  },
  predictions: { type: 'string', valueHint: 'FILE.csv', description: 'write what the model says of each image' },
  confusion: { type: 'string', valueHint: 'FILE.csv', description: 'write the confusion matrix: a row per label, a column per prediction' },
  ...backendArgs,
  json: { type: 'boolean', description: 'print one JSON object to standard output', default: false },
} as const satisfies ArgsDef

function createEvaluateCommand(terminal: Terminal): CommandDef {
  return defineCommand({
    meta: {
      name: 'evaluate',
      description: 'Evaluate a trained or imported model on labelled images: top-1, top-5, class by class, confusion matrix.',
    },
    args: flags,
    async run({ args }) {
      const model = readModel(terminal, args.model)
      const backend = await openChosenBackend(terminal, args)
      const dataset = await openChosenDataset(
        terminal,
        args,
        () => model.space.input,
        () => bitsOfModel(model),
      )
      const top = Math.min(PREDICTED_CLASSES, model.space.classes)
      const lines: string[] = [predictionsHeader(top, true)]
      const classNames = modelClassNames(model)
      try {
        const evaluation = await evaluateData({
          backend,
          model,
          dataset,
          split: args.split as EvaluatedSplit,
          signal: terminal.interrupted,
          ...(args.predictions !== undefined && {
            onPrediction: ({ name, label, logits }) =>
              void lines.push(predictionLine(name, classNames[label], rankClasses(logits, classNames, top))),
          }),
        })
        const { score, confusion, brokenFiles } = evaluation
        if (brokenFiles.length > 0) terminal.note(`data     ${describeBroken(brokenFiles)}`)
        if (args.predictions !== undefined) writeWholeFile(resolve(terminal.folder, args.predictions), lines.join(''))
        if (args.confusion !== undefined) {
          writeWholeFile(resolve(terminal.folder, args.confusion), confusionCsv(confusion.matrix, evaluation.classNames))
        }
        const figures = {
          architecture: model.description.architecture,
          dataset: { name: dataset.name, fingerprint: dataset.fingerprint },
          split: args.split,
          ...score,
          right: Math.round(score.top1 * score.images),
          classes: confusion.classes(),
          confusion: confusion.matrix.map((row) => [...row]),
          brokenFiles,
        }
        printResult(terminal, args.json, figures, () => renderEvaluation(evaluation))
      } catch (error) {
        throw modelUseError(error)
      }
    },
  }) as CommandDef
}

export { createEvaluateCommand }
