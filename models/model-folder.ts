// A trained network on disk: `model.json`, which says what it is, and `model.safetensors`, its weights. What training
// writes, and what evaluation and every export read.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import * as z from 'zod'
import { writeWholeFiles } from '../command-line/whole-files.ts'
import {
  badNumbers,
  DEFAULT_PIXEL_BITS,
  encodeSafetensors,
  MODEL_FORMAT,
  modelTensors,
  type PixelBits,
  pixelBitsSchema,
} from '../protocol/index.ts'
import { createSpace, type Path, parseArchitecture, type Space, SpaceError, spaceRefSchema } from '../search-space/index.ts'
import { decodeModelWeights, type ModelWeights, NetworkWeightsError } from '../engine/training/network-weights.ts'

const DESCRIPTION_FILE = 'model.json'
const WEIGHTS_FILE = 'model.safetensors'

const channels = z.array(z.number()).min(1)
const modelDescriptionSchema = z.strictObject({
  format: z.literal(MODEL_FORMAT),
  space: spaceRefSchema,
  architecture: z.string().describe('as printArchitecture writes it'),
  normalisation: z
    .strictObject({ mean: channels, std: channels })
    .describe(
      'per channel, of pixels scaled to 0..1: the network is fed (pixel / 255 - mean) / std, of 16 bits (pixel / 65535 - mean) / std',
    ),
  classNames: z.array(z.string()).optional(),
  dataset: z
    .strictObject({
      name: z.string(),
      fingerprint: z.string(),
      bits: pixelBitsSchema.optional(),
      storage: z
        .enum(['memory', 'files'])
        .optional()
        .describe('files: evaluation saw the middle of each image, 7/8 of its shorter side; memory: all of it'),
    })
    .optional(),
  training: z.record(z.string(), z.unknown()).default({}).describe('settings it was trained with'),
  results: z.record(z.string(), z.unknown()).default({}).describe('accuracies and losses'),
})
type ModelDescription = z.infer<typeof modelDescriptionSchema>

type TrainedModel = ModelWeights & { readonly description: ModelDescription; readonly space: Space; readonly path: Path }

/** Of the values of the images that it was trained on. */
function bitsOfModel({ description }: Pick<TrainedModel, 'description'>): PixelBits {
  return description.dataset?.bits ?? DEFAULT_PIXEL_BITS
}

/** The folder does not hold a trained model as this module writes it; the message says why. */
class ModelFolderError extends Error {
  override readonly name = 'ModelFolderError'
  readonly code = 'model-folder'
}

/** All weights and running statistics in one safetensors file; statistics are named beside the batch-norm's gamma. */
function encodeModelWeights(model: Pick<TrainedModel, 'description' | 'weights' | 'statistics'>): Uint8Array {
  const tensors = modelTensors(model.weights, model.statistics)
  return encodeSafetensors({ metadata: { format: MODEL_FORMAT, architecture: model.description.architecture }, tensors }, 'F32')
}

/**
 * Writes both files; the description last, so that a folder with one is whole. Throws ModelFolderError, and writes nothing, where a
 * number is not finite, CliError where a file cannot be written.
 */
function writeModelFolder(folder: string, model: Omit<TrainedModel, 'space' | 'path'>): void {
  const description = modelDescriptionSchema.parse(model.description)
  const problem = badNumbers(model.weights, model.statistics)
  if (problem !== null) throw new ModelFolderError(`no model is written to ${folder}: ${problem}`)
  writeWholeFiles([
    { path: join(folder, WEIGHTS_FILE), content: encodeModelWeights({ ...model, description }) },
    { path: join(folder, DESCRIPTION_FILE), content: `${JSON.stringify(description, null, 2)}\n` },
  ])
}

function readFile(folder: string, file: string): Uint8Array {
  try {
    return readFileSync(join(folder, file))
  } catch (error) {
    throw new ModelFolderError(`expected ${folder} to be a folder with a trained model; ${(error as Error).message}`)
  }
}

/** Throws ModelFolderError where a file is missing, malformed, lacks a weight of the network or has numbers that are not finite. */
function readModelFolder(folder: string): TrainedModel {
  const text = new TextDecoder().decode(readFile(folder, DESCRIPTION_FILE))
  try {
    const description = modelDescriptionSchema.parse(JSON.parse(text))
    const space = createSpace(description.space)
    const path = parseArchitecture(space, description.architecture)
    const { weights, statistics } = decodeModelWeights(space, path, readFile(folder, WEIGHTS_FILE))
    return { description, space, path, weights, statistics }
  } catch (error) {
    if (error instanceof z.ZodError) throw new ModelFolderError(`${join(folder, DESCRIPTION_FILE)}: ${z.prettifyError(error)}`)
    if (error instanceof NetworkWeightsError) throw new ModelFolderError(`${join(folder, WEIGHTS_FILE)}: ${error.message}`)
    if (error instanceof SyntaxError || error instanceof SpaceError) {
      throw new ModelFolderError(`${join(folder, DESCRIPTION_FILE)}: ${error.message}`)
    }
    throw error
  }
}

export {
  bitsOfModel,
  DESCRIPTION_FILE,
  encodeModelWeights,
  type ModelDescription,
  ModelFolderError,
  readModelFolder,
  type TrainedModel,
  writeModelFolder,
}
