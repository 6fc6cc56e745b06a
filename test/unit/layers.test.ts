// One suite over every kind of layer, from its own examples: what it says of itself, how it runs on each backend, and what each
// export makes of it, against float64 (layers-reference.ts). Refusals are listed here and asserted.

import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import * as tf from '@tensorflow/tfjs-core'
import { loadLayersModel } from '@tensorflow/tfjs-layers'
import { InferenceSession, Tensor } from 'onnxruntime-node'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import {
  type Activation,
  elementCount,
  layerCosts,
  layerExamples,
  LayerGraphError,
  layerInputs,
  type LayerKind,
  layerKinds,
  type LayerOf,
  layerShape,
  layerWeights,
  type PrimitiveLayer,
  RefusedLayerError,
  type Shape,
  type WeightSpec,
} from '../../search-space/index.ts'
import type { LayerGraph } from '../../search-space/layer-graph.ts'
import { activations } from '../../search-space/layers/activation.ts'
import { createRandom, seedState } from '../../search-space/random.ts'
import { type Backend, openBackend } from '../../engine/backends/backends.ts'
import { createInference, createWeights, foldBatchNorm, predict, trainStep } from '../../engine/executor/index.ts'
import { layerRules } from '../../engine/executor/layers/index.ts'
import { compilePlan } from '../../engine/executor/plan.ts'
import { tfjsRules } from '../../models/export/tfjs/index.ts'
import { writeTfjsNetwork } from '../../models/export/tfjs/write-network.ts'
import { graphRules } from '../../models/export/tfjs-graph/index.ts'
import { writeTfjsGraph } from '../../models/export/tfjs-graph/write-graph.ts'
import { hasConverter, loadGraph } from '../fixtures/graph-model.ts'
import { onnxRules } from '../../onnx/layers/index.ts'
import { writeOnnx } from '../../onnx/write-graph.ts'
import { relativeError } from './kernels-relative-error.ts'
import { type Images, type ReferenceContext, runReference, type Weight } from './layers-reference.ts'

const BATCH = 3
/** Of the largest value: float32 against float64. */
const VALUE_TOLERANCE = 1e-5
const GRADIENT_TOLERANCE = 1e-4

/** What TensorFlow.js's layers cannot say, by kind and example; everything else they must. */
const refusedByTfjs: Readonly<Record<string, string>> = {
  'activation: hardSigmoid': 'its hard sigmoid is max(0, min(1, 0.2 x + 0.5)), not relu6(x + 3) / 6',
  'activation: hardSwish': 'it has no hard swish',
  'chain: hardSigmoid': 'its hard sigmoid is max(0, min(1, 0.2 x + 0.5)), not relu6(x + 3) / 6',
  'chain: hardSwish': 'it has no hard swish',
  'depthwiseConv2d: 3×3 dilated by 2': 'its depthwise convolution leaves the dilation out of account',
  'depthwiseConv2d: 5×5 dilated by 2, of stride 2': 'its depthwise convolution leaves the dilation out of account',
  'pool: average of 3×3, stride 2 over an even size': 'it cannot pad a pooling of 3×3 and stride 2 by 1 on every side here',
  'pool: max of 3×3, stride 2 over an even size': 'it cannot pad a pooling of 3×3 and stride 2 by 1 on every side here',
  'zero: of another shape': 'it has no layer that makes zeros',
}

/** What its graphs cannot say. */
const refusedByGraphs: Readonly<Record<string, string>> = {
  'depthwiseConv2d: 5×5 dilated by 2, of stride 2': 'they have no convolution of stride 2 and dilation 2 at once',
  'pool: average of 3×3, stride 2 over an even size': 'they cannot pad a pooling of 3×3 and stride 2 by 1 on every side here',
  'pool: max of 3×3, stride 2 over an even size': 'they cannot pad a pooling of 3×3 and stride 2 by 1 on every side here',
  'zero: of another shape': 'they have no operation that makes zeros of another size than its input',
}

type RunningLayer = LayerOf<Exclude<LayerKind, 'input'>>

