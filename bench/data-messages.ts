// What bench:data and its processes say to each other.

import type { BackendName } from '../engine/backends/backends.ts'

type DataJob =
  /** Reads `images` training images of a folder, and nothing else. */
  | { readonly kind: 'read'; readonly folder: string; readonly cacheFolder: string; readonly images: number }
  /** Weight steps on random images in memory, or on those of a folder. */
  | {
      readonly kind: 'train'
      readonly backend: BackendName | 'auto'
      readonly batch: number
      readonly steps: number
      readonly data: { readonly folder: string; readonly cacheFolder: string } | null
    }

type DataAnswer =
  /** The first batch or step is done: the engine has compiled its hot code. The job goes on when it is told to. */
  | { readonly kind: 'ready'; readonly backend: string | null }
  | { readonly kind: 'read'; readonly images: number; readonly ms: number; readonly peakRssBytes: number }
  /** `waitMs` is how much of `ms` went by until the next batch was there, as floats. */
  | { readonly kind: 'trained'; readonly images: number; readonly ms: number; readonly waitMs: number }

type DataRequest = { readonly kind: 'job'; readonly job: DataJob } | { readonly kind: 'go' }

export type { DataAnswer, DataJob, DataRequest }
