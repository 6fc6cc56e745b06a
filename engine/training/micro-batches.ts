// Splits mini-batches that do not fit into the device's memory: the gradients of the parts are added up, so that a step
// needs the activations of one part only. Each batch-norm then sees the moments of its part (Ioffe and Szegedy 2015
// normalise over what is in memory together), so a split step is not bit for bit the whole one.

import { isOutOfMemory } from '../backends/memory-error.ts'

/** A number of parts, or as few as fit: 1, and twice as many each time that memory runs out. */
type Accumulate = number | 'auto'

type MicroBatches = {
  /** Runs `step` with the number of parts for a batch of `images`; again with more parts where it runs out of memory. */
  run<T>(images: number, step: (parts: number) => Promise<T>): Promise<T>
}

/** `onSplit` is told the new number of parts and why. A step that does not fit image by image throws its own error. */
function createMicroBatches(accumulate: Accumulate, onSplit: (parts: number, reason: string) => void): MicroBatches {
  let parts = accumulate === 'auto' ? 1 : accumulate
  return {
    async run(images, step) {
      for (;;) {
        const now = Math.min(parts, images)
        try {
          return await step(now)
        } catch (error) {
          if (accumulate !== 'auto' || now >= images || !isOutOfMemory(error)) throw error
          parts = now * 2
          onSplit(Math.min(parts, images), (error as Error).message)
        }
      }
    },
  }
}

export { type Accumulate, createMicroBatches, type MicroBatches }
