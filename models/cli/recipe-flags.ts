// A training's recipe on the command line: a file, changed by flags, changed by --set.

import type { ArgsDef } from 'citty'
import { REPEATABLE_HINT } from '../../command-line/dispatch.ts'
import { CliError } from '../../command-line/exit-codes.ts'
import { assignFields, isRecord, numberFlag, setField } from '../../command-line/fields.ts'
import { fieldErrors, type Recipe, recipeSchema } from '../../protocol/index.ts'

const recipeFlags = {
  recipe: { type: 'string', valueHint: 'FILE.json', description: 'settings of the training; every field is in docs/training.md' },
  epochs: { type: 'string', valueHint: 'N', description: 'passes over the training images (default: 30)' },
  steps: { type: 'string', valueHint: 'N', description: 'mini-batches, instead of epochs' },
  batch: { type: 'string', valueHint: 'N', description: 'images per mini-batch (default: 64)' },
  rate: { type: 'string', valueHint: 'X', description: 'highest learning rate; falls to 0 by a half cosine (default: 0.05)' },
  mean: { type: 'string', valueHint: 'X,…', description: 'normalise images by this mean per channel of pixels scaled to 0..1, with --std' },
  std: {
    type: 'string',
    valueHint: 'X,…',
    description: "and by this standard deviation (default: the training images' own mean and deviation)",
  },
  'stop-below': {
    type: 'string',
    valueHint: 'ACCURACY@EPOCH',
    description: 'end a hopeless training: 0.3@5 ends it where less than 30 % of the validation images are right after epoch 5',
  },
  set: {
    type: 'string',
    valueHint: `FIELD=VALUE${REPEATABLE_HINT}`,
    description: 'any field of the recipe, for example labelSmoothing=0 or augmentation.cutout=8',
  },
} as const satisfies ArgsDef

type RecipeArgs = { readonly [K in Exclude<keyof typeof recipeFlags, 'recipe' | 'set'>]?: string | undefined }

/** Fields that have a flag of their own, to name it beside the field. */
const flagOfField: Record<string, keyof typeof recipeFlags> = {
  epochs: 'epochs',
  steps: 'steps',
  batchSize: 'batch',
  learningRate: 'rate',
  'normalisation.mean': 'mean',
  'normalisation.std': 'std',
  'stopBelow.accuracy': 'stop-below',
  'stopBelow.epoch': 'stop-below',
}

function parseStopBelow(text: string): { accuracy: number; epoch: number } {
  const [, accuracy, epoch] = /^([\d.]+)@(\d+)$/.exec(text) ?? []
  if (accuracy === undefined || epoch === undefined) {
    throw new CliError('usage', `expected --stop-below to be ACCURACY@EPOCH, for example 0.3@5, got "${text}"`)
  }
  return { accuracy: Number(accuracy), epoch: Number(epoch) }
}

/** What is no number is left for the recipe to refuse. */
function numbersFlag(text: string | undefined): number[] | undefined {
  return text?.split(',').map((part) => (part.trim() === '' ? Number.NaN : Number(part)))
}

/** `file` is the content of --recipe. Throws CliError `usage` that names every offending field. */
function buildRecipe(file: unknown, args: RecipeArgs, sets: readonly string[]): Recipe {
  if (file !== undefined && !isRecord(file)) throw new CliError('usage', 'expected the file of --recipe to hold a JSON object')
  const recipe = structuredClone(file ?? {}) as Record<string, unknown>
  const put = (field: string, value: unknown) => {
    if (value !== undefined) setField(recipe, field, value)
  }
  // A flag for the one replaces the file's other.
  if (args.steps !== undefined && args.epochs === undefined) delete recipe['epochs']
  if (args.epochs !== undefined && args.steps === undefined) delete recipe['steps']
  put('epochs', numberFlag('--epochs', args.epochs))
  put('steps', numberFlag('--steps', args.steps))
  put('batchSize', numberFlag('--batch', args.batch))
  put('learningRate', numberFlag('--rate', args.rate))
  put('normalisation.mean', numbersFlag(args.mean))
  put('normalisation.std', numbersFlag(args.std))
  put('stopBelow', args['stop-below'] === undefined ? undefined : parseStopBelow(args['stop-below']))
  assignFields(recipe, sets, 'labelSmoothing=0')
  const parsed = recipeSchema.safeParse(recipe)
  if (parsed.success) return parsed.data
  const errors = fieldErrors(parsed.error).map(({ path, message }) => {
    const flag = flagOfField[path]
    return { path, message: flag === undefined ? message : `${message} (--${flag})` }
  })
  throw new CliError('usage', 'the recipe is not valid', errors)
}

export { buildRecipe, recipeFlags }
