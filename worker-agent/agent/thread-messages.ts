// What passes between the command and its agent threads.

import type { BackendName } from '../backends/backends.ts'
import type { Dataset } from '../datasets/index.ts'
import type { Accumulate } from '../training/micro-batches.ts'
import type { AgentEvent } from './agent.ts'
import type { AgentSummary } from './join-search.ts'

/** Given to a thread at its start. The dataset's images and labels are in shared memory: one copy for all threads. */
type ThreadSetup = {
  readonly coordinator: string
  readonly token: string
  readonly name: string
  readonly device: string
  readonly backend: BackendName
  readonly allowSoftwareAdapter: boolean
  readonly dataset: Dataset
  readonly accumulate: Accumulate
}

type ThreadMessage =
  | { readonly kind: 'note'; readonly line: string }
  | { readonly kind: 'event'; readonly event: AgentEvent }
  | { readonly kind: 'ended'; readonly summary: AgentSummary }
  | { readonly kind: 'failed'; readonly name: string; readonly code: string | null; readonly message: string }

/** The only word from the command to a thread. */
const STOP = 'stop'

export { STOP, type ThreadMessage, type ThreadSetup }
