// Settings that strategies with a distribution over the operations of each block have in common.

import * as z from 'zod'
import { MAX_ALPHA } from '../limits.ts'

const warmupSteps = z
  .int()
  .min(0)
  .optional()
  .describe('weight steps on uniformly sampled paths before alpha moves; default: warmupShare of the search')

const warmupShare = z
  .number()
  .min(0)
  .max(1)
  .optional()
  .describe('share of the search that is warm-up, where warmupSteps does not say; default: 0.1')

const warmup = { warmupSteps, warmupShare }

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

const entropy = z
  .strictObject({
    end: z
      .number()
      .positive()
      .max(1)
      .default(0.1)
      .describe('mean entropy of the probabilities at the end, as a share of that at the start'),
    weight: z.number().min(0).max(1000).default(1).describe('how hard it is pulled down while it is above the schedule'),
  })
  .optional()
  .describe('makes alpha sharp by the end of the search: entropy falls linearly from the end of the warm-up on; absent: left to the loss')

const evaluation = {
  evaluateEvery: z.int().min(1).default(1000).describe('weight steps between evaluations of the most probable architecture'),
  evaluateImages: z.int().min(1).default(2000).describe('validation images of such an evaluation'),
}

const finalists = z
  .strictObject({
    count: z.int().min(1).max(256).default(16).describe('architectures that are evaluated'),
    images: z
      .int()
      .min(1)
      .default(2000)
      .describe('images of the architecture share that each is evaluated on, the same for all; rounded to whole mini-batches'),
    sampled: z
      .int()
      .min(0)
      .max(1024)
      .optional()
      .describe(
        'architectures that are drawn at random within the bounds and evaluated beside them; those that a regression on the options of all says are best, `count` of them, are evaluated in a second round. None in spaces whose derivation leaves options out (DARTS). Default: 0',
      ),
    smoothing: z
      .number()
      .min(0)
      .max(1)
      .optional()
      .describe('part of their losses that this regression says, when they are compared; default: 0'),
  })
  .optional()
  .describe(
    'at the end the most probable architectures within the target and all bounds are evaluated with shared weights, and the one with the least loss is derived; absent: the most probable one is',
  )

export { adam, entropy, evaluation, finalists, learningRate, start, warmup }
