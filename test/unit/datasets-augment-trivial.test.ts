// TrivialAugment against Pillow, byte by byte: test/fixtures/trivial-augment.py wrote what it makes of two images.

import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { augmentTrivially, drawTrivial, trivialOperations } from '../../engine/datasets/augment-trivial.ts'
import { fillBatch } from '../../engine/datasets/index.ts'
import { createRandom, seedState } from '../../search-space/random.ts'

type Case = { channels: 1 | 3; operation: string; bin: number; sign: 1 | -1; pixels: string }
const { width, height, images, cases } = JSON.parse(readFileSync(new URL('../fixtures/trivial-augment.json', import.meta.url), 'utf8')) as {
  width: number
  height: number
  images: Record<1 | 3, string>
  cases: Case[]
}

const bytes = (hex: string) => new Uint8Array(Buffer.from(hex, 'hex'))

describe('TrivialAugment', () => {
  it.each(trivialOperations.map(([name]) => name))('%s does what Pillow does', (name) => {
    const operation = new Map(trivialOperations).get(name)!
    const own = cases.filter((one) => one.operation === name)
    expect(own.length).toBeGreaterThan(0)
    for (const { channels, bin, sign, pixels } of own) {
      const before = bytes(images[channels])
      const made = augmentTrivially(before, [height, width, channels], { operation, strength: sign * (operation.strengths[bin] as number) })
      expect(Buffer.from(made).toString('hex'), `${channels} channels, bin ${bin}, sign ${sign}`).toBe(pixels)
      // A new image: the data set's own stays.
      expect(Buffer.from(before).toString('hex')).toBe(images[channels])
    }
  })

  it('takes each of 14 operations as often, at 31 strengths, in both directions', () => {
    const random = createRandom(seedState('trivial'))
    const counts = new Map<string, number>()
    const angles = new Set<number>()
    for (let draw = 0; draw < 14_000; draw++) {
      const { operation, strength } = drawTrivial(random)
      const [name] = trivialOperations.find(([, known]) => known === operation)!
      counts.set(name, (counts.get(name) ?? 0) + 1)
      if (name === 'rotate') angles.add(Math.abs(strength) < 1e-9 ? 0 : strength)
    }
    expect([...counts.keys()].sort()).toEqual(trivialOperations.map(([name]) => name).sort())
    // 5 standard deviations of a binomial of 14,000 and 1/14.
    for (const count of counts.values()) expect(Math.abs(count - 1000)).toBeLessThan(5 * 30.5)
    expect(angles.size).toBe(61)
    expect(Math.max(...angles)).toBe(135)
    expect(Math.min(...angles)).toBe(-135)
  })

  it('comes behind mirror and shift, before normalisation, and a part of a mini-batch is that of the whole', () => {
    const count = 6
    const all = Uint8Array.from({ length: count * 5 * 4 * 3 }, (_, at) => (at * 31 + (at >> 3)) % 256)
    const split = { count, shape: [5, 4, 3] as const, images: all, labels: new Uint8Array(count) }
    const normalisation = { mean: [0.1, 0.2, 0.3], std: [0.5, 0.6, 0.7] }
    const augmentation = { flip: true, shift: 1, trivial: true, cutout: 2, erase: 0.5, brightness: 0.2 }
    const fill = (indices: number[], skip = 0) =>
      fillBatch({ split, indices: Uint32Array.from(indices), normalisation, augmentation, random: createRandom(seedState('batch')), skip })
        .images
    const whole = fill([0, 1, 2, 3, 4, 5])
    expect([...fill([4, 5], 4)]).toEqual([...whole.subarray(4 * 60)])

    const plain = { flip: true, shift: 1 }
    const moved = fillBatch({
      split,
      indices: Uint32Array.of(2),
      normalisation: { mean: [0, 0, 0], std: [1, 1, 1] },
      augmentation: plain,
      random: createRandom(seedState('one')),
    })
    const random = createRandom(seedState('one'))
    const said = fillBatch({ split, indices: Uint32Array.of(2), normalisation, augmentation: { ...plain, trivial: true }, random })
    const again = createRandom(seedState('one'))
    fillBatch({ split, indices: Uint32Array.of(2), normalisation, augmentation: plain, random: again })
    const pixels = augmentTrivially(
      Uint8Array.from(moved.images, (value) => Math.round(value * 255)),
      [5, 4, 3],
      drawTrivial(again),
    )
    const expected = Array.from(pixels, (value, at) => (value / 255 - normalisation.mean[at % 3]!) / normalisation.std[at % 3]!)
    for (const [at, value] of said.images.entries()) expect(value).toBeCloseTo(expected[at]!, 5)
  })
})
