// The comparison that docs/comparison.md publishes, and a quick form of it that shows no more than that all of it works.

import { fitToBudget } from '../gatehouse/budget-settings.ts'
import type { SearchConfigInput } from '../protocol/index.ts'
import type { SpaceRef } from '../search-space/index.ts'
import { DATASET, SEED } from './settings.ts'

type ComparisonSettings = {
  /** Of the way from the fastest architecture's latency to the slowest one's. */
  readonly targets: readonly number[]
  readonly profileSeconds: number
  /** Whole networks that the table's correction is fitted to. */
  readonly checkedNetworks: number
  /** Weight steps of each search. */
  readonly searchSteps: number
  /** Flags of `gatehouse compare`: the recipe of every training, what else is trained, and how often. */
  readonly compareFlags: readonly string[]
}

/** Images in a measured run. */
const BATCH = 8
const RUNTIME = 'onnxruntime'

const RECIPE = '--batch 64 --rate 0.05 --set warmupEpochs=0.5 --set augmentation.shift=1 --set evaluateEvery=0'

const full: ComparisonSettings = {
  targets: [0.3, 0.6],
  profileSeconds: 40,
  checkedNetworks: 16,
  searchSteps: 10_000,
  compareFlags: `--random 2 --uniform mb3k3 --no-largest --mobilenet-v2 0.1 --seeds 3 --epochs 10 ${RECIPE}`.split(' '),
}
const quick: ComparisonSettings = {
  targets: [0.5],
  profileSeconds: 5,
  checkedNetworks: 6,
  searchSteps: 120,
  compareFlags: `--random 1 --no-largest --mobilenet-v2 0.05 --seeds 1 --latency-rounds 1 --epochs 0.2 ${RECIPE}`.split(' '),
}

/** As `search create --strategy spos --steps` has it, but for the last steps: what is not said here follows from the length of the search. */
function searchConfig(
  { searchSteps }: ComparisonSettings,
  parts: { name: string; space: SpaceRef; targetMs: number; table: { name: string; version: string } },
): SearchConfigInput {
  const config = {
    name: parts.name,
    space: parts.space,
    dataset: { name: DATASET },
    latency: { targetMs: parts.targetMs, table: parts.table },
    seed: SEED,
    strategy: { name: 'spos', nearTarget: {} },
    training: { steps: searchSteps, batchSize: 64, augmentation: { shift: 1 } },
    tasks: { weightSteps: 96 },
  } satisfies SearchConfigInput
  fitToBudget(config)
  return config
}

export { BATCH, type ComparisonSettings, full, quick, RUNTIME, searchConfig }
