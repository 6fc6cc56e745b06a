// A weight step and a gate step of a random architecture of every family of spaces: loss and every gradient against PyTorch in float64
// (bench/pytorch/twin.py), and where there is no PyTorch against the reference backend.
//
// Of each family the preset with the fewest weights, so that a family that is added is tested here without a word.

import { execFileSync, spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import * as tf from '@tensorflow/tfjs-core'
import { describe, expect, test } from 'vitest'
import * as z from 'zod'

import { openBackend } from '../../engine/backends/backends.ts'
import { padToWhole } from '../../engine/executor/slices.ts'
import { createWeights, gateStep, trainStep, type Weights } from '../../engine/executor/index.ts'
import {
  type Choice,
  createRandom,
  createSpace,
  elementCount,
  type LayerGraph,
  networkWeights,
  type PresetName,
  presetNames,
  presets,
  type Random,
  seedState,
  type Space,
} from '../../search-space/index.ts'

const PYTHON = process.env['GATEHOUSE_BENCH_PYTHON'] ?? 'python3'
const twin = fileURLToPath(new URL('../../bench/pytorch/twin.py', import.meta.url))
const hasTorch = spawnSync(PYTHON, ['-c', 'import torch'], { stdio: 'ignore' }).status === 0

const IMAGES = 2
const SMOOTHING = 0.1
/** What float32 leaves, as a share of the largest number of its tensor. */
const TOLERANCE = 1e-4
/**
 * Draws of images and weights, of which one has to agree. An activation that float32 puts on the other side of a kink of ReLU changes
 * all gradients before it by percents, and a draw has one in a hundred thousand activations that is so near.
 */
const DRAWS = 3
/** The reference backend takes seconds for a step. */
const TIMEOUT_MS = 240_000

function smallestOfEachFamily(): [string, PresetName][] {
  const weightsOf = (name: PresetName) => createSpace(name).weightSpecs.reduce((sum, { shape }) => sum + elementCount(shape), 0)
  const smallest = new Map<string, { readonly name: PresetName; readonly weights: number }>()
  for (const name of presetNames) {
    const config = presets[name]
    const family = 'family' in config ? config.family : 'mbconv'
    if (createSpace(name).decisions.every(({ options }) => options.length === 1)) continue
    const weights = weightsOf(name)
    if (weights < (smallest.get(family)?.weights ?? Number.POSITIVE_INFINITY)) smallest.set(family, { name, weights })
  }
  return [...smallest].map(([family, { name }]) => [family, name])
}

const base64 = (values: Float32Array) => Buffer.from(values.buffer, values.byteOffset, values.byteLength).toString('base64')
const floats = (text: string) => {
  const bytes = Buffer.from(text, 'base64')
  return new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength))
}

type Batch = { readonly images: tf.Tensor4D; readonly labels: Int32Array }
type WeightStep = { readonly loss: number; readonly gradients: ReadonlyMap<string, Float32Array> }
type GateStep = { readonly loss: number; readonly gates: ReadonlyMap<number, readonly number[]> }
type Side = { weightStep(graph: LayerGraph): Promise<WeightStep>; gateStep(graph: LayerGraph): Promise<GateStep> }

/** Summed over the places where a decision acts. */
function byBlock(found: readonly { readonly block: number; readonly gradients: readonly number[] }[]): Map<number, number[]> {
  const sums = new Map<number, number[]>()
  for (const { block, gradients } of found)
    sums.set(
      block,
      gradients.map((value, i) => value + (sums.get(block)?.[i] ?? 0)),
    )
  return sums
}

function onBackend(weights: Weights, batch: Batch): Side {
  return {
    async weightStep(graph) {
      const { loss, gradients } = await trainStep({ graph, weights, ...batch, labelSmoothing: SMOOTHING })
      const whole = (key: string, tensor: tf.Tensor) => tf.tidy(() => tf.clone(padToWhole(key, tensor, weights.spec(key).shape)))
      const read = await Promise.all(
        [...gradients].map(async ([key, tensor]) => {
          const padded = whole(key, tensor)
          const values = (await padded.data()) as Float32Array
          padded.dispose()
          return [key, values] as const
        }),
      )
      tf.dispose([...gradients.values()])
      return { loss, gradients: new Map(read) }
    },
    async gateStep(graph) {
      const { loss, gateGradients } = await gateStep({ graph, weights, ...batch })
      return { loss, gates: byBlock(gateGradients) }
    },
  }
}

const answer = z.object({
  loss: z.number(),
  gradients: z.record(z.string(), z.string()).default({}),
  gates: z.array(z.object({ block: z.int(), gradients: z.array(z.number()) })).default([]),
})

