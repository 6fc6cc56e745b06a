import { describe, expect, it } from 'vitest'
import { drawErased, erase } from '../../engine/datasets/augment-erase.ts'
import { createRandom, type Random, seedState } from '../../search-space/random.ts'

describe('random erasing', () => {
  it('draws area, ratio and place as torchvision does', () => {
    const uniforms = [0.2, 0.5, 0.5]
    const integers: number[] = []
    const random: Random = {
      ...createRandom([1, 2, 3, 4]),
      uniform: () => uniforms.shift() as number,
      integer: (bound) => {
        integers.push(bound)
        return bound - 1
      },
    }
    // Area 40 · 30 · 0.175 = 210, ratio √(0.3 · 3.3) = 0.995: √(210 · 0.995) = 14.455 high, √(210 / 0.995) = 14.528 wide.
    expect(drawErased([40, 30, 3], 0.25, random)).toEqual({ top: 40 - 14, left: 30 - 15, height: 14, width: 15 })
    expect(integers).toEqual([40 - 14 + 1, 30 - 15 + 1])
  })

  it('leaves so many images whole, and never reaches over the border', () => {
    const random = createRandom(seedState('erase'))
    const drawn = Array.from({ length: 4000 }, () => drawErased([12, 9, 1], 0.3, random))
    const erased = drawn.filter((one) => one !== null)
    expect(Math.abs(erased.length / 4000 - 0.3)).toBeLessThan(5 * Math.sqrt((0.3 * 0.7) / 4000))
    for (const { top, left, height, width } of erased) {
      expect(top + height).toBeLessThanOrEqual(12)
      expect(left + width).toBeLessThanOrEqual(9)
      // Rounded sides of an area from 2.16 to 35.64.
      expect(height * width).toBeLessThanOrEqual(45)
    }
    // A strip has no room for a rectangle of these ratios.
    expect(Array.from({ length: 50 }, () => drawErased([1, 40, 1], 1, random)).filter((one) => one !== null)).toEqual([])
  })

  it('makes the rectangle 0, the mean colour, in every channel', () => {
    const image = new Float32Array(4 * 3 * 2).fill(5)
    erase(image, [4, 3, 2], { top: 1, left: 1, height: 2, width: 1 })
    const expected = new Float32Array(24).fill(5)
    for (const at of [8, 9, 14, 15]) expected[at] = 0
    expect(image).toEqual(expected)
  })
})
