// A training that has not ended, as bytes: one safetensors file whose metadata is the state as JSON. Wherever the bytes
// are kept, whoever has them and the same data goes on from there exactly as the first machine would have: every mini-batch
// and every augmentation is a function of seed and step, so that beside the step only tensors make the state.
//
// protocol/checkpoint-state.ts says which tensors there are.

import * as z from 'zod'
import {
  badNumbers,
  CHECKPOINT_FORMAT,
  checkpointGroups,
  type CheckpointState,
  checkpointStateSchema,
  decodeSafetensors,
  encodeSafetensors,
  type FieldError,
  SafetensorsError,
  type Tensor,
  type TrainingIdentity,
} from '../../protocol/index.ts'

type Checkpoint = Omit<CheckpointState, 'format'> & {
  /** By weight key, those of the network alone. */
  readonly weights: ReadonlyMap<string, Tensor>
  readonly velocities: ReadonlyMap<string, Tensor>
  /** Empty but for AdamW. */
  readonly squares: ReadonlyMap<string, Tensor>
  /** Empty without a moving average. */
  readonly average: ReadonlyMap<string, Tensor>
  /** The best model so far, by the keys of a model; empty where it is not kept. */
  readonly bestModel: ReadonlyMap<string, Tensor>
}

/** Bytes that are no checkpoint, one that the disk does not take, or one of another training; `errors` then names each field with both values. */
class CheckpointError extends Error {
  override readonly name = 'CheckpointError'
  readonly code: 'malformed' | 'does-not-fit' | 'not-written'
  readonly errors: readonly FieldError[]

  constructor(code: 'malformed' | 'does-not-fit' | 'not-written', message: string, errors: readonly FieldError[] = []) {
    super(message)
    this.code = code
    this.errors = errors
  }
}

function encodeCheckpoint({ weights, velocities, squares, average, bestModel, ...state }: Checkpoint): Uint8Array<ArrayBuffer> {
  const tensors = new Map<string, Tensor>()
  for (const [group, members] of Object.entries({ weights, velocities, squares, average, best: bestModel })) {
    for (const [key, tensor] of members) tensors.set(`${checkpointGroups[group as keyof typeof checkpointGroups]}${key}`, tensor)
  }
  const json = JSON.stringify({ format: CHECKPOINT_FORMAT, ...state } satisfies CheckpointState)
  return encodeSafetensors({ metadata: { format: CHECKPOINT_FORMAT, state: json }, tensors }, 'F32')
}

/** Throws CheckpointError `malformed`. */
function decodeCheckpoint(bytes: Uint8Array): Checkpoint {
  try {
    const { metadata, tensors } = decodeSafetensors(bytes)
    if (metadata['state'] === undefined)
      throw new CheckpointError('malformed', 'expected a checkpoint of a training; the file has no state')
    const { format: _, ...state } = checkpointStateSchema.parse(JSON.parse(metadata['state']))
    const within = (prefix: string) =>
      new Map([...tensors].filter(([key]) => key.startsWith(prefix)).map(([key, tensor]) => [key.slice(prefix.length), tensor]))
    const problem = badNumbers(tensors)
    if (problem !== null) throw new CheckpointError('malformed', problem)
    return {
      ...state,
      weights: within(checkpointGroups.weights),
      velocities: within(checkpointGroups.velocities),
      squares: within(checkpointGroups.squares),
      average: within(checkpointGroups.average),
      bestModel: within(checkpointGroups.best),
    }
  } catch (error) {
    if (error instanceof z.ZodError)
      throw new CheckpointError('malformed', `expected a checkpoint of a training; ${z.prettifyError(error)}`)
    if (error instanceof SafetensorsError || error instanceof SyntaxError) throw new CheckpointError('malformed', error.message)
    throw error
  }
}

/** Every leaf of a JSON value by its path. */
function leavesOf(value: unknown, path: string, into: Map<string, unknown>): Map<string, unknown> {
  if (typeof value !== 'object' || value === null) return into.set(path, value)
  for (const [name, inner] of Object.entries(value)) leavesOf(inner, path === '' ? name : `${path}.${name}`, into)
  return into
}

/** For people; two data sets with one fingerprint are the same, whatever they are called. */
const NAMES = new Set(['dataset.name'])

/** Throws CheckpointError `does-not-fit` that names every field in which the two differ, with both values. */
function checkFits(found: TrainingIdentity, wanted: TrainingIdentity): void {
  const before = leavesOf(found, '', new Map())
  const now = leavesOf(wanted, '', new Map())
  const print = (value: unknown) => (value === undefined ? 'none' : JSON.stringify(value))
  const errors = [...new Set([...before.keys(), ...now.keys()])]
    .filter((path) => !NAMES.has(path) && before.get(path) !== now.get(path))
    .map((path) => ({ path, message: `the checkpoint has ${print(before.get(path))}, this training ${print(now.get(path))}` }))
  if (errors.length > 0) throw new CheckpointError('does-not-fit', 'the checkpoint is of another training', errors)
}

export { checkFits, type Checkpoint, CheckpointError, decodeCheckpoint, encodeCheckpoint }
