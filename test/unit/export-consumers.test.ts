// Every export, opened by the program that it is for, gives what our own inference gives on the same images.

import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import * as tf from '@tensorflow/tfjs-core'
import { type LayersModel, loadLayersModel } from '@tensorflow/tfjs-layers'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { TrainedModel } from '../../models/model-folder.ts'
import { writeExport } from '../../models/export/index.ts'
import { writeModelOnnx } from '../../models/export/onnx.ts'
import { fromStateDict, toStateDict } from '../../models/export/state-dict.ts'
import { writeTfjsGraphModel, writeTfjsLayers } from '../../models/export/tfjs-layers.ts'
import { isPlanned } from '../../search-space/families/index.ts'
import { createSpace, fixArchitecture, onlyPath, printArchitecture, resolveSpaceConfig, type SpaceRef } from '../../search-space/index.ts'
import { openBackend } from '../../engine/backends/backends.ts'
import { createInference, foldBatchNorm } from '../../engine/executor/index.ts'
import { hasConverter, loadGraph } from '../fixtures/graph-model.ts'
import { makeModel, randomImages } from '../fixtures/trained-models.ts'
import { readSafetensors } from '../fixtures/read-safetensors.ts'

const BATCH = 3
/** Of the largest logit, or of 1: sums in trees make large ones. */
const TOLERANCE = 1e-4

const spaces: readonly (readonly [string, SpaceRef, string | undefined])[] = [
  ['a path through fashion-mini', { preset: 'fashion-mini', input: [28, 28, 3] }, undefined],
  [
    'MobileNetV2 of width 0.35',
    { preset: 'mobilenet-v2', widthMult: 0.35, input: [32, 32, 3], classes: 7 },
    `mobilenet-v2-custom:${Array.from({ length: 16 }, () => 'mb6k3').join()}`,
  ],
  [
    'a fixed network without a head',
    {
      name: 'mine',
      input: [18, 22, 2],
      classes: 5,
      stem: { width: 9, stride: 1 },
      blocks: [
        { expansion: 1, kernel: 5, stride: 2, width: 11 },
        { expansion: 4, kernel: 7, stride: 1, width: 11 },
        'zero',
        { expansion: 2, kernel: 1, stride: 1, width: 11, shortcut: false },
      ],
      headWidth: null,
      batchNormEpsilon: 1e-2,
    },
    'mine:mb1k5,mb4k7,zero,mb2k1',
  ],
  [
    'a path through nas-bench-macro, with an identity that projects and one that skips',
    { preset: 'nas-bench-macro', input: [18, 22, 3] },
    'nas-bench-macro-custom:identity,mb3k3,mb6k5,identity,mb3k3,identity,identity,mb3k3',
  ],
  [
    'a cell with an edge of each kind',
    { preset: 'cell-mini', input: [18, 22, 3] },
    'cell-mini-custom:|nor_conv_3x3~0|+|skip_connect~0|avg_pool_3x3~1|+|nor_conv_1x1~0|none~1|avg_pool_3x3~2|',
  ],
  [
    'blocks with squeeze-and-excitation, with Split-Attention, and one that is skipped',
    { preset: 'fbnetv2-mini', input: [18, 22, 3] },
    'fbnetv2-mini-custom:k3-swish-s1-e1-c12,k5-relu-s2-e1.5-c24,skip-relu-s2-e1.5-c32,k3-swish-s0-e3-c32',
  ],
  [
    'layers that add and concatenate earlier outputs, with bottlenecks',
    { preset: 'aggregation-mini', input: [20, 24, 3], bottleneck: true },
    'aggregation-mini-custom:stage1=|concat~0|+|sum~0|concat~1|+|+|concat~0|concat~2|sum~3|;stage2=|sum~0|+|concat~0|concat~1|+|+|concat~2|',
  ],
  [
    'layers that concatenate all earlier outputs',
    { preset: 'aggregation-mini', input: [20, 24, 3], aggregations: ['concat'] },
    'aggregation-mini-custom:whole',
  ],
  [
    'trees behind convolutions in groups, between shortcuts that are filled up',
    { preset: 'tree-mini', stages: 2, input: [18, 22, 3], addedWidth: 8, blocks: 1 },
    'tree-mini-custom:((dw3(id,max3),avg3(dw5,dw7)),(id(dw7,id),dw7(avg3,max3)));((max3(id,id),id(dw3,id)),(dw5(dw5,avg3),dw3(id,max3)))',
  ],
]

