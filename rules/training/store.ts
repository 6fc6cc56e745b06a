// What the rules of a training keep, and the small interface they keep it through. Two implementations (in memory, and
// SQL in a Durable Object) pass the same conformance suite.

import type { EpochReport } from '../../protocol/index.ts'
import type { TrainingSetup, TrainingState } from './stored.ts'

type TrainingStore = {
  /** Runs `body`; if it throws, nothing that it wrote remains. */
  transaction<T>(body: () => T): T
  readSetup(): TrainingSetup | null
  writeSetup(setup: TrainingSetup): void
  readState(): TrainingState
  writeState(state: TrainingState): void
  /** In order of `seq`, which counts from 1. */
  readReports(): readonly EpochReport[]
  appendReport(seq: number, report: EpochReport): void
  /** Bytes of a blob from `begin` on, a multiple of CHECKPOINT_CHUNK_BYTES, where those before it are there. */
  writeBlob(blob: number, begin: number, bytes: Uint8Array): void
  /** Bytes from `begin` up to `end`. Throws where they are not there: the state names only blobs that are. */
  readBlob(blob: number, begin: number, end: number): Uint8Array<ArrayBuffer>
  deleteBlob(blob: number): void
}

export type { TrainingStore }
