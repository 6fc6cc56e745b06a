// Settings that strategies with a distribution over the operations of each block have in common.

import * as z from 'zod'
import { MAX_ALPHA } from '../limits.ts'

const warmupSteps = z
  .int()
  .min(0)
  .optional()
  .describe('weight steps on uniformly sampled paths before alpha moves; default: a tenth of training.steps')

/** Adam, for alpha. Without the rate, whose default is each strategy's own. */
const adam = {
  beta1: z.number().min(0).max(0.9999).default(0).describe("Adam's decay of the first moment"),
  beta2: z.number().min(0).max(0.99999).default(0.999).describe("Adam's decay of the second moment"),
  epsilon: z.number().positive().default(1e-8).describe("Adam's epsilon"),
}

const learningRate = z.number().positive().max(10).describe("Adam's rate for alpha")

const start = {
  initialDeviation: z.number().min(0).max(10).default(1e-3).describe('alpha starts normal with this deviation'),
  initialAlpha: z
    .array(z.array(z.number().min(-MAX_ALPHA).max(MAX_ALPHA)).min(1).max(256))
    .max(1024)
    .optional()
    .describe('starting alpha, [block][operation], instead of random values'),
}

const evaluation = {
  evaluateEvery: z.int().min(1).default(1000).describe('weight steps between evaluations of the most probable architecture'),
  evaluateImages: z.int().min(1).default(2000).describe('validation images of such an evaluation'),
}

export { adam, evaluation, learningRate, start, warmupSteps }
