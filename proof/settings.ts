// What the proof does, and a quick form of it that shows no more than that all of it works.

import { quantile } from '../latency-lut/table/robust.ts'
import { type SearchConfig, type SearchConfigInput, searchConfigSchema } from '../protocol/index.ts'
import { resolveSpaceConfig, type SpaceConfig } from '../search-space/index.ts'

const samplings = ['fair', 'uniform'] as const
/** How the paths of weight steps are drawn (sample-paths.ts). */
type Sampling = (typeof samplings)[number]

type SupernetSettings = {
  /** Of the recorded networks' width. */
  readonly width: number
  /** Images of the weight share, times this, are trained on. */
  readonly epochs: number
  readonly batchSize: number
  readonly learningRate: number
  readonly weightDecay: number
  readonly sampling: Sampling
  /** Share of the loss of two paths that each learns from the other; 0: one path for each mini-batch, from labels alone. */
  readonly consistency: number
  /** Share of the steps, from the first one on, that see images of half the height and width; 1: networks are ranked on these too. */
  readonly reduced: number
  /** Lanes of one task, a thread for each. */
  readonly threads: number
  /** Processes that train it through a coordinator; 0: it is trained without one. */
  readonly agents: number
}

/** Training on, for each limit by itself, on paths that cost nearly as much (strategies/near-target.ts). */
type NearSettings = {
  /** 0: none. */
  readonly steps: number
  /** At the start; falls to 0 by a half cosine. */
  readonly learningRate: number
  /** Cost of the cheapest paths, as a share of the limit. */
  readonly least: number
}

type RankingSettings = {
  /** Random networks whose shared-weight accuracy is compared with their recorded one. */
  readonly networks: number
  /** Random networks of nearly equal cost. */
  readonly near: { readonly macs: number; readonly networks: number }
  /** Random networks that cost nearly as much as a limit, ranked before and after weights are trained on near it. */
  readonly nearNetworks: number
  /** Of the validation share. */
  readonly images: number
  /** Mini-batches of training images that batch-norms are re-estimated on, beside the statistics of each mini-batch; 0: none. */
  readonly statisticsBatches: number
}

type SearchSettings = {
  readonly strategy: NonNullable<SearchConfigInput['strategy']>
  readonly loss: NonNullable<SearchConfigInput['latency']['loss']>
  /** Steps on weights that it would take; none is done, but architecture steps are counted by them. */
  readonly steps: number
}

const strategyNames = ['proxyless-g', 'fp-nas', 'spos'] as const
type ProofStrategy = (typeof strategyNames)[number]

type Searches = { readonly [Name in ProofStrategy]: SearchSettings }

/** Half-width of a band of networks of equal cost, as a share of the cost. */
const EQUAL_COST = 0.03
const MILLION = 1e6

/** Of the training images. */
const SHARES = { weights: 0.88, architecture: 0.06, validation: 0.06 } as const
const MOMENTUM = 0.9
const LABEL_SMOOTHING = 0.1
/** Crops of 32×32 from images with 4 pixels of border, as all that is published on CIFAR-10 has them. */
const AUGMENTATION = { flip: true, shift: 4 } as const
/** Part of a score that a regression on options says. */
const SMOOTHING = 0.9
/** Mini-batches of one task. */
const WEIGHT_STEPS = 60
/** No bound. */
const FAR_MS = 1e9
/** The name under which costs of architectures stand in for a latency table. */
const TABLE = 'proof'

const fullRanking: RankingSettings = {
  networks: 200,
  near: { macs: 60 * MILLION, networks: 60 },
  nearNetworks: 120,
  images: 512,
  statisticsBatches: 0,
}
const quickRanking: RankingSettings = {
  networks: 6,
  near: { macs: 60 * MILLION, networks: 4 },
  nearNetworks: 4,
  images: 64,
  statisticsBatches: 1,
}

/** Once, at the end: the weights do not change. */
const EVALUATE_EVERY = 1_000_000

/**
 * Architectures that are evaluated at the end of a search: the most probable ones, random ones beside them for a regression on options, and those
 * that it says are best; and on how many images.
 */
type Finalists = { readonly count: number; readonly sampled: number; readonly images: number; readonly smoothing: number }

/** Alpha by one Adam step for each architecture step, sharp at the end; cost as an expectation beside the cross-entropy. */
const gates = (steps: number, learningRate: number, finalists: Finalists): SearchSettings => ({
  strategy: {
    name: 'proxyless-g',
    form: 'full',
    warmupSteps: 0,
    archEvery: 1,
    learningRate,
    entropy: { end: 0.2 },
    finalists,
    evaluateEvery: EVALUATE_EVERY,
  },
  loss: { kind: 'add#abs', lambda: 1 },
  steps,
})

/** The likelihood of the images tempered, so that more than the best sample of a step counts. */
const samples = (steps: number, images: number, finalists: Finalists): SearchSettings => ({
  strategy: {
    name: 'fp-nas',
    warmupSteps: 0,
    archEvery: 1,
    lambda: 1,
    leastSamples: 4,
    mostSamples: 16,
    images,
    temper: 50,
    learningRate: 0.1,
    finalists,
    evaluateEvery: EVALUATE_EVERY,
  },
  loss: { kind: 'none' },
  steps,
})

