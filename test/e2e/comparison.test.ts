// The published comparison, in its quick form: a search, trainings, latencies, table and plots, broken off and gone on with.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import * as z from 'zod'
import { createSpace, parseArchitecture, spaceRefSchema } from '../../search-space/index.ts'
import { writeColourImages } from '../fixtures/colour-images.ts'
import { startProcess, temporaryFolder, waitForOutput } from './harness.ts'

const TIMEOUT_MS = 560_000
/** Of ten classes. */
const CHANCE = 0.1

const resultSchema = z.object({
  accuracyOf: z.literal('test'),
  results: z.array(
    z.object({
      name: z.string(),
      group: z.string(),
      architecture: z.string(),
      latencyMs: z.number().positive(),
      isOnFront: z.boolean(),
      trainings: z.array(z.object({ seed: z.int(), validation: z.number(), test: z.number() })).length(1),
    }),
  ),
})

const folder = temporaryFolder()
const [data, out] = [join(folder.path, 'data'), join(folder.path, 'comparison')]
const run = () => startProcess('demo/comparison.ts', ['--quick', '--data', data, '--jobs', '1', '--folder', out, '--json'])
const known = (output: string) => output.split('\n').filter((line) => line.endsWith('known')).length

afterAll(() => folder.remove())

describe('npm run comparison -- --quick', () => {
  it(
    'searches, trains, measures and plots; broken off by Ctrl-C it does nothing twice',
    async () => {
      await writeColourImages(data, { train: 12_000, test: 2000 })
      const first = run()
      await waitForOutput(first, '1 of 3', TIMEOUT_MS)
      first.child.kill('SIGINT')
      expect(await first.ended).toBe(130)

      const second = run()
      expect(await second.ended, second.output()).toBe(0)
      expect(second.output()).not.toContain('latency table: every operation')
      expect(second.output()).not.toContain('begins')
      expect(known(second.output())).toBe(1)
      const { results } = resultSchema.parse(JSON.parse(second.result()))
      const [searched] = results
      expect(searched?.name).toMatch(/^searched [\d.]+ ms$/u)
      expect(results.slice(1).map(({ name }) => name)).toEqual([`random 1 like ${searched?.name}`, 'MobileNetV2 0.05'])
      for (const { trainings } of results) for (const { test } of trainings) expect(test).toBeGreaterThan(2 * CHANCE)
      expect(results.some(({ isOnFront }) => isOnFront)).toBe(true)

      const space = createSpace(spaceRefSchema.parse(JSON.parse(readFileSync('demo/space.json', 'utf8'))))
      expect(parseArchitecture(space, searched?.architecture ?? '')).toHaveLength(space.decisions.length)
      const file = (name: string) => readFileSync(join(out, 'result', name))
      expect(file('table.txt').toString()).toContain('test %')
      expect(file('accuracy-latency.svg').toString()).toContain('test accuracy, %')
      expect(file('accuracy-latency.png').subarray(1, 4).toString()).toBe('PNG')
      expect(JSON.parse(file('compare.json').toString())).toEqual(JSON.parse(second.result()))
    },
    TIMEOUT_MS,
  )
})
