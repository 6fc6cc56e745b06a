// What passes between a training and its threads, besides gradients.

import type { BackendName } from '../../backends/backends.ts'
import type { Tensor } from '../../../protocol/index.ts'
import type { Dataset } from '../../datasets/index.ts'
import type { Observed, Statistics } from '../evaluation.ts'
import type { ReplicaState, ThreadPlace, TrainingTask } from '../replica.ts'
import type { ScoreSums } from '../score.ts'
import type { TeacherModel } from '../teacher.ts'
import type { ExchangeMemory } from './gradient-exchange.ts'

/** Given to a thread at its start. The dataset's arrays are in shared memory. */
type ThreadSetup = {
  readonly place: ThreadPlace
  readonly backend: BackendName
  readonly dataset: Dataset
  readonly task: TrainingTask
  readonly teacher?: TeacherModel
  readonly barrier: SharedArrayBuffer
  readonly exchange: ExchangeMemory
}

/** Done one after the other. */
type ThreadRequest =
  /** Comes first. */
  | { readonly kind: 'begin'; readonly state: ReplicaState }
  /** The next mini-batches; all threads meet twice in each. */
  | { readonly kind: 'train'; readonly steps: number }
  | { readonly kind: 'observe' }
  | {
      readonly kind: 'score'
      readonly images: 'validation' | 'test'
      readonly statistics: Statistics
      /** Scored from now on, instead of those that were trained. */
      readonly weights?: ReadonlyMap<string, Tensor>
    }

/** One to each request but `train`, which the gradients answer; notes, and the failure that a thread ends with, come at any time. */
type ThreadAnswer =
  | { readonly kind: 'begun' }
  | { readonly kind: 'observed'; readonly observed: readonly Observed[]; readonly brokenFiles: readonly string[] }
  | { readonly kind: 'scored'; readonly sums: ScoreSums; readonly brokenFiles: readonly string[] }

type ThreadMessage =
  | ThreadAnswer
  | { readonly kind: 'note'; readonly line: string }
  | { readonly kind: 'failed'; readonly code: string | null; readonly message: string }

export type { ThreadAnswer, ThreadMessage, ThreadRequest, ThreadSetup }