/** Random networks, and those that a regression on their options says are best, as in a search whose settings follow from its length. */
const prediction = (firstGeneration: number, population: number, images: number): SearchSettings => ({
  strategy: {
    name: 'spos',
    firstGeneration,
    population,
    generations: 2,
    parents: Math.ceil(population / 3),
    search: 'annealing',
    annealing: { products: false },
    images,
    // Of thousands of images; of hundreds the log-likelihood says more (docs/strategies.md).
    score: 'accuracy',
    smoothing: SMOOTHING,
  },
  loss: { kind: 'none' },
  steps: 1,
})

/** Of the same images for all: what an option seems to be worth on a few hundred of them is their choice more than its own. */
const fullFinalists: Finalists = { count: 16, sampled: 112, images: 1536, smoothing: SMOOTHING }
const fullSearches: Searches = {
  'proxyless-g': gates(100, 0.05, fullFinalists),
  'fp-nas': samples(100, 64, fullFinalists),
  spos: prediction(192, 16, 3000),
}
const quickFinalists: Finalists = { count: 2, sampled: 3, images: 64, smoothing: SMOOTHING }
const quickSearches: Searches = {
  'proxyless-g': gates(4, 0.05, quickFinalists),
  'fp-nas': samples(2, 64, quickFinalists),
  spos: prediction(4, 4, 64),
}

/** As `strategy.nearTarget` has it where nothing else is said: half of the rate of the others again, and paths of 85 % and more. */
const NEAR = { rateShare: 0.5, least: 0.85 } as const

type ProofSettings = {
  readonly width: number
  readonly epochs: number
  readonly nearSteps: number
  readonly seeds: number
  readonly ranking: RankingSettings
  readonly searches: Searches
}

const full: ProofSettings = { width: 0.5, epochs: 14, nearSteps: 2000, seeds: 3, ranking: fullRanking, searches: fullSearches }
const quick: ProofSettings = { width: 0.125, epochs: 0.02, nearSteps: 4, seeds: 1, ranking: quickRanking, searches: quickSearches }

/** Space of the recorded networks. */
const RECORDED_PRESET = 'nas-bench-macro'
/** Millions of multiply-accumulates: a quarter, 62 % and 91 % of all networks are within them. */
const MAC_LIMITS = [45, 60, 75] as const
/** Shares of all networks that are within limits of latency. */
const LATENCY_SHARES = [0.25, 0.6, 0.9] as const
const LIMIT_DIGITS = 3

/** @param all costs of all networks */
function defaultLimits(unit: 'million MACs' | 'ms', all: readonly number[]): readonly number[] {
  if (unit === 'million MACs') return MAC_LIMITS
  return LATENCY_SHARES.map((share) => Number(quantile(all, share).toPrecision(LIMIT_DIGITS)))
}

/** Networks of NAS-Bench-Macro, all of their blocks narrower by this factor. */
function proofSpace(width: number): SpaceConfig {
  return resolveSpaceConfig({ preset: RECORDED_PRESET, widthMult: width })
}

/** What the weights of a supernet are trained by, for a strategy that is shown them later. */
function searchConfig(
  {
    width,
    batchSize,
    learningRate,
    weightDecay,
    reduced,
  }: Pick<SupernetSettings, 'width' | 'batchSize' | 'learningRate' | 'weightDecay' | 'reduced'>,
  parts: {
    readonly seed: number
    readonly steps: number
    readonly strategy: NonNullable<SearchConfigInput['strategy']>
    readonly limit?: number
    readonly loss?: NonNullable<SearchConfigInput['latency']['loss']>
  },
): SearchConfig {
  return searchConfigSchema.parse({
    name: 'proof',
    space: proofSpace(width),
    dataset: { name: 'cifar10' },
    latency: { targetMs: parts.limit ?? FAR_MS, table: { name: TABLE }, loss: parts.loss ?? { kind: 'none' } },
    seed: parts.seed,
    strategy: parts.strategy,
    training: {
      steps: parts.steps,
      batchSize,
      learningRate,
      momentum: MOMENTUM,
      weightDecay,
      labelSmoothing: LABEL_SMOOTHING,
      augmentation: AUGMENTATION,
      ...(reduced > 0 && { reducedResolution: { share: reduced } }),
      shares: SHARES,
    },
    tasks: { weightSteps: WEIGHT_STEPS },
  })
}

/** Mini-batches of all epochs. */
function stepsOf({ epochs, batchSize }: SupernetSettings, trainImages: number): number {
  return Math.max(1, Math.round((epochs * trainImages * SHARES.weights) / batchSize))
}

export {
  defaultLimits,
  EQUAL_COST,
  full,
  MILLION,
  NEAR,
  type NearSettings,
  proofSpace,
  type ProofSettings,
  type ProofStrategy,
  quick,
  type RankingSettings,
  RECORDED_PRESET,
  type Sampling,
  samplings,
  searchConfig,
  SMOOTHING,
  type Searches,
  stepsOf,
  strategyNames,
  type SupernetSettings,
}