type Case = {
  readonly name: string
  readonly layer: RunningLayer
  readonly inputs: readonly Shape[]
  /**
   * The example behind 1×1 convolutions, one for each of its inputs: gradients of its inputs show in theirs. Or alone, so that
   * nothing around it takes it over.
   */
  readonly graph: LayerGraph
  readonly specs: readonly WeightSpec[]
  readonly weights: ReadonlyMap<string, Weight & { readonly values: Float32Array }>
  readonly statistics: ReadonlyMap<string, { readonly mean: Float32Array; readonly variance: Float32Array }>
  readonly images: Float32Array
}

const IMAGE_CHANNELS = 3

/** Draws what a graph is run with. */
function finishCase(name: string, image: LayerOf<'input'>, layers: readonly RunningLayer[], inputs: readonly Shape[] = []): Case {
  const random = createRandom(seedState('layers', name))
  const normals = (count: number, scale: number, mean = 0) => Float32Array.from({ length: count }, () => mean + scale * random.normal())
  const shapes = new Map<string, Shape>([[image.id, image.shape]])
  const statistics = new Map<string, { mean: Float32Array; variance: Float32Array }>()
  const specs = layers.flatMap((layer) => {
    const read = layerInputs(layer).map((id) => shapes.get(id) as Shape)
    shapes.set(layer.id, layer.shape)
    const channels = layer.shape[2]
    if (layer.kind === 'batchNorm') statistics.set(layer.gamma, { mean: normals(channels, 1), variance: normals(channels, 0.1, 2) })
    return Object.values(layerWeights(layer, read))
  })
  return {
    name,
    layer: layers.at(-1) as RunningLayer,
    inputs,
    graph: { layers: [image, ...layers] },
    specs,
    // Not what a training would start from: a gamma that is left out must show.
    weights: new Map(specs.map(({ key, shape }) => [key, { shape, values: normals(elementCount(shape), 0.7, 0.3) }])),
    statistics,
    images: normals(BATCH * elementCount(image.shape), 1.5),
  }
}

function makeCase(name: string, layer: RunningLayer, inputs: readonly Shape[], isAlone: boolean): Case {
  const [height, width, channels] = inputs[0] as Shape
  const shape: Shape = [height, width, isAlone ? channels : IMAGE_CHANNELS]
  const fed = isAlone ? [] : inputs
  const feeders = fed.flatMap((of, index): RunningLayer[] => {
    const id = `x${index}`
    const isPooled = of[0] !== height || of[1] !== width
    const conv = { kind: 'conv2d', input: 'image', kernel: 1, stride: 1, filter: `${id}/filter` } as const
    if (!isPooled) return [{ ...conv, id, shape: of }]
    const full = `${id}/full`
    return [
      { ...conv, id: full, shape: [height, width, of[2]] },
      { kind: 'globalAveragePool', id, input: full, shape: of },
    ]
  })
  return finishCase(name, { kind: 'input', id: isAlone ? 'x0' : 'image', shape }, [...feeders, layer], inputs)
}

const ALONE = ', alone'

function casesOf(kind: LayerKind): Case[] {
  return layerExamples(kind).flatMap(({ name, layer, inputs }) => {
    if (layer.kind === 'input') return []
    const fed = makeCase(`${kind}: ${name}`, layer, inputs, false)
    return inputs.length === 1 ? [fed, makeCase(`${kind}: ${name}${ALONE}`, layer, inputs, true)] : [fed]
  })
}

/**
 * Batch-norms with an activation behind each, between convolutions: what is fused where activations can be, and what is then not.
 * The last batch-norm is read twice, so that no layer takes it over.
 */
