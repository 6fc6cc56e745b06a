// How much of what the demo gains may be chance, and the images that it is shown on.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { halveImages, writeHalfSize } from '../../demo/half-size.ts'
import { gainOver } from '../../demo/report.ts'
import { forSpeed, full } from '../../demo/settings.ts'
import { type Dataset, openDataset } from '../../engine/datasets/index.ts'

describe('the gain over random architectures', () => {
  it('has the chance of architectures and of seeds in its standard error', () => {
    const { difference, standardError } = gainOver([0.81, 0.84, 0.86], [0.88, 0.9])
    expect(difference).toBeCloseTo(0.89 - (0.81 + 0.84 + 0.86) / 3, 12)
    // Variances of 6.333e-4 and 2e-4, of three and of two.
    const ofRandom = ((0.81 - 0.836666666666) ** 2 + (0.84 - 0.836666666666) ** 2 + (0.86 - 0.836666666666) ** 2) / 2
    expect(standardError).toBeCloseTo(Math.sqrt(ofRandom / 3 + 2e-4 / 2), 9)
  })

  it('is said without one where either was trained once', () => {
    expect(gainOver([0.8, 0.84], [0.88]).standardError).toBeNaN()
    expect(gainOver([0.8], [0.88, 0.9]).standardError).toBeNaN()
  })
})

describe('the length of the demo', () => {
  it('is that of a fast machine, and less on one that is slower, to a bound', () => {
    expect(forSpeed(full, 1)).toEqual(full)
    expect(forSpeed(full, 3.6)).toEqual({ ...full, searchSteps: full.searchSteps / 2, scratchSteps: full.scratchSteps / 2 })
    expect(forSpeed(full, 1000)).toMatchObject({ searchSteps: full.searchSteps / 4, scratchSteps: full.scratchSteps / 4 })
  })
})

describe('images at half size', () => {
  /** Two images of 2×4 pixels with two channels, row after row. */
  const images = Uint8Array.from(
    [
      [0, 100, 1, 100, 10, 0, 20, 0],
      [2, 100, 3, 102, 30, 255, 41, 255],
      [255, 0, 255, 0, 7, 7, 7, 7],
      [255, 0, 255, 0, 7, 7, 7, 8],
    ].flat(),
  )
  const halved = Uint8Array.from([2, 101, 25, 128, 255, 0, 7, 7])

  it('have the rounded mean of each 2×2 pixels', () => {
    expect(halveImages(images, [2, 4, 2])).toEqual(halved)
  })

  it('are a dataset again; others than of twice the size are refused', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'gatehouse-half-size-'))
    try {
      const split = { count: 2, shape: [2, 4, 2] as const, images, labels: Uint8Array.from([1, 0]) }
      const dataset: Dataset = {
        storage: 'memory',
        name: 'mine',
        fingerprint: '',
        normalisation: { mean: [0, 0], std: [1, 1] },
        shape: [2, 4, 2],
        classes: 2,
        train: split,
        test: split,
      }
      writeHalfSize(join(folder, 'images'), dataset, [1, 2, 2])
      const { shape, train } = await openDataset(join(folder, 'images'), { cacheFolder: join(folder, 'cache') })
      expect(shape).toEqual([1, 2, 2])
      expect({ ...train, images: [...(train as { images: Uint8Array }).images] }).toMatchObject({ count: 2, images: [...halved] })
      expect([...train.labels]).toEqual([1, 0])
      expect(() => writeHalfSize(folder, dataset, [2, 4, 2])).toThrow('expected --data to have images of 4×8×2, got 2×4×2')
    } finally {
      rmSync(folder, { recursive: true })
    }
  })
})
