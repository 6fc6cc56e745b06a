// One set of promises for batches, kept by data in memory and by data in files.

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { createRandom, seedState } from '../../search-space/random.ts'
import {
  type Batch,
  type BatchRequest,
  type BatchSource,
  type Dataset,
  type ImageShape,
  openBatchSource,
  openDataset,
} from '../../engine/datasets/index.ts'
import { coverBox, randomBox } from '../../engine/datasets/crop-box.ts'
import { BATCHES_AHEAD } from '../../engine/datasets/limits.ts'
import { gradient, plain, writeFiles } from '../fixtures/image-folder.ts'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'gatehouse-batches-'))
  const classes = ['ant', 'bee', 'cow']
  await writeFiles(
    folder,
    Object.fromEntries(
      classes.flatMap((name, label) => [
        [`data/test/${name}/only.png`, plain([16, 16], [label, 0, 0])] as const,
        ...Array.from({ length: 8 }, (_, i) => [`data/train/${name}/${i}.png`, gradient([16 + i, 16 + label])] as const),
      ]),
    ),
  )
})
afterAll(() => rm(folder, { recursive: true, force: true }))

const kinds = [
  { storage: 'memory', input: [24, 24, 3] },
  { storage: 'files', input: [6, 6, 3] },
] as const satisfies { storage: Dataset['storage']; input: ImageShape }[]

const settings = { flip: true, shift: 2 }
const trainRequest = (step: number, ...indices: number[]): BatchRequest => ({
  split: 'train',
  indices: Uint32Array.from(indices),
  augmentation: { settings, seed: ['augmentation', 7, step] },
})
async function all(source: BatchSource, requests: Iterable<BatchRequest>): Promise<Batch[]> {
  const batches: Batch[] = []
  for await (const batch of source.batches(requests)) batches.push(batch)
  return batches
}

describe.each(kinds)('batches of data in $storage', ({ storage, input }) => {
  let dataset: Dataset
  let source: BatchSource
  beforeAll(async () => {
    dataset = await openDataset(join(folder, 'data'), { cacheFolder: join(folder, 'cache'), input: () => input })
    source = await openBatchSource(dataset)
  })

  it('are of the kind that is tested here', () => expect(dataset.storage).toBe(storage))

  it('come in the order of their requests, with the labels of their images and the shape of the input', async () => {
    const batches = await all(source, [
      { split: 'train', indices: Uint32Array.of(23, 0, 8) },
      { split: 'test', indices: Uint32Array.of(2, 1) },
      trainRequest(0, 16),
    ])
    expect(batches.map(({ labels }) => [...labels])).toEqual([[2, 0, 1], [2, 1], [2]])
    expect(batches.map(({ images }) => images.length)).toEqual([3, 2, 1].map((count) => count * input[0] * input[1] * input[2]))
    expect(batches.every(({ images }) => images.every(Number.isFinite))).toBe(true)
  })

  it('are the same for the same requests, whatever was asked for before and from another source', async () => {
    const requests = [trainRequest(3, 1, 9, 17), trainRequest(4, 1, 9, 17), { split: 'test', indices: Uint32Array.of(0) } as const]
    const first = await all(source, requests)
    await all(source, [trainRequest(9, 5)])
    expect(await all(source, requests.toReversed())).toEqual(first.toReversed())
    expect(await all(await openBatchSource(dataset), requests)).toEqual(first)
  })

  it('have in each of their parts the images that the whole has there', async () => {
    const colours = { cutout: 2, brightness: 0.2, contrast: 0.1, saturation: 0.3 }
    for (const augmented of [
      { ...settings, ...colours },
      { flip: false, shift: 1, saturation: 0.3 },
      { flip: true, shift: 0, cutout: 1 },
    ]) {
      const whole: BatchRequest = { ...trainRequest(5, 3, 1, 4, 1, 5, 9, 2, 6), augmentation: { settings: augmented, seed: ['parts', 1] } }
      const [{ images, labels }] = (await all(source, [whole])) as [Batch]
      const bounds = [0, 3, 4, 8] as const
      const parts = await all(
        source,
        bounds.slice(1).map((to, i) => ({ ...whole, part: { from: bounds[i] as number, to } })),
      )
      expect(parts.flatMap((part) => [...part.labels])).toEqual([...labels])
      expect(parts.map((part) => part.images.join()).join()).toBe(images.join())
    }
  })

  it('differ with the step, the seed and the place in the batch where they are augmented, and only there', async () => {
    const [{ images }, other] = (await all(source, [trainRequest(1, ...Array<number>(8).fill(4)), trainRequest(2, 4)])) as [Batch, Batch]
    const size = other.images.length
    const drawn = Array.from({ length: 8 }, (_, slot) => images.subarray(slot * size, (slot + 1) * size).join())
    expect(new Set([...drawn, other.images.join()]).size).toBeGreaterThan(6)
    const plainRequest: BatchRequest = { split: 'train', indices: Uint32Array.of(4, 4) }
    const [evaluated] = (await all(source, [plainRequest])) as [Batch]
    expect(evaluated.images.subarray(0, size)).toEqual(evaluated.images.subarray(size))
  })

  it('are asked for a bounded number ahead', async () => {
    let taken = 0
    const endless = function* () {
      for (;;) yield trainRequest(taken++, 0)
    }
    const stream = source.batches(endless())
    for (let used = 0; used < 4; used++) {
      await sleep(20)
      expect(taken).toBeLessThanOrEqual(used + BATCHES_AHEAD)
      expect((await stream.next()).done).toBe(false)
    }
    await stream.return()
    const before = taken
    expect(await stream.next()).toEqual({ done: true, value: undefined })
    expect(taken).toBe(before)
  })

  it('end their requests when a loop over them is left', async () => {
    let closed = false
    const requests = function* () {
      try {
        for (let step = 0; ; step++) yield trainRequest(step, 0)
      } finally {
        closed = true
      }
    }
    for await (const { labels } of source.batches(requests())) {
      expect([...labels]).toEqual([0])
      break
    }
    expect(closed).toBe(true)
  })

  it('beyond the split are refused with both numbers, at the batch that asks for them', async () => {
    const stream = source.batches([trainRequest(0, 23), trainRequest(1, 0, 24), trainRequest(2, 0)])
    expect((await stream.next()).done).toBe(false)
    await expect(stream.next()).rejects.toMatchObject({
      code: 'bad-batch',
      message: expect.stringMatching(/below 24, got 24 \(indices\[1\]\)/),
    })
    expect((await stream.next()).done).toBe(true)
  })
})

