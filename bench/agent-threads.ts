// npm run bench:agent-threads -- [--json] [--cases a,b] [--rounds N] [--threads N]
//
// Images a second of one agent, without a coordinator, in these arrangements, which take turns round after round:
//
//   process   one path after the other in the main thread
//   thread    the same in one thread beside it, weights in shared memory: what `--concurrency 1` does
//   lanes     a path in each of N threads, operations divided as the coordinator divides them, merged every two steps
//   same      the same, but all threads train one path, as late in a search: everything is merged
//   halves    the mini-batch of one path in N parts, one in each thread, and nothing put together until the end of the round:
//             what splitting mini-batches could give if exchanging gradients took no time
//   split     the same, put together after every step: weights and velocities, about twice as much as gradients would be

import { cpus } from 'node:os'
import { parseArgs } from 'node:util'
import { searchConfigSchema, type WeightWork } from '../protocol/index.ts'
import { ALONE, openRound, workOf } from '../strategies/rounds.ts'
import { fillWithPaths } from '../strategies/seat-steps.ts'
import {
  createRandom,
  createSpace,
  evenProbabilities,
  randomPath,
  resolveSpaceConfig,
  seedState,
  type Space,
  type SpaceRef,
} from '../search-space/index.ts'
import { openBackend } from '../engine/backends/backends.ts'
import { openBatchSource } from '../engine/datasets/index.ts'
import { createThreadsTrainer } from '../engine/training/lanes/threads-trainer.ts'
import { createTrainer, type Trainer } from '../engine/training/trainer.ts'
import { median } from '../latency-lut/table/robust.ts'
import { noiseDataset } from './noise-dataset.ts'

type BenchCase = {
  readonly name: string
  readonly space: SpaceRef
  readonly batch: number
  /** Mini-batches that each thread trains in a round. */
  readonly steps: number
}

const benchCases: readonly BenchCase[] = [
  { name: 'fashion-mini-32', space: { preset: 'fashion-mini' }, batch: 32, steps: 40 },
  { name: 'fashion-mini-64', space: { preset: 'fashion-mini' }, batch: 64, steps: 20 },
  { name: 'proxyless-mobile-16', space: { preset: 'proxyless-mobile', input: [96, 96, 3] }, batch: 16, steps: 6 },
]

type Arrangement = 'process' | 'thread' | 'lanes' | 'same' | 'halves' | 'split'

type Row = {
  name: string
  arrangement: Arrangement
  threads: number
  imagesPerSecond: number
  /** Of the best round: what the machine can do while nobody else uses it. */
  mostImagesPerSecond: number
  /** Of processor time, all threads together: hardly depends on who else uses the machine, but knows nothing of waiting. */
  imagesPerCpuSecond: number
  /** Against `process`, medians. */
  ratio: number
}

const DEFAULT_ROUNDS = 7
/** Rounds before the measured ones: the engine compiles hot code, weights are drawn. */
const WARMUP_ROUNDS = 2
/** Mini-batches in the data set; enough for the smallest share of it. */
const DATASET_BATCHES = 12
const MERGE_EVERY = 2

/** What an agent that is alone gets to do. */
function drawWork(space: Space, lanes: number, steps: number, firstBatch: number): WeightWork {
  const random = createRandom(seedState('bench-paths', lanes, firstBatch))
  const members = [{ ...ALONE.asker, lanes }]
  const plan = {
    probabilities: evenProbabilities(space),
    uniform: true,
    members,
    weightSteps: steps,
    from: firstBatch,
    end: 1e9,
    firstBatch,
  }
  const round = openRound(plan, random)
  return workOf(
    round,
    round.seats[0] as (typeof round.seats)[number],
    { weightSteps: steps, momentum: 0.9, fill: fillWithPaths(), optionsShareWeights: false },
    random,
  )
}

/** The same paths one after another, each in all lanes. */
function samePaths(space: Space, count: number, steps: number, firstStep: number, mergeEvery: number): WeightWork {
  const random = createRandom(seedState('bench-paths', 'same', firstStep))
  const drawn = Array.from({ length: steps }, () => [...randomPath(space, random)])
  const paths = Array.from({ length: steps * count }, (_, i) => drawn[Math.floor(i / count)] as number[])
  return { kind: 'trainWeights', firstStep, paths, lanes: { count, mergeEvery } }
}

type Contestant = {
  readonly arrangement: Arrangement
  readonly threads: number
  readonly trainer: Trainer
  work(round: number): WeightWork
}

