// Every family of spaces from a latency table to an export that another program opens, in small: measured, searched by two agents,
// derived, trained, exported.

import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { latencyTableSchema } from '../../latency-lut/table/table.ts'
import { distributionOf, type SearchConfigInput } from '../../protocol/index.ts'
import type { SearchedFamily } from '../../search-space/families/index.ts'
import { createSpace, parseArchitecture, type SpaceRef } from '../../search-space/index.ts'
import { SLICED_SPACE } from '../fixtures/sliced-space.ts'
import {
  type Coordinator,
  freePort,
  NO_AUGMENTATION,
  startAgent,
  startCoordinator,
  startProcess,
  temporaryFolder,
  writeTinyDataset,
} from './harness.ts'

const folder = temporaryFolder()
let coordinator: Coordinator

beforeAll(async () => {
  writeTinyDataset(folder.path)
  coordinator = await startCoordinator(join(folder.path, 'state'), await freePort())
})
afterAll(async () => {
  await coordinator.stop()
  folder.remove()
})

async function succeeds(script: string, args: readonly string[]): Promise<unknown> {
  const process = startProcess(script, args, { GATEHOUSE_COORDINATOR: coordinator.url, GATEHOUSE_TOKEN: coordinator.token })
  expect(await process.ended, process.output()).toBe(0)
  return JSON.parse(process.result()) as unknown
}
const gatehouse = (...args: string[]) => succeeds('gatehouse/main.ts', [...args, '--json'])
const latencyLut = (...args: string[]) => succeeds('latency-lut/profiler/cli/main.ts', [...args, '--json'])

type Member = { readonly space: SpaceRef; readonly strategy: SearchConfigInput['strategy'] }

const learning = { archEvery: 2, warmupSteps: 60, learningRate: 0.05, evaluateEvery: 100 }
const members: { readonly [Family in SearchedFamily]: Member } = {
  mbconv: {
    space: {
      preset: 'fashion-mini',
      name: 'families-mbconv',
      input: [8, 8, 1],
      classes: 4,
      stem: { width: 8, stride: 1 },
      firstBlock: null,
      stages: [{ width: 12, cells: 2, stride: 2 }],
      headWidth: 16,
    },
    strategy: { name: 'proxyless-g', form: 'full', ...learning },
  },
  cell: {
    space: { preset: 'cell-mini', name: 'families-cell', input: [8, 8, 1], classes: 4, width: 8 },
    strategy: { name: 'proxyless-g', form: 'full', ...learning },
  },
  darts: {
    space: {
      ...({ preset: 'darts-mini', name: 'families-darts', input: [8, 8, 1], classes: 4, width: 4, nodes: 2 } as const),
      operations: ['none', 'max_pool_3x3', 'skip_connect', 'sep_conv_3x3', 'dil_conv_3x3'],
    },
    strategy: { name: 'proxyless-g', form: 'full', ...learning },
  },
  aggregation: {
    space: {
      ...({ preset: 'aggregation-mini', name: 'families-aggregation', input: [8, 8, 1], classes: 4, stem: { stride: 1 } } as const),
      stages: [
        { width: 6, units: 2, growth: 6 },
        { width: 8, units: 1, growth: 8 },
      ],
      headWidth: 16,
    },
    strategy: { name: 'proxyless-g', form: 'full', ...learning },
  },
  'fbnet-v2': {
    space: { ...SLICED_SPACE, name: 'families-fbnet-v2' },
    strategy: { name: 'fp-nas', leastSamples: 4, ...learning },
  },
  'pyramid-tree': {
    space: {
      ...({ preset: 'tree-mini', stages: 2, name: 'families-tree', input: [8, 8, 1], classes: 4, addedWidth: 8, blocks: 1 } as const),
      levels: [
        { allocation: 'split', merge: 'add', edges: 'identity', residual: true },
        { allocation: 'replicate', merge: 'add', edges: 'chosen', residual: false },
      ],
      operations: ['id', 'dw3', 'dil3', 'avg3', 'max3'],
    },
    strategy: { name: 'proxyless-g', form: 'full', ...learning },
  },
}

