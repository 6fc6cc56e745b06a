// What agents deliver, checked before it counts, a tensor at a time: a checkpoint that another agent can go on from, and a model that
// a person can use. Only the network that is trained passes, whole, with numbers that are finite.

import type * as z from 'zod'
import {
  type ByteSource,
  checkpointGroups,
  type CheckpointState,
  checkpointStateSchema,
  fieldErrors,
  MAX_REPORTS,
  MODEL_FORMAT,
  notStorable,
  invalidField,
  ProblemError,
  readSafetensorsLayout,
  readTensorValues,
  SafetensorsError,
  type SafetensorsLayout,
  type TrainingResult,
  trainingResultSchema,
  type TrainingSpec,
} from '../../protocol/index.ts'
import { modelShapes, type ModelShapes, type NetworkShapes } from './shapes.ts'

function bad(key: string, message: string): ProblemError {
  return new ProblemError('bad-numbers', `tensor ${key}: ${message}`, [{ path: key, message }])
}

function readLayout(source: ByteSource): SafetensorsLayout {
  try {
    return readSafetensorsLayout(source)
  } catch (error) {
    if (error instanceof SafetensorsError) throw invalidField('body', error.message)
    throw error
  }
}

/** JSON text of the file's metadata, parsed. Throws ProblemError `invalid-request`, naming each field. */
function parseMetadata<S extends z.ZodType>({ metadata }: SafetensorsLayout, field: string, schema: S): z.infer<S> {
  const path = `__metadata__.${field}`
  const text = metadata[field]
  if (text === undefined) throw invalidField(path, 'required')
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw invalidField(path, 'expected JSON text')
  }
  const parsed = schema.safeParse(value)
  if (parsed.success) return parsed.data
  const errors = fieldErrors(parsed.error).map((error) => ({ ...error, path: `${path}.${error.path}` }))
  throw new ProblemError('invalid-request', `${errors[0]?.path}: ${errors[0]?.message}`, errors)
}

/** Throws ProblemError `bad-numbers` unless the tensors are exactly those wanted, of these shapes, and finite. */
function checkTensors(source: ByteSource, { tensors }: SafetensorsLayout, wanted: ReadonlyMap<string, readonly number[]>): void {
  for (const [key, shape] of wanted) {
    const tensor = tensors.get(key)
    if (!tensor) throw bad(key, 'missing')
    if (shape.join() !== tensor.shape.join()) throw bad(key, `expected shape ${shape.join('×')}, got ${tensor.shape.join('×')}`)
    const problem = notStorable(readTensorValues(source, tensor))
    if (problem !== null) throw bad(key, problem)
  }
  for (const key of tensors.keys()) if (!wanted.has(key)) throw bad(key, 'not a tensor of this network')
}

/** What is trained, as far as a checkpoint says it. */
type CheckpointSpec = Pick<TrainingSpec, 'architecture' | 'recipe' | 'seed' | 'shareSeed'> & {
  readonly initial?: { readonly fingerprint: string } | undefined
  readonly teacher?: { readonly fingerprint: string } | undefined
}

/** Fields of a checkpoint's identity that are not what they are in the training. Both sides were parsed, so that equal settings are equal text. */
function checkIdentity({ identity }: CheckpointState, spec: CheckpointSpec, datasetFingerprint: string | null): void {
  const expected = {
    architecture: spec.architecture,
    recipe: spec.recipe,
    seed: spec.seed,
    shareSeed: spec.shareSeed ?? spec.seed,
    teacher: spec.teacher?.fingerprint ?? null,
    initial: spec.initial?.fingerprint ?? null,
    dataset: datasetFingerprint,
  }
  const found = { ...identity, dataset: identity.dataset.fingerprint }
  const errors = Object.entries(expected)
    .filter(([field, value]) => JSON.stringify(value) !== JSON.stringify(found[field as keyof typeof expected]))
    .map(([field, value]) => ({ path: `__metadata__.state.identity.${field}`, message: `expected ${JSON.stringify(value)}` }))
  if (errors.length > 0) throw new ProblemError('conflict', 'this is a checkpoint of another training', errors)
}

/** State of a checkpoint of this training. Throws ProblemError `invalid-request`, `bad-numbers` or `conflict`. */
function readCheckpointUpload(
  source: ByteSource,
  { spec, shapes, datasetFingerprint }: { spec: CheckpointSpec; shapes: NetworkShapes; datasetFingerprint: string | null },
): CheckpointState {
  const file = readLayout(source)
  const state = parseMetadata(file, 'state', checkpointStateSchema)
  checkIdentity(state, spec, datasetFingerprint)
  if (state.reports.length > MAX_REPORTS) throw invalidField('__metadata__.state.reports', `expected at most ${MAX_REPORTS}`)
  const isOrdered = state.reports.every((report, i) => report.step > (state.reports[i - 1]?.step ?? 0) && report.step <= state.step)
  if (!isOrdered) throw invalidField('__metadata__.state.reports', 'expected reports of growing steps, none beyond that of the checkpoint')
  const { weights, velocities, squares, average, best } = checkpointGroups
  const { averageDecay, optimiser, keep } = spec.recipe
  const moments = state.step > 0 ? [velocities, ...(optimiser === 'adamw' ? [squares] : [])] : []
  const groups = [weights, ...moments, ...(averageDecay > 0 ? [average] : [])]
  const within = (group: string, tensors: ModelShapes) => [...tensors].map(([key, shape]) => [`${group}${key}`, shape] as const)
  const wanted = new Map(groups.flatMap((group) => within(group, shapes.weights)))
  if (keep === 'best' && state.best !== null) for (const [key, shape] of within(best, modelShapes(shapes))) wanted.set(key, shape)
  checkTensors(source, file, wanted)
  return state
}

/** Result of a training, with its model where it finished. Throws ProblemError `invalid-request` or `bad-numbers`. */
function readModelUpload(source: ByteSource, spec: TrainingSpec, shapes: NetworkShapes): TrainingResult {
  const file = readLayout(source)
  const result = parseMetadata(file, 'result', trainingResultSchema)
  if (result.end === 'stopped' && !spec.recipe.stopBelow)
    throw invalidField('__metadata__.result.end', 'expected finished or diverged: the recipe has no stopBelow')
  let wanted: ModelShapes = new Map()
  if (result.end === 'finished') {
    if (file.metadata['format'] !== MODEL_FORMAT) throw invalidField('__metadata__.format', `expected ${MODEL_FORMAT}`)
    if (file.metadata['architecture'] !== spec.architecture)
      throw invalidField('__metadata__.architecture', `expected ${spec.architecture}`)
    wanted = modelShapes(shapes)
  }
  checkTensors(source, file, wanted)
  return result
}

/** Throws ProblemError `invalid-request` or `bad-numbers` unless it has exactly these tensors. */
function checkInputUpload(source: ByteSource, shapes: ModelShapes): void {
  checkTensors(source, readLayout(source), shapes)
}

export { type CheckpointSpec, checkInputUpload, readCheckpointUpload, readModelUpload }
