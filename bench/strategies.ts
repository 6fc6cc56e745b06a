// npm run bench:strategies -- --json [--space PRESET] [--batch N] [--steps N] [--backend NAME]
//
// What every strategy with a supernet costs, beside each other: the same space, the same mini-batches of noise, one agent with one thread,
// through the coordinator's own rules without a network between.
//   steps   images of weight steps, and milliseconds of architecture steps, by processor time: a machine that is busy with other
//           things makes wall time mean little. The most bytes of activations and gradients that a step took. An architecture step for
//           every fourth weight step, evaluations on 256 images.
//   tasks   of a search of 1,000 weight steps with default settings, by what they are for, counted with answers that nobody computed.

import { cpus } from 'node:os'
import { parseArgs } from 'node:util'
import {
  type MetricSeries,
  PROTOCOL,
  type SearchConfigInput,
  searchConfigSchema,
  type StepWork,
  strategyFields,
  taskKinds,
  type TaskResult,
} from '../protocol/index.ts'
import { renderTable } from '../command-line/text-layout.ts'
import { type BackendName, openBackend } from '../engine/backends/backends.ts'
import { openBatchSource } from '../engine/datasets/index.ts'
import { createTrainer } from '../engine/training/trainer.ts'
import { createMemoryStore } from '../rules/search/memory-store.ts'
import { createSetup, leaseTask, type OpenSearch, openSearch, registerAgent, startSearch, submitResult } from '../rules/search/index.ts'
import { createSpace, spaceRefSchema } from '../search-space/index.ts'
import { macsTable } from '../simulation/macs-table.ts'
import { blankAnswer } from './blank-answer.ts'
import { noiseDataset } from './noise-dataset.ts'

type StrategyInput = NonNullable<SearchConfigInput['strategy']>

const strategies: readonly (readonly [name: string, strategy: StrategyInput])[] = [
  ['proxyless-g, two', { name: 'proxyless-g', form: 'two' }],
  ['proxyless-g, full', { name: 'proxyless-g', form: 'full' }],
  ['proxyless-r', { name: 'proxyless-r' }],
  ['parsec', { name: 'parsec' }],
  ['parsec, 16 paths', { name: 'parsec', weightSamples: 16 }],
  ['fp-nas', { name: 'fp-nas' }],
  ['spos', { name: 'spos' }],
  ['darts, first order', { name: 'darts', order: 'first' }],
  ['darts, second order', { name: 'darts', order: 'second' }],
  ['one-shot', { name: 'one-shot' }],
]

const DEFAULT_SPACE = 'fashion-mini'
const DEFAULT_BATCH = '32'
const DEFAULT_STEPS = '12'
/** What is compiled once is no cost of a step. */
const WARMUP_STEPS = 4
const ARCH_EVERY = 4
const EVALUATED_IMAGES = 256
const COUNTED_STEPS = 1000
/** Of the data, so that no share is smaller than a mini-batch. */
const DATASET_BATCHES = 40
/** Every architecture is within it. */
const FAR_MS = 1e9
const TABLE_VERSION = '0'.repeat(64)
const AGENT = 'a000000000001'
const MEBIBYTE = 2 ** 20

type Cost = { tasks: number; steps: number; images: number; cpuSeconds: number; peakBytes: number }
type Costs = Readonly<Record<MetricSeries, Cost>>
type Answer = (work: StepWork) => Promise<{ readonly result: TaskResult; readonly peakBytes: number }>

const nothing = (): Cost => ({ tasks: 0, steps: 0, images: 0, cpuSeconds: 0, peakBytes: 0 })

/** Architecture steps of a task; an evaluation of samples is one. */
function stepsOf(work: StepWork): number {
  if (work.kind === 'gateGradients') return work.steps.length
  return work.kind === 'mixtureGradients' ? work.steps : 1
}

/** Few steps of each kind, and nothing else. */
function shortened(strategy: StrategyInput, steps: number): StrategyInput {
  const fields = strategyFields(strategy.name)
  const settings = {
    warmupSteps: 0,
    archEvery: ARCH_EVERY,
    evaluateEvery: steps,
    evaluateImages: EVALUATED_IMAGES,
    images: EVALUATED_IMAGES,
    population: 2,
    generations: 1,
    parents: 1,
    candidates: 2,
  }
  return { ...strategy, ...Object.fromEntries(Object.entries(settings).filter(([field]) => fields.includes(field))) }
}

