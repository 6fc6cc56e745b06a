// What passes between a trainer and its threads, besides weights.

import type { SearchConfig, StepWork } from '../../../protocol/index.ts'
import type { SpaceConfig } from '../../../search-space/index.ts'
import type { BackendName } from '../../backends/backends.ts'
import type { Dataset } from '../../datasets/index.ts'
import type { Contested } from '../merge-lanes.ts'
import type { Accumulate } from '../micro-batches.ts'
import type { StepOutcome, Turn } from '../task-plan.ts'
import type { WeightMemory } from './shared-weights.ts'

/** Given to a thread at its start. The dataset's arrays are in shared memory. */
type ThreadSetup = {
  readonly backend: BackendName
  readonly allowSoftwareAdapter: boolean
  readonly dataset: Dataset
  readonly space: SpaceConfig
  readonly config: SearchConfig
  readonly accumulate: Accumulate
  readonly memory: WeightMemory
}

/** A weight that several lanes of a wave train: each leaves what it has made of all of it in memory of its own. */
type Placed = Contested & {
  /** First number of it in the lanes' memory, and how many there are. */
  readonly from: number
  readonly length: number
}

/** Where lanes leave what they have learnt of contested weights. */
type Exchange = {
  readonly contested: readonly Placed[]
  /** float32, one for each lane: weights, and from the middle on their velocities. */
  readonly lanes: readonly SharedArrayBuffer[]
}

type ThreadRequest =
  /** Says that this thread will do these steps of a task, in this order. */
  | { readonly kind: 'open'; readonly taskId: number; readonly work: StepWork; readonly steps: readonly number[] }
  | { readonly kind: 'close'; readonly taskId: number }
  /** This thread's turns of a wave. Answered with `done`. */
  | {
      readonly kind: 'turns'
      readonly taskId: number
      readonly turns: readonly { readonly lane: number; readonly steps: Turn }[]
      readonly exchange: Exchange
    }
  /** Merges numbers `from` to `to`, counted as in the lanes' memory. Answered with `merged`. */
  | { readonly kind: 'merge'; readonly exchange: Exchange; readonly from: number; readonly to: number }

type ThreadAnswer =
  | {
      readonly kind: 'done'
      readonly outcomes: readonly (readonly [step: number, StepOutcome])[]
      readonly peakBytes: number
      readonly brokenFiles: readonly string[]
    }
  | { readonly kind: 'merged' }

/** Notes, and the failure that a thread ends with, come at any time. */
type ThreadMessage = ThreadAnswer | { readonly kind: 'note'; readonly line: string } | { readonly kind: 'failed'; readonly message: string }

export type { Exchange, Placed, ThreadAnswer, ThreadMessage, ThreadRequest, ThreadSetup }