let folder: string
beforeAll(async () => {
  await openBackend('cpu')
  folder = mkdtempSync(join(tmpdir(), 'gatehouse-export-'))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** What our own executor makes of images. */
function ownLogits(model: TrainedModel, images: Float32Array): Float32Array {
  const weights = (key: string) => model.weights.get(key)?.values as Float32Array
  const inference = createInference({ graph: model.space.network(model.path), weights, statistics: model.statistics })
  const input = tf.tensor4d(images, [BATCH, ...model.space.input])
  const output = inference.run(input)
  const values = output.dataSync() as Float32Array
  tf.dispose([input, output])
  inference.dispose()
  return values
}

function expectSame(found: ArrayLike<number>, wanted: ArrayLike<number>) {
  expect(found.length).toBe(wanted.length)
  const tolerance = TOLERANCE * Math.max(1, ...Array.from(wanted, Math.abs))
  // Images must matter, or anything would look right.
  const classes = wanted.length / BATCH
  const spread = Math.max(...Array.from({ length: classes }, (_, i) => Math.abs((wanted[i] ?? 0) - (wanted[classes + i] ?? 0))))
  expect(spread).toBeGreaterThan(100 * tolerance)
  for (let i = 0; i < wanted.length; i++) expect(Math.abs((found[i] ?? Number.NaN) - (wanted[i] ?? 0))).toBeLessThan(tolerance)
}

function toNchw(images: Float32Array, [height, width, channels]: readonly [number, number, number]): Float32Array {
  const planes = new Float32Array(images.length)
  for (let n = 0; n < BATCH; n++)
    for (let c = 0; c < channels; c++)
      for (let at = 0; at < height * width; at++)
        planes[(n * channels + c) * height * width + at] = images[(n * height * width + at) * channels + c] as number
  return planes
}

/** Pixels from 0 to 255, and the same after the normalisation that the model asks for. */
function pixelImages(model: TrainedModel): { pixels: Uint8Array; normalised: Float32Array } {
  const { mean, std } = model.description.normalisation
  const pixels = Uint8Array.from(randomImages(BATCH, model.space.input), (value) => Math.max(0, Math.min(255, 128 + 60 * value)))
  const normalised = Float32Array.from(pixels, (pixel, i) => (pixel / 255 - (mean[i % mean.length] ?? 0)) / (std[i % std.length] ?? 1))
  return { pixels, normalised }
}

/** As a browser would fetch it: the manifest, then the shards that it names. */
function loadFolder(out: string): Promise<LayersModel> {
  const description = JSON.parse(readFileSync(join(out, 'model.json'), 'utf8')) as {
    modelTopology: object
    weightsManifest: { paths: string[]; weights: tf.io.WeightsManifestEntry[] }[]
  }
  const [group] = description.weightsManifest
  const bytes = Buffer.concat((group?.paths ?? []).map((path) => readFileSync(join(out, path))))
  return loadLayersModel(tf.io.fromMemory({ ...description, weightSpecs: group?.weights ?? [], weightData: new Uint8Array(bytes).buffer }))
}

describe.each(spaces)('%s', (_, space, architecture) => {
  const model = makeModel({ space, ...(architecture === undefined ? {} : { architecture }) })
  const images = randomImages(BATCH, model.space.input)
  const [height, width, channels] = model.space.input

  describe('as ONNX, in onnxruntime', () => {
    test.each([true, false])('gives our logits; batch-norms folded: %s', async (fold) => {
      const { InferenceSession, Tensor } = await import('onnxruntime-node')
      const session = await InferenceSession.create(writeModelOnnx(model, { fold, withPreprocessing: false }))
      const input = new Tensor('float32', toNchw(images, model.space.input), [BATCH, channels, height, width])
      const { logits } = await session.run({ input })
      expect(logits?.dims).toEqual([BATCH, model.space.classes])
      expectSame(logits?.data as Float32Array, ownLogits(model, images))
    })

    test('takes pixels as they are where preprocessing is included', async () => {
      const { InferenceSession, Tensor } = await import('onnxruntime-node')
      const { pixels, normalised } = pixelImages(model)
      const session = await InferenceSession.create(writeModelOnnx(model, { fold: true, withPreprocessing: true }))
      const { logits } = await session.run({ input: new Tensor('uint8', pixels, [BATCH, height, width, channels]) })
      expectSame(logits?.data as Float32Array, ownLogits(model, normalised))
    })
  })

  describe('as a layers model, in TensorFlow.js', () => {
    const load = (options: { fold: boolean; withPreprocessing: boolean }) => {
      const out = join(folder, 'tfjs')
      writeExport(model, 'tfjs', out, options)
      return loadFolder(out)
    }

    test.each([
      [true, false],
      [false, false],
      [true, true],
    ])('gives our logits; batch-norms folded: %s, preprocessing included: %s', async (fold, withPreprocessing) => {
      const loaded = await load({ fold, withPreprocessing })
      const { pixels, normalised } = pixelImages(model)
      const given = withPreprocessing ? Float32Array.from(pixels) : images
      const output = loaded.predict(tf.tensor4d(given, [BATCH, height, width, channels])) as tf.Tensor
      expect(output.shape).toEqual([BATCH, model.space.classes])
      expectSame(output.dataSync(), ownLogits(model, withPreprocessing ? normalised : images))
    })
  })

  describe.skipIf(!hasConverter)('as a graph model, in TensorFlow.js', () => {
    test.each([
      [true, false],
      [false, false],
      [true, true],
    ])('gives our logits; batch-norms folded: %s, preprocessing included: %s', async (fold, withPreprocessing) => {
      const loaded = await loadGraph(writeTfjsGraphModel(model, { fold, withPreprocessing }))
      const { pixels, normalised } = pixelImages(model)
      const input = tf.tensor4d(withPreprocessing ? Float32Array.from(pixels) : images, [BATCH, height, width, channels])
      const output = loaded.predict(input)
      expect(output.shape).toEqual([BATCH, model.space.classes])
      expectSame(output.dataSync(), ownLogits(model, withPreprocessing ? normalised : images))
      tf.dispose([input, output])
      loaded.dispose()
    })
  })

  test('as raw weights, in an independent reader, has every weight and statistic bit for bit', () => {
    const out = join(folder, 'weights.safetensors')
    writeExport(model, 'safetensors', out, { fold: true, withPreprocessing: false })
    const { tensors } = readSafetensors(readFileSync(out))
    expect(tensors.size).toBe(model.weights.size + 2 * model.statistics.size)
    for (const [key, { shape, values }] of model.weights) expect(tensors.get(key)).toEqual({ dtype: 'F32', shape, values })
    for (const [gamma, { mean, variance }] of model.statistics) {
      expect(tensors.get(gamma.replace('.gamma', '.mean'))?.values).toEqual(mean)
      expect(tensors.get(gamma.replace('.gamma', '.variance'))?.values).toEqual(variance)
    }
  })
})

const isFixable = ([, space]: (typeof spaces)[number]) => isPlanned(resolveSpaceConfig(space))

/** Networks of trees have a form of their own: export-trees.test.ts. */
const hasNoForm = ([, ref]: (typeof spaces)[number]) => {
  const config = resolveSpaceConfig(ref)
  return !isPlanned(config) && config.family !== 'pyramid-tree'
}

describe.each(spaces.filter(hasNoForm))('%s, whose family has no published form,', (_, space, architecture) => {
  const model = makeModel({ space, ...(architecture === undefined ? {} : { architecture }) })

  test('is refused in that form, and has none in its document', () => {
    const options = { fold: true, withPreprocessing: false }
    const refused = join(folder, 'no-form')
    expect(() => writeExport(model, 'proxylessnas', refused, options)).toThrow(
      /networks of the family [a-z0-9-]+ have no form as a fixed network of MBConvs/,
    )
    expect(existsSync(refused)).toBe(false)
    const out = join(folder, 'no-form.json')
    writeExport(model, 'json', out, options)
    expect(JSON.parse(readFileSync(out, 'utf8'))).toMatchObject({ architecture, network: null })
  })
})

describe.each(spaces.filter(isFixable))('%s', (_, space, architecture) => {
  const model = makeModel({ space, ...(architecture === undefined ? {} : { architecture }) })
  const images = randomImages(BATCH, model.space.input)
  const [height, width, channels] = model.space.input

  const python = '/usr/bin/python3'
  const hasTorch = (() => {
    try {
      execFileSync(python, ['-c', 'import torch, numpy'], { stdio: 'ignore' })
      return true
    } catch {
      return false
    }
  })()

  const { network, prefixes } = fixArchitecture(space, model.path)
  const projects = prefixes.blocks.some((prefix) => prefix?.endsWith('/identity'))

  test.runIf(projects)('in the published form is refused, the block named', () => {
    const write = () => writeExport(model, 'proxylessnas', join(folder, 'refused'), { fold: true, withPreprocessing: false })
    expect(write).toThrow('a net.config has no form for the identity of block1, which projects 18×22×32 to 9×11×64 (blocks[0])')
    expect(existsSync(join(folder, 'refused'))).toBe(false)
  })

  test.runIf(!projects && existsSync(python) && hasTorch)(
    'in the published form, in PyTorch, loads without a key left over and gives our logits',
    () => {
      const out = join(folder, 'proxylessnas')
      writeExport(model, 'proxylessnas', out, { fold: true, withPreprocessing: false })
      const input = join(folder, 'images.bin')
      writeFileSync(input, toNchw(images, model.space.input))
      const script = fileURLToPath(new URL('../fixtures/proxylessnas_forward.py', import.meta.url))
      const shape = [BATCH, channels, height, width].join(',')
      const text = execFileSync(python, [script, out, input, shape], { encoding: 'utf8' })
      expectSame(JSON.parse(text) as number[], ownLogits(model, images))
    },
  )

  const fixed = createSpace(network)

  test("under the published form's names has the weights of the same fixed network", () => {
    const state = new Map(
      [...toStateDict(space, model.path, model)].flatMap(([name, { shape, values }]) =>
        values instanceof Float32Array ? [[name, { shape, values }]] : [],
      ),
    )
    const shapes = new Map(fixed.weightSpecs.map(({ key, shape }) => [key, shape]))
    const read = fromStateDict(network, onlyPath(network), state, (key) => shapes.get(key) ?? [])
    const path = onlyPath(network)
    expectSame(ownLogits({ ...model, ...read, space: fixed, path }, images), ownLogits(model, images))
  })

  test('as a fixed network with the same weights gives the same logits', () => {
    const own = fixArchitecture(network, onlyPath(network)).prefixes
    const renamed = new Map<string, string>()
    for (const [index, prefix] of prefixes.blocks.entries()) if (prefix !== null) renamed.set(prefix, own.blocks[index] ?? '')
    const rename = (key: string) => {
      const slash = key.lastIndexOf('/')
      return `${renamed.get(key.slice(0, slash)) ?? key.slice(0, slash)}${key.slice(slash)}`
    }
    const moved: TrainedModel = {
      ...model,
      description: { ...model.description, space: network, architecture: printArchitecture(fixed, onlyPath(network)) },
      space: fixed,
      path: onlyPath(network),
      weights: new Map([...model.weights].map(([key, tensor]) => [rename(key), tensor])),
      statistics: new Map([...model.statistics].map(([key, value]) => [rename(key), value])),
    }
    expectSame(ownLogits(moved, images), ownLogits(model, images))
  })
})

test('weights that do not fit one shard are loaded from several', async () => {
  const space: SpaceRef = {
    name: 'wide',
    input: [4, 4, 1],
    classes: 3,
    stem: { width: 8, stride: 2 },
    blocks: [{ expansion: 1, kernel: 3, stride: 1, width: 600 }],
    headWidth: 2000,
    batchNormEpsilon: 1e-3,
  }
  const model = makeModel({ space, architecture: 'wide:mb1k3' })
  const out = join(folder, 'wide')
  const files = writeExport(model, 'tfjs', out, { fold: true, withPreprocessing: false })
  expect(files.map(({ path }) => basename(path))).toEqual(['model.json', 'group1-shard1of2.bin', 'group1-shard2of2.bin'])
  const images = randomImages(BATCH, model.space.input)
  const output = (await loadFolder(out)).predict(tf.tensor4d(images, [BATCH, ...model.space.input])) as tf.Tensor
  expectSame(output.dataSync(), ownLogits(model, images))
})

test('a graph model has one node for each convolution with its bias and its ReLU, as the networks that tables measure', () => {
  const model = makeModel({ space: { preset: 'fashion-mini', input: [28, 28, 3] } })
  const [file] = writeTfjsGraphModel(model, { fold: true, withPreprocessing: false })
  const { modelTopology } = JSON.parse(file?.content as string) as { modelTopology: { node: { op: string }[] } }
  const counts = new Map<string, number>()
  for (const { op } of modelTopology.node) if (op !== 'Const') counts.set(op, (counts.get(op) ?? 0) + 1)
  const weights = (key: string) => model.weights.get(key)?.values as Float32Array
  const { steps } = foldBatchNorm(model.space.network(model.path), weights, model.statistics)
  const count = (kind: string) => steps.filter((step) => step.kind === kind).length
  expect(Object.fromEntries(counts)).toEqual({
    Placeholder: 1,
    _FusedConv2D: count('conv2d'),
    FusedDepthwiseConv2dNative: count('depthwiseConv2d'),
    AddV2: count('add'),
    Mean: 1,
    _FusedMatMul: 1,
  })
  expect(steps.length).toBe(modelTopology.node.filter(({ op }) => op !== 'Const' && op !== 'Placeholder').length)
})

test('pixels are refused where the model does not say how each channel is normalised', () => {
  const model = makeModel({ space: { preset: 'fashion-mini', input: [28, 28, 3] } })
  const short = { ...model, description: { ...model.description, normalisation: { mean: [0.5], std: [0.5] } } }
  for (const write of [writeModelOnnx, writeTfjsLayers, writeTfjsGraphModel]) {
    expect(() => write(short, { fold: true, withPreprocessing: true })).toThrow('to have 3 numbers, got 1 and 1')
  }
})
