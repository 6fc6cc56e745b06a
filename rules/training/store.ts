// What the rules of a training keep, and the small interface they keep it through. Two implementations (in memory, and
// SQL in a Durable Object) pass the same conformance suite.

import type { EpochReport } from '../../protocol/index.ts'
import type { BlobStore } from '../network-files/parts.ts'
import type { TrainingSetup, TrainingState } from './stored.ts'

type TrainingStore = BlobStore & {
  /** Runs `body`; if it throws, nothing that it wrote remains. */
  transaction<T>(body: () => T): T
  readSetup(): TrainingSetup | null
  writeSetup(setup: TrainingSetup): void
  readState(): TrainingState
  writeState(state: TrainingState): void
  /** In order of `seq`, which counts from 1. */
  readReports(): readonly EpochReport[]
  appendReport(seq: number, report: EpochReport): void
}

export type { TrainingStore }
