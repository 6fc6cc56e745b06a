// npm run bench:grow -- [--data FOLDER] [--steps N] [--base-steps N] [--seeds N] [--json]
//
// What weights that a smaller network has learnt are worth to a larger one (net2net). A plain convolutional network is trained for
// --base-steps; it is widened and deepened, and goes on for 60 % of --steps. Beside it the same large network from random weights, for
// --steps and for as many as the grown one had. Validation accuracy, by seed.

import { cpus } from 'node:os'
import { parseArgs } from 'node:util'
import { renderTable } from '../command-line/text-layout.ts'
import { openBackend } from '../engine/backends/backends.ts'
import { openDataset } from '../engine/datasets/index.ts'
import { type InitialWeights, trainFromScratch } from '../engine/training/from-scratch.ts'
import { fingerprintOf } from '../engine/training/network-weights.ts'
import { type Recipe, recipeSchema } from '../protocol/index.ts'
import {
  architectureCosts,
  createRandom,
  createSpace,
  deepen,
  type GrownNetwork,
  type PrimitiveLayer,
  seedState,
  type Shape,
  type Space,
  widen,
} from '../search-space/index.ts'

const GROWN_SHARE = 0.6
const WIDTHS = [4, 8, 16]
const WIDER = 2
const CLASSES = 10
/** Of Fashion-MNIST. */
const SHAPE: Shape = [28, 28, 1]
const EPSILON = 1e-3
const WHOLE = [0]

const { values: flags } = parseArgs({
  options: {
    data: { type: 'string', default: '/usr/share/datasets/fashion-mnist' },
    steps: { type: 'string', default: '500' },
    'base-steps': { type: 'string', default: '1500' },
    seeds: { type: 'string', default: '3' },
    json: { type: 'boolean', default: false },
  },
})
const steps = Number(flags.steps)
const baseSteps = Number(flags['base-steps'])
const grownSteps = Math.round(GROWN_SHARE * steps)

/** 3×3 convolutions with batch-norm and ReLU, each behind a pooling but for the first; mean over each channel, classifier. */
function plainNetwork(): PrimitiveLayer[] {
  const [height, width] = SHAPE
  const layers: PrimitiveLayer[] = [{ kind: 'input', id: 'input', shape: SHAPE }]
  let [input, side] = ['input', [height, width] as const]
  for (const [index, filters] of WIDTHS.entries()) {
    const id = `conv${index + 1}`
    if (index > 0) {
      side = [Math.ceil(side[0] / 2), Math.ceil(side[1] / 2)]
      const shape: Shape = [...side, WIDTHS[index - 1] as number]
      layers.push({ kind: 'pool', id: `pool${index}`, input, mode: 'max', kernel: 3, stride: 2, shape })
      input = `pool${index}`
    }
    const shape: Shape = [...side, filters]
    layers.push(
      { kind: 'conv2d', id, input, kernel: 3, stride: 1, filter: `${id}.filter`, shape },
      { kind: 'batchNorm', id: `${id}.norm`, input: id, gamma: `${id}.gamma`, beta: `${id}.beta`, epsilon: EPSILON, shape },
      { kind: 'activation', id: `${id}.relu`, input: `${id}.norm`, activation: 'relu', shape },
    )
    input = `${id}.relu`
  }
  const last = WIDTHS.at(-1) as number
  return [
    ...layers,
    { kind: 'globalAveragePool', id: 'pool', input, shape: [1, 1, last] },
    { kind: 'linear', id: 'linear', input: 'pool', weights: 'linear.weights', bias: 'linear.bias', shape: [1, 1, CLASSES] },
  ]
}

/** Every convolution twice as wide, and another behind each. */
function grow(network: GrownNetwork, seed: number): GrownNetwork {
  const random = createRandom(seedState('grow', seed))
  const ids = WIDTHS.map((_, index) => `conv${index + 1}`)
  const wide = ids.reduce((grown, id, index) => widen(grown, id, WIDER * (WIDTHS[index] as number), random), network)
  return ids.reduce(deepen, wide)
}

function spaceOf(layers: readonly PrimitiveLayer[]): Space {
  const [height, width, channels] = SHAPE
  return createSpace({
    family: 'graph',
    name: 'plain',
    input: [height, width, channels],
    classes: CLASSES,
    layers: structuredClone(layers) as never,
  })
}

const backend = (await openBackend('wasm')).chosen
const dataset = await openDataset(flags.data, {})
const recipeOf = (of: number): Recipe => recipeSchema.parse({ steps: of, evaluateEvery: 0 })
const train = (space: Space, of: number, seed: number, initial?: InitialWeights) =>
  trainFromScratch({ backend, dataset, space, path: WHOLE, recipe: recipeOf(of), seed, ...(initial && { initial }) })

type Row = { readonly seed: number; readonly base: number; readonly grown: number; readonly same: number; readonly scratch: number }
const rows: Row[] = []
let large: Space | undefined
const small = spaceOf(plainNetwork())
for (let seed = 1; seed <= Number(flags.seeds); seed++) {
  const base = await train(small, baseSteps, seed)
  const grown = grow({ layers: plainNetwork(), weights: base.weights, statistics: base.statistics }, seed)
  large = spaceOf(grown.layers)
  const entries = [...grown.weights].map(([key, { values }]) => [key, values] as const)
  const continued = await train(large, grownSteps, seed, { fingerprint: fingerprintOf('initial', entries), tensors: grown.weights })
  const same = await train(large, grownSteps, seed)
  const scratch = await train(large, steps, seed)
  const accuracy = ({ validation }: Awaited<ReturnType<typeof train>>) => 100 * validation.top1
  rows.push({ seed, base: accuracy(base), grown: accuracy(continued), same: accuracy(same), scratch: accuracy(scratch) })
  process.stderr.write(`${JSON.stringify(rows.at(-1))}\n`)
}

const mean = (field: keyof Row) => rows.reduce((sum, row) => sum + row[field], 0) / rows.length
const macs = (space: Space | undefined) => (space ? architectureCosts(space, WHOLE).macs : 0)
const report = {
  machine: cpus()[0]?.model ?? 'unknown',
  steps: { base: baseSteps, grown: grownSteps, scratch: steps },
  macs: { base: macs(small), grown: macs(large) },
  rows,
  mean: { base: mean('base'), grown: mean('grown'), same: mean('same'), scratch: mean('scratch') },
}
if (flags.json) console.log(JSON.stringify(report))
else {
  const percent = (value: number) => `${value.toFixed(2)} %`
  console.log(
    renderTable(
      [
        { title: 'seed', align: 'right' },
        { title: `small, ${baseSteps} steps`, align: 'right' },
        { title: `grown, ${grownSteps} more`, align: 'right' },
        { title: `large, ${grownSteps} steps`, align: 'right' },
        { title: `large, ${steps} steps`, align: 'right' },
      ],
      [...rows, { seed: 'mean', ...report.mean }].map((row) => [
        String(row.seed),
        ...[row.base, row.grown, row.same, row.scratch].map(percent),
      ]),
    ),
  )
}
