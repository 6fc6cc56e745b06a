// Several agents in one process: each in a worker thread with its own backend, weights and leases; the dataset is in shared
// memory. Threads know nothing of each other: the coordinator gives each its own tasks, as it does for machines.

import { Worker } from 'node:worker_threads'
import { shareDataset } from '../datasets/index.ts'
import type { AgentEvent } from './agent.ts'
import type { AgentSummary } from './join-search.ts'
import { STOP, type ThreadMessage, type ThreadSetup } from './thread-messages.ts'

type ThreadsOptions = {
  readonly count: number
  readonly setup: ThreadSetup
  readonly stop: AbortSignal
  readonly onNote: (thread: number, line: string) => void
  readonly onEvent: (thread: number, event: AgentEvent) => void
}

/** An agent in a thread failed; `code` is that of the error that it failed with. */
class AgentThreadError extends Error {
  override readonly name = 'AgentThreadError'
  readonly code: string | null

  constructor(code: string | null, message: string) {
    super(message)
    this.code = code
  }
}

function runThread(thread: number, { count, setup, stop, onNote, onEvent }: ThreadsOptions): Promise<AgentSummary> {
  const name = count > 1 ? `${setup.name} ${thread}` : setup.name
  const worker = new Worker(new URL('./agent-thread.ts', import.meta.url), { workerData: { ...setup, name } satisfies ThreadSetup })
  const tellStop = () => worker.postMessage(STOP)
  if (stop.aborted) tellStop()
  stop.addEventListener('abort', tellStop, { once: true })
  return new Promise<AgentSummary>((resolve, reject) => {
    worker.on('message', (message: ThreadMessage) => {
      switch (message.kind) {
        case 'note':
          return onNote(thread, message.line)
        case 'event':
          return onEvent(thread, message.event)
        case 'ended':
          return resolve(message.summary)
        case 'failed':
          return reject(new AgentThreadError(message.code, message.message))
        default:
          return message satisfies never
      }
    })
    worker.once('error', reject)
    worker.once('exit', (code) => reject(new AgentThreadError(null, `agent thread ${thread} ended early with code ${code}`)))
  }).finally(() => stop.removeEventListener('abort', tellStop))
}

/** Runs agents until the search has ended for all of them. If one fails, the others are stopped and its error is thrown. */
async function runAgentThreads(options: ThreadsOptions): Promise<AgentSummary[]> {
  const failed = new AbortController()
  const setup = { ...options.setup, dataset: shareDataset(options.setup.dataset) }
  const shared = { ...options, setup, stop: AbortSignal.any([options.stop, failed.signal]) }
  const threads = Array.from({ length: options.count }, (_, i) =>
    runThread(i + 1, shared).catch((error: unknown) => {
      failed.abort(error)
      throw error
    }),
  )
  const ends = await Promise.allSettled(threads)
  if (failed.signal.aborted) throw failed.signal.reason
  return ends.flatMap((end) => (end.status === 'fulfilled' ? [end.value] : []))
}

export { AgentThreadError, runAgentThreads }
