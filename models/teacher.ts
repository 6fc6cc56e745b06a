// A trained network as a teacher: it says what it thinks of the very images that the student sees.

import { createHash } from 'node:crypto'
import * as tf from '@tensorflow/tfjs-core'
import type { Dataset } from '../worker-agent/datasets/index.ts'
import { createInference } from '../worker-agent/executor/index.ts'
import type { Teacher } from '../worker-agent/training/from-scratch.ts'
import { ModelFolderError, readModelFolder, type TrainedModel } from './model-folder.ts'

/** SHA-256 over the network, its weights and its statistics. */
function fingerprintOf({ description, weights, statistics }: TrainedModel): string {
  const hash = createHash('sha256').update(JSON.stringify([description.space, description.architecture]))
  const add = (key: string, values: Float32Array) =>
    hash.update(key).update(new Uint8Array(values.buffer, values.byteOffset, values.byteLength))
  for (const [key, { values }] of weights) add(key, values)
  for (const [gamma, { mean, variance }] of statistics) {
    add(`${gamma} mean`, mean)
    add(`${gamma} variance`, variance)
  }
  return hash.digest('hex')
}

/** Throws ModelFolderError, with both sides named, where the teacher was made for other images than the student's. */
function checkTeaches({ description, space }: TrainedModel, folder: string, dataset: Dataset): void {
  const facts = [
    ['images of', space.input.join('×'), dataset.shape.join('×')],
    ['classes', space.classes, dataset.classes],
    ['a normalisation of', JSON.stringify(description.normalisation), JSON.stringify(dataset.normalisation)],
  ] as const
  for (const [what, teacher, student] of facts) {
    if (teacher !== student) throw new ModelFolderError(`the teacher in ${folder} has ${what} ${teacher}, the data ${student}`)
  }
}

/** The model of a folder, on the active backend. Throws ModelFolderError. */
function openTeacher(folder: string, dataset: Dataset): Teacher & { dispose(): void } {
  const model = readModelFolder(folder)
  checkTeaches(model, folder, dataset)
  const { space, path, weights, statistics } = model
  const valuesOf = (key: string) => {
    const tensor = weights.get(key)
    if (!tensor) throw new ModelFolderError(`the model in ${folder} lacks ${key}`)
    return tensor.values
  }
  const inference = createInference({ graph: space.network(path), weights: valuesOf, statistics })
  return {
    fingerprint: fingerprintOf(model),
    logits: (images) => tf.tidy(() => tf.reshape(inference.run(images), [images.shape[0], space.classes])),
    dispose: () => inference.dispose(),
  }
}

export { openTeacher }
