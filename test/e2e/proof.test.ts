import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import * as z from 'zod'
import { createRandom, seedState } from '../../search-space/index.ts'
import { startProcess, temporaryFolder } from './harness.ts'

const QUICK_TIMEOUT_MS = 120_000
const LABEL_AND_IMAGE_BYTES = 1 + 32 * 32 * 3
const IMAGES_PER_FILE = 100

/** CIFAR-10 as its authors' binary files have it, of noise. */
function writeNoise(folder: string): string {
  mkdirSync(folder)
  const random = createRandom(seedState('noise'))
  for (const name of ['data_batch_1', 'data_batch_2', 'data_batch_3', 'data_batch_4', 'data_batch_5', 'test_batch']) {
    const bytes = Uint8Array.from({ length: IMAGES_PER_FILE * LABEL_AND_IMAGE_BYTES }, (_, at) =>
      at % LABEL_AND_IMAGE_BYTES === 0 ? (at / LABEL_AND_IMAGE_BYTES) % 10 : random.integer(256),
    )
    writeFileSync(join(folder, `${name}.bin`), bytes)
  }
  return folder
}

/** Trainings of all networks in the form of the published file: the more of the larger operations, the more accurate. */
function writeRecord(file: string): string {
  const names = Array.from({ length: 3 ** 8 }, (_, index) => index.toString(3).padStart(8, '0'))
  const accuracyOf = (name: string) => 50 + [...name].reduce((sum, digit) => sum + Number(digit), 0)
  writeFileSync(file, JSON.stringify(Object.fromEntries(names.map((name) => [name, { test_acc: [accuracyOf(name)] }]))))
  return file
}

const reportSchema = z.object({
  settings: z.object({ supernet: z.object({ width: z.number() }), unit: z.string() }),
  limits: z.array(z.object({ limit: z.number(), within: z.object({ networks: z.number(), best: z.number() }) })),
  seeds: z.array(
    z.object({
      supernet: z.object({ steps: z.number(), images: z.number().positive(), seconds: z.number().positive() }),
      found: z.array(
        z.object({
          strategy: z.string(),
          limit: z.number(),
          seed: z.number(),
          cost: z.number(),
          accuracy: z.number(),
          path: z.array(z.number()),
        }),
      ),
    }),
  ),
  outcomes: z.array(z.object({ strategy: z.string(), limit: z.number(), regret: z.number().min(0) })),
})

describe('npm run proof -- --quick', () => {
  it(
    'searches within each limit with two supernets side by side, looks up what was found, and does nothing twice',
    async () => {
      const folder = temporaryFolder()
      const out = join(folder.path, 'out')
      const data = ['--data', writeNoise(join(folder.path, 'data')), '--cache', join(folder.path, 'cache')]
      const record = ['--recorded', writeRecord(join(folder.path, 'record.json'))]
      const flags = [
        '--quick',
        '--seeds',
        '2',
        '--strategy',
        'proxyless-g,spos',
        '--batch',
        '16',
        '--limits',
        '45,60',
        '--out',
        out,
        '--json',
        ...data,
        ...record,
      ]
      const first = startProcess('proof/main.ts', [...flags, '--jobs', '2'])
      expect(await first.ended, first.output()).toBe(0)
      const report = reportSchema.parse(JSON.parse(first.result()))
      const all = report.seeds.flatMap(({ found }) => found)
      expect(all.map(({ strategy, limit, seed }) => `${strategy} ${limit} ${seed}`)).toEqual(
        [1, 2].flatMap((seed) => [45, 60].flatMap((limit) => ['proxyless-g', 'spos'].map((strategy) => `${strategy} ${limit} ${seed}`))),
      )
      for (const { limit, cost, accuracy, path } of all) {
        expect(cost).toBeLessThanOrEqual(limit)
        expect(accuracy).toBeCloseTo(50 + path.reduce((sum, option) => sum + option, 0), 9)
        const best = report.limits.find((each) => each.limit === limit)?.within.best ?? 0
        expect(accuracy).toBeLessThanOrEqual(best)
      }
      const page = readFileSync(join(out, 'report', 'proof.md'), 'utf8')
      for (const file of ['found.svg', 'ranking.svg', 'proof.json']) {
        expect(page).toContain(`(proof/${file})`)
        expect(existsSync(join(out, 'report', 'proof', file))).toBe(true)
      }
      const again = startProcess('proof/main.ts', flags)
      expect(await again.ended, again.output()).toBe(0)
      expect(again.output()).not.toContain('networks evaluated')
      expect(reportSchema.parse(JSON.parse(again.result()))).toEqual(report)

      // The same with a supernet that agents of a coordinator train.
      const byAgents = ['--agents', '2', '--seeds', '1', '--strategy', 'spos', '--limits', '60', '--out', join(folder.path, 'agents')]
      const third = startProcess('proof/main.ts', ['--quick', '--batch', '16', '--json', ...byAgents, ...data, ...record])
      expect(await third.ended, third.output()).toBe(0)
      const [seed] = reportSchema.parse(JSON.parse(third.result())).seeds
      expect(seed?.found[0]?.cost).toBeLessThanOrEqual(60)
      // Two agents need more images for as many effective steps.
      expect(seed?.supernet.images).toBeGreaterThanOrEqual((seed?.supernet.steps ?? 0) * 16)
      folder.remove()
    },
    QUICK_TIMEOUT_MS,
  )
})
