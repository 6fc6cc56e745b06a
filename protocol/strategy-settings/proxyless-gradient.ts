import * as z from 'zod'
import { adam, entropy, evaluation, finalists, learningRate, start, warmup } from './alpha.ts'

const proxylessGradientSchema = z
  .strictObject({
    name: z.literal('proxyless-g'),
    form: z.enum(['two', 'full']).default('two').describe('gates of two sampled operations per block, or of all'),
    ...warmup,
    archEvery: z.int().min(1).max(10_000).default(5).describe('weight steps per architecture step'),
    learningRate: learningRate.default(1e-3),
    ...adam,
    ...start,
    entropy,
    finalists,
    maxStaleness: z.int().min(0).default(64).describe('gate gradients sampled more alpha versions ago than this are dropped and counted'),
    ...evaluation,
  })
  .meta({ id: 'ProxylessGradient', description: 'ProxylessNAS, gradient form.' })
type ProxylessGradientConfig = z.infer<typeof proxylessGradientSchema>

export { type ProxylessGradientConfig, proxylessGradientSchema }
