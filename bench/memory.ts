// npm run bench:memory -- --json [--backend NAME] [--draws N]
//
// Peak bytes of tensors during one step, on the supernet of bench:train-step's case (b) and on `proxyless-mobile` at
// 224×224: plain (a derived network trained by itself), path (the same network as a path of the supernet), *two*, *full*,
// and the references that run all operations at once, DARTS and One-Shot. Counted: activations and gradients that the
// step makes, its images, and the weights that its graph reads; the weights of operations that it does not touch may lie
// anywhere and are not. Each figure is the median over some drawn networks, the ratio too.

import { parseArgs } from 'node:util'
import * as tf from '@tensorflow/tfjs-core'
import {
  type Choice,
  combineBranches,
  createRandom,
  createSpace,
  type LayerGraph,
  seedState,
  type Space,
  type SpaceRef,
  weightKeys,
} from '../search-space/index.ts'
import { type BackendName, openBackend } from '../engine/backends/backends.ts'
import { createWeights, gateStep, trainStep, type Weights } from '../engine/executor/index.ts'
import { benchCases } from './train-step-cases.ts'
import { median } from '../latency-lut/table/robust.ts'

const DEFAULT_DRAWS = 3
/** Small enough for a machine of 8 GB to hold the activations of all operations of a block at once. */
const MOBILE_BATCH = 2

type Network = { readonly name: string; readonly space: SpaceRef; readonly batch: number }
type StepName = 'plain' | 'path' | 'two' | 'full' | 'darts' | 'one-shot'

const supernet = benchCases.find(({ name }) => name === 'b')
const networks: readonly Network[] = [
  ...(supernet ? [{ name: 'supernet (b)', space: supernet.space, batch: supernet.batch }] : []),
  { name: 'proxyless-mobile 224', space: 'proxyless-mobile', batch: MOBILE_BATCH },
]

/** The graphs of one drawn network. Zero is not drawn as the active operation: its block would have nothing to compare. */
function drawGraphs(space: Space, draw: number): Record<StepName, LayerGraph> {
  const random = createRandom(seedState('bench-memory', draw))
  const below = (limit: number) => Math.floor(random.uniform() * limit)
  const path: number[] = []
  const two: Choice[] = []
  const full: Choice[] = []
  for (const { options } of space.decisions) {
    const candidates = options.flatMap(({ isZero }, index) => (isZero ? [] : [index]))
    const active = candidates[below(candidates.length)] as number
    const others = options.map((_, index) => index).filter((index) => index !== active)
    path.push(active)
    two.push({ active, inactive: [others[below(others.length)] as number] })
    full.push({ active, inactive: others })
  }
  const all = space.network(full)
  return {
    plain: space.network(path),
    path: space.network(path),
    two: space.network(two),
    full: all,
    darts: combineBranches(all, ({ branches }) => ({ kind: 'weighted', weights: branches.map(() => 1 / branches.length) })),
    'one-shot': combineBranches(all, () => ({ kind: 'sum' })),
  }
}

async function peakBytes(step: StepName, graph: LayerGraph, weights: Weights, images: tf.Tensor4D): Promise<number> {
  const labels = Int32Array.from({ length: images.shape[0] }, (_, index) => index % 2)
  const input = { graph, weights, images, labels }
  const run = async () => {
    if (step === 'two' || step === 'full') return (await gateStep(input)).peakBytes
    // Gradients of weights and of the mixture in one pass, as DARTS is compared.
    const result = await trainStep({ ...input, wantsMixture: step === 'darts' })
    tf.dispose([...result.gradients.values()])
    return result.peakBytes
  }
  // The first step also makes the weights that it reads.
  await run()
  const own = await run()
  const parameters = [...new Set(weightKeys(graph))].map((key) => weights.get(key).size)
  return own + (images.size + parameters.reduce((sum, size) => sum + size, 0)) * Float32Array.BYTES_PER_ELEMENT
}

const { values } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    backend: { type: 'string', default: 'wasm' },
    draws: { type: 'string', default: String(DEFAULT_DRAWS) },
  },
})
const { chosen } = await openBackend(values.backend as BackendName | 'auto')
const cases: { network: string; step: StepName; peakBytes: number; ratioToPlain: number }[] = []
for (const { name, space: ref, batch } of networks) {
  const space = createSpace(ref)
  const images = tf.randomNormal([batch, ...space.input]) as tf.Tensor4D
  const shared = createWeights(chosen, space.weightSpecs, 1)
  const peaks = new Map<StepName, number[]>()
  for (let draw = 0; draw < Number(values.draws); draw++) {
    for (const [step, graph] of Object.entries(drawGraphs(space, draw)) as [StepName, LayerGraph][]) {
      const keys = new Set(weightKeys(graph))
      const own = createWeights(
        chosen,
        space.weightSpecs.filter(({ key }) => keys.has(key)),
        1,
      )
      const bytes = await peakBytes(step, graph, step === 'plain' ? own : shared, images)
      own.dispose()
      peaks.set(step, [...(peaks.get(step) ?? []), bytes])
    }
  }
  shared.dispose()
  images.dispose()
  const plain = peaks.get('plain') as number[]
  for (const [step, bytes] of peaks) {
    const ratioToPlain = median(bytes.map((value, draw) => value / (plain[draw] as number)))
    cases.push({ network: name, step, peakBytes: median(bytes), ratioToPlain })
    const mebibytes = (median(bytes) / 2 ** 20).toFixed(1).padStart(8)
    process.stderr.write(`${name.padEnd(22)} ${step.padEnd(9)} ${mebibytes} MiB  ${ratioToPlain.toFixed(2)} × plain\n`)
  }
}
if (values.json) console.log(JSON.stringify({ cases }))
