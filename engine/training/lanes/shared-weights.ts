// The weights of a space and their velocities in memory that threads share: one master copy of each, float32, key after key in
// the order of the space. A weight is written there when a thread first asks for it, from the search's seed; pages of weights
// that nobody asks for are never touched, so that they take address space and no memory.
//
// A thread has tensors of what it uses, made from the master copy. Each weight has a version, 0 before it is initialised, that
// says whether a tensor is still what the master copy has. Nothing here waits or locks. Who writes what when is the trainer's
// business (threads-trainer.ts): of several threads that use a weight at a time, none writes its master copy. The first write,
// from the seed, needs no such care, since whoever does it writes the same numbers.

import { elementCount, initialWeights, type WeightSpec } from '../../../search-space/index.ts'
import type { Backend } from '../../backends/backends.ts'
import { copyToShared, createWeights, type Sgd, tensorFromShared, type Weights } from '../../executor/index.ts'

type WeightMemory = {
  readonly weights: SharedArrayBuffer
  readonly velocities: SharedArrayBuffer
  /** int32, one for each weight. */
  readonly versions: SharedArrayBuffer
}

type SharedWeights = Weights & {
  /** The master copy itself. */
  master(key: string): Float32Array
  masterVelocity(key: string): Float32Array
  writeVelocity(key: string, values: Float32Array): void
  /** To be said after a change of a master copy: tensors of it are made anew when they are next asked for. */
  changed(key: string): void
  /**
   * Makes tensors of these weights, and with an optimiser of their velocities, where they are not what the master copies have,
   * and frees all others.
   */
  hold(keys: Iterable<string>, optimiser: Sgd | null): void
  /** Copies a tensor and its velocity to the master copies. They stay good here. */
  publish(key: string, optimiser: Sgd): void
  /** Copies them to other shared memory and frees them here. */
  moveTo(key: string, optimiser: Sgd, weight: Float32Array, velocity: Float32Array): void
  /** Sets the master copies of all velocities to 0. */
  resetVelocities(): void
}

function createWeightMemory(specs: readonly WeightSpec[]): WeightMemory {
  const bytes = specs.reduce((sum, { shape }) => sum + elementCount(shape), 0) * Float32Array.BYTES_PER_ELEMENT
  return {
    weights: new SharedArrayBuffer(bytes),
    velocities: new SharedArrayBuffer(bytes),
    versions: new SharedArrayBuffer(specs.length * Int32Array.BYTES_PER_ELEMENT),
  }
}

/** A thread's side of the memory. Tensors are of its own backend. */
function openSharedWeights(backend: Backend, specs: readonly WeightSpec[], seed: number, memory: WeightMemory): SharedWeights {
  const onDevice = createWeights(backend, specs, seed)
  const { spec } = onDevice
  const versions = new Int32Array(memory.versions)
  const places = new Map<string, { readonly index: number; readonly from: number; readonly to: number }>()
  let end = 0
  for (const [index, { key, shape }] of specs.entries()) {
    const from = end
    end += elementCount(shape)
    places.set(key, { index, from, to: end })
  }
  const weightValues = new Float32Array(memory.weights)
  const velocityValues = new Float32Array(memory.velocities)
  /** Versions that the tensors here are of. */
  const held = new Map<string, number>()
  const heldVelocities = new Map<string, number>()

  const place = (key: string) => places.get(spec(key).key) as NonNullable<ReturnType<typeof places.get>>
  const version = (key: string) => Atomics.load(versions, place(key).index)
  const slice = (values: Float32Array, key: string) => values.subarray(place(key).from, place(key).to)

  const master = (key: string): Float32Array => {
    const values = slice(weightValues, key)
    if (version(key) === 0) {
      values.set(initialWeights(spec(key), seed))
      Atomics.compareExchange(versions, place(key).index, 0, 1)
    }
    return values
  }
  const masterVelocity = (key: string) => slice(velocityValues, key)
  const changed = (key: string) => Atomics.add(versions, place(key).index, 1) + 1
  const isCurrent = (key: string) => held.get(key) === version(key)

  const load = (key: string) => {
    const values = master(key)
    onDevice.replace(key, tensorFromShared(values, spec(key).shape))
    held.set(key, version(key))
  }
  const forget = (key: string) => {
    onDevice.forget(key)
    held.delete(key)
  }
  const forgetVelocity = (key: string, optimiser: Sgd) => {
    optimiser.forget(key)
    heldVelocities.delete(key)
  }
  const copyVelocity = (key: string, optimiser: Sgd, target: Float32Array) => {
    const velocity = optimiser.velocities.get(key)
    if (velocity) copyToShared(velocity, target)
  }

  return {
    specs: onDevice.specs,
    spec,
    get(key) {
      if (!isCurrent(key)) load(key)
      return onDevice.get(key)
    },
    read: async (key) => master(key).slice(),
    write(key, values) {
      const target = slice(weightValues, key)
      if (values.length !== target.length) throw new RangeError(`expected ${target.length} values for ${key}, got ${values.length}`)
      target.set(values)
      changed(key)
    },
    replace: onDevice.replace,
    materialised: onDevice.materialised,
    forget,
    dispose() {
      onDevice.dispose()
      held.clear()
    },
    master,
    masterVelocity,
    writeVelocity(key, values) {
      // A version above 0 says that the weight is there.
      master(key)
      masterVelocity(key).set(values)
      changed(key)
    },
    changed,
    hold(keys, optimiser) {
      const wanted = new Set(keys)
      for (const key of onDevice.materialised()) if (!wanted.has(key)) forget(key)
      for (const key of wanted) if (!isCurrent(key)) load(key)
      if (!optimiser) return
      for (const key of optimiser.velocities.keys()) if (!wanted.has(key)) forgetVelocity(key, optimiser)
      for (const key of wanted) {
        if (heldVelocities.get(key) === version(key)) continue
        optimiser.writeVelocity(key, spec(key).shape, masterVelocity(key))
        heldVelocities.set(key, version(key))
      }
    },
    publish(key, optimiser) {
      copyToShared(onDevice.get(key), slice(weightValues, key))
      copyVelocity(key, optimiser, masterVelocity(key))
      const now = changed(key)
      held.set(key, now)
      heldVelocities.set(key, now)
    },
    moveTo(key, optimiser, weight, velocity) {
      copyToShared(onDevice.get(key), weight)
      copyVelocity(key, optimiser, velocity)
      forget(key)
      forgetVelocity(key, optimiser)
    },
    resetVelocities() {
      for (const { key } of specs) {
        if (version(key) === 0) continue
        masterVelocity(key).fill(0)
        changed(key)
      }
    },
  }
}

export { createWeightMemory, openSharedWeights, type SharedWeights, type WeightMemory }
