// A dataset in memory that threads share: it goes to each of them without a copy.

import type { Dataset } from './dataset.ts'

function toSharedMemory<A extends Uint8Array | Uint16Array | Uint32Array>(values: A): A {
  if (values.buffer instanceof SharedArrayBuffer) return values
  const type = values.constructor as new (buffer: SharedArrayBuffer) => A
  const shared = new type(new SharedArrayBuffer(values.byteLength))
  shared.set(values)
  return shared
}

/** The same split with its arrays in memory that threads share instead of copying. */
function shareSplit<S extends object>(split: S): S {
  const isArray = (value: unknown) => value instanceof Uint8Array || value instanceof Uint16Array || value instanceof Uint32Array
  return Object.fromEntries(Object.entries(split).map(([name, value]) => [name, isArray(value) ? toSharedMemory(value) : value])) as S
}

function shareValidation<S extends object>({ validation }: { readonly validation?: S }): { validation?: S } {
  return validation ? { validation: shareSplit(validation) } : {}
}

/** What is in shared memory already stays where it is. */
function shareDataset(dataset: Dataset): Dataset {
  return dataset.storage === 'memory'
    ? // Nobody asks a thread what an image is called.
      { ...dataset, files: undefined, train: shareSplit(dataset.train), test: shareSplit(dataset.test), ...shareValidation(dataset) }
    : { ...dataset, train: shareSplit(dataset.train), test: shareSplit(dataset.test), ...shareValidation(dataset) }
}

export { shareDataset }
