// Agents, and the commands, on folders of image files.

import sharp from 'sharp'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { searchConfigSchema } from '../../protocol/index.ts'
import { createRandom, createSpace, seedState } from '../../search-space/index.ts'
import { openBackend } from '../../engine/backends/backends.ts'
import { openBatchSource, openDataset } from '../../engine/datasets/index.ts'
import { createTrainer } from '../../engine/training/trainer.ts'
import { colouredClasses, writeFiles } from '../fixtures/image-folder.ts'
import {
  type Coordinator,
  freePort,
  NO_AUGMENTATION,
  readLog,
  startAgent,
  startCoordinator,
  startProcess,
  temporaryFolder,
  TINY_SPACE,
  tinySearch,
  tinyTable,
  waitForPhase,
} from './harness.ts'
import { resultsOf } from '../fixtures/searches.ts'

const state = temporaryFolder()
const data = temporaryFolder()
let coordinator: Coordinator

/** Grey 24×24 images, larger than the tiny space's 8×8, whose bright quadrant is their class, with noise. */
async function writeImages(folder: string): Promise<void> {
  const random = createRandom(seedState('tiny images'))
  for (const [split, perClass] of [
    ['train', 60],
    ['val', 4],
  ] as const) {
    for (let i = 0; i < 4 * perClass; i++) {
      const label = i % 4
      const pixels = Buffer.alloc(24 * 24)
      for (let at = 0; at < pixels.length; at++) {
        const inside = (at < 12 * 24 ? 0 : 2) + (at % 24 < 12 ? 0 : 1) === label
        pixels[at] = random.integer(120) + (inside ? 80 : 0)
      }
      const image = sharp(pixels, { raw: { width: 24, height: 24, channels: 1 } })
      await writeFiles(folder, { [`${split}/quadrant ${label}/${i}.png`]: image })
    }
  }
  await writeFiles(folder, { 'train/quadrant 2/broken.jpg': 'not an image' })
}

beforeAll(async () => {
  await writeImages(data.path)
  coordinator = await startCoordinator(state.path, await freePort())
  await coordinator.client.publishTable(tinyTable())
})
afterAll(async () => {
  await coordinator.stop()
  state.remove()
  data.remove()
})

describe('a folder of images', () => {
  it('feeds the agents of a search at the input of its space, in threads, the same batches as anywhere else', async () => {
    const training = { steps: 120, batchSize: 16, augmentation: { ...NO_AUGMENTATION, minArea: 0.5 } }
    const input = tinySearch({ training })
    const created = await coordinator.client.createSearch(input)
    const agent = startAgent(coordinator, created.agentToken, data.path, ['--concurrency', '2'])
    const status = await waitForPhase(coordinator.client, created.searchId, 'finished')
    expect(await agent.ended).toBe(0)
    expect(status.weightSteps).toEqual({ done: 120, total: 120 })
    expect(agent.output()).toMatch(/241 training and 16 test images of 8×8×1, decoded as they are needed, 4 classes/)
    expect(agent.output()).toMatch(/1 broken images were each replaced by another of their class: train\/quadrant 2\/broken\.jpg/)

    // The first task started from the seed's weights: the same numbers once more, in this process.
    const config = searchConfigSchema.parse(input)
    const dataset = await openDataset(data.path, { cacheFolder: `${data.path}/cache`, input: () => [8, 8, 1] })
    const { chosen: backend } = await openBackend('wasm')
    const source = await openBatchSource(dataset)
    const trainer = createTrainer({ backend, dataset, source, space: createSpace(config.space), config })
    const first = resultsOf(await readLog(coordinator, created.searchId)).find(
      ({ work }) => work.kind === 'trainWeights' && work.firstStep === 0,
    )
    if (first?.work.kind !== 'trainWeights' || first.result.kind !== 'trainWeights') throw new Error('no first task')
    trainer.prefetch(first.work)
    expect((await trainer.run(first.work, async () => undefined)).result.loss).toBe(first.result.loss)
  })

  it('is opened with the bits that the search says, and refused with others', async () => {
    const input = tinySearch({ dataset: { name: 'deep', bits: 16 }, training: { steps: 20, batchSize: 16, augmentation: NO_AUGMENTATION } })
    const { agentToken, searchId } = await coordinator.client.createSearch(input)
    const wrong = startAgent(coordinator, agentToken, data.path, ['--bits', '8'])
    expect(await wrong.ended).toBe(6)
    expect(wrong.output()).toContain('the search runs on images of 16 bits')
    const agent = startAgent(coordinator, agentToken, data.path)
    expect((await waitForPhase(coordinator.client, searchId, 'finished')).config.dataset).toMatchObject({ bits: 16 })
    expect(await agent.ended).toBe(0)
    expect(agent.output()).toMatch(/images of 8×8×1, 16 bits, decoded as they are needed/)
  })

  it('is what an architecture is trained on from scratch', async () => {
    await writeFiles(state.path, { 'space.json': JSON.stringify(TINY_SPACE) })
    const network = ['--space', `@${state.path}/space.json`, '--architecture', 'tiny:mb2k3,zero,mb2k5']
    const flags = [
      '--data',
      `images:${data.path}`,
      '--cache',
      `${data.path}/cache`,
      '--backend',
      'wasm',
      '--steps',
      '60',
      '--batch',
      '16',
      '--threads',
      '2',
    ]
    const trained = startProcess('gatehouse/main.ts', ['train', ...network, ...flags, '--json'])
    expect(await trained.ended, trained.output()).toBe(0)
    expect(JSON.parse(trained.result())).toMatchObject({
      steps: 60,
      validation: { images: 24 },
      brokenFiles: ['train/quadrant 2/broken.jpg'],
    })
  })

  it('of other classes than the space has is refused with both named', async () => {
    const other = temporaryFolder()
    await writeFiles(other.path, { ...colouredClasses('train/', 3), ...colouredClasses('val/', 1) })
    const created = await coordinator.client.createSearch(tinySearch())
    const agent = startAgent(coordinator, created.agentToken, other.path)
    expect(await agent.ended).toBe(6)
    expect(agent.output()).toMatch(/takes 8×8×1 images of 4 classes, this agent's data .* has 8×8×1 of 2/)
    other.remove()
  })
})
