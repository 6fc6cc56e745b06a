// What the demo does, in its two lengths. The numbers are chosen so that two agents on two cores finish in time.

import type { SearchConfigInput } from '../protocol/index.ts'

type DemoSettings = {
  /** Seconds for measuring the latency table. */
  readonly profileSeconds: number
  /** Weight steps of the search. */
  readonly searchSteps: number
  /** Steps of each training from scratch. */
  readonly scratchSteps: number
  readonly batchSize: number
  /** Adam's rate for alpha: a search of minutes takes few architecture steps, so each is larger than in a search of days. */
  readonly alphaRate: number
  /** Weight of latency in the loss. */
  readonly lambda: number
  /** Learning rate of each training from scratch. */
  readonly scratchRate: number
  /** Seeds that each architecture is trained with; its accuracy is the mean. */
  readonly scratchSeeds: readonly number[]
}

const SPACE = 'fashion-mini'
const SEED = 1
const AGENTS = 2
const RANDOM_ARCHITECTURES = 3
/** The target, as a share of the latency that is expected at uniform probabilities: a random start does not meet it. */
const TARGET_SHARE = 0.88
const SEARCH_RATE = 0.1

/** The accuracy of one training varies by half a point from seed to seed, that of architectures by one: hence two seeds. */
const full: DemoSettings = {
  profileSeconds: 15,
  searchSteps: 5000,
  scratchSteps: 3000,
  batchSize: 32,
  alphaRate: 0.05,
  lambda: 0.3,
  scratchRate: 0.05,
  scratchSeeds: [1, 2],
}
const quick: DemoSettings = {
  profileSeconds: 6,
  searchSteps: 2000,
  scratchSteps: 300,
  batchSize: 32,
  alphaRate: 0.05,
  lambda: 0.3,
  scratchRate: 0.1,
  scratchSeeds: [1],
}

function searchConfig(
  settings: DemoSettings,
  parts: { targetMs: number; table: { name: string; version: string }; dataset: { name: string } },
): SearchConfigInput {
  return {
    name: 'demo',
    space: SPACE,
    dataset: parts.dataset,
    latency: { targetMs: parts.targetMs, table: parts.table, loss: { kind: 'add#abs', lambda: settings.lambda } },
    seed: SEED,
    strategy: {
      name: 'proxyless-g',
      warmupSteps: Math.round(settings.searchSteps * 0.3),
      // All gates at once: less than twice the time of two gates, and every alpha learns from every step.
      form: 'full',
      archEvery: 3,
      learningRate: settings.alphaRate,
      evaluateEvery: Math.round(settings.searchSteps / 5),
    },
    training: { steps: settings.searchSteps, batchSize: settings.batchSize, learningRate: SEARCH_RATE },
    tasks: { weightSteps: 96, architectureSteps: 20, leaseMs: 30_000 },
  }
}

export { AGENTS, type DemoSettings, full, quick, RANDOM_ARCHITECTURES, searchConfig, SEED, SPACE, TARGET_SHARE }
