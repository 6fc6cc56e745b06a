import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import * as z from 'zod'
import { decodeSafetensors, encodeSafetensors } from '../../protocol/index.ts'
import { readModelFolder } from '../../models/model-folder.ts'
import { readCheckpoint } from '../../engine/training/checkpoint-folder.ts'
import {
  killGroup,
  NO_AUGMENTATION,
  type Process,
  startProcess,
  temporaryFolder,
  TINY_SPACE,
  waitFor,
  writeTinyDataset,
} from './harness.ts'

const folder = temporaryFolder()
const at = (...parts: string[]) => join(folder.path, ...parts)
const ARCHITECTURE = 'tiny:mb2k3,zero,mb2k5'
/** 1080 images to train on, 67 mini-batches an epoch. */
const EPOCHS = 12
const STEPS_PER_EPOCH = 67
const RECIPE = {
  epochs: EPOCHS,
  batchSize: 16,
  warmupEpochs: 1,
  averageDecay: 0.99,
  dropout: 0.1,
  augmentation: { ...NO_AUGMENTATION, cutout: 2, brightness: 0.2 },
}

const resultSchema = z.object({
  end: z.enum(['finished', 'stopped']),
  accuracy: z.number(),
  steps: z.number(),
  validation: z.object({ top1: z.number(), top5: z.number(), images: z.number() }),
  test: z.object({ top1: z.number(), top5: z.number(), images: z.number() }).nullable(),
  out: z.string().nullable(),
})

function train(...more: string[]): Process {
  const network = ['--space', `@${at('space.json')}`, '--architecture', ARCHITECTURE, '--data', folder.path, '--cache', at('cache')]
  const settings = ['--backend', 'wasm', '--recipe', at('recipe.json'), '--seed', '5', '--json']
  return startProcess('gatehouse/main.ts', ['train', ...network, ...settings, ...more])
}

async function succeeds(process: Process): Promise<z.infer<typeof resultSchema>> {
  expect(await process.ended, process.output()).toBe(0)
  return resultSchema.parse(JSON.parse(process.result()))
}

/** Epochs that a process has reported, by their lines. */
function epochsOf(process: Process): number[] {
  return [...process.output().matchAll(/^epoch (\d+) of/gm)].map(([, epoch]) => Number(epoch))
}

const bytesOf = (name: string) => readFileSync(at(name, 'model.safetensors'))
const from = (first: number) => Array.from({ length: EPOCHS + 1 - first }, (_, i) => first + i)

beforeAll(async () => {
  mkdirSync(folder.path, { recursive: true })
  writeTinyDataset(folder.path)
  writeFileSync(at('space.json'), JSON.stringify(TINY_SPACE))
  writeFileSync(at('recipe.json'), JSON.stringify(RECIPE))
  await succeeds(train('--out', at('whole'), '--test'))
})
afterAll(() => folder.remove())