function makeChain(activation: Activation): Case {
  const name = `chain: ${activation}`
  const shape: Shape = [6, 5, 6]
  const norm = (id: string, input: string, of: Shape = shape): LayerOf<'batchNorm'> => {
    return { kind: 'batchNorm', id, input, gamma: `${id}/gamma`, beta: `${id}/beta`, epsilon: 1e-3, shape: of }
  }
  const act = (id: string, input: string): LayerOf<'activation'> => ({ kind: 'activation', id, input, activation, shape })
  const conv = { kernel: 1, stride: 1 } as const
  const last: Shape = [6, 5, 4]
  const layers: RunningLayer[] = [
    { kind: 'conv2d', id: 'expand', input: 'image', ...conv, filter: 'expand/filter', shape },
    norm('expand-norm', 'expand'),
    act('expand-act', 'expand-norm'),
    { kind: 'depthwiseConv2d', id: 'depthwise', input: 'expand-act', kernel: 3, stride: 1, filter: 'depthwise/filter', shape },
    norm('depthwise-norm', 'depthwise'),
    act('depthwise-act', 'depthwise-norm'),
    { kind: 'conv2d', id: 'project', input: 'depthwise-act', ...conv, filter: 'project/filter', shape: last },
    norm('project-norm', 'project', last),
    { kind: 'activation', id: 'last-act', input: 'project-norm', activation, shape: last },
    { kind: 'add', id: 'layer', inputs: ['project-norm', 'last-act'], shape: last },
  ]
  return finishCase(name, { kind: 'input', id: 'image', shape: [6, 5, IMAGE_CHANNELS] }, layers)
}

/** Strides that planes of the SIMD kernels have columns of their own for, over odd sizes and even ones. */
function makeStrided(kernel: number, stride: number): Case {
  const inputs: Shape[] = [[9, 8, 5]]
  const shape: Shape = [Math.ceil(9 / stride), Math.ceil(8 / stride), 5]
  const layer: LayerOf<'depthwiseConv2d'> = { kind: 'depthwiseConv2d', id: 'layer', input: 'x0', kernel, stride, filter: 'filter', shape }
  return makeCase(`depthwiseConv2d: ${kernel}×${kernel} of stride ${stride}, over 9×8`, layer, inputs, false)
}

const cases = [...layerKinds.flatMap(casesOf), ...[1, 2, 3, 4].flatMap((stride) => [1, 3, 7].map((kernel) => makeStrided(kernel, stride)))]
const chains = activations.map(makeChain)
const byName = new Map([...cases, ...chains].map((each) => [each.name, each]))
/** Single layers, and all that is run. */
const names = cases.map(({ name }) => name)
const allNames = [...byName.keys()]
const caseOf = (name: string) => byName.get(name) as Case

/** The output of the whole graph in float64, with one weight moved. */
function reference(
  { graph, weights, images }: Case,
  given: Pick<ReferenceContext, 'statistics'> = {},
  moved?: { readonly key: string; readonly index: number; readonly by: number },
): { output: Images; macs: number } {
  const context: ReferenceContext = {
    ...given,
    macs: 0,
    weight(key) {
      const weight = weights.get(key) as Weight
      if (moved?.key !== key) return weight
      const values = Float64Array.from(weight.values)
      values[moved.index] = (values[moved.index] as number) + moved.by
      return { shape: weight.shape, values }
    },
  }
  const made = new Map<string, Images>()
  let macs = 0
  for (const layer of graph.layers) {
    if (layer.kind === 'mixed') throw new Error('no example is a mixed layer')
    if (layer.kind === 'input') {
      made.set(layer.id, { batch: BATCH, shape: layer.shape, values: Float64Array.from(images) })
      continue
    }
    const before = context.macs
    made.set(
      layer.id,
      runReference(
        layer,
        layerInputs(layer).map((id) => made.get(id) as Images),
        context,
      ),
    )
    macs = context.macs - before
  }
  return { output: made.get('layer') as Images, macs }
}

/** Mean cross-entropy of the output, as logits, of each image. */
function lossOf(output: Images, labels: Int32Array): number {
  const classes = output.values.length / BATCH
  let loss = 0
  for (let image = 0; image < BATCH; image++) {
    const logits = output.values.subarray(image * classes, (image + 1) * classes)
    const largest = Math.max(...logits)
    const total = logits.reduce((sum, value) => sum + Math.exp(value - largest), 0)
    loss += largest + Math.log(total) - (logits[labels[image] as number] as number)
  }
  return loss / BATCH
}

