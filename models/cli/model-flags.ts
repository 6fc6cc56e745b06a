// The trained model that a command is about.

import { resolve } from 'node:path'
import type { ArgsDef } from 'citty'
import { CliError } from '../../command-line/exit-codes.ts'
import type { Terminal } from '../../command-line/terminal.ts'
import { DatasetError } from '../../engine/datasets/index.ts'
import { ModelMismatchError } from '../evaluate/class-map.ts'
import { NoValidationShareError } from '../evaluate/evaluate-data.ts'
import { ModelFolderError, readModelFolder, type TrainedModel } from '../model-folder.ts'

const modelArg = {
  model: {
    type: 'string',
    valueHint: 'FOLDER',
    description: 'trained or imported model: model.json and model.safetensors',
    required: true,
  },
} satisfies ArgsDef

/** Throws CliError `usage`. */
function readModel(terminal: Terminal, folder: string): TrainedModel {
  try {
    return readModelFolder(resolve(terminal.folder, folder))
  } catch (error) {
    throw error instanceof ModelFolderError ? new CliError('usage', error.message) : error
  }
}

/** What is known to be wrong with a model on data, as the command line reports it. */
function modelUseError(error: unknown): unknown {
  const isKnown = [DatasetError, ModelMismatchError, NoValidationShareError].some((type) => error instanceof type)
  return isKnown ? new CliError('usage', (error as Error).message) : error
}

export { modelArg, modelUseError, readModel }
