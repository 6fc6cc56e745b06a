// What the demo does, in its two lengths. The numbers are chosen so that two agents on two cores finish in time.

import { fileURLToPath } from 'node:url'
import { fitToBudget } from '../gatehouse/budget-settings.ts'
import type { SearchConfigInput } from '../protocol/index.ts'
import type { SpaceRef } from '../search-space/index.ts'

type DemoSettings = {
  /** Seconds for measuring the latency table, and the derived architecture. */
  readonly profileSeconds: number
  /** Whole networks that the table's correction is fitted to. */
  readonly checkedNetworks: number
  /** Weight steps of the search. */
  readonly searchSteps: number
  /** Steps of each training from scratch. */
  readonly scratchSteps: number
  readonly batchSize: number
  /** Seeds that the derived architecture is trained with. */
  readonly derivedSeeds: readonly number[]
  /** That are trained beside it, once each. */
  readonly randomArchitectures: number
}

/** For the commands; also what people give to `--space @demo/space.json`. */
const SPACE_FILE = fileURLToPath(new URL('space.json', import.meta.url))
const SEED = 1
const AGENTS = 2
/** For people. */
const DATASET = 'cifar10-half-size'
/** The target, as a share of the latency that is expected at uniform probabilities. */
const TARGET_SHARE = 0.8
/**
 * A machine on which the space takes longer than this on average gets so many times fewer steps, down to a share of them, so that the demo
 * ends in time there as well.
 */
const FULL_SPEED_MS = 1.8
const LEAST_SHARE = 0.25

/** Of each training from scratch, which sees every image once or twice: settings for long trainings would leave it unfinished. */
const SCRATCH_RECIPE = [
  '--rate',
  '0.05',
  ...['warmupEpochs=0.5', 'labelSmoothing=0', 'augmentation.shift=1', 'evaluateEvery=0'].flatMap((set) => ['--set', set]),
]

const full: DemoSettings = {
  profileSeconds: 20,
  checkedNetworks: 16,
  searchSteps: 3000,
  scratchSteps: 1500,
  batchSize: 64,
  derivedSeeds: [1, 2, 3],
  randomArchitectures: 8,
}
const quick: DemoSettings = {
  profileSeconds: 6,
  checkedNetworks: 6,
  searchSteps: 500,
  scratchSteps: 100,
  batchSize: 64,
  derivedSeeds: [1, 2],
  randomArchitectures: 3,
}

/** @param averageMs of a random architecture, on this machine */
function forSpeed(settings: DemoSettings, averageMs: number): DemoSettings {
  const share = Math.min(1, Math.max(LEAST_SHARE, FULL_SPEED_MS / averageMs))
  const scaled = (steps: number) => Math.round(steps * share)
  return { ...settings, searchSteps: scaled(settings.searchSteps), scratchSteps: scaled(settings.scratchSteps) }
}

/** As `search create --steps` has it: what is not said here follows from the length of the search. */
function searchConfig(
  settings: DemoSettings,
  parts: { space: SpaceRef; targetMs: number; table: { name: string; version: string } },
): SearchConfigInput {
  const config = {
    name: 'demo',
    space: parts.space,
    dataset: { name: DATASET },
    latency: { targetMs: parts.targetMs, table: parts.table },
    seed: SEED,
    strategy: { name: 'spos' },
    training: { steps: settings.searchSteps, batchSize: settings.batchSize, augmentation: { shift: 1 } },
    tasks: { weightSteps: 96, architectureSteps: 20, leaseMs: 30_000 },
  } satisfies SearchConfigInput
  fitToBudget(config)
  return config
}

export { AGENTS, DATASET, type DemoSettings, forSpeed, full, quick, SCRATCH_RECIPE, searchConfig, SEED, SPACE_FILE, TARGET_SHARE }
