// Entry of an agent thread: one agent with its own backend, weights and leases, on the shared dataset.

import { parentPort, workerData } from 'node:worker_threads'
import { openBackend } from '../backends/backends.ts'
import { joinSearch } from './join-search.ts'
import { STOP, type ThreadMessage, type ThreadSetup } from './thread-messages.ts'

const port = parentPort
if (!port) throw new Error('agent-thread.ts is started by agent-threads.ts, as a worker thread')

const { allowSoftwareAdapter, backend, ...setup } = workerData as ThreadSetup
const say = (message: ThreadMessage) => port.postMessage(message)
const stop = new AbortController()
port.on('message', (word) => {
  if (word === STOP) stop.abort(new Error('stopped'))
})

try {
  const { chosen } = await openBackend(backend, { allowSoftwareAdapter })
  const summary = await joinSearch({
    ...setup,
    backend: chosen,
    stop: stop.signal,
    onNote: (line) => say({ kind: 'note', line }),
    onEvent: (event) => say({ kind: 'event', event }),
  })
  say({ kind: 'ended', summary })
} catch (error) {
  const { name, message, code } = error as Error & { code?: string }
  say({ kind: 'failed', name, code: code ?? null, message })
} finally {
  port.close()
}
