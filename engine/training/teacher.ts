// A trained network as a teacher: it says what it thinks of the very images that the student sees.

import * as tf from '@tensorflow/tfjs-core'
import { createSpace, parseArchitecture, type SpaceRef } from '../../search-space/index.ts'
import type { Dataset, Normalisation } from '../datasets/index.ts'
import { createInference } from '../executor/index.ts'
import { type ModelWeights, NetworkWeightsError, teacherFingerprint } from './network-weights.ts'

/** A trained network to learn from. */
type Teacher = {
  /** SHA-256 of its weights, hexadecimal. */
  readonly fingerprint: string
  /** [batch, height, width, channels], normalised as the student's, to [batch, classes], which the caller disposes. */
  logits(images: tf.Tensor4D): tf.Tensor2D
  /** What each thread of a training makes its own of; a teacher without one teaches in one thread only. */
  readonly model?: TeacherModel
}

/** A teacher that was made for other images than the student's. */
class TeacherError extends Error {
  override readonly name = 'TeacherError'
  readonly code = 'teacher'
}

type TeacherModel = ModelWeights & {
  readonly space: SpaceRef
  readonly architecture: string
  /** That its images were given. */
  readonly normalisation: Normalisation
}

/** On the active backend. Throws TeacherError, with both sides named, where it was made for other images than the student's. */
function createTeacher(model: TeacherModel, dataset: Pick<Dataset, 'shape' | 'classes' | 'normalisation'>): Teacher & { dispose(): void } {
  const { architecture, weights, statistics, normalisation } = model
  const space = createSpace(model.space)
  const facts = [
    ['images of', space.input.join('×'), dataset.shape.join('×')],
    ['classes', space.classes, dataset.classes],
    ['a normalisation of', JSON.stringify(normalisation), JSON.stringify(dataset.normalisation)],
  ] as const
  for (const [what, teacher, student] of facts) {
    if (teacher !== student) throw new TeacherError(`the teacher ${architecture} has ${what} ${teacher}, the data ${student}`)
  }
  const valuesOf = (key: string) => {
    const tensor = weights.get(key)
    if (!tensor) throw new NetworkWeightsError(`the teacher ${architecture} lacks ${key}`)
    return tensor.values
  }
  const inference = createInference({ graph: space.network(parseArchitecture(space, architecture)), weights: valuesOf, statistics })
  return {
    model,
    fingerprint: teacherFingerprint(model),
    logits: (images) => tf.tidy(() => tf.reshape(inference.run(images), [images.shape[0], space.classes])),
    dispose: () => inference.dispose(),
  }
}

export { createTeacher, type Teacher, TeacherError, type TeacherModel }
