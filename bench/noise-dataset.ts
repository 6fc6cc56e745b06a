import type { MemoryDataset } from '../engine/datasets/index.ts'
import { createRandom, seedState, type Space } from '../search-space/index.ts'

/** Images and labels at random, for what takes the same time whatever is on them. */
function noiseDataset({ input, classes }: Space, count: number): MemoryDataset {
  const random = createRandom(seedState('bench-images'))
  const [height, width, channels] = input
  const pixels = height * width * channels
  const split = {
    count,
    shape: input,
    images: Uint8Array.from({ length: count * pixels }, () => random.integer(256)),
    labels: Uint16Array.from({ length: count }, () => random.integer(classes)),
  }
  const normalisation = { mean: Array.from({ length: channels }, () => 0.5), std: Array.from({ length: channels }, () => 0.25) }
  return { storage: 'memory', name: 'noise', fingerprint: '0'.repeat(64), shape: input, classes, normalisation, train: split, test: split }
}

export { noiseDataset }
