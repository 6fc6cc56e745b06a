// What is stored of trials beside their tasks, and when it is deleted: when no task that reads it is outstanding and the strategy does not want
// to go on from it, and all of it when the search ends.

import { MAX_TRIAL_CHECKPOINT_BYTES, type TaskWork, type TrialWork } from '../../protocol/index.ts'
import type { SearchStore } from './store.ts'
import type { TrialFiles } from './stored.ts'

type NumberedTrial = TrialWork & { readonly trial: number }

/** Whether a checkpoint of it may be kept. */
function isNumberedTrial(work: TaskWork): work is NumberedTrial {
  return work.kind === 'trainArchitecture' && work.trial !== undefined
}

/** The trials whose checkpoints a task may go on from. */
function trialsReadBy(work: TaskWork): number[] {
  if (!isNumberedTrial(work)) return []
  return typeof work.start === 'string' ? [work.trial] : [work.trial, work.start.trial]
}

const blobsOf = ({ checkpoint, upload }: TrialFiles) => [checkpoint, upload].flatMap((file) => (file ? [file] : []))

function remove(store: SearchStore, files: TrialFiles): void {
  for (const { blob } of blobsOf(files)) store.deleteBlob(blob)
  store.removeTrialFiles(files.trial)
}

/**
 * Deletes what nobody goes on from. Called within the transaction that ends a task.
 *
 * @param keeps trials that the strategy may go on from, those that it would miss most first
 */
function dropCheckpoints(store: SearchStore, keeps: readonly number[]): void {
  const all = store.trialFiles()
  if (all.length === 0) return
  const inUse = new Set(store.outstandingTasks().flatMap(({ work }) => trialsReadBy(work)))
  const order = new Map(keeps.map((trial, index) => [trial, index]))
  let bytes = 0
  const waiting = all
    .filter(({ trial }) => !inUse.has(trial))
    .toSorted((a, b) => (order.get(a.trial) ?? keeps.length) - (order.get(b.trial) ?? keeps.length))
  for (const files of waiting) {
    bytes += files.checkpoint?.bytes ?? 0
    if (!files.checkpoint || !order.has(files.trial) || bytes > MAX_TRIAL_CHECKPOINT_BYTES) remove(store, files)
    else if (files.upload) {
      // Nobody sends the rest of it.
      store.deleteBlob(files.upload.blob)
      store.writeTrialFiles({ ...files, upload: null })
    }
  }
}

/** Of a search that has ended: nobody goes on from anything. */
function dropAllCheckpoints(store: SearchStore): void {
  for (const files of store.trialFiles()) remove(store, files)
}

export { blobsOf, dropAllCheckpoints, dropCheckpoints, isNumberedTrial, trialsReadBy }