describe.each(Object.entries(members))('the family %s', (family, { space: ref, strategy }) => {
  it('is measured, searched, derived, trained and exported', async () => {
    const space = createSpace(ref)
    const file = join(folder.path, `${family}.json`)
    writeFileSync(file, JSON.stringify(ref))
    const table = join(folder.path, `${family}-table.json`)
    await latencyLut('profile', '--space', `@${file}`, '--name', family, '--out', table, '--budget', '2')
    const { entries } = latencyTableSchema.parse(JSON.parse(readFileSync(table, 'utf8')))
    expect(Object.keys(entries).toSorted()).toEqual(
      space
        .measurableOperations()
        .map(({ latencyKey }) => latencyKey)
        .toSorted(),
    )
    const { version } = (await latencyLut('publish', table)) as { version: string }

    const config = join(folder.path, `${family}-search.json`)
    const targetMs = Object.values(entries).reduce((sum, { meanMs }) => sum + meanMs, 0)
    const search: SearchConfigInput = {
      space: ref,
      dataset: { name: 'tiny' },
      latency: { targetMs, table: { name: family, version }, loss: { kind: 'add#abs' } },
      strategy,
      training: { steps: 400, batchSize: 16, augmentation: NO_AUGMENTATION },
      tasks: { weightSteps: 20, architectureSteps: 5 },
    }
    writeFileSync(config, JSON.stringify(search))
    const created = (await gatehouse('search', 'create', '--config', config)) as { searchId: string; agentToken: string }
    const agents = [1, 2].map(() => startAgent(coordinator, created.agentToken, folder.path))
    expect(await Promise.all(agents.map(({ ended }) => ended))).toEqual([0, 0])
    const status = await coordinator.client.searchStatus(created.searchId)
    expect(status.phase).toBe('finished')
    const { entropy } = distributionOf(status)
    expect(entropy.mean).toBeLessThan(entropy.start)
    // Four classes: twice as good as a guess, with shared weights.
    expect(status.validation.accuracy).toBeGreaterThan(0.5)

    const derived = (await gatehouse('derive', created.searchId)) as {
      encoding: string
      path: number[]
      latencyMs: number
      macs: number
      blocks: { macs: number; latencyMs: number }[]
      fixedParts: { macs: number; latencyMs: number }[]
    }
    expect(parseArchitecture(space, derived.encoding)).toEqual(derived.path)
    const rows = [...derived.blocks, ...derived.fixedParts]
    expect(rows.reduce((sum, { macs }) => sum + macs, 0)).toBe(derived.macs)
    expect(rows.reduce((sum, { latencyMs }) => sum + latencyMs, 0)).toBeCloseTo(derived.latencyMs, 9)

    const model = join(folder.path, `${family}-model`)
    const data = ['--data', folder.path, '--cache', join(folder.path, 'cache')]
    const training = ['--steps', '150', '--batch', '16', '--set', 'augmentation.flip=false', '--test']
    const trained = (await gatehouse(
      'train',
      '--space',
      `@${file}`,
      '--architecture',
      derived.encoding,
      ...data,
      ...training,
      '--out',
      model,
    )) as { accuracy: number; test: { top1: number } }
    expect(trained.accuracy).toBeGreaterThan(0.7)

    const onnx = join(folder.path, `${family}.onnx`)
    await gatehouse('export', '--model', model, '--format', 'onnx', '--out', onnx)
    const { InferenceSession, Tensor } = await import('onnxruntime-node')
    const session = await InferenceSession.create(onnx)
    const images = readFileSync(join(folder.path, 't10k-images-idx3-ubyte')).subarray(16)
    const labels = readFileSync(join(folder.path, 't10k-labels-idx1-ubyte')).subarray(8)
    const { normalisation } = JSON.parse(readFileSync(join(model, 'model.json'), 'utf8')) as {
      normalisation: { mean: [number]; std: [number] }
    }
    const pixels = Float32Array.from(images, (pixel) => (pixel / 255 - normalisation.mean[0]) / normalisation.std[0])
    const [inputName = ''] = session.inputNames
    const outputs = await session.run({ [inputName]: new Tensor('float32', pixels, [labels.length, 1, 8, 8]) })
    const logits = outputs[session.outputNames[0] ?? '']?.data as Float32Array
    const isRight = (label: number, image: number) => {
      const own = logits.subarray(image * 4, image * 4 + 4)
      return own.indexOf(Math.max(...own)) === label
    }
    const right = [...labels].filter(isRight).length
    // The test accuracy that the training printed, to the image.
    expect(right / labels.length).toBeCloseTo(trained.test.top1, 6)
  })
})