describe('batches of data in files', () => {
  it('are decoded while the thread that asked for them is busy', async () => {
    const dataset = await openDataset(join(folder, 'data'), { cacheFolder: join(folder, 'cache'), input: () => [6, 6, 3] })
    const source = await openBatchSource(dataset)
    const indices = Array.from({ length: 24 }, (_, i) => i)
    const requests = [0, 1, 2].map((step) => trainRequest(step, ...indices))
    await all(source, requests)
    const stream = source.batches(requests)
    const busyUntilMs = performance.now() + 500
    while (performance.now() < busyUntilMs);
    // Both batches ahead are done by now: what is left is to collect them, which takes a turn or a few of the event loop.
    let turns = 0
    const arrival = { isThere: false }
    void stream.next().then(() => (arrival.isThere = true))
    while (!arrival.isThere) {
      await new Promise(setImmediate)
      turns += 1
    }
    expect(turns).toBeLessThan(12)
    await stream.return()
  })
})

describe('parts of images', () => {
  const sizes = fc.record({ width: fc.integer({ min: 1, max: 3000 }), height: fc.integer({ min: 1, max: 3000 }) })

  it('lie within them, and are of a shape and area that may be drawn wherever the image has such parts', () => {
    fc.assert(
      fc.property(sizes, fc.double({ min: 0.01, max: 1, noNaN: true }), fc.nat(), (image, minArea, seed) => {
        const box = randomBox(image, minArea, createRandom(seedState('test', seed)))
        expect(box.left).toBeGreaterThanOrEqual(0)
        expect(box.top).toBeGreaterThanOrEqual(0)
        expect(box.width).toBeGreaterThanOrEqual(1)
        expect(box.height).toBeGreaterThanOrEqual(1)
        expect(box.left + box.width).toBeLessThanOrEqual(image.width)
        expect(box.top + box.height).toBeLessThanOrEqual(image.height)
        const isSquarish = Math.max(image.width, image.height) < 1.3 * Math.min(image.width, image.height)
        if (!isSquarish || Math.min(image.width, image.height) < 200) return
        expect((box.width * box.height) / (image.width * image.height)).toBeGreaterThan(minArea - 0.01)
        expect(box.width / box.height).toBeGreaterThan(0.73)
        expect(box.width / box.height).toBeLessThan(1.37)
      }),
    )
  })

  it('have areas uniform from the least to the whole, and lie everywhere', () => {
    const random = createRandom(seedState('uniform'))
    const boxes = Array.from({ length: 4000 }, () => randomBox({ width: 1000, height: 1000 }, 0.2, random))
    const small = boxes.filter(({ width, height }) => width * height < 0.4 * 1e6)
    // A quarter of [0.2, 1]; a few more, since large parts of other shapes do not fit and are drawn again.
    expect(small.length / boxes.length).toBeGreaterThan(0.22)
    expect(small.length / boxes.length).toBeLessThan(0.36)
    const middle = small.map(({ left, width }) => left / (1000 - width))
    expect(Math.abs(middle.reduce((sum, value) => sum + value, 0) / middle.length - 0.5)).toBeLessThan(0.05)
    expect(Math.min(...middle)).toBeLessThan(0.02)
    expect(Math.max(...middle)).toBeGreaterThan(0.98)
  })

  it('for evaluation have the shape of the input, at the centre', () => {
    expect(coverBox({ width: 500, height: 375 }, { width: 224, height: 224 }, 224 / 256)).toEqual({
      left: 86,
      top: 23,
      width: 328,
      height: 328,
    })
    expect(coverBox({ width: 28, height: 28 }, { width: 28, height: 28 }, 1)).toEqual({ left: 0, top: 0, width: 28, height: 28 })
    expect(coverBox({ width: 1, height: 900 }, { width: 224, height: 224 }, 224 / 256)).toEqual({ left: 0, top: 449, width: 1, height: 1 })
  })
})
