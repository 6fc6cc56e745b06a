// The supernet of a seed, trained to its end or read from its file, with a line for people now and then.

import { join } from 'node:path'
import type { Terminal } from '../command-line/terminal.ts'
import type { Backend } from '../engine/backends/backends.ts'
import { type Dataset, openBatchSource } from '../engine/datasets/index.ts'
import { createThreadsTrainer } from '../engine/training/lanes/threads-trainer.ts'
import { createTrainer, type Trainer } from '../engine/training/trainer.ts'
import type { Space } from '../search-space/index.ts'
import { rowsOver, type StrategyContext } from '../strategies/index.ts'
import { trainByAgents } from './agents-supernet.ts'
import type { Costs } from './costs.ts'
import { proofSpace, searchConfig, stepsOf, type SupernetSettings } from './settings.ts'
import { type Cost, keepTrained, readSupernet, type Supernet, type SupernetOptions, trainSupernet } from './supernet.ts'

type SupernetParts = {
  readonly terminal: Terminal
  readonly folder: string
  readonly backend: Backend
  readonly dataset: Dataset
  readonly supernet: SupernetSettings
  readonly costs: Costs
  /** As agents are told where images are. */
  readonly data: string
  readonly cache: string
}

const CURVE_POINTS = 50
const PERCENT = 100
const SECONDS_PER_MINUTE = 60

const perSecond = (images: number, seconds: number | null) =>
  seconds === null ? '–' : (images / Math.max(seconds, Number.EPSILON)).toFixed(0)

function describeProgress({ steps: done, images, seconds, cpuSeconds, curve }: Cost, steps: number, secondsLeft: number): string {
  const { loss, accuracy } = curve.at(-1) ?? { loss: Number.NaN, accuracy: Number.NaN }
  return [
    `${done} of ${steps} steps, loss ${loss.toFixed(3)}, accuracy ${(PERCENT * accuracy).toFixed(1)} %`,
    `${perSecond(images, seconds)} images/s, ${perSecond(images, cpuSeconds)} by processor time`,
    `${(secondsLeft / SECONDS_PER_MINUTE).toFixed(0)} min left`,
  ].join(', ')
}

/** Settings and data that another supernet would differ in. */
function supernetIdentity(
  { width, epochs, batchSize, learningRate, weightDecay, sampling, consistency, reduced, threads, agents }: SupernetSettings,
  fingerprint: string,
  seed: number,
): string {
  return JSON.stringify({
    data: fingerprint,
    seed,
    width,
    epochs,
    batchSize,
    learningRate,
    weightDecay,
    sampling,
    ...(consistency > 0 && { consistency }),
    ...(reduced > 0 && { reduced }),
    threads,
    ...(agents > 0 && { agents }),
  })
}

type HereOptions = Pick<SupernetOptions, 'trainer' | 'context' | 'sampling' | 'threads' | 'file' | 'identity'> & {
  readonly terminal: Terminal
  /** What lines of progress begin with. */
  readonly label: string
}

/** Trains to the end in this process, or goes on to it, with the trainer's weights where there is no file yet; closes the trainer. */
async function trainHere({ terminal, label, ...options }: HereOptions): Promise<Supernet> {
  const { trainer, context, file, identity } = options
  const { steps } = context.config.training
  const startMs = performance.now()
  let said = 0
  try {
    await trainSupernet({
      ...options,
      curveEvery: Math.max(1, Math.floor(steps / CURVE_POINTS)),
      interrupted: terminal.interrupted,
      onProgress(cost, firstSteps) {
        if (cost.curve.length === said) return
        said = cost.curve.length
        const secondsPerStep = (performance.now() - startMs) / 1000 / (cost.steps - firstSteps)
        terminal.note(`${label} ${describeProgress(cost, steps, secondsPerStep * (steps - cost.steps))}`)
      },
    })
  } finally {
    await trainer.close()
  }
  return trainedIn(file, identity)
}

/** Trains the supernet of a seed to its end, or goes on to it, and leaves it in its file. */
async function supernetOf(
  { terminal, folder, backend, dataset, supernet, costs, data, cache }: SupernetParts,
  space: Space,
  seed: number,
): Promise<Supernet> {
  const { width, batchSize, sampling, consistency, threads, agents } = supernet
  const file = join(folder, `seed-${seed}`, 'supernet.safetensors')
  const identity = supernetIdentity(supernet, dataset.fingerprint, seed)
  const steps = stepsOf(supernet, dataset.train.count)
  const before = readSupernet(file, identity)
  if (before && before.cost.steps >= steps) return before
  // What a coordinator evaluates at the end is of no interest here.
  const few = { population: 2, generations: 1, parents: 1, images: batchSize }
  const strategy = {
    name: 'spos',
    ...(agents > 0 && few),
    ...(consistency > 0 && { consistency: { weight: consistency } }),
  } as const
  const config = searchConfig(supernet, { seed, steps, strategy })
  if (agents > 0) {
    const state = join(folder, `seed-${seed}`)
    const { tensors, ...spent } = await trainByAgents({ terminal, folder: state, space, config, agents, data, cache })
    keepTrained(file, identity, space, tensors, { steps, ...spent, cpuSeconds: null, curve: [] })
    return trainedIn(file, identity)
  }
  const context: StrategyContext = { space, latency: costs.latency, config, rows: rowsOver(new Map()) }
  const common = { backend, dataset, config, accumulate: 1, onNote: (line: string) => terminal.note(line) } as const
  const { signal: stop } = new AbortController()
  const trainer: Trainer =
    threads === 1
      ? createTrainer({ ...common, source: await openBatchSource(dataset), space })
      : createThreadsTrainer({ ...common, threads, allowSoftwareAdapter: false, space: proofSpace(width), stop })
  return trainHere({ terminal, trainer, context, sampling, threads, file, identity, label: `seed ${seed}  ` })
}

function trainedIn(file: string, identity: string): Supernet {
  const trained = readSupernet(file, identity)
  if (!trained) throw new Error(`expected ${file} to have been written`)
  return trained
}

export { perSecond, supernetIdentity, supernetOf, type SupernetParts, trainHere }