function labelsOf({ layer }: Case): Int32Array {
  return Int32Array.from({ length: BATCH }, (_, image) => (image * 5 + 1) % elementCount(layer.shape))
}

/** By case: backends are compared with the same ones. */
const knownDifferences = new Map<Case, Map<string, Float64Array>>()

/** Central differences in float64, by weight key. */
function finiteDifferences(given: Case): Map<string, Float64Array> {
  const known = knownDifferences.get(given)
  if (known) return known
  const STEP = 1e-5
  const labels = labelsOf(given)
  const differences = new Map<string, Float64Array>()
  for (const [key, { values }] of given.weights) {
    const slopes = Float64Array.from(values, (_, index) => {
      const [up, down] = [STEP, -STEP].map((by) => lossOf(reference(given, {}, { key, index, by }).output, labels)) as [number, number]
      return (up - down) / (2 * STEP)
    })
    differences.set(key, slopes)
  }
  knownDifferences.set(given, differences)
  return differences
}

async function withWeights<T>(
  backend: Backend,
  { specs, weights }: Case,
  use: (made: ReturnType<typeof createWeights>) => Promise<T>,
): Promise<T> {
  const made = createWeights(backend, specs, 1)
  for (const [key, { values }] of weights) made.write(key, values)
  try {
    return await use(made)
  } finally {
    made.dispose()
  }
}

function largestOf(values: ArrayLike<number>): number {
  return Array.from(values).reduce((largest, value) => Math.max(largest, Math.abs(value)), 0)
}

function imagesOf({ images, graph }: Case): tf.Tensor4D {
  return tf.tensor4d(images.slice(), [BATCH, ...(graph.layers[0] as PrimitiveLayer).shape])
}

function valuesOf({ weights }: Case): (key: string) => Float32Array {
  return (key) => weights.get(key)?.values as Float32Array
}

describe('what a kind of layer says of itself', () => {
  test('every kind has an example, each of another name', () => {
    expect(layerKinds.filter((kind) => layerExamples(kind).length === 0)).toEqual([])
    expect(byName.size).toBe(cases.length + chains.length)
  })

  test.each(names)('its shape and costs are those of the computation: %s', (name) => {
    const given = caseOf(name)
    const { layer, inputs } = given
    const { output, macs } = reference(given)
    expect(layerShape(layer, inputs)).toEqual(layer.shape)
    expect(output.shape).toEqual(layer.shape)
    const parameters = Object.values(layerWeights(layer, inputs)).reduce((sum, { shape }) => sum + elementCount(shape), 0)
    expect(layerCosts(layer, inputs)).toEqual({ macs, parameters, activations: output.values.length / BATCH })
  })

  test.each(names.filter((name) => !name.startsWith('zero')))(
    'another shape, and inputs that do not fit, are refused by name: %s',
    (name) => {
      const { graph, layer } = caseOf(name)
      const [height, width, channels] = layer.shape
      const other = { ...layer, shape: [height + 1, width, channels] as const }
      expect(() => compilePlan({ layers: [...graph.layers.slice(0, -1), other] })).toThrow(LayerGraphError)
      expect(() => compilePlan({ layers: [...graph.layers.slice(0, -1), other] })).toThrow('layer layer: expected the shape')
      expect(() => layerShape(layer, [])).toThrow('layer layer: expected')
    },
  )
})

