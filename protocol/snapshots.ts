// Snapshots of a search, and how often it was taken back to one.

import * as z from 'zod'

/** Snapshots that are kept where nobody says; the oldest makes room for a new one. */
const DEFAULT_SNAPSHOTS = 3
const MAX_SNAPSHOTS = 10
/** Bytes that the snapshots of one search are to take together, where nobody says how many are kept: a fifth of the free plan's 5 GB. */
const SNAPSHOT_BYTES = 1024 * 1024 * 1024
/** Of the steps of a search there is one after each such share, where nobody says. */
const SNAPSHOT_SHARE = 0.1
/** And so many results lie between two, so that the rows of snapshots stay few beside those of results. */
const MIN_SNAPSHOT_RESULTS = 20

const snapshotNumberSchema = z.int().min(1).max(Number.MAX_SAFE_INTEGER).describe('number of a snapshot within its search, from 1')

const snapshotSchema = z
  .object({
    number: snapshotNumberSchema,
    atMs: z.int().describe('when it was taken'),
    steps: z.number().describe('done by then, in the unit of the status'),
    results: z.int().describe('the last result of the log that is in it, by seq'),
    bytes: z.int().describe('that it takes in storage, of the search and of all shards'),
  })
  .meta({ id: 'Snapshot' })
type Snapshot = z.infer<typeof snapshotSchema>

const rollbackSchema = z
  .object({
    number: z.int().min(1).describe('from 1'),
    snapshot: snapshotNumberSchema.describe('number of the snapshot that the search was taken back to'),
    atMs: z.int(),
    steps: z.number().describe('done in that snapshot'),
    results: z.int().describe('results that do not count any more; in the log they are marked with the number of this rollback'),
  })
  .meta({ id: 'Rollback' })
type Rollback = z.infer<typeof rollbackSchema>

const rolledBackSchema = rollbackSchema
  .extend({ isComplete: z.boolean().describe('whether all shards are back; if not, the coordinator goes on until they are') })
  .meta({ id: 'RolledBack' })
type RolledBack = z.infer<typeof rolledBackSchema>

const snapshotListSchema = z
  .object({
    snapshots: z.array(snapshotSchema).describe('oldest first'),
    rollbacks: z.array(rollbackSchema).describe('the last ones, oldest first'),
  })
  .meta({ id: 'SnapshotList' })
type SnapshotList = z.infer<typeof snapshotListSchema>

export {
  DEFAULT_SNAPSHOTS,
  MAX_SNAPSHOTS,
  MIN_SNAPSHOT_RESULTS,
  type Rollback,
  rollbackSchema,
  type RolledBack,
  rolledBackSchema,
  type Snapshot,
  SNAPSHOT_BYTES,
  SNAPSHOT_SHARE,
  type SnapshotList,
  snapshotListSchema,
  snapshotSchema,
}
