import { describe, expect, it } from 'vitest'

import { buildRecipe } from '../../models/cli/recipe-flags.ts'
import { recipeSchema } from '../../protocol/recipe.ts'

describe('a recipe on the command line', () => {
  it('is all defaults where nothing is said', () => {
    expect(buildRecipe(undefined, {}, [])).toEqual(recipeSchema.parse({}))
  })

  it('is the file, changed by flags, changed by --set', () => {
    const file = { epochs: 9, batchSize: 8, learningRate: 1, augmentation: { flip: false } }
    const recipe = buildRecipe(file, { batch: '16', rate: '0.5', 'stop-below': '0.3@5' }, ['learningRate=0.25', 'augmentation.cutout=4'])
    expect(recipe).toMatchObject({
      epochs: 9,
      batchSize: 16,
      learningRate: 0.25,
      augmentation: { flip: false, shift: 2, cutout: 4 },
      stopBelow: { accuracy: 0.3, epoch: 5 },
    })
  })

  it('takes the length of a flag instead of the file’s', () => {
    expect(buildRecipe({ epochs: 9 }, { steps: '50' }, [])).toEqual(recipeSchema.parse({ steps: 50 }))
    expect(buildRecipe({ steps: 9 }, { epochs: '2.5' }, [])).toEqual(recipeSchema.parse({ epochs: 2.5 }))
  })

  it.each([
    [[], {}, [], 'expected the file of --recipe to hold a JSON object', []],
    [{}, { rate: 'x' }, [], 'expected --rate to be a number, got "x"', []],
    [{}, { 'stop-below': '5' }, [], 'expected --stop-below to be ACCURACY@EPOCH, for example 0.3@5, got "5"', []],
    [
      {},
      { batch: '0' },
      [],
      'the recipe is not valid',
      [expect.objectContaining({ path: 'batchSize', message: expect.stringContaining('(--batch)') })],
    ],
    [{ epoch: 1 }, {}, [], 'the recipe is not valid', [{ path: 'epoch', message: 'unknown field' }]],
    [{}, {}, ['labelSmoothing'], 'expected --set FIELD=VALUE, for example --set labelSmoothing=0, got "labelSmoothing"', []],
  ])('is refused: %o %o %o', (file, args, sets, message, errors) => {
    expect(() => buildRecipe(file, args, sets)).toThrow(expect.objectContaining({ code: 'usage', message, errors }))
  })
})