describe.each(['cpu', 'wasm'] as const)('a layer on %s', (name) => {
  let backend: Backend
  beforeAll(async () => {
    backend = (await openBackend(name)).chosen
  })

  test.each(allNames)('computes what float64 says, reads the weights that it names, frees what it makes: %s', async (caseName) => {
    const given = caseOf(caseName)
    const tensorsBefore = tf.memory().numTensors
    const images = imagesOf(given)
    await withWeights(backend, given, async (weights) => {
      const read = new Set<string>()
      const watched = { ...weights, get: (key: string) => (read.add(key), weights.get(key)) }
      const logits = await predict({ graph: given.graph, weights: watched, images })
      expect(relativeError(logits, reference(given).output.values)).toBeLessThan(VALUE_TOLERANCE)
      expect([...read].sort()).toEqual([...given.weights.keys()].sort())
    })
    images.dispose()
    expect(tf.memory().numTensors).toBe(tensorsBefore)
  })

  test.each(allNames)('reverses as finite differences do: %s', async (caseName) => {
    const given = caseOf(caseName)
    const tensorsBefore = tf.memory().numTensors
    const images = imagesOf(given)
    const labels = labelsOf(given)
    await withWeights(backend, given, async (weights) => {
      const { gradients, loss } = await trainStep({ graph: given.graph, weights, images, labels })
      expect(loss).toBeCloseTo(lossOf(reference(given).output, labels), 4)
      const differences = finiteDifferences(given)
      const largest = Math.max(...[...differences.values()].map(largestOf))
      for (const [key, slopes] of differences) {
        const found = gradients.get(key)?.dataSync<'float32'>() ?? new Float32Array(slopes.length)
        // Where a batch-norm takes back what a weight does, sums cancel and leave nothing to compare with but the other weights.
        const scale = Math.max(largestOf(slopes), largest / 100)
        const error = largestOf(slopes.map((slope, index) => (found[index] as number) - slope)) / (scale || 1)
        expect({ key, error, isRight: error < GRADIENT_TOLERANCE }).toMatchObject({ isRight: true })
      }
      tf.dispose([...gradients.values()])
    })
    images.dispose()
    expect(tf.memory().numTensors).toBe(tensorsBefore)
  })

  test.each(allNames)('gives the same with given statistics, in training form and for inference: %s', async (caseName) => {
    const given = caseOf(caseName)
    const { graph, statistics } = given
    const tensorsBefore = tf.memory().numTensors
    const images = imagesOf(given)
    const logits = await withWeights(backend, given, (weights) => predict({ graph, weights, images, statistics }))
    expect(relativeError(logits, reference(given, given).output.values)).toBeLessThan(VALUE_TOLERANCE)
    const inference = createInference({ graph, weights: valuesOf(given), statistics })
    const output = inference.run(images)
    expect(relativeError(output.dataSync(), reference(given, given).output.values)).toBeLessThan(VALUE_TOLERANCE)
    inference.dispose()
    tf.dispose([images, output])
    expect(tf.memory().numTensors).toBe(tensorsBefore)
  })
})

describe.each([true, false])('a layer in a file; batch-norms folded: %s', (fold) => {
  beforeAll(() => openBackend('cpu'))

  const networkOf = (given: Case) => foldBatchNorm(given.graph, valuesOf(given), given.statistics, { fold })

  test.each(allNames)('ONNX, opened by onnxruntime, gives the numbers of float64: %s', async (caseName) => {
    const given = caseOf(caseName)
    const session = await InferenceSession.create(writeOnnx(networkOf(given), { name: 'layer', batch: BATCH }))
    const images = imagesOf(given)
    const planes = tf.transpose(images, [0, 3, 1, 2])
    const { output } = await session.run({ input: new Tensor('float32', planes.dataSync<'float32'>(), planes.shape) })
    const found = tf.tensor(output?.data as Float32Array, [...(output?.dims ?? [])])
    const nhwc = found.rank === 4 ? tf.transpose(found, [0, 2, 3, 1]) : found
    expect(relativeError(nhwc.dataSync(), reference(given, given).output.values)).toBeLessThan(VALUE_TOLERANCE)
    tf.dispose([images, planes, found, nhwc])
    await session.release()
  })

  test.each(allNames)("TensorFlow.js's layers give the numbers of float64, or refuse: %s", async (caseName) => {
    const given = caseOf(caseName)
    const reason = refusedByTfjs[caseName.replace(ALONE, '')]
    if (reason !== undefined) {
      expect(() => writeTfjsNetwork(networkOf(given), { name: 'layer' })).toThrow(RefusedLayerError)
      expect(() => writeTfjsNetwork(networkOf(given), { name: 'layer' })).toThrow(`has no form in TensorFlow.js's layers: ${reason}`)
      return
    }
    const [model, ...shards] = writeTfjsNetwork(networkOf(given), { name: 'layer' })
    const description = JSON.parse(model?.content as string) as {
      modelTopology: object
      weightsManifest: [{ weights: tf.io.WeightsManifestEntry[] }]
    }
    const bytes = new Uint8Array(Buffer.concat(shards.map(({ content }) => content as Uint8Array)))
    const loaded = await loadLayersModel(
      tf.io.fromMemory({ ...description, weightSpecs: description.weightsManifest[0].weights, weightData: bytes.buffer }),
    )
    const images = imagesOf(given)
    const output = loaded.predict(images) as tf.Tensor
    expect(relativeError(output.dataSync(), reference(given, given).output.values)).toBeLessThan(VALUE_TOLERANCE)
    loaded.dispose()
    tf.dispose([images, output])
  })
})

