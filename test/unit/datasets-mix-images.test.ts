import { describe, expect, it } from 'vitest'
import { drawBeta, drawMix, mixImages } from '../../engine/datasets/mix-images.ts'
import { type BatchRequest, openBatchSource } from '../../engine/datasets/index.ts'
import { createRandom, seedState } from '../../search-space/random.ts'
import { smallDataset } from './training-images.ts'

describe('the share of an image', () => {
  it.each([0.2, 0.8, 1, 3])('is Beta distributed with α = %d: mean ½, variance 1 / (4 (2 α + 1))', (alpha) => {
    const random = createRandom(seedState('beta', String(alpha)))
    const count = 20_000
    const values = Array.from({ length: count }, () => drawBeta(alpha, random))
    const mean = values.reduce((sum, value) => sum + value, 0) / count
    const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / count
    const expected = 1 / (4 * (2 * alpha + 1))
    expect(Math.abs(mean - 0.5)).toBeLessThan(5 * Math.sqrt(expected / count))
    // The variance of the sample variance is at most that of a two-point distribution.
    expect(Math.abs(variance - expected)).toBeLessThan(0.01)
    expect(values.every((value) => value >= 0 && value <= 1)).toBe(true)
  })

  it('is, of CutMix, that of the area that is left, and both are taken as often where both are on', () => {
    const random = createRandom(seedState('cut'))
    let cuts = 0
    for (let draw = 0; draw < 2000; draw++) {
      const mix = drawMix({ mixup: 0.8, cutmix: 1 }, [10, 14, 3], random)!
      if (mix.box === null) continue
      cuts++
      const { top, bottom, left, right } = mix.box
      expect(0 <= top && top <= bottom && bottom <= 10 && 0 <= left && left <= right && right <= 14).toBe(true)
      expect(mix.share).toBeCloseTo(1 - ((bottom - top) * (right - left)) / 140, 12)
    }
    expect(Math.abs(cuts - 1000)).toBeLessThan(5 * Math.sqrt(500))
    expect(drawMix({ mixup: 0, cutmix: undefined }, [10, 14, 3], random)).toBeNull()
    expect(drawMix({ mixup: 1 }, [10, 14, 3], random)?.box).toBeNull()
  })
})

describe('images', () => {
  it('are mixed with those of the other end', () => {
    const images = Float32Array.of(0, 1, 10, 11, 20, 21)
    mixImages(images, images.slice(), 3, [1, 2, 1], { share: 0.75, box: null })
    expect([...images]).toEqual([5, 6, 10, 11, 15, 16])
    const cut = Float32Array.from({ length: 12 }, (_, at) => at)
    mixImages(cut, cut.slice(), 2, [2, 3, 1], { share: 2 / 3, box: { top: 1, bottom: 2, left: 0, right: 2 } })
    expect([...cut]).toEqual([0, 1, 2, 9, 10, 5, 6, 7, 8, 3, 4, 11])
  })

  it.each([{ mixup: 0.8 }, { cutmix: 1 }])(
    'of a part of a mini-batch are those of the whole one, labels and shares too: %j',
    async (settings) => {
      const source = await openBatchSource(smallDataset())
      const indices = Uint32Array.from({ length: 10 }, (_, at) => 3 * at)
      const request: BatchRequest = {
        split: 'train',
        indices,
        augmentation: { settings: { flip: true, shift: 2, erase: 0.5, trivial: true, ...settings }, seed: ['mixing', 7] },
      }
      const parts = [
        { from: 0, to: 4 },
        { from: 4, to: 7 },
        { from: 7, to: 10 },
      ]
      const requests = [request, ...parts.map((part) => ({ ...request, part }))]
      const batches = []
      for await (const batch of source.batches(requests)) batches.push(batch)
      const [whole, ...pieces] = batches
      expect(pieces.flatMap(({ images }) => [...images])).toEqual([...whole!.images])
      expect(pieces.flatMap(({ mixed }) => [...mixed!.labels])).toEqual([...whole!.mixed!.labels])
      expect([...whole!.mixed!.labels]).toEqual([...whole!.labels].toReversed())
      for (const { mixed } of pieces) expect(mixed!.share).toBe(whole!.mixed!.share)
    },
  )
})
