// A training's store in memory, for tests of the rules. Values are copied in and out, as storage does.

import type { EpochReport } from '../../protocol/index.ts'
import { blobsOver } from '../network-files/memory-blobs.ts'
import type { TrainingStore } from './store.ts'
import type { TrainingSetup, TrainingState } from './stored.ts'

type Content = {
  setup: TrainingSetup | null
  state: TrainingState | null
  reports: Map<number, EpochReport>
  blobs: Map<number, Uint8Array<ArrayBuffer>>
}

function createMemoryTrainingStore(): TrainingStore {
  let content: Content = { setup: null, state: null, reports: new Map(), blobs: new Map() }
  return {
    transaction(body) {
      const before = structuredClone(content)
      try {
        return body()
      } catch (error) {
        content = before
        throw error
      }
    },
    readSetup: () => structuredClone(content.setup),
    writeSetup(setup) {
      content.setup = structuredClone(setup)
    },
    readState() {
      if (!content.state) throw new Error('the training has not been created')
      return structuredClone(content.state)
    },
    writeState(state) {
      content.state = structuredClone(state)
    },
    readReports: () => structuredClone([...content.reports].toSorted(([a], [b]) => a - b).map(([, report]) => report)),
    appendReport(seq, report) {
      if (content.reports.has(seq)) throw new Error(`report ${seq} is there already`)
      content.reports.set(seq, structuredClone(report))
    },
    writeBlob: (...blob) => blobsOver(content.blobs).writeBlob(...blob),
    readBlob: (...blob) => blobsOver(content.blobs).readBlob(...blob),
    deleteBlob: (...blob) => blobsOver(content.blobs).deleteBlob(...blob),
  }
}

export { createMemoryTrainingStore }
