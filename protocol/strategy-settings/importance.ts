// Settings that strategies have in common which weigh sampled architectures by their likelihood.

import * as z from 'zod'
import { adam, entropy, evaluation, finalists, learningRate, start, warmup } from './alpha.ts'

const importanceFields = {
  images: z
    .int()
    .min(1)
    .default(256)
    .describe('images of the architecture share that each of them is evaluated on, the same for all; rounded to whole mini-batches'),
  temper: z
    .number()
    .positive()
    .optional()
    .describe('factor of the mean cross-entropy in the exponent of a weight; default: images, which makes it the likelihood itself'),
  weightSamples: z
    .int()
    .min(2)
    .max(100)
    .optional()
    .describe(
      'paths on each mini-batch of a weight step, whose gradients are added up with their importance (temper: default batchSize); default: one path',
    ),
  latencyWeight: z
    .number()
    .min(0)
    .max(100)
    .default(1)
    .describe(
      'how much latency beyond the target weighs against the likelihood; takes the place of latency.loss (other bounds have weights of their own)',
    ),
  maxStaleness: z.int().min(0).default(4).describe('samples drawn more alpha versions ago than this are dropped and counted'),
  ...warmup,
  archEvery: z.int().min(1).max(10_000).default(10).describe('weight steps per architecture step'),
  learningRate: learningRate.default(0.05),
  ...adam,
  ...start,
  entropy,
  finalists,
  ...evaluation,
}

export { importanceFields }
