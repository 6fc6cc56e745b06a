// A data set and a space small enough to train within a test.

import { createRandom, createSpace, parseArchitecture, seedState, type SpaceRef } from '../../search-space/index.ts'
import type { MemoryDataset, Split } from '../../engine/datasets/index.ts'

const SIDE = 6
const CLASSES = 6

const SMALL_SPACE = {
  name: 'small',
  input: [SIDE, SIDE, 3],
  widthMult: 1,
  batchNormEpsilon: 1e-3,
  classes: CLASSES,
  stem: { width: 8, stride: 1 },
  firstBlock: null,
  stages: [{ width: 8, cells: 2, stride: 2 }],
  kernels: [3, 5],
  expansions: [2],
  zero: true,
  headWidth: 8,
} satisfies SpaceRef

const ARCHITECTURE = 'small:mb2k3,mb2k5'

const space = createSpace(SMALL_SPACE)
const path = parseArchitecture(space, ARCHITECTURE)

/** Images whose column of the class is bright, with noise. */
function smallSplit(count: number, name: string): Split {
  const random = createRandom(seedState('small images', name))
  const images = new Uint8Array(count * SIDE * SIDE * 3)
  const labels = Uint8Array.from({ length: count }, () => random.integer(CLASSES))
  for (let i = 0; i < count; i++) {
    for (let pixel = 0; pixel < SIDE * SIDE; pixel++) {
      const bright = pixel % SIDE === labels[i] ? 120 : 0
      for (let c = 0; c < 3; c++) images[(i * SIDE * SIDE + pixel) * 3 + c] = random.integer(100) + bright
    }
  }
  return { count, shape: [SIDE, SIDE, 3], images, labels }
}

function smallDataset(): MemoryDataset {
  return {
    storage: 'memory',
    name: 'small',
    fingerprint: 'a'.repeat(64),
    shape: [SIDE, SIDE, 3],
    classes: CLASSES,
    train: smallSplit(240, 'train'),
    test: smallSplit(60, 'test'),
    normalisation: { mean: [0.25, 0.25, 0.25], std: [0.2, 0.2, 0.2] },
  }
}

export { path, smallDataset, SMALL_SPACE, space }
