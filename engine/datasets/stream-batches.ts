// The order of work behind a stream of batches: requests are started in order, a bounded number ahead, and finished when
// they are asked for.

import type { BatchRequest, BatchStream } from './batch-source.ts'
import type { Batch } from './fill-batch.ts'

/** A batch under way: calling it gives the batch. */
type StartedBatch = () => Promise<Batch>

/** `ahead`: batches started beyond the one asked for; 0 starts each when it is asked for. */
function streamBatches(requests: Iterable<BatchRequest>, ahead: number, start: (request: BatchRequest) => StartedBatch): BatchStream {
  const left = requests[Symbol.iterator]()
  const started: StartedBatch[] = []
  let ended = false
  const startUpTo = (count: number) => {
    while (!ended && started.length < count) {
      const next = left.next()
      if (next.done === true) ended = true
      else started.push(start(next.value))
    }
  }
  const stop = (): IteratorResult<Batch> => {
    ended = true
    started.length = 0
    left.return?.()
    return { done: true, value: undefined }
  }
  startUpTo(ahead)
  return {
    [Symbol.asyncIterator]() {
      return this
    },
    async next() {
      startUpTo(ahead + 1)
      const finish = started.shift()
      if (finish === undefined) return { done: true, value: undefined }
      try {
        return { done: false, value: await finish() }
      } catch (error) {
        stop()
        throw error
      }
    },
    return: async () => stop(),
  }
}

export { type StartedBatch, streamBatches }
