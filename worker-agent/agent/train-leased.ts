// A training from scratch under a lease: goes on from the last checkpoint, delivers one at the end of every epoch and in
// between, and at the end the result with the trained network.

import {
  encodeSafetensors,
  MODEL_FORMAT,
  modelTensors,
  notStorable,
  type Tensor,
  MAX_FAILURE_MESSAGE,
  type TrainingLeaseRequest,
  type TrainingResult,
} from '../../protocol/index.ts'
import { createSpace, parseArchitecture, type Path, type Space } from '../../search-space/index.ts'
import type { Backend } from '../../engine/backends/backends.ts'
import type { TrainingClient } from '../client/training-client.ts'
import type { Dataset } from '../../engine/datasets/index.ts'
import { decodeCheckpoint, encodeCheckpoint } from '../../engine/training/checkpoint.ts'
import { type FromScratchResult, type InitialWeights, trainFromScratch, TrainingDivergedError } from '../../engine/training/from-scratch.ts'
import { decodeInitialWeights } from '../../engine/training/initial-weights.ts'
import type { Accumulate } from '../../engine/training/micro-batches.ts'
import { decodeModelWeights } from '../../engine/training/network-weights.ts'
import { createTeacher } from '../../engine/training/teacher.ts'
import { withNormalisation } from '../../engine/training/with-normalisation.ts'
import type { Threads } from '../../engine/training/threads/choose-threads.ts'
import { startHeartbeatThread } from './heartbeats.ts'
import { type Granted, holdTrainingLease, LeaseLostError } from './training-lease.ts'

const MAX_MESSAGE = 1000

type TrainLeasedOptions = {
  readonly coordinator: string
  readonly token: string
  readonly backend: Backend
  readonly dataset: Dataset
  readonly accumulate: Accumulate
  readonly threads: Threads
  /** Ends the agent between two steps: a checkpoint is delivered, and the lease is given back. */
  readonly stop: AbortSignal
  readonly onNote: (line: string) => void
}

/** Throws TrainingDivergedError where numbers are beyond what a coordinator stores. */
function checkStorable(tensors: ReadonlyMap<string, Tensor>): void {
  for (const [key, { values }] of tensors) {
    const problem = notStorable(values)
    if (problem !== null) throw new TrainingDivergedError(`tensor ${key}: ${problem}`)
  }
}

/** The end as the coordinator keeps it, with the network where there is one. Throws TrainingDivergedError. */
function encodeResult({ normalisation, classNames }: Dataset, trained: FromScratchResult): Uint8Array<ArrayBuffer> {
  const { end, steps, validation, test, identity, weights, statistics } = trained
  const result: TrainingResult = {
    end,
    steps,
    validation,
    test,
    normalisation: { mean: [...normalisation.mean], std: [...normalisation.std] },
    ...(classNames && { classNames: [...classNames] }),
  }
  const metadata = { format: MODEL_FORMAT, architecture: identity.architecture, result: JSON.stringify(result) }
  const tensors = end === 'finished' ? modelTensors(weights, statistics) : new Map<string, Tensor>()
  checkStorable(tensors)
  return encodeSafetensors({ metadata, tensors }, 'F32')
}

function encodeDivergence(error: TrainingDivergedError): Uint8Array<ArrayBuffer> {
  const result: TrainingResult = { end: 'diverged', message: error.message.slice(0, MAX_MESSAGE) }
  return encodeSafetensors({ metadata: { format: MODEL_FORMAT, result: JSON.stringify(result) }, tensors: new Map() }, 'F32')
}

/** What the coordinator hears of a training that could not be gone on with. */
function messageOf(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).slice(0, MAX_FAILURE_MESSAGE)
}

type TrainingSpec = Granted['spec']

/** Throws where the file is not what the training was created with: it is damaged, on the way or where it is kept. */
function checkFingerprint(what: string, found: string, wanted: string): void {
  if (found !== wanted) throw new Error(`expected ${what} of fingerprint ${wanted}, got ${found}`)
}

