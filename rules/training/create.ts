// Turns what a user asks for into the fixed setup of a training, or refuses with the field named.

import {
  architectureCosts,
  createSpace,
  parseArchitecture,
  type Path,
  resolveSpaceConfig,
  type Space,
  SpaceError,
} from '../../search-space/index.ts'
import {
  MAX_CHECKPOINT_BYTES,
  MAX_REPORTS,
  invalidField,
  ProblemError,
  type TrainingInput,
  type TrainingSpec,
} from '../../protocol/index.ts'
import { checkpointBytes, modelShapes, type ModelShapes, networkShapes, type NetworkShapes } from '../network-files/shapes.ts'
import type { TrainingStore } from './store.ts'
import type { TrainingSetup } from './stored.ts'

type NetworkDescription = {
  readonly space: Space
  readonly shapes: NetworkShapes
  readonly inputs: ReadonlyMap<TrainingInput, ModelShapes>
  readonly parameters: number
  /** About how large a checkpoint is. */
  readonly checkpointBytes: number
}

/** @param within where in a request they are, with a dot at the end */
function openNetwork(spec: Pick<TrainingSpec, 'space' | 'architecture'>, within = ''): { space: Space; path: Path } {
  try {
    const space = createSpace(spec.space)
    return { space, path: parseArchitecture(space, spec.architecture) }
  } catch (error) {
    if (!(error instanceof SpaceError)) throw error
    throw new ProblemError('invalid-request', error.message, [{ path: `${within}${error.field}`, message: error.message }])
  }
}

/** Shapes of what a training is given to begin with, by what it is. Throws ProblemError `invalid-request`. */
function inputShapes(spec: TrainingSpec, network: { space: Space; shapes: NetworkShapes }): ReadonlyMap<TrainingInput, ModelShapes> {
  const inputs = new Map<TrainingInput, ModelShapes>()
  if (spec.initial) inputs.set('initial', network.shapes.weights)
  if (spec.teacher) {
    const { space, path } = openNetwork(spec.teacher, 'teacher.')
    if (space.input.join() !== network.space.input.join() || space.classes !== network.space.classes) {
      throw invalidField(
        'teacher.space',
        `expected images of ${network.space.input.join('×')} in ${network.space.classes} classes, got ${space.input.join('×')} in ${space.classes}`,
      )
    }
    inputs.set('teacher', modelShapes(networkShapes(space, path)))
  }
  return inputs
}

/** Setup of a new training. Throws ProblemError `invalid-request`. */
function createTrainingSetup(trainingId: string, spec: TrainingSpec, nowMs: number): TrainingSetup {
  const { space, path } = openNetwork(spec)
  const shapes = networkShapes(space, path)
  inputShapes(spec, { space, shapes })
  const bytes = checkpointBytes(spec.recipe, shapes)
  if (bytes > MAX_CHECKPOINT_BYTES) {
    throw invalidField(
      'architecture',
      `a checkpoint of this network would have ${bytes} bytes; expected at most ${MAX_CHECKPOINT_BYTES}. Train it on one machine, with \`gatehouse train\`.`,
    )
  }
  const { epochs = 0 } = spec.recipe
  if (epochs > MAX_REPORTS)
    throw invalidField('recipe.epochs', `expected at most ${MAX_REPORTS} for a training that a coordinator keeps, got ${epochs}`)
  return { trainingId, createdAtMs: nowMs, spec, space: resolveSpaceConfig(spec.space) }
}

/** Of the network that a setup trains. */
function describeNetwork({ spec }: TrainingSetup): NetworkDescription {
  const { space, path } = openNetwork(spec)
  const shapes = networkShapes(space, path)
  return {
    space,
    shapes,
    inputs: inputShapes(spec, { space, shapes }),
    parameters: architectureCosts(space, path).parameters,
    checkpointBytes: checkpointBytes(spec.recipe, shapes),
  }
}

/** @param openStore called once nothing can be refused any more, so that a refusal leaves no storage behind */
function startTraining(openStore: () => TrainingStore, setup: TrainingSetup): void {
  const store = openStore()
  store.transaction(() => {
    store.writeSetup(setup)
    store.writeState({
      datasetFingerprint: setup.spec.dataset.fingerprint ?? null,
      startedAtMs: null,
      finishedAtMs: null,
      lease: null,
      progress: null,
      checkpoint: null,
      trainers: [],
      model: null,
      inputs: {},
      upload: null,
      result: null,
      counts: { leases: 0, expiredLeases: 0, duplicates: 0, blobs: 0, reports: 0 },
    })
  })
}

export { createTrainingSetup, describeNetwork, type NetworkDescription, startTraining }
