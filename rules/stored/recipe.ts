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
    minimumRate: z.number().optional(),
    optimiser: z.enum(['sgd', 'adamw']).optional(),
    adam: z.strictObject({ beta1: z.number(), beta2: z.number(), epsilon: z.number() }).optional(),
    clipNorm: z.number().optional(),
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
      trivial: z.boolean().optional(),
      erase: fraction.optional(),
      mixup: z.number().optional(),
      cutmix: z.number().optional(),
    }),
    normalisation: z.strictObject({ mean: z.array(z.number()), std: z.array(z.number()) }).optional(),
    distillation: z.strictObject({ weight: z.number(), temperature: z.number() }),
    validationShare: z.number(),
    stratify: z.boolean().optional(),
    sampling: z.enum(['shuffled', 'balanced']).optional(),
    evaluateEvery: z.int(),
    statisticsBatches: z.int(),
    stopBelow: z.strictObject({ accuracy: z.number(), epoch: z.int() }).optional(),
    patience: z.int().optional(),
    keep: z.enum(['last', 'best']).optional(),
  }),
)

export { storedRecipeSchema }
