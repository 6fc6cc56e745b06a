// Trains the weights of a supernet, by the strategy `spos` and the trainer of agents, without a coordinator between them. Kept in one file
// every few minutes: weights, velocities, the strategy's state, and what it has cost.

import { existsSync, readFileSync } from 'node:fs'
import { setImmediate as nextTurn } from 'node:timers/promises'
import * as z from 'zod'
import { CliError } from '../command-line/exit-codes.ts'
import { writeWholeFile } from '../command-line/whole-files.ts'
import type { Trainer } from '../engine/training/trainer.ts'
import { badNumbers, decodeSafetensors, encodeSafetensors, type Tensor } from '../protocol/index.ts'
import type { Space } from '../search-space/index.ts'
import { type Attendance, findStrategy, type StrategyContext } from '../strategies/index.ts'
import { fairPath } from './sample-paths.ts'
import type { Sampling } from './settings.ts'

const WEIGHTS = 'weights/'
const VELOCITIES = 'velocities/'
const SAVE_EVERY_MS = 180_000
const MICROSECONDS = 1e6

const costSchema = z.strictObject({
  /** Effective ones: what one thread alone would need for the same. */
  steps: z.int().min(0),
  images: z.int().min(0),
  /** In which steps were done, not those in which the process did not run. */
  seconds: z.number().min(0),
  /** Of processors, which other processes take nothing of; null where other processes have trained. */
  cpuSeconds: z.number().min(0).nullable(),
  /** Means since the point before; the loss has label smoothing, images are augmented. */
  curve: z.array(z.strictObject({ step: z.int(), loss: z.number(), accuracy: z.number() })),
})
type Cost = z.infer<typeof costSchema>

const kept = z.strictObject({ identity: z.string(), state: z.unknown(), cost: costSchema })

type SupernetOptions = {
  readonly trainer: Trainer
  readonly context: StrategyContext
  readonly sampling: Sampling
  readonly threads: number
  readonly file: string
  /** Settings and data that another training would differ in. */
  readonly identity: string
  /** Steps of a point of the curve. */
  readonly curveEvery: number
  readonly interrupted: AbortSignal
  /** @param firstSteps those that were there when it went on */
  readonly onProgress: (cost: Cost, firstSteps: number) => void
}

type Progress = { readonly state: unknown; readonly cost: Cost }

/** As a file has it; tensors by prefix and weight key. */
type Supernet = Progress & { readonly tensors: ReadonlyMap<string, Tensor> }

const NOTHING: Cost = { steps: 0, images: 0, seconds: 0, cpuSeconds: 0, curve: [] }

/** One agent, of so many lanes, that nobody else works beside. */
function attendanceOf(lanes: number): Attendance {
  const asker = { agentId: 'proof', lanes, stepsPerSecond: null, exchangeMs: null }
  return { asker, members: [asker], outstanding: [], nextTaskId: 0, nowMs: 0 }
}

/** Throws CliError where a weight is not finite, or the file cannot be written. */
async function save({ trainer, context, file, identity }: SupernetOptions, progress: Progress): Promise<void> {
  const tensors = new Map<string, Tensor>()
  for (const { key, shape } of context.space.weightSpecs) {
    tensors.set(`${WEIGHTS}${key}`, { shape, values: await trainer.weights.read(key) })
    tensors.set(`${VELOCITIES}${key}`, { shape, values: await trainer.velocities.read(key) })
  }
  const problem = badNumbers(tensors)
  if (problem !== null) throw new CliError('failure', `the supernet is broken: ${problem}; take a smaller --rate`)
  writeWholeFile(file, encodeSafetensors({ metadata: { proof: JSON.stringify({ identity, ...progress }) }, tensors }, 'F32'))
}

/** Leaves weights that were trained elsewhere to their end in a file; they have no velocities. */
function keepTrained(file: string, identity: string, space: Space, trained: ReadonlyMap<string, Tensor>, cost: Cost): void {
  const tensors = new Map<string, Tensor>()
  for (const { key, shape } of space.weightSpecs) {
    const tensor = trained.get(key)
    if (!tensor) throw new Error(`expected weights of ${key}`)
    tensors.set(`${WEIGHTS}${key}`, tensor)
    tensors.set(`${VELOCITIES}${key}`, { shape, values: new Float32Array(tensor.values.length) })
  }
  writeWholeFile(file, encodeSafetensors({ metadata: { proof: JSON.stringify({ identity, state: null, cost }) }, tensors }, 'F32'))
}

