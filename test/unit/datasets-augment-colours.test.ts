import { describe, expect, it } from 'vitest'

import { createRandom, type Random, seedState } from '../../search-space/random.ts'
import { type Augmentation, fillBatch, type Split } from '../../engine/datasets/index.ts'

const STILL = { flip: false, shift: 0 }
/** Without effect but for the scale, so that the floats are bytes / 255. */
const PLAIN = { mean: [0, 0, 0], std: [1, 1, 1] }

/** One image of 1×2 pixels in colour. */
const colours: Split = {
  count: 1,
  shape: [1, 2, 3],
  images: Uint8Array.of(51, 102, 204, 255, 0, 51),
  labels: Uint8Array.of(2),
}

function scripted(uniforms: number[], integers: number[] = []): Random {
  return { ...createRandom([1, 2, 3, 4]), uniform: () => uniforms.shift() as number, integer: () => integers.shift() as number }
}

function filled(split: Split, augmentation: Augmentation, random: Random, normalisation = PLAIN): number[] {
  return [...fillBatch({ split, indices: Uint32Array.of(0), normalisation, augmentation, random }).images]
}

function expectClose(actual: readonly number[], expected: readonly number[]): void {
  expect(actual).toHaveLength(expected.length)
  for (const [index, value] of expected.entries()) expect(actual[index], `value ${index}`).toBeCloseTo(value, 6)
}

describe('an image', () => {
  it('gets brighter by the factor drawn, no brighter than white, before it is normalised', () => {
    // 0.75 of the way from 1 − 0.5 to 1 + 0.5: a factor of 1.25.
    const plain = filled(colours, { ...STILL, brightness: 0.5 }, scripted([0.75]))
    expectClose(plain, [0.25, 0.5, 1, 1, 0, 0.25])
    const normalisation = { mean: [0.5, 0.5, 0], std: [0.5, 0.25, 2] }
    const normalised = filled(colours, { ...STILL, brightness: 0.5 }, scripted([0.75]), normalisation)
    expectClose(normalised, [-0.5, 0, 0.5, 1, -2, 0.125])
  })

  it('loses contrast towards its mean grey', () => {
    const greys = [0.299 * 0.2 + 0.587 * 0.4 + 0.114 * 0.8, 0.299 * 1 + 0.114 * 0.2]
    const mean = (greys[0]! + greys[1]!) / 2
    const half = (value: number) => 0.5 * value + 0.5 * mean
    expectClose(filled(colours, { ...STILL, contrast: 0.5 }, scripted([0])), [0.2, 0.4, 0.8, 1, 0, 0.2].map(half))
  })

  it('loses saturation towards the grey of each pixel', () => {
    const greys = [0.299 * 0.2 + 0.587 * 0.4 + 0.114 * 0.8, 0.299 * 1 + 0.114 * 0.2]
    const expected = [0.2, 0.4, 0.8, 1, 0, 0.2].map((value, index) => 0.5 * value + 0.5 * greys[Math.floor(index / 3)]!)
    expectClose(filled(colours, { ...STILL, saturation: 0.5 }, scripted([0])), expected)
  })

  it('is cut out around the middle drawn, as far as the square lies within, to the mean colour', () => {
    const split: Split = { count: 1, shape: [3, 4, 1], images: Uint8Array.from({ length: 12 }, (_, i) => i + 1), labels: Uint8Array.of(0) }
    const normalisation = { mean: [0], std: [1 / 255] }
    // Side 2 around row 1, column 3: rows 0 and 1, columns 2 and 3.
    const cut = filled(split, { ...STILL, cutout: 2 }, scripted([], [1, 3]), normalisation)
    expect(cut.map(Math.round)).toEqual([1, 2, 0, 0, 5, 6, 0, 0, 9, 10, 11, 12])
    // Side 3 around the upper left corner.
    const corner = filled(split, { ...STILL, cutout: 3 }, scripted([], [0, 0]), normalisation)
    expect(corner.map(Math.round)).toEqual([0, 0, 3, 4, 0, 0, 7, 8, 9, 10, 11, 12])
  })

  it('is moved first: mirrored, then the colours of what is seen', () => {
    const seen = filled(colours, { flip: true, shift: 0, brightness: 0.5 }, scripted([0, 0]))
    expectClose(seen, [0.5, 0, 0.1, 0.1, 0.2, 0.4])
  })

  it('is the same for the same seed and step, and another for the next step', () => {
    const augmentation = { flip: true, shift: 1, cutout: 1, brightness: 0.4, contrast: 0.4, saturation: 0.4 }
    const make = (step: number) => filled(colours, augmentation, createRandom(seedState('augmentation', 1, step)))
    expect(make(5)).toEqual(make(5))
    expect(make(5)).not.toEqual(make(6))
  })

  it('draws nothing for what is off, so that mirroring and shifting stay what they were', () => {
    const off = { cutout: 0, brightness: 0, contrast: 0, saturation: 0 }
    const make = (more: object) => filled(colours, { flip: true, shift: 1, ...more }, createRandom(seedState('augmentation', 1, 2)))
    expect(make(off)).toEqual(make({}))
  })
})

describe('an augmentation that cannot be', () => {
  it.each([
    [{ cutout: 1.5 }, 'expected cutout to be a whole number of pixels, at least 0, got 1.5'],
    [{ cutout: -1 }, 'expected cutout to be a whole number of pixels, at least 0, got -1'],
  ])('is refused: %o', (more, message) => {
    expect(() => filled(colours, { ...STILL, ...more }, createRandom([1, 2, 3, 4]))).toThrow(message)
  })

  it('is refused: saturation of a grey image', () => {
    const grey: Split = { count: 1, shape: [1, 1, 1], images: Uint8Array.of(9), labels: Uint8Array.of(0) }
    expect(() => filled(grey, { ...STILL, saturation: 0.1 }, createRandom([1, 2, 3, 4]), { mean: [0], std: [1] })).toThrow(
      'expected images of 3 channels for a saturation above 0, got 1',
    )
  })
})
