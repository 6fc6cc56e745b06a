// The comparison that docs/comparison.md publishes, and a quick form of it that shows no more than that all of it works.

import type { SearchConfigInput } from '../protocol/index.ts'
import type { SpaceRef } from '../search-space/index.ts'

type ComparisonSettings = {
  /** Milliseconds for a batch of BATCH images. */
  readonly targetsMs: readonly number[]
  readonly profileSeconds: number
  readonly search: {
    readonly steps: number
    readonly warmupSteps: number
    readonly batchSize: number
    readonly weightRate: number
    /** Adam's rate for alpha. */
    readonly alphaRate: number
  }
  /** Flags of `gatehouse compare`: the recipe of every training, what else is trained, and how often. */
  readonly compareFlags: readonly string[]
}

const SEED = 1
const BATCH = 8
const RUNTIME = 'onnxruntime'

const RECIPE = '--batch 32 --rate 0.05 --set warmupEpochs=0.2 --set evaluateEvery=0'

const full: ComparisonSettings = {
  targetsMs: [0.7, 0.95, 1.3],
  profileSeconds: 40,
  search: { steps: 6000, warmupSteps: 1800, batchSize: 32, weightRate: 0.1, alphaRate: 0.02 },
  compareFlags: `--random 3 --uniform mb6k3 --mobilenet-v2 0.05,0.1,0.2 --seeds 3 --epochs 4 ${RECIPE}`.split(' '),
}
const quick: ComparisonSettings = {
  targetsMs: [0.8],
  profileSeconds: 5,
  search: { steps: 120, warmupSteps: 30, batchSize: 16, weightRate: 0.05, alphaRate: 0.1 },
  compareFlags: `--random 1 --mobilenet-v2 0.05 --seeds 1 --latency-rounds 1 --epochs 0.05 ${RECIPE}`.split(' '),
}

function searchConfig(
  { search }: ComparisonSettings,
  parts: { name: string; space: SpaceRef; targetMs: number; table: { name: string; version: string } },
): SearchConfigInput {
  return {
    name: parts.name,
    space: parts.space,
    dataset: { name: 'fashion-mnist' },
    latency: { targetMs: parts.targetMs, table: parts.table, loss: { kind: 'add#abs', lambda: 1 } },
    seed: SEED,
    strategy: {
      name: 'proxyless-g',
      warmupSteps: search.warmupSteps,
      form: 'full',
      archEvery: 3,
      learningRate: search.alphaRate,
      evaluateEvery: Math.round(search.steps / 5),
    },
    training: { steps: search.steps, batchSize: search.batchSize, learningRate: search.weightRate },
    tasks: { weightSteps: 96, architectureSteps: 20 },
  }
}

export { BATCH, type ComparisonSettings, full, quick, RUNTIME, searchConfig }
