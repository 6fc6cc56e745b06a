import { describe, expect, it } from 'vitest'
import * as z from 'zod'
import { createSpace, parseArchitecture } from '../../search-space/index.ts'
import { startProcess, temporaryFolder } from './harness.ts'

const QUICK_TIMEOUT_MS = 560_000
const CHANCE = 0.1

const resultSchema = z.object({
  seconds: z.number(),
  targetLatencyMs: z.number(),
  expectedLatencyMs: z.number(),
  predictedLatencyMs: z.number(),
  measuredLatencyMs: z.number().positive(),
  measuredAtPaceMs: z.number().positive(),
  pace: z.number().positive(),
  gain: z.object({ difference: z.number() }),
  randomLatenciesMs: z.array(z.number()),
  entropyStart: z.number(),
  entropyEnd: z.number(),
  validationAccuracy: z.number(),
  randomAccuracies: z.array(z.number()).length(3),
  largestAccuracy: z.number(),
  largestLatencyMs: z.number(),
  architecture: z.string(),
})

describe('npm run demo -- --quick', () => {
  it(
    'searches on Fashion-MNIST and meets a latency target that a random start does not',
    async () => {
      const folder = temporaryFolder()
      const demo = startProcess('demo/main.ts', ['--quick', '--json', '--folder', folder.path])
      const code = await demo.ended
      folder.remove()
      expect(code, demo.output()).toBe(0)
      const result = resultSchema.parse(JSON.parse(demo.result()))
      const space = createSpace('fashion-mini')
      expect(parseArchitecture(space, result.architecture)).toHaveLength(space.decisions.length)
      expect(Math.abs(result.expectedLatencyMs / result.targetLatencyMs - 1)).toBeLessThan(0.1)
      expect(result.entropyEnd).toBeLessThan(0.8 * result.entropyStart)
      expect(result.predictedLatencyMs).toBeLessThanOrEqual(result.targetLatencyMs)
      expect(result.measuredAtPaceMs * result.pace).toBeCloseTo(result.measuredLatencyMs, 9)
      for (const latencyMs of result.randomLatenciesMs) expect(Math.abs(latencyMs / result.predictedLatencyMs - 1)).toBeLessThanOrEqual(0.1)
      for (const accuracy of [result.validationAccuracy, ...result.randomAccuracies, result.largestAccuracy])
        expect(accuracy).toBeGreaterThan(5 * CHANCE)
    },
    QUICK_TIMEOUT_MS,
  )
})