describe.skipIf(!hasConverter).each([true, false])("a layer in TensorFlow.js's graph; batch-norms folded: %s", (fold) => {
  beforeAll(() => openBackend('cpu'))

  const networkOf = (given: Case) => foldBatchNorm(given.graph, valuesOf(given), given.statistics, { fold })

  test.each(allNames)('gives the numbers of float64, or is refused: %s', async (caseName) => {
    const given = caseOf(caseName)
    const reason = refusedByGraphs[caseName.replace(ALONE, '')]
    if (reason !== undefined) {
      expect(() => writeTfjsGraph(networkOf(given), {})).toThrow(`has no form in TensorFlow.js's graphs: ${reason}`)
      return
    }
    const loaded = await loadGraph(writeTfjsGraph(networkOf(given), {}))
    const images = imagesOf(given)
    const output = loaded.predict(images)
    expect(relativeError(output.dataSync(), reference(given, given).output.values)).toBeLessThan(VALUE_TOLERANCE)
    loaded.dispose()
    tf.dispose([images, output])
  })
})

test('every refusal that is listed names an example', () => {
  expect(Object.keys(refusedByGraphs).filter((name) => !byName.has(name))).toEqual([])
  expect(Object.keys(refusedByTfjs).filter((name) => !byName.has(name))).toEqual([])
})

describe('tables and folders', () => {
  const root = join(import.meta.dirname, '../..')
  const running = layerKinds.filter((kind) => kind !== 'input')
  /** By folder: the kinds of its table, and the files beside them that are of no kind. */
  const rooms = {
    'search-space/layers': { kinds: layerKinds, others: ['index', 'layer', 'refusal', 'windows'] },
    'engine/executor/layers': { kinds: Object.keys(layerRules), others: ['convolution', 'dilated', 'groups', 'index', 'norms', 'rule'] },
    'onnx/layers': { kinds: Object.keys(onnxRules), others: ['convolution', 'index', 'rule'] },
    'models/export/tfjs': { kinds: Object.keys(tfjsRules), others: ['convolution', 'index', 'rule', 'write-network', 'writer'] },
    'models/export/tfjs-graph': { kinds: Object.keys(graphRules), others: ['convolution', 'index', 'rule', 'write-graph', 'writer'] },
  } as const
  const fileOf = (kind: string) => kind.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)

  test.each(Object.keys(rooms) as (keyof typeof rooms)[])(
    '%s has one file per kind of its table, and docs/architecture.md names it',
    (folder) => {
      const { kinds, others } = rooms[folder]
      expect([...kinds].sort()).toEqual(folder === 'search-space/layers' ? layerKinds : running)
      const files = readdirSync(join(root, folder)).map((file) => file.replace(/\.ts$/, ''))
      expect(files.sort()).toEqual([...kinds.map(fileOf), ...others].sort())
      const page = readFileSync(join(root, 'docs/architecture.md'), 'utf8')
      expect(page).toContain(`\`${folder}/\``)
    },
  )
})

afterAll(() => tf.setBackend('cpu'))
