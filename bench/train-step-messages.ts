// What bench:train-step says to the processes that it measures: one of ours per core, or one of PyTorch's.

import type { BackendName } from '../engine/backends/backends.ts'
import type { Choice } from '../search-space/index.ts'
import type { StepName } from './train-step-cases.ts'

type WorkerRequest =
  | { readonly kind: 'open'; readonly caseName: string; readonly backend: BackendName | 'auto' }
  | { readonly kind: 'run'; readonly step: StepName; readonly choices: readonly (readonly Choice[])[] }

type WorkerAnswer =
  | { readonly kind: 'opened'; readonly backend: string; readonly description: string; readonly parameters: number }
  | { readonly kind: 'ran'; readonly ms: readonly number[] }

export type { WorkerAnswer, WorkerRequest }
