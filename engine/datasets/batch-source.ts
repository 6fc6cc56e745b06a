// Mini-batches of a dataset, wherever its images are. Whoever trains says which batches it wants, in order; images that
// have to be decoded are decoded ahead of it, so that it finds its next batch ready. What is in a batch depends on the request
// alone: not on what was asked for before, on timing or on the machine.

import type { SplitName } from './dataset.ts'
import type { Augmentation, Batch } from './fill-batch.ts'

type BatchRequest = {
  readonly split: SplitName
  /** Images of the split, in the order of the batch. */
  readonly indices: Uint32Array
  /** Make only the images from `from` up to, not including, `to`: exactly those that the whole batch would have there. */
  readonly part?: { readonly from: number; readonly to: number }
  /** Absent: images as evaluation sees them. The words of `seed` decide all that is drawn. */
  readonly augmentation?: { readonly settings: Augmentation; readonly seed: readonly (string | number)[] }
}

/** One batch per request, in order. Leaving it early (`break`, or `return()`) ends the work that is under way. */
type BatchStream = AsyncIterableIterator<Batch> & { return(): Promise<IteratorResult<Batch>> }

type BatchSource = {
  /**
   * Starts at once. Takes no more requests from the iterable than a few ahead of the batch last asked for, and holds no
   * more images than theirs. Throws a `DatasetError` from `next` at the batch that cannot be made.
   */
  batches(requests: Iterable<BatchRequest>): BatchStream
  /** Paths of the files found broken so far, sorted; another image of their class took the place of each. */
  brokenFiles(): string[]
}

export type { BatchRequest, BatchSource, BatchStream }
