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
  /** [batch, height, width, channels], normalised as the student's (a teacher of another normalisation sees them in its own), to [batch, classes], which the caller disposes. */
  logits(images: tf.Tensor4D): tf.Tensor2D
  /** What each thread of a training makes its own of; a teacher without one teaches in one thread only. */
  readonly model?: TeacherModel
}

/** A teacher that was made for other images than the student's. */
class TeacherError extends Error {
  override readonly name = 'TeacherError'
  readonly code = 'teacher'
}

/** What turns images of one normalisation into those of another: x ← x · scale + shift per channel. */
type Renormalisation = { readonly scale: tf.Tensor1D; readonly shift: tf.Tensor1D }

/**
 * With pixels p in 0..1, x = (p − m) / s and wanted is y = (p − m') / s' = x · s/s' + (m − m')/s'. Null where both are the same, so that
 * nothing is rounded.
 */
function renormalise(from: Normalisation, to: Normalisation): Renormalisation | null {
  if (JSON.stringify(from) === JSON.stringify(to)) return null
  const scale = from.std.map((std, channel) => std / (to.std[channel] as number))
  const shift = from.mean.map((mean, channel) => (mean - (to.mean[channel] as number)) / (to.std[channel] as number))
  return { scale: tf.tensor1d(scale), shift: tf.tensor1d(shift) }
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
  const own = renormalise(dataset.normalisation, normalisation)
  const asOwn = (images: tf.Tensor4D) => (own ? tf.add<tf.Tensor4D>(tf.mul(images, own.scale), own.shift) : images)
  return {
    model,
    fingerprint: teacherFingerprint(model),
    logits: (images) => tf.tidy(() => tf.reshape(inference.run(asOwn(images)), [images.shape[0], space.classes])),
    dispose() {
      inference.dispose()
      if (own) tf.dispose([own.scale, own.shift])
    },
  }
}

export { createTeacher, type Teacher, TeacherError, type TeacherModel }
