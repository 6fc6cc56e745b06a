import fc from 'fast-check'
import { describe, expect, test } from 'vitest'

import { recipeSchema } from '../../protocol/recipe.ts'
import { rateAt, scheduleOf } from '../../engine/training/schedule.ts'

describe('the schedule of a recipe', () => {
  test('counts mini-batches of whole epochs, or takes the number given', () => {
    expect(scheduleOf(recipeSchema.parse({ batchSize: 64 }), 54_000)).toEqual({ stepsPerEpoch: 843, steps: 30 * 843, warmupSteps: 0 })
    expect(scheduleOf(recipeSchema.parse({ epochs: 1.5, warmupEpochs: 0.5, batchSize: 10 }), 205)).toEqual({
      stepsPerEpoch: 20,
      steps: 30,
      warmupSteps: 10,
    })
    expect(scheduleOf(recipeSchema.parse({ steps: 7, warmupEpochs: 3, batchSize: 10 }), 205)).toMatchObject({ steps: 7, warmupSteps: 7 })
  })

  test('rises in equal parts to the full rate, then falls by a half cosine to zero', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 20 }),
        fc.integer({ min: 1, max: 200 }),
        fc.double({ min: 0.001, max: 1, noNaN: true }),
        (w, rest, base) => {
          const schedule = { stepsPerEpoch: 10, steps: w + rest, warmupSteps: w }
          for (let t = 0; t < w; t++) expect(rateAt(t, schedule, base)).toBeCloseTo((base / w) * (t + 1), 9)
          for (let t = w; t <= w + rest; t++) {
            // The half-angle form of the cosine.
            const expected = base * Math.cos((Math.PI * (t - w)) / (2 * rest)) ** 2
            expect(rateAt(t, schedule, base)).toBeCloseTo(expected, 9)
          }
          expect(rateAt(w, schedule, base)).toBeCloseTo(base, 12)
          expect(rateAt(w + rest, schedule, base)).toBeCloseTo(0, 9)
        },
      ),
    )
  })
})

describe('a recipe that makes no sense is refused', () => {
  test.each([
    [{ epochs: 1, steps: 2 }, 'epochs', 'expected epochs or steps, not both'],
    [{ dropout: 1 }, 'dropout', '0.95'],
    [{ averageDecay: 1 }, 'averageDecay', '0.999999'],
    [{ augmentation: { cutout: 0.5 } }, 'augmentation.cutout', 'int'],
    [{ stopBelow: { accuracy: 30, epoch: 1 } }, 'stopBelow.accuracy', '1'],
    [{ learningRte: 1 }, '', 'learningRte'],
  ])('%o', (recipe, path, message) => {
    const { error } = recipeSchema.safeParse(recipe)
    expect(error?.issues[0]?.path.join('.')).toBe(path)
    expect(error?.issues[0]?.message).toContain(message)
  })
})