/** What a file has of a supernet; null where there is none. Throws CliError where it is another's. */
function readSupernet(file: string, identity: string): Supernet | null {
  if (!existsSync(file)) return null
  const { metadata, tensors } = decodeSafetensors(readFileSync(file))
  const found = kept.parse(JSON.parse(metadata['proof'] ?? 'null'))
  if (found.identity === identity) return { state: found.state, cost: found.cost, tensors }
  throw new CliError('usage', `${file} is of another supernet: expected ${identity}, got ${found.identity}; take another --out`)
}

/** Puts weights and velocities of a supernet in the place of a trainer's. */
function restore(
  { weights, velocities }: Pick<Trainer, 'weights' | 'velocities'>,
  space: Space,
  { tensors }: Pick<Supernet, 'tensors'>,
): void {
  const valuesOf = (name: string) => {
    const tensor = tensors.get(name)
    if (!tensor) throw new CliError('usage', `the supernet lacks ${name}; remove its file, and it is trained anew`)
    return tensor.values
  }
  for (const { key } of space.weightSpecs) {
    weights.write(key, valuesOf(`${WEIGHTS}${key}`))
    velocities.write(key, valuesOf(`${VELOCITIES}${key}`))
  }
}

/** Trains to the end, or goes on to it, and leaves it in its file; broken off, as far as it has come. */
async function trainSupernet(options: SupernetOptions): Promise<void> {
  const { trainer, context, sampling, threads, file, identity, curveEvery, interrupted, onProgress } = options
  const { space, config } = context
  const strategy = findStrategy('spos')
  const before = readSupernet(file, identity)
  if (before) restore(trainer, space, before)
  let progress: Progress = before
    ? { state: strategy.stateSchema.parse(before.state), cost: before.cost }
    : { state: strategy.init(context), cost: NOTHING }
  const attendance = attendanceOf(threads)
  const nothing = { loss: 0, correct: 0, images: 0 }
  const sum = { ...nothing, from: progress.cost.steps }
  let savedMs = performance.now()
  for (;;) {
    const proposal = strategy.propose(progress.state, context, attendance)
    if (proposal.kind !== 'work') throw new Error(`expected the strategy to have work, got ${proposal.kind}`)
    const { work: proposed } = proposal
    if (proposed.kind !== 'trainWeights') break
    const work =
      sampling === 'fair'
        ? { ...proposed, paths: proposed.paths.map((_, i) => fairPath(space, proposed.firstStep + i, config.seed)) }
        : proposed
    const startMs = performance.now()
    const startCpu = process.cpuUsage()
    // Signals are heard between two steps.
    const { result } = await trainer.run(work, () => nextTurn())
    const seconds = (performance.now() - startMs) / 1000
    const { user, system } = process.cpuUsage(startCpu)
    const { state } = strategy.absorb(proposal.state, { work }, { kind: 'result', result }, context)
    const { done: steps } = strategy.describe(state, context).steps
    sum.loss += result.loss * result.images
    sum.correct += result.correct
    sum.images += result.images
    const isPoint = steps - sum.from >= curveEvery
    const point = { step: steps, loss: sum.loss / sum.images, accuracy: sum.correct / sum.images }
    if (isPoint) Object.assign(sum, nothing, { from: steps })
    const cost: Cost = {
      steps,
      images: progress.cost.images + result.images,
      seconds: progress.cost.seconds + seconds,
      cpuSeconds: (progress.cost.cpuSeconds ?? 0) + (user + system) / MICROSECONDS,
      curve: isPoint ? [...progress.cost.curve, point] : progress.cost.curve,
    }
    progress = { state, cost }
    onProgress(cost, before?.cost.steps ?? 0)
    if (interrupted.aborted || performance.now() - savedMs > SAVE_EVERY_MS) {
      await save(options, progress)
      savedMs = performance.now()
    }
    interrupted.throwIfAborted()
  }
  if (progress.cost.steps > (before?.cost.steps ?? 0)) await save(options, progress)
}

export { type Cost, keepTrained, readSupernet, restore, type Supernet, type SupernetOptions, trainSupernet }
