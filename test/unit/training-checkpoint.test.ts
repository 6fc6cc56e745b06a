import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'

import { decodeSafetensors, encodeSafetensors } from '../../protocol/index.ts'
import { readCheckpoint, removeCheckpoint, writeCheckpoint } from '../../engine/training/checkpoint-folder.ts'
import { checkFits, type Checkpoint, decodeCheckpoint, encodeCheckpoint } from '../../engine/training/checkpoint.ts'
import { recipeSchema } from '../../protocol/recipe.ts'

function makeCheckpoint(step = 7): Checkpoint {
  return {
    identity: {
      architecture: 'tiny:mb2k3',
      network: '1'.repeat(64),
      dataset: { name: 'd', fingerprint: '2'.repeat(64) },
      recipe: recipeSchema.parse({ steps: 20 }),
      seed: 1,
      shareSeed: 2,
      teacher: null,
      initial: null,
    },
    step,
    // No finite binary fraction: every digit has to come back.
    lossSum: 0.1 + 0.2,
    reports: [{ epoch: 0.35, step: 5, trainLoss: 1 / 3, validation: { top1: 0.1, top5: 0.7, crossEntropy: 2, images: 9 } }],
    best: { epoch: 0.35, top1: 0.1 },
    threads: 2,
    weights: new Map([['a/filter', { shape: [2, 1], values: Float32Array.of(Math.fround(0.1), -0) }]]),
    velocities: new Map([['a/filter', { shape: [2, 1], values: Float32Array.of(1e-40, 3) }]]),
    squares: new Map(),
    average: new Map(),
    bestModel: new Map([['a/gamma', { shape: [1], values: Float32Array.of(2) }]]),
  }
}

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'gatehouse-checkpoint-'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

describe('a checkpoint', () => {
  test('comes back from its bytes as it was, to the last bit', () => {
    const back = decodeCheckpoint(encodeCheckpoint(makeCheckpoint()))
    expect(back).toEqual(makeCheckpoint())
    expect(Object.is(back.weights.get('a/filter')?.values[1], -0)).toBe(true)
  })

  test('of a version that knew no threads is one of a single thread', () => {
    const { metadata, tensors } = decodeSafetensors(encodeCheckpoint(makeCheckpoint()))
    const { threads, ...state } = JSON.parse(metadata['state'] ?? '{}')
    expect(threads).toBe(2)
    const old = encodeSafetensors({ metadata: { ...metadata, state: JSON.stringify(state) }, tensors }, 'F32')
    expect(decodeCheckpoint(old)).toEqual({ ...makeCheckpoint(), threads: 1 })
  })

  test('takes the place of the one before as a whole, and a part that was left behind does no harm', () => {
    const within = join(folder, 'kept')
    expect(readCheckpoint(within)).toBeNull()
    mkdirSync(within)
    writeFileSync(join(within, 'checkpoint.safetensors.part'), 'half of an earlier one')
    writeCheckpoint(within, makeCheckpoint(7))
    writeCheckpoint(within, makeCheckpoint(8))
    expect(readdirSync(within)).toEqual(['checkpoint.safetensors'])
    expect(readCheckpoint(within)?.step).toBe(8)
    removeCheckpoint(within)
    expect(readdirSync(folder)).toEqual([])
  })

  test('fits a training of the same settings on data of another name, and no other', () => {
    const { identity } = makeCheckpoint()
    expect(() => checkFits(identity, { ...identity, dataset: { ...identity.dataset, name: 'e' } })).not.toThrow()
    const recipe = recipeSchema.parse({ steps: 20, stopBelow: { accuracy: 0.5, epoch: 2 } })
    expect(() => checkFits(identity, { ...identity, recipe })).toThrow(
      expect.objectContaining({
        code: 'does-not-fit',
        errors: [
          { path: 'recipe.stopBelow.accuracy', message: 'the checkpoint has none, this training 0.5' },
          { path: 'recipe.stopBelow.epoch', message: 'the checkpoint has none, this training 2' },
        ],
      }),
    )
  })
})

describe('bytes that are no checkpoint are refused, with the file named', () => {
  const whole = encodeCheckpoint(makeCheckpoint())
  const wholeState = decodeSafetensors(whole).metadata['state'] as string
  const withState = (state: string) => encodeSafetensors({ metadata: { state }, tensors: new Map() }, 'F32')
  test.each([
    ['cut off', whole.subarray(0, whole.length - 1), /expected 8 bytes|bytes from/],
    ['weights of something else', encodeSafetensors({ metadata: {}, tensors: new Map() }, 'F32'), /the file has no state/],
    [
      'a weight that is NaN',
      encodeSafetensors(
        { metadata: { state: wholeState }, tensors: new Map([['weights/w', { shape: [1], values: Float32Array.of(NaN) }]]) },
        'F32',
      ),
      /tensor weights\/w: element 0 is NaN, expected a finite number/,
    ],
    ['a state that is no JSON', withState('{'), /JSON/],
    ['a state that lacks fields', withState('{"format":"gatehouse-checkpoint/1"}'), /identity/],
    ['a later format', withState('{"format":"gatehouse-checkpoint/2"}'), /format/],
  ])('%s', (_, bytes, message) => {
    writeFileSync(join(folder, 'checkpoint.safetensors'), bytes)
    expect(() => readCheckpoint(folder)).toThrow(expect.objectContaining({ code: 'malformed', message: expect.stringMatching(message) }))
    expect(() => readCheckpoint(folder)).toThrow(join(folder, 'checkpoint.safetensors'))
  })
})
