// Recipes of trainings as they are stored.

import * as z from 'zod'
import type { Recipe } from '../../protocol/index.ts'
import { storedAs } from './stored-form.ts'

const fraction = z.number()

const storedRecipeSchema = storedAs<Recipe>()(
  z.strictObject({
    epochs: z.number().optional(),
    steps: z.int().optional(),
    batchSize: z.int(),
    learningRate: z.number(),
    warmupEpochs: z.number(),
    momentum: z.number(),
    weightDecay: z.number(),
    labelSmoothing: z.number(),
    dropout: z.number(),
    averageDecay: z.number(),
    augmentation: z.strictObject({
      flip: z.boolean(),
      shift: z.int(),
      minArea: z.number(),
      cutout: z.int(),
      brightness: fraction,
      contrast: fraction,
      saturation: fraction,
    }),
    distillation: z.strictObject({ weight: z.number(), temperature: z.number() }),
    validationShare: z.number(),
    evaluateEvery: z.int(),
    statisticsBatches: z.int(),
    stopBelow: z.strictObject({ accuracy: z.number(), epoch: z.int() }).optional(),
  }),
)

export { storedRecipeSchema }
