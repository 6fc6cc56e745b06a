// What every space asks of data: two classes that are trained on, and images that an input can have the size of.

import { MAX_INPUT_CHANNELS, MAX_SIDE } from '../../search-space/families/mbconv/config.ts'
import type { Dataset, ImageShape } from './dataset.ts'
import { DatasetError } from './errors.ts'

/** With one class every network is right. */
const MIN_CLASSES = 2

/** `place` is where the data are. Throws `too-large`. */
function checkShape(shape: ImageShape, place: string): void {
  const [height, width, channels] = shape
  if (height <= MAX_SIDE && width <= MAX_SIDE && channels <= MAX_INPUT_CHANNELS) return
  throw new DatasetError(
    'too-large',
    `expected images of at most ${MAX_SIDE}×${MAX_SIDE}×${MAX_INPUT_CHANNELS}, which is what a space takes, got ${shape.join('×')} for ${place}`,
    { file: place },
  )
}

/** `lookedFor` is the layout that was expected in `place`. Throws `one-class`. */
function checkClassCount({ train, classNames }: Dataset, place: string, lookedFor: string): void {
  const labels = new Set(train.labels)
  if (labels.size >= MIN_CLASSES) return
  const [only = 0] = labels
  throw new DatasetError(
    'one-class',
    `expected training images of at least ${MIN_CLASSES} classes in ${place}, got all ${train.count} of one, ${classNames?.[only] ?? `label ${only}`}; ` +
      `looked for ${lookedFor}`,
    { file: place },
  )
}

/** Classes that a message names. */
const MAX_NAMED = 5

/** What to say of classes of packed formats that no image has: labels that begin at 1, most often, or a part of a data set. */
function describeEmptyClasses({ train, test, classes, classNames }: Dataset): string[] {
  return Object.entries({ training: train, test }).flatMap(([name, { labels }]) => {
    const present = new Set<number>(labels)
    const empty = Array.from({ length: classes }, (_, label) => label).filter((label) => !present.has(label))
    if (empty.length === 0) return []
    const named = empty.slice(0, MAX_NAMED).map((label) => classNames?.[label] ?? String(label))
    const more = empty.length > MAX_NAMED ? ` and ${empty.length - MAX_NAMED} more` : ''
    const advice =
      empty[0] === 0 && empty.length === 1 && !classNames ? '; labels count from 0, so write them one lower if they count from 1' : ''
    return [`no ${name} image is of class ${named.join(', ')}${more}, of ${classes} classes${advice}`]
  })
}

export { checkClassCount, checkShape, describeEmptyClasses }
