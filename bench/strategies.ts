// npm run bench:strategies -- --json [--space PRESET] [--batch N] [--steps N] [--backend NAME]
//
// What every strategy with a supernet costs, beside each other: the same space, the same mini-batches of noise, the same number of weight
// steps, one agent with one thread, through the coordinator's own rules without a network between. Of weight steps and architecture
// steps: images, or steps, for each second of processor time, and the most bytes of activations and gradients that one took; of a whole
// search: its tasks by what they were for. Processor time, since a machine that is busy with other things makes wall time mean little.

import { cpus } from 'node:os'
import { parseArgs } from 'node:util'
import { type MetricSeries, PROTOCOL, type SearchConfigInput, searchConfigSchema, taskKinds, type TaskWork } from '../protocol/index.ts'
import { type BackendName, openBackend } from '../engine/backends/backends.ts'
import { openBatchSource } from '../engine/datasets/index.ts'
import { createTrainer, type Trainer } from '../engine/training/trainer.ts'
import { renderTable } from '../command-line/text-layout.ts'
import { createMemoryStore } from '../rules/search/memory-store.ts'
import { createSetup, leaseTask, type OpenSearch, openSearch, registerAgent, startSearch, submitResult } from '../rules/search/index.ts'
import { createSpace, spaceRefSchema } from '../search-space/index.ts'
import { macsTable } from '../simulation/macs-table.ts'
import { noiseDataset } from './noise-dataset.ts'

type StrategyInput = NonNullable<SearchConfigInput['strategy']>

/** Each with its default settings, but that those which evaluate architectures at the end evaluate ten, on few images. */
const strategies: readonly (readonly [name: string, strategy: StrategyInput])[] = [
  ['proxyless-g, two', { name: 'proxyless-g', form: 'two' }],
  ['proxyless-g, full', { name: 'proxyless-g', form: 'full' }],
  ['proxyless-r', { name: 'proxyless-r' }],
  ['parsec', { name: 'parsec' }],
  ['parsec, 16 paths', { name: 'parsec', weightSamples: 16 }],
  ['fp-nas', { name: 'fp-nas' }],
  ['spos', { name: 'spos', population: 5, generations: 2, parents: 2, images: 256 }],
  ['darts, first order', { name: 'darts', order: 'first' }],
  ['darts, second order', { name: 'darts', order: 'second' }],
  ['one-shot', { name: 'one-shot', candidates: 10, images: 256 }],
]

const DEFAULT_SPACE = 'fashion-mini'
const DEFAULT_BATCH = '32'
/** Enough for an architecture step of each. */
const DEFAULT_STEPS = '24'
/** Of the data, so that no share is smaller than a mini-batch. */
const DATASET_BATCHES = 40
const FAR_MS = 1e9
const TABLE_VERSION = '0'.repeat(64)
const AGENT = 'a000000000001'
const MEBIBYTE = 2 ** 20

type Cost = { tasks: number; steps: number; images: number; cpuSeconds: number; peakBytes: number }
type Row = { readonly strategy: string; readonly costs: Readonly<Record<MetricSeries, Cost>> }

const nothing = (): Cost => ({ tasks: 0, steps: 0, images: 0, cpuSeconds: 0, peakBytes: 0 })

/** Architecture steps of a task; an evaluation of samples is one. */
function stepsOf(work: TaskWork): number {
  if (work.kind === 'gateGradients') return work.steps.length
  return work.kind === 'mixtureGradients' ? work.steps : 1
}

/** Runs a search to its end. The first task of each kind is done twice, and its second time counts: what is compiled once is no cost of a step. */
async function runSearch(search: OpenSearch, trainer: Trainer): Promise<Row['costs']> {
  const costs = { training: nothing(), architecture: nothing(), validation: nothing() }
  const warm = new Set<string>()
  for (let leases = 1; ; leases++) {
    const leased = leaseTask(search, AGENT, `l${String(leases).padStart(12, '0')}`, leases)
    if (leased.kind === 'finished') return costs
    if (leased.kind === 'wait') throw new Error(`the search waits (${leased.reason}) with one agent, which has nothing`)
    const { taskId, leaseId, work } = leased.task
    if (work.kind === 'trainArchitecture') throw new Error('expected a strategy with a supernet, got a trial')
    if (!warm.has(work.kind)) await trainer.run(work, async () => undefined)
    warm.add(work.kind)
    const start = process.cpuUsage()
    const { result, peakBytes } = await trainer.run(work, async () => undefined)
    const { user, system } = process.cpuUsage(start)
    submitResult(search, { agentId: AGENT, taskId, leaseId, result, timing: { trainMs: 0, idleMs: 0 } }, leases)
    const metric = search.store.readMetrics(0, Number.MAX_SAFE_INTEGER).at(-1)
    const cost = costs[metric?.series ?? 'training']
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
process.stderr.write(`${cpus()[0]?.model.trim()}, Node ${process.version}, ${backend.name}\n`)

const rows: Row[] = []
for (const [name, strategy] of strategies) {
  const config = searchConfigSchema.parse({
    space: values.space,
    dataset: { name: dataset.name },
    latency: { targetMs: FAR_MS, table: { name: 'bench' }, loss: { kind: 'add#linear' } },
    strategy,
    training: { steps: Number(values.steps), batchSize },
  })
  const store = createMemoryStore({ copies: false })
  startSearch(() => store, createSetup('s000000000001', config, { ...macsTable(space), version: TABLE_VERSION }, 0))
  const search = openSearch(store) as OpenSearch
  const { fingerprint, shape, classes } = dataset
  const said = { name: dataset.name, fingerprint, shape: [...shape] as [number, number, number], classes, trainImages: dataset.train.count }
  registerAgent(
    search,
    { name: 'bench', device: 'bench', backend: backend.name, lanes: 1, protocol: PROTOCOL, kinds: taskKinds, dataset: said },
    AGENT,
    0,
  )
  const trainer = createTrainer({ backend, dataset, source, space, config, accumulate: 1 })
  rows.push({ strategy: name, costs: await runSearch(search, trainer) })
  await trainer.close()
  process.stderr.write(`${name}\n`)
}

const mebibytes = ({ peakBytes }: Cost) => (peakBytes > 0 ? (peakBytes / MEBIBYTE).toFixed(1) : '–')
const milliseconds = ({ cpuSeconds, steps }: Cost) => (steps > 0 ? ((1000 * cpuSeconds) / steps).toFixed(0) : '–')
if (values.json) console.log(JSON.stringify({ space: space.name, batchSize, steps: Number(values.steps), rows }))
else {
  const table = renderTable(
    [
      { title: 'strategy' },
      { title: 'weight step: images/s', align: 'right' },
      { title: 'peak, MiB', align: 'right' },
      { title: 'architecture step: ms', align: 'right' },
      { title: 'peak, MiB', align: 'right' },
      { title: 'tasks: weights', align: 'right' },
      { title: 'architecture', align: 'right' },
      { title: 'evaluation', align: 'right' },
    ],
    rows.map(({ strategy, costs: { training, architecture, validation } }) => [
      strategy,
      (training.images / training.cpuSeconds).toFixed(0),
      mebibytes(training),
      milliseconds(architecture),
      mebibytes(architecture),
      String(training.tasks),
      String(architecture.tasks),
      String(validation.tasks),
    ]),
  )
  console.log(table)
}