/** The agent's side of a search, to its end. */
async function runSearch(search: OpenSearch, answer: Answer): Promise<Costs> {
  const costs = { training: nothing(), architecture: nothing(), validation: nothing() }
  for (let leases = 1; ; leases++) {
    const leased = leaseTask(search, AGENT, `l${String(leases).padStart(12, '0')}`, leases)
    if (leased.kind === 'finished') return costs
    if (leased.kind === 'wait') throw new Error(`the search waits (${leased.reason}) with one agent, which has nothing`)
    const { taskId, leaseId, work } = leased.task
    if (work.kind === 'trainArchitecture') throw new Error('expected a strategy with a supernet, got a trial')
    const start = process.cpuUsage()
    const { result, peakBytes } = await answer(work)
    const { user, system } = process.cpuUsage(start)
    submitResult(search, { agentId: AGENT, taskId, leaseId, result, timing: { trainMs: 0, idleMs: 0 } }, leases)
    const cost = costs[search.store.readMetrics(leases - 1, 1)[0]?.series ?? 'training']
    cost.tasks += 1
    cost.steps += stepsOf(work)
    cost.images += 'images' in result ? result.images : 0
    cost.cpuSeconds += (user + system) / 1e6
    cost.peakBytes = Math.max(cost.peakBytes, peakBytes)
  }
}

const { values } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    space: { type: 'string', default: DEFAULT_SPACE },
    batch: { type: 'string', default: DEFAULT_BATCH },
    steps: { type: 'string', default: DEFAULT_STEPS },
    backend: { type: 'string', default: 'wasm' },
  },
})
const { chosen: backend } = await openBackend(values.backend as BackendName | 'auto')
const space = createSpace(spaceRefSchema.parse(values.space))
const batchSize = Number(values.batch)
const dataset = noiseDataset(space, DATASET_BATCHES * batchSize)
const source = await openBatchSource(dataset)

function openSearchFor(strategy: StrategyInput, steps: number): OpenSearch {
  const config = searchConfigSchema.parse({
    space: values.space,
    dataset: { name: dataset.name },
    latency: { targetMs: FAR_MS, table: { name: 'bench' }, loss: { kind: 'add#linear' } },
    strategy,
    training: { steps, batchSize },
  })
  const store = createMemoryStore({ copies: false })
  startSearch(() => store, createSetup('s000000000001', config, { ...macsTable(space), version: TABLE_VERSION }, 0))
  const search = openSearch(store) as OpenSearch
  const { fingerprint, shape, classes, train } = dataset
  const images = { name: dataset.name, fingerprint, shape: [...shape] as [number, number, number], classes, trainImages: train.count }
  const agent = { name: 'bench', device: 'bench', backend: backend.name, lanes: 1, protocol: PROTOCOL, kinds: taskKinds, dataset: images }
  registerAgent(search, agent, AGENT, 0)
  return search
}

async function measureCosts(strategy: StrategyInput, steps: number): Promise<Costs> {
  const search = openSearchFor(shortened(strategy, steps), steps)
  const trainer = createTrainer({ backend, dataset, source, space, config: search.setup.config, accumulate: 1 })
  const train: Answer = (work) => trainer.run(work, async () => undefined)
  try {
    await runSearch(openSearchFor(shortened(strategy, WARMUP_STEPS), WARMUP_STEPS), train)
    return await runSearch(search, train)
  } finally {
    await trainer.close()
  }
}

async function countTasks(strategy: StrategyInput): Promise<Readonly<Record<MetricSeries, number>>> {
  const { training, architecture, validation } = await runSearch(openSearchFor(strategy, COUNTED_STEPS), async (work) => {
    return { result: blankAnswer(work, space, batchSize), peakBytes: 0 }
  })
  return { training: training.tasks, architecture: architecture.tasks, validation: validation.tasks }
}

process.stderr.write(`${cpus()[0]?.model.trim()}, Node ${process.version}, ${backend.name}\n`)
const rows = []
for (const [name, strategy] of strategies) {
  rows.push({ strategy: name, costs: await measureCosts(strategy, Number(values.steps)), tasks: await countTasks(strategy) })
  process.stderr.write(`${name}\n`)
}
if (values.json) console.log(JSON.stringify({ space: space.name, batchSize, rows }))

const mebibytes = ({ peakBytes }: Cost) => (peakBytes > 0 ? (peakBytes / MEBIBYTE).toFixed(1) : '–')
const milliseconds = ({ cpuSeconds, steps }: Cost) => (steps > 0 ? ((1000 * cpuSeconds) / steps).toFixed(0) : '–')
const right = (title: string) => ({ title, align: 'right' as const })
const table = renderTable(
  [
    { title: 'strategy' },
    right('images/s'),
    right('peak, MiB'),
    right('architecture step, ms'),
    right('peak, MiB'),
    right('tasks: weights'),
    right('architecture'),
    right('evaluation'),
  ],
  rows.map(({ strategy, costs: { training, architecture }, tasks }) => [
    strategy,
    (training.images / training.cpuSeconds).toFixed(0),
    mebibytes(training),
    milliseconds(architecture),
    mebibytes(architecture),
    ...[tasks.training, tasks.architecture, tasks.validation].map(String),
  ]),
)
process.stderr.write(`${table}\n`)
