// How many threads train one network. More threads make smaller parts of each mini-batch, and every batch-norm sees the
// moments of its part alone: with fewer than about 16 images networks become less accurate (Wu and He 2018, figure 1).

import { type Backend, runsInThread } from '../../backends/backend.ts'
import { physicalCores } from '../../backends/physical-cores.ts'
import type { Teacher } from '../teacher.ts'

/** A number of threads, or as many as the machine has cores for, as long as each has images enough. */
type Threads = number | 'auto'

/** Images of a mini-batch that a thread has at least, unless the number of threads is given. */
const MIN_IMAGES = 16

type Circumstances = {
  readonly backend: Backend
  readonly batchSize: number
  readonly teacher: Teacher | undefined
  readonly onNote: (line: string) => void
}

/** At least 1. Notes where it is fewer than the number that was asked for. */
function chooseThreads(wanted: Threads, { backend, batchSize, teacher, onNote }: Circumstances): number {
  const isPossible = runsInThread(backend) && (teacher === undefined || teacher.model !== undefined)
  if (wanted === 'auto') {
    return isPossible && backend.name === 'wasm' ? Math.max(1, Math.min(physicalCores(), Math.floor(batchSize / MIN_IMAGES))) : 1
  }
  const count = isPossible ? Math.min(wanted, batchSize) : 1
  if (count < wanted) {
    const alone = runsInThread(backend) ? 'this teacher cannot be sent to others' : `the backend ${backend.name} computes for one`
    onNote(`${count} of ${wanted} threads: ${isPossible ? `a mini-batch has ${batchSize} images` : alone}`)
  }
  return count
}

export { chooseThreads, type Threads }
