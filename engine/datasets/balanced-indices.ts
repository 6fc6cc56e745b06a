// Which images a step trains on where every class is to be seen as often, however many images it has: PyTorch's WeightedRandomSampler with
// weights of one over the class's count, drawing with replacement. A pure function of (share, labels, batch size, step, seed), like
// batch-indices.ts.

import { createRandom, seedState } from '../../search-space/random.ts'
import type { Labels } from './dataset.ts'

/** Images of each class that has any, by share: the same for all steps of a training. */
const keptClasses = new WeakMap<Uint32Array, Uint32Array[]>()

function classesOf(share: Uint32Array, labels: Labels): Uint32Array[] {
  const kept = keptClasses.get(share)
  if (kept) return kept
  const byLabel = new Map<number, number[]>()
  for (const index of share) {
    const label = labels[index] as number
    const members = byLabel.get(label)
    if (members) members.push(index)
    else byLabel.set(label, [index])
  }
  const classes = [...byLabel].sort(([a], [b]) => a - b).map(([, members]) => Uint32Array.from(members))
  keptClasses.set(share, classes)
  return classes
}

/** `batchSize` indices from `share`, which must not be changed between calls: each of a class drawn first, then an image of it. */
function balancedIndices(share: Uint32Array, labels: Labels, batchSize: number, step: number, seed: number | string): Uint32Array {
  const classes = classesOf(share, labels)
  const random = createRandom(seedState('balanced', seed, step))
  return Uint32Array.from({ length: batchSize }, () => {
    const members = classes[random.integer(classes.length)] as Uint32Array
    return members[random.integer(members.length)] as number
  })
}

export { balancedIndices }
