// What the demo does, in its two lengths. The numbers are chosen so that two agents on two cores finish in time.

import { fitToBudget } from '../gatehouse/budget-settings.ts'
import type { SearchConfigInput } from '../protocol/index.ts'

type DemoSettings = {
  /** Seconds for measuring the latency table. */
  readonly profileSeconds: number
  /** Weight steps of the search. */
  readonly searchSteps: number
  /** Steps of each training from scratch. */
  readonly scratchSteps: number
  readonly batchSize: number
  /** Learning rate of each training from scratch. */
  readonly scratchRate: number
  /** Seeds that each architecture is trained with; its accuracy is the mean. */
  readonly scratchSeeds: readonly number[]
  /** That are trained beside the derived one. */
  readonly randomArchitectures: number
}

const SPACE = 'fashion-mini'
const SEED = 1
const AGENTS = 2
/**
 * The target, as a share of the latency that is expected at uniform probabilities. Random architectures do not meet it by themselves, and those
 * that do differ: with more time nearly all of this space are within half a point of each other.
 */
const TARGET_SHARE = 0.6
/** Random architectures take as long as the derived one, but for this share of it. */
const EQUAL_LATENCY = 0.1

/** The accuracy of one training varies by half a point from seed to seed, that of architectures by one: hence several of both. */
const full: DemoSettings = {
  profileSeconds: 15,
  searchSteps: 5000,
  scratchSteps: 2500,
  batchSize: 32,
  scratchRate: 0.05,
  scratchSeeds: [1, 2],
  randomArchitectures: 5,
}
const quick: DemoSettings = {
  profileSeconds: 6,
  searchSteps: 1200,
  scratchSteps: 300,
  batchSize: 32,
  scratchRate: 0.1,
  scratchSeeds: [1],
  randomArchitectures: 3,
}

/** As `search create --steps` has it: what is not said here follows from the length of the search. */
function searchConfig(
  settings: DemoSettings,
  parts: { targetMs: number; table: { name: string; version: string }; dataset: { name: string } },
): SearchConfigInput {
  const config = {
    name: 'demo',
    space: SPACE,
    dataset: parts.dataset,
    latency: { targetMs: parts.targetMs, table: parts.table },
    seed: SEED,
    training: { steps: settings.searchSteps, batchSize: settings.batchSize },
    tasks: { weightSteps: 96, architectureSteps: 20, leaseMs: 30_000 },
  } satisfies SearchConfigInput
  fitToBudget(config)
  return config
}

export { AGENTS, type DemoSettings, EQUAL_LATENCY, full, quick, searchConfig, SEED, SPACE, TARGET_SHARE }
