import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import * as z from 'zod'
import { createSpace, parseArchitecture, spaceRefSchema } from '../../search-space/index.ts'
import { writeColourImages } from '../fixtures/colour-images.ts'
import { startProcess, temporaryFolder } from './harness.ts'

const QUICK_TIMEOUT_MS = 560_000
const CHANCE = 0.1

const resultSchema = z.object({
  seconds: z.number(),
  targetLatencyMs: z.number(),
  predictedLatencyMs: z.number(),
  measuredLatencyMs: z.number().positive(),
  measuredAtPaceMs: z.number().positive(),
  pace: z.number().positive(),
  gain: z.object({ difference: z.number(), standardError: z.number().positive() }),
  randomLatenciesMs: z.array(z.number()),
  validationAccuracy: z.number(),
  randomAccuracies: z.array(z.number()).length(3),
  derivedAccuracies: z.array(z.number()).length(2),
  architecture: z.string(),
})

describe('npm run demo -- --quick', () => {
  it(
    'halves images, searches with them and meets a latency target that a random start does not',
    async () => {
      const folder = temporaryFolder()
      const data = join(folder.path, 'data')
      await writeColourImages(data, { train: 10_000, test: 1000 })
      const demo = startProcess('demo/main.ts', ['--quick', '--json', '--folder', folder.path, '--data', data])
      const code = await demo.ended
      folder.remove()
      expect(code, demo.output()).toBe(0)
      const result = resultSchema.parse(JSON.parse(demo.result()))
      const space = createSpace(spaceRefSchema.parse(JSON.parse(readFileSync('demo/space.json', 'utf8'))))
      expect(parseArchitecture(space, result.architecture)).toHaveLength(space.decisions.length)
      expect(result.predictedLatencyMs).toBeLessThanOrEqual(result.targetLatencyMs)
      expect(result.measuredAtPaceMs * result.pace).toBeCloseTo(result.measuredLatencyMs, 9)
      for (const latencyMs of result.randomLatenciesMs) expect(Math.abs(latencyMs / result.predictedLatencyMs - 1)).toBeLessThanOrEqual(0.1)
      for (const accuracy of [...result.derivedAccuracies, ...result.randomAccuracies]) expect(accuracy).toBeGreaterThan(2 * CHANCE)
    },
    QUICK_TIMEOUT_MS,
  )
})