describe('gatehouse train', () => {
  it('writes the network that it has trained, with its figures, and leaves no checkpoint behind', () => {
    const { description, weights } = readModelFolder(at('whole'))
    expect(description).toMatchObject({ architecture: ARCHITECTURE, training: { seed: 5, steps: EPOCHS * STEPS_PER_EPOCH } })
    expect(description.results['validation']).toMatchObject({ images: 120 })
    expect(description.results['test']).toMatchObject({ images: 100 })
    expect((description.results['test'] as { top1: number }).top1).toBeGreaterThan(0.8)
    expect(weights.size).toBeGreaterThan(10)
    expect(existsSync(at('whole', 'checkpoint'))).toBe(false)
  })

  it('killed in the middle and resumed, ends with the very same network and trains nothing twice beyond the last checkpoint', async () => {
    const first = train('--out', at('killed'), '--test')
    await waitFor(async () => epochsOf(first).length >= 4, 'four epochs')
    killGroup(first)
    await first.ended
    expect(existsSync(at('killed', 'model.json'))).toBe(false)
    const checkpoint = readCheckpoint(at('killed', 'checkpoint'))
    // Reported first, then kept: the last epoch seen may be one later than the checkpoint.
    expect(checkpoint!.step).toBeGreaterThanOrEqual(3 * STEPS_PER_EPOCH)
    expect(checkpoint!.step % STEPS_PER_EPOCH).toBe(0)

    const second = train('--out', at('killed'), '--test', '--resume')
    const resumed = await succeeds(second)
    expect(epochsOf(second)).toEqual(from(checkpoint!.step / STEPS_PER_EPOCH + 1))
    expect(bytesOf('killed').equals(bytesOf('whole'))).toBe(true)
    const { description } = readModelFolder(at('whole'))
    expect(description.results).toMatchObject({ validation: resumed.validation, test: resumed.test })
  })

  it('interrupted, keeps a checkpoint from where it was, and says how to go on', async () => {
    const first = train('--checkpoint', at('kept'), '--checkpoint-epochs', '1000')
    await waitFor(async () => epochsOf(first).length >= 2, 'two epochs')
    first.child.kill('SIGINT')
    expect(await first.ended, first.output()).toBe(130)
    const said = /the same command with --resume goes on from step (\d+)/.exec(first.output())
    expect(Number(said?.[1])).toBe(readCheckpoint(at('kept'))?.step)

    const again = train('--checkpoint', at('kept'))
    expect(await again.ended).toBe(6)
    expect(again.output()).toContain('go on from it with --resume')
    const other = train('--checkpoint', at('kept'), '--resume', '--set', 'momentum=0.8')
    expect(await other.ended).toBe(6)
    expect(other.output()).toContain('recipe.momentum: the checkpoint has 0.9, this training 0.8')

    await succeeds(train('--checkpoint', at('kept'), '--resume', '--out', at('interrupted')))
    expect(bytesOf('interrupted').equals(bytesOf('whole'))).toBe(true)
  })

  it('starts from given weights, learns from a teacher, and ends a hopeless training without a network', async () => {
    const short = ['--steps', '20', '--set', 'warmupEpochs=0', '--set', 'averageDecay=0']
    const inherited = await succeeds(
      train(...short, '--rate', '0.001', '--weights', at('whole', 'model.safetensors'), '--teacher', at('whole')),
    )
    expect(inherited.accuracy).toBeGreaterThan(0.8)
    const hopeless = train('--rate', '1e-9', '--stop-below', '0.9@1', '--out', at('hopeless'))
    expect(await hopeless.ended).toBe(7)
    expect(resultSchema.parse(JSON.parse(hopeless.result()))).toMatchObject({ end: 'stopped', out: null, test: null })
    expect(existsSync(at('hopeless', 'model.json'))).toBe(false)
  })

  it('says what is wrong, naming flag, field or file, before it trains', async () => {
    const { metadata, tensors } = decodeSafetensors(bytesOf('whole'))
    const lacking = new Map([...tensors].filter(([key]) => !key.startsWith('stem/')))
    writeFileSync(at('lacking.safetensors'), encodeSafetensors({ metadata, tensors: lacking }, 'F32'))
    const cases = [
      [['--steps', '5', '--epochs', '2'], 2, 'epochs: expected epochs or steps, not both'],
      [['--set', 'dropout=2'], 2, 'dropout:'],
      [['--share-seed', '1.5'], 2, 'expected --share-seed to be a whole number from 0 to 4294967295, got "1.5"'],
      [['--stop-below', '30%'], 2, 'expected --stop-below to be ACCURACY@EPOCH'],
      [['--resume'], 2, 'expected --checkpoint or --out with --resume'],
      [['--resume', '--checkpoint', at('nothing')], 2, 'has no checkpoint to go on from'],
      [['--out', at('whole')], 6, 'has a trained network already'],
      [['--weights', at('recipe.json')], 2, `cannot read weights from ${at('recipe.json')}`],
      [['--weights', at('lacking.safetensors')], 2, 'to have stem/'],
      [['--teacher', at('nothing')], 2, `expected ${at('nothing')} to be a folder with a trained model`],
    ] as const
    const ended = cases.map(async ([flags, code, message]) => {
      const process = train(...flags)
      expect(await process.ended, process.output()).toBe(code)
      expect(process.output()).toContain(message)
    })
    await Promise.all(ended)
  })
})