async function openContestants({ space: ref, batch, steps }: BenchCase, threads: number): Promise<Contestant[]> {
  const { chosen: backend } = await openBackend('wasm')
  const space = createSpace(ref)
  const dataset = noiseDataset(space, batch * DATASET_BATCHES)
  const configOf = (batchSize: number) =>
    searchConfigSchema.parse({
      name: 'bench',
      space: ref,
      dataset: { name: 'noise' },
      latency: { targetMs: 1, table: { name: 'none' }, loss: { kind: 'add#linear' } },
      strategy: { name: 'proxyless-g' },
      training: { steps: 1e6, batchSize },
    })
  const inThreads = (count: number, batchSize: number) =>
    createThreadsTrainer({
      threads: count,
      backend,
      allowSoftwareAdapter: false,
      dataset,
      space: resolveSpaceConfig(ref),
      config: configOf(batchSize),
      accumulate: 1,
      stop: new AbortController().signal,
      onNote: note,
    })
  const plain = (round: number) => drawWork(space, 1, steps, round * steps)
  const side = inThreads(threads, batch)
  const parts = inThreads(threads, Math.ceil(batch / threads))
  const partsMerged = (mergeEvery: number) => (round: number) => samePaths(space, threads, steps, round * steps, mergeEvery)
  return [
    {
      arrangement: 'process',
      threads: 1,
      trainer: createTrainer({ backend, dataset, source: await openBatchSource(dataset), space, config: configOf(batch), accumulate: 1 }),
      work: plain,
    },
    { arrangement: 'thread', threads: 1, trainer: inThreads(1, batch), work: plain },
    { arrangement: 'lanes', threads, trainer: side, work: (round) => drawWork(space, threads, steps, round * steps) },
    { arrangement: 'same', threads, trainer: side, work: partsMerged(MERGE_EVERY) },
    { arrangement: 'halves', threads, trainer: parts, work: partsMerged(steps) },
    { arrangement: 'split', threads, trainer: parts, work: partsMerged(1) },
  ]
}

function note(text: string): void {
  process.stderr.write(`${text}\n`)
}

async function measure(benchCase: BenchCase, rounds: number, threads: number): Promise<Row[]> {
  const contestants = await openContestants(benchCase, threads)
  const measured = new Map(contestants.map(({ arrangement }) => [arrangement, { wall: [] as number[], cpu: [] as number[] }]))
  for (let round = 0; round < WARMUP_ROUNDS + rounds; round++) {
    for (const { arrangement, trainer, work } of contestants) {
      const task = work(round)
      const startMs = performance.now()
      const startCpu = process.cpuUsage()
      const { result } = await trainer.run(task, async () => undefined)
      const { user, system } = process.cpuUsage(startCpu)
      if (round < WARMUP_ROUNDS) continue
      measured.get(arrangement)?.wall.push((result.images / (performance.now() - startMs)) * 1e3)
      measured.get(arrangement)?.cpu.push((result.images / (user + system)) * 1e6)
    }
  }
  await Promise.all(contestants.map(({ trainer }) => trainer.close()))
  const base = median(measured.get('process')?.wall ?? [])
  return contestants.map(({ arrangement, threads: count }) => {
    const { wall, cpu } = measured.get(arrangement) ?? { wall: [], cpu: [] }
    const imagesPerSecond = median(wall)
    const most = Math.max(...wall)
    const ofCpu = median(cpu)
    const ratio = imagesPerSecond / base
    const { name } = benchCase
    note(
      `${name.padEnd(20)} ${arrangement.padEnd(8)} ${count} threads  ${imagesPerSecond.toFixed(0).padStart(6)} images/s (most ${most.toFixed(0)}), ${ofCpu.toFixed(0)} per second of processor time  ratio ${ratio.toFixed(2)}`,
    )
    return { name, arrangement, threads: count, imagesPerSecond, mostImagesPerSecond: most, imagesPerCpuSecond: ofCpu, ratio }
  })
}

const { values } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    rounds: { type: 'string', default: String(DEFAULT_ROUNDS) },
    cases: { type: 'string', default: benchCases.map(({ name }) => name).join(',') },
    threads: { type: 'string', default: '2' },
  },
})
const wholeNumber = (text: string, flag: string) => {
  const value = Number(text)
  if (!Number.isInteger(value) || value < 1) throw new Error(`expected ${flag} to be a whole number from 1 on, got ${text}`)
  return value
}
const wanted = values.cases.split(',').map((name) => {
  const found = benchCases.find((benchCase) => benchCase.name === name)
  if (!found) throw new Error(`expected --cases of ${benchCases.map((benchCase) => benchCase.name).join(', ')}, got ${name}`)
  return found
})
const [rounds, threads] = [wholeNumber(values.rounds, '--rounds'), wholeNumber(values.threads, '--threads')]
note(`${cpus()[0]?.model.trim()}, ${cpus().length} cores, Node ${process.version}`)
const rows: Row[] = []
for (const benchCase of wanted) rows.push(...(await measure(benchCase, rounds, threads)))
if (values.json) console.log(JSON.stringify({ rows }))