/** All weights that a network reads, whole. */
async function inPyTorch(weights: Weights, { images, labels }: Batch, graph: LayerGraph, gates: boolean) {
  const tensors: Record<string, object> = {}
  for (const key of networkWeights(graph).keys()) tensors[key] = { shape: weights.spec(key).shape, values: base64(await weights.read(key)) }
  const pixels = { shape: images.shape, values: base64((await images.data()) as Float32Array) }
  const request = { graph, weights: tensors, images: pixels, labels: [...labels], labelSmoothing: SMOOTHING, gates }
  const printed = execFileSync(PYTHON, [twin], { input: JSON.stringify(request), maxBuffer: 2 ** 30, encoding: 'utf8' })
  return answer.parse(JSON.parse(printed))
}

function pyTorch(weights: Weights, batch: Batch): Side {
  return {
    async weightStep(graph) {
      const { loss, gradients } = await inPyTorch(weights, batch, graph, false)
      return { loss, gradients: new Map(Object.entries(gradients).map(([key, text]) => [key, floats(text)])) }
    },
    async gateStep(graph) {
      const { loss, gates } = await inPyTorch(weights, batch, graph, true)
      return { loss, gates: byBlock(gates) }
    },
  }
}

function drawChoices({ decisions }: Space, random: Random): { readonly path: number[]; readonly gated: Choice[] } {
  const path = decisions.map(({ options }) => random.integer(options.length))
  const gated = decisions.map(({ options }, index): Choice => {
    const active = path[index] as number
    if (options[active]?.isZero || options.length === 1) return active
    return { active, inactive: [(active + 1 + random.integer(options.length - 1)) % options.length] }
  })
  return { path, gated }
}

const absoluteMost = (values: ArrayLike<number>) => Array.from(values).reduce((most, value) => Math.max(most, Math.abs(value)), 0)

/** Largest distance, as a share of the largest number; `least`: of numbers that are all smaller, as a share of that. */
function distance(actual: ArrayLike<number> | undefined, expected: ArrayLike<number>, least: number): number {
  expect(actual?.length).toBe(expected.length)
  const scale = Math.max(least, absoluteMost(expected))
  return Array.from(expected, (value, i) => Math.abs(value - (actual?.[i] as number)) / scale).reduce(
    (most, value) => Math.max(most, value),
    0,
  )
}

/** The largest distance of two maps of numbers, which have to have the same keys. */
function distances<Key>(actual: ReadonlyMap<Key, ArrayLike<number>>, expected: ReadonlyMap<Key, ArrayLike<number>>): number {
  expect(new Set(actual.keys())).toEqual(new Set(expected.keys()))
  const largest = Math.max(...[...expected.values()].map(absoluteMost))
  expect(largest).toBeGreaterThan(0)
  // Gradients in front of a batch-norm that takes them out again are 0 but for rounding.
  return Math.max(...[...expected].map(([key, values]) => distance(actual.get(key), values, largest / 100)))
}

/** How far loss and gradients of both steps are from those of PyTorch, or the reference backend. */
async function compare(preset: PresetName, draw: number): Promise<number> {
  const space = createSpace(preset)
  const random = createRandom(seedState('family-gradients', preset, draw))
  const pixels = Float32Array.from({ length: IMAGES * elementCount(space.input) }, () => random.normal())
  const labels = Int32Array.from({ length: IMAGES }, (__, index) => index % space.classes)
  const { path, gated } = drawChoices(space, random)
  const open = async (name: 'wasm' | 'cpu') => {
    const { chosen } = await openBackend(name)
    const batch = { images: tf.tensor4d(pixels.slice(), [IMAGES, ...space.input]), labels }
    return { weights: createWeights(chosen, space.weightSpecs, draw), batch }
  }
  const own = await open('wasm')
  const other = hasTorch ? own : await open('cpu')
  const theirs = hasTorch ? pyTorch(other.weights, other.batch) : onBackend(other.weights, other.batch)
  const both = async <Step>(run: (side: Side) => Promise<Step>): Promise<readonly [Step, Step]> => {
    await openBackend('wasm')
    const actual = await run(onBackend(own.weights, own.batch))
    if (!hasTorch) await openBackend('cpu')
    return [actual, await run(theirs)]
  }
  const [weight, weightThere] = await both((side) => side.weightStep(space.network(path)))
  const found = [Math.abs(weight.loss / weightThere.loss - 1), distances(weight.gradients, weightThere.gradients)]
  if (space.gateRefusal === undefined) {
    const [gate, gateThere] = await both((side) => side.gateStep(space.network(gated)))
    found.push(Math.abs(gate.loss / gateThere.loss - 1), distances(gate.gates, gateThere.gates))
  }
  for (const { weights, batch } of new Set([own, other])) {
    batch.images.dispose()
    weights.dispose()
  }
  return Math.max(...found)
}

describe.each(smallestOfEachFamily())('family %s, %s', (_, preset) => {
  test(
    `agrees with ${hasTorch ? 'PyTorch in float64' : 'the reference backend'} in loss and every gradient`,
    async () => {
      let nearest = Number.POSITIVE_INFINITY
      for (let draw = 1; draw <= DRAWS && nearest > TOLERANCE; draw++) nearest = Math.min(nearest, await compare(preset, draw))
      expect(nearest).toBeLessThan(TOLERANCE)
    },
    TIMEOUT_MS,
  )
})
