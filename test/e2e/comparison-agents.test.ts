// `gatehouse compare` on agents: two of them do the trainings, one dies in the middle, and nothing that was delivered is trained again.

import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, expect, it } from 'vitest'
import * as z from 'zod'
import type { TrainingStatus } from '../../protocol/index.ts'
import {
  freePort,
  killGroup,
  NO_AUGMENTATION,
  type Process,
  startAgent,
  startCoordinator,
  startProcess,
  temporaryFolder,
  TINY_SPACE,
  waitFor,
  waitForOutput,
  writeTinyDataset,
} from './harness.ts'

const TIMEOUT_MS = 120_000
/** Of 1080 images. */
const STEPS_PER_EPOCH = 67
const EPOCHS = 3
/** A guess is right a quarter of the time. */
const CHANCE = 0.25

const resultSchema = z.object({
  accuracyOf: z.literal('test'),
  results: z.array(
    z.object({
      name: z.string(),
      latencyMs: z.number().positive(),
      isOnFront: z.boolean(),
      trainings: z.array(z.object({ seed: z.int(), validation: z.number(), test: z.number(), trainingId: z.string() })).length(2),
    }),
  ),
})

const folder = temporaryFolder()
const at = (...parts: string[]) => join(folder.path, ...parts)
const processes: Process[] = []
function started<T extends Process>(process: T): T {
  processes.push(process)
  return process
}
afterAll(() => {
  for (const process of processes) killGroup(process)
  folder.remove()
})

it(
  'outlives an agent that is killed and an interruption, and trains nothing twice that was delivered',
  async () => {
    writeTinyDataset(folder.path)
    writeFileSync(at('space.json'), JSON.stringify(TINY_SPACE))
    writeFileSync(at('recipe.json'), JSON.stringify({ epochs: EPOCHS, batchSize: 16, statisticsBatches: 4, augmentation: NO_AUGMENTATION }))
    const coordinator = await startCoordinator(at('state'), await freePort())
    started(coordinator.process)
    const connection = ['--dataset', 'tiny', '--coordinator', coordinator.url, '--token', coordinator.token, '--lease', '4']
    const networks = ['--space', `@${at('space.json')}`, '--architecture', 'small=tiny:mb2k3,zero,mb2k3', '--random', '0']
    const settings = [
      '--recipe',
      at('recipe.json'),
      '--seeds',
      '2',
      '--test',
      '--interval',
      '0.2',
      '--latency-rounds',
      '1',
      '--out',
      at('result'),
      '--json',
    ]
    const compare = () => started(startProcess('gatehouse/main.ts', ['compare', ...networks, ...connection, ...settings]))
    const first = compare()
    await waitForOutput(first, 'Start agents')
    const tokens = `@${at('result', 'agent-tokens.txt')}`
    const agent = (name: string) => started(startAgent(coordinator, tokens, folder.path, ['--name', name]))
    const mortal = agent('mortal')
    const trainings = async (): Promise<TrainingStatus[]> => {
      const { members } = await coordinator.client.listTrainings()
      return Promise.all(members.map(({ trainingId }) => coordinator.client.trainingStatus(trainingId)))
    }
    // In the middle of its second training, with a checkpoint.
    await waitFor(async () => {
      const held = (await trainings()).find(({ phase, checkpoint }) => phase === 'training' && checkpoint !== null)
      return held !== undefined && first.output().includes('1 of 4')
    }, 'a checkpoint of the second training')
    killGroup(mortal)
    await mortal.ended
    first.child.kill('SIGINT')
    expect(await first.ended).toBe(130)
    const left = await trainings()

    const second = compare()
    const others = ['one', 'two'].map((name) => agent(name))
    for (const other of others) expect(await other.ended, other.output()).toBe(0)
    expect(await second.ended, second.output()).toBe(0)
    expect(
      second
        .output()
        .split('\n')
        .filter((line) => line.endsWith('known')).length,
    ).toBeGreaterThanOrEqual(1)

    const end = await trainings()
    expect(end).toHaveLength(4)
    for (const { trainingId, phase, trainers, reports } of end) {
      expect(phase).toBe('finished')
      // Each went on exactly where the one before had left a checkpoint.
      expect(trainers.map(({ fromStep }) => fromStep)).toEqual([0, ...trainers.slice(0, -1).map(({ savedStep }) => savedStep)])
      expect(reports.map(({ step }) => step)).toEqual(Array.from({ length: EPOCHS }, (_, i) => (i + 1) * STEPS_PER_EPOCH))
      const before = left.find((training) => training.trainingId === trainingId)
      if (before?.phase === 'finished') expect(trainers).toEqual(before.trainers)
    }
    const died = end
      .flatMap(({ trainers }) => trainers)
      .filter(({ name, end: how, savedStep }) => name === 'mortal' && how === 'expired' && savedStep > 0)
    expect(died).toHaveLength(1)
    const { results } = resultSchema.parse(JSON.parse(second.result()))
    expect(results.map(({ name }) => name)).toEqual(['small', 'largest'])
    expect(results.flatMap((result) => result.trainings.map(({ trainingId }) => trainingId)).toSorted()).toEqual(
      end.map(({ trainingId }) => trainingId).toSorted(),
    )
    for (const { trainings: records } of results) for (const { test } of records) expect(test).toBeGreaterThan(2 * CHANCE)
    expect(readFileSync(at('result', 'table.txt'), 'utf8')).toContain('test %')
    await coordinator.stop()
  },
  TIMEOUT_MS,
)