async function fetchTeacher(client: TrainingClient, teacher: NonNullable<TrainingSpec['teacher']>, dataset: Dataset) {
  const { space, architecture, normalisation, fingerprint } = teacher
  const opened = createSpace(space)
  const weights = decodeModelWeights(opened, parseArchitecture(opened, architecture), await client.readInput('teacher'))
  const created = createTeacher({ space, architecture, normalisation, ...weights }, dataset)
  checkFingerprint('a teacher', created.fingerprint, fingerprint)
  return created
}

async function fetchInitial(
  client: TrainingClient,
  { fingerprint }: NonNullable<TrainingSpec['initial']>,
  space: Space,
  path: Path,
): Promise<InitialWeights> {
  const initial = decodeInitialWeights(space, path, await client.readInput('initial'))
  checkFingerprint('weights to start from', initial.fingerprint, fingerprint)
  return initial
}

/**
 * Trains under a lease to the end; null where it diverged for this agent, which others have to find as well. Throws LeaseLostError where
 * another agent has it, and the reason of `stop`.
 */
async function trainLeased(
  options: TrainLeasedOptions,
  client: TrainingClient,
  request: TrainingLeaseRequest,
  granted: Granted,
  onTrained: () => void,
): Promise<TrainingResult['end'] | null> {
  const { coordinator, token, backend, accumulate, threads, stop, onNote } = options
  const { spec, checkpointStep } = granted
  const space = createSpace(granted.space)
  const path = parseArchitecture(space, spec.architecture)
  const lease = holdTrainingLease(client, request, granted, await startHeartbeatThread({ coordinator, token }))
  let teacher: ReturnType<typeof createTeacher> | undefined
  try {
    const dataset = withNormalisation(options.dataset, spec.recipe)
    teacher = spec.teacher && (await fetchTeacher(client, spec.teacher, dataset))
    const initial = spec.initial && (await fetchInitial(client, spec.initial, space, path))
    const checkpoint = checkpointStep === null ? undefined : decodeCheckpoint(await client.readCheckpoint())
    onNote(checkpoint ? `training goes on from step ${checkpoint.step}` : 'training begins')
    const startMs = performance.now()
    const firstStep = checkpoint?.step ?? 0
    const trained = await trainFromScratch({
      backend,
      dataset,
      space,
      path,
      recipe: spec.recipe,
      seed: spec.seed,
      shareSeed: spec.shareSeed,
      initial,
      teacher,
      checkpoint,
      checkpoints: {
        everyEpochs: 1,
        everyMs: spec.checkpointMs,
        async save(state) {
          // Of an agent that has lost the training nobody takes one.
          if (lease.lost.aborted) return
          for (const group of [state.weights, state.velocities, state.squares, state.average, state.bestModel]) checkStorable(group)
          const bytes = encodeCheckpoint(state)
          await lease.deliver((leaseId) => client.storeCheckpoint(leaseId, bytes))
          lease.saved(state.step)
        },
      },
      accumulate,
      threads,
      test: spec.test,
      signal: AbortSignal.any([stop, lease.lost]),
      onNote,
      onStep(step, { steps, stepsPerEpoch }, loss) {
        onTrained()
        const seconds = (performance.now() - startMs) / 1000
        lease.report({ step, steps, stepsPerEpoch, loss, imagesPerSecond: ((step - firstStep) * spec.recipe.batchSize) / seconds })
      },
      onReport({ epoch, step, trainLoss, validation }) {
        const score = validation ? `  validation accuracy ${(validation.top1 * 100).toFixed(1)} %` : ''
        onNote(`epoch ${Number(epoch.toFixed(2))}  step ${step}  loss ${trainLoss.toFixed(3)}${score}`)
      },
    })
    const bytes = encodeResult(dataset, trained)
    await lease.deliver((leaseId) => client.finish(leaseId, bytes))
    return trained.end
  } catch (error) {
    if (error instanceof TrainingDivergedError) {
      const bytes = encodeDivergence(error)
      await lease.deliver((leaseId) => client.finish(leaseId, bytes))
      onNote(error.message)
      return null
    }
    if (!(error instanceof LeaseLostError)) await lease.release(stop.aborted ? undefined : messageOf(error))
    throw error
  } finally {
    lease.close()
    teacher?.dispose()
  }
}

export { trainLeased, type TrainLeasedOptions }
