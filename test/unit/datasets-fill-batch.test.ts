import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { createRandom, type Random, seedState } from '../../search-space/random.ts'
import { fillBatch, type Split } from '../../engine/datasets/index.ts'

/** Without effect, so that the floats are the bytes. */
const IDENTITY = { mean: [0], std: [1 / 255] }

/** Two images of 2×3: 1 2 3 / 4 5 6 and ten times that. */
const grey: Split = {
  count: 2,
  shape: [2, 3, 1],
  images: Uint8Array.of(1, 2, 3, 4, 5, 6, 10, 20, 30, 40, 50, 60),
  labels: Uint8Array.of(3, 9),
}

/** A generator whose draws are written down: below ½ mirrors; integers count from −shift. */
function scripted(uniforms: number[], integers: number[]): Random {
  return {
    ...createRandom([1, 2, 3, 4]),
    uniform: () => uniforms.shift() as number,
    integer: () => integers.shift() as number,
  }
}

function rounded(images: Float32Array): number[] {
  return Array.from(images, (value) => Math.round(value * 1000) / 1000 + 0)
}

describe('a batch', () => {
  it('has the images and labels asked for, in that order', () => {
    const { images, labels } = fillBatch({ split: grey, indices: Uint32Array.of(1, 0, 1), normalisation: IDENTITY })
    expect(rounded(images)).toEqual([10, 20, 30, 40, 50, 60, 1, 2, 3, 4, 5, 6, 10, 20, 30, 40, 50, 60])
    expect([...labels]).toEqual([9, 3, 9])
  })

  it('is normalised by the mean and deviation of each channel', () => {
    const split: Split = {
      count: 1,
      shape: [1, 2, 3],
      images: Uint8Array.of(0, 51, 255, 102, 153, 204),
      labels: Uint8Array.of(0),
    }
    const normalisation = { mean: [0.5, 0, 1], std: [0.5, 0.1, 2] }
    const { images } = fillBatch({ split, indices: Uint32Array.of(0), normalisation })
    // (0 − .5) / .5, (.2 − 0) / .1, (1 − 1) / 2; (.4 − .5) / .5, (.6 − 0) / .1, (.8 − 1) / 2
    expect(rounded(images)).toEqual([-1, 2, 0, -0.2, 6, -0.1])
  })

  it('is mirrored and shifted as drawn, with normalised black coming in', () => {
    const normalisation = { mean: [1 / 255], std: [1 / 255] }
    const { images } = fillBatch({
      split: grey,
      indices: Uint32Array.of(0, 1),
      normalisation,
      augmentation: { flip: true, shift: 1 },
      // First: mirrored, 1 down, 1 to the left. Second: as it is, not down, 1 to the right.
      random: scripted([0.2, 0.7], [2, 0, 1, 2]),
    })
    // Mirrored: 3 2 1 / 6 5 4; down: · · · / 3 2 1; left: · · · / 2 1 ·. Each less the mean of 1.
    expect(rounded(images)).toEqual([-1, -1, -1, 1, 0, -1, -1, 9, 19, -1, 39, 49])
  })

  it('moves the channels of a pixel together', () => {
    const split: Split = { count: 1, shape: [1, 2, 2], images: Uint8Array.of(1, 2, 3, 4), labels: Uint8Array.of(0) }
    const { images } = fillBatch({
      split,
      indices: Uint32Array.of(0),
      normalisation: { mean: [0, 0], std: [1 / 255, 1 / 255] },
      augmentation: { flip: true, shift: 0 },
      random: scripted([0], []),
    })
    expect(rounded(images)).toEqual([3, 4, 1, 2])
  })

  it('is the same for the same seed and step, and only ever a shifted or mirrored image', () => {
    fc.assert(
      fc.property(fc.integer(), fc.nat(), fc.nat(4), fc.boolean(), (seed, step, shift, flip) => {
        const make = () =>
          fillBatch({
            split: grey,
            indices: Uint32Array.of(0, 1, 0),
            normalisation: IDENTITY,
            augmentation: { flip, shift },
            random: createRandom(seedState(seed, step)),
          })
        const { images } = make()
        expect(images).toEqual(make().images)
        const allowed = new Set([0, ...grey.images])
        expect(rounded(images).every((value) => allowed.has(value))).toBe(true)
      }),
    )
  })

  it('mirrors about half of its images and uses every shift', () => {
    const split: Split = { count: 1, shape: [1, 2, 1], images: Uint8Array.of(1, 2), labels: Uint8Array.of(0) }
    const { images } = fillBatch({
      split,
      indices: new Uint32Array(3000),
      normalisation: IDENTITY,
      augmentation: { flip: true, shift: 1 },
      random: createRandom(seedState(1)),
    })
    const counts = new Map<string, number>()
    for (let at = 0; at < images.length; at += 2) {
      const pair = rounded(images.subarray(at, at + 2)).join()
      counts.set(pair, (counts.get(pair) ?? 0) + 1)
    }
    // One row: a third is moved out up and a third down; of what stays, a third each goes left, nowhere, right.
    const expected = { '0,0': 2000, '1,2': 167, '2,1': 167, '2,0': 167, '1,0': 167, '0,1': 167, '0,2': 167 }
    for (const [pair, count] of Object.entries(expected)) {
      expect(Math.abs((counts.get(pair) ?? 0) - count), pair).toBeLessThan(5 * Math.sqrt(count))
    }
    expect(counts.size).toBe(7)
  })

  it('is written into the arrays given, over what was there', () => {
    const output = { images: new Float32Array(6).fill(7), labels: new Int32Array(1) }
    const augmentation = { flip: false, shift: 2 }
    const options = { split: grey, indices: Uint32Array.of(0), normalisation: IDENTITY, augmentation, output }
    expect(fillBatch({ ...options, random: scripted([], [4, 4]) })).toBe(output)
    expect(rounded(output.images)).toEqual([0, 0, 0, 0, 0, 0])
    expect([...output.labels]).toEqual([3])
  })

  it('is refused when an argument does not fit, with both numbers', () => {
    const options = { split: grey, indices: Uint32Array.of(0), normalisation: IDENTITY }
    const refusal = (message: RegExp) => expect.objectContaining({ code: 'bad-batch', message: expect.stringMatching(message) })
    expect(() => fillBatch({ ...options, indices: Uint32Array.of(0, 2) })).toThrow(refusal(/below 2, got 2 \(indices\[1\]\)/))
    expect(() => fillBatch({ ...options, normalisation: { mean: [0, 0], std: [1, 1] } })).toThrow(refusal(/1 channels, got 2/))
    expect(() => fillBatch({ ...options, augmentation: { flip: true, shift: 0 } })).toThrow(refusal(/random generator/))
    expect(() => fillBatch({ ...options, augmentation: { flip: false, shift: 0.5 } })).toThrow(refusal(/got 0.5/))
    const output = { images: new Float32Array(5), labels: new Int32Array(1) }
    expect(() => fillBatch({ ...options, output })).toThrow(refusal(/6 image values and 1 labels, got 5 and 1/))
  })
})
