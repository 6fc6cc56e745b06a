// Which class of a model each class of a data set is: by name where both have names, otherwise by number.

import type { Dataset } from '../../engine/datasets/index.ts'
import type { TrainedModel } from '../model-folder.ts'

/** Names that a message lists. */
const MAX_NAMED = 5

/** The model is of other images or classes than the data; the message says both. */
class ModelMismatchError extends Error {
  override readonly name = 'ModelMismatchError'
  readonly code = 'model-mismatch'
}

/** What a class of a model is called: its number where the model has no names. */
function modelClassNames({ description, space }: Pick<TrainedModel, 'description' | 'space'>): string[] {
  return Array.from({ length: space.classes }, (_, index) => description.classNames?.[index] ?? String(index))
}

/** Class of the model by label of the data. Throws ModelMismatchError where a class of the data is none of the model's. */
function mapClasses(
  model: Pick<TrainedModel, 'description' | 'space'>,
  { classes, classNames }: Pick<Dataset, 'classes' | 'classNames'>,
): Uint32Array {
  const known = model.description.classNames
  if (!known || !classNames) {
    if (classes > model.space.classes) {
      throw new ModelMismatchError(`the data have ${classes} classes, the model tells ${model.space.classes} apart`)
    }
    return Uint32Array.from({ length: classes }, (_, label) => label)
  }
  const numbers = new Map(known.map((name, index) => [name.normalize('NFC'), index]))
  const strange = classNames.filter((name) => !numbers.has(name.normalize('NFC')))
  if (strange.length > 0) {
    const more = strange.length > MAX_NAMED ? ` and ${strange.length - MAX_NAMED} more` : ''
    throw new ModelMismatchError(
      `the model knows no class called ${strange.slice(0, MAX_NAMED).join(', ')}${more}; it tells ${known.length} apart: ${known.slice(0, MAX_NAMED).join(', ')}${known.length > MAX_NAMED ? ', …' : ''}`,
    )
  }
  return Uint32Array.from(classNames, (name) => numbers.get(name.normalize('NFC')) as number)
}

/** Throws ModelMismatchError unless the images have the size that the network takes. */
function checkImages({ space }: Pick<TrainedModel, 'space'>, shape: Dataset['shape']): void {
  if (space.input.join() === shape.join()) return
  throw new ModelMismatchError(`the model takes images of ${space.input.join('×')}, the data are ${shape.join('×')}`)
}

export { checkImages, mapClasses, modelClassNames, ModelMismatchError }
