import * as z from 'zod'
import { adam, entropy, evaluation, finalists, learningRate, start, warmup } from './alpha.ts'

/** As MnasNet weighs latency (Tan et al. 2019), and ProxylessNAS's REINFORCE form after it. */
const exponent = z.number().min(0).max(10).default(0.1).describe('how much latency weighs')

const rewardSchema = z
  .discriminatedUnion('kind', [
    z.strictObject({ kind: z.literal('accuracy') }).describe('R = accuracy'),
    z.strictObject({ kind: z.literal('product'), exponent }).describe('R = accuracy · (target / latency)^exponent'),
    z.strictObject({ kind: z.literal('bound'), exponent }).describe('R = accuracy · min(1, target / latency)^exponent'),
  ])
  .meta({ id: 'Reward' })
type Reward = z.infer<typeof rewardSchema>

const baselineSchema = z
  .discriminatedUnion('kind', [
    z.strictObject({ kind: z.literal('leave-one-out') }).describe('of each sample, the mean reward of the others of its step'),
    z
      .strictObject({
        kind: z.literal('moving-average'),
        rate: z
          .number()
          .positive()
          .max(1)
          .default(0.01)
          .describe("b ← b + rate · (mean reward − b), before it is used; 0.99 in ProxylessNAS's authors' code"),
      })
      .describe('a moving average of the mean rewards of all steps'),
  ])
  .meta({ id: 'Baseline' })
type Baseline = z.infer<typeof baselineSchema>

const proxylessReinforceSchema = z
  .strictObject({
    name: z.literal('proxyless-r'),
    samples: z.int().min(2).max(1000).default(10).describe('architectures sampled in an architecture step'),
    images: z
      .int()
      .min(1)
      .default(1000)
      .describe('images of the architecture share that each of them is evaluated on, the same for all; rounded to whole mini-batches'),
    reward: rewardSchema.prefault({ kind: 'product' }).describe('what is maximised; takes the place of latency.loss'),
    baseline: baselineSchema.prefault({ kind: 'leave-one-out' }).describe('what is taken from the rewards'),
    ...warmup,
    archEvery: z.int().min(1).max(10_000).default(20).describe('weight steps per architecture step'),
    learningRate: learningRate.default(0.01),
    ...adam,
    ...start,
    entropy,
    finalists,
    maxStaleness: z.int().min(0).default(4).describe('rewards of paths sampled more alpha versions ago than this are dropped and counted'),
    ...evaluation,
  })
  .meta({ id: 'ProxylessReinforce', description: 'ProxylessNAS, REINFORCE form: rewards instead of gate gradients.' })
type ProxylessReinforceConfig = z.infer<typeof proxylessReinforceSchema>

export { type Baseline, type ProxylessReinforceConfig, proxylessReinforceSchema, type Reward }
