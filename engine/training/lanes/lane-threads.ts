// One thread of a trainer, from the outside: requests and answers in turn, and what becomes of it when it dies.

import { Worker } from 'node:worker_threads'
import type { ThreadAnswer, ThreadMessage, ThreadRequest, ThreadSetup } from './messages.ts'

/** A thread failed or died, and with it the task that it was busy with. The next task gets a new thread. */
class LaneThreadError extends Error {
  override readonly name = 'LaneThreadError'
  readonly code = 'thread-failed'
}

type AnsweredKind = 'turns' | 'merge'

type LaneThread = {
  /** One at a time. Throws LaneThreadError where the thread fails before it answers. */
  ask(request: Extract<ThreadRequest, { kind: AnsweredKind }>): Promise<ThreadAnswer>
  tell(request: Exclude<ThreadRequest, { kind: AnsweredKind }>): void
  /** It will not answer any more. */
  hasFailed(): boolean
  /** Ends it, whatever it is doing. */
  end(): Promise<void>
}

function startLaneThread(name: string, setup: ThreadSetup, onNote: (line: string) => void): LaneThread {
  const worker = new Worker(new URL('./lane-thread.ts', import.meta.url), { workerData: setup })
  let waiting: { resolve(answer: ThreadAnswer): void; reject(error: Error): void } | null = null
  let failure: LaneThreadError | null = null
  const fail = (message: string) => {
    failure ??= new LaneThreadError(`${name} ${message}`)
    waiting?.reject(failure)
    waiting = null
  }
  worker.on('message', (message: ThreadMessage) => {
    switch (message.kind) {
      case 'note':
        return onNote(`${name}: ${message.line}`)
      case 'failed':
        return fail(`failed: ${message.message}`)
      case 'done':
      case 'merged': {
        const asker = waiting
        waiting = null
        return asker?.resolve(message)
      }
      default:
        return message satisfies never
    }
  })
  worker.on('error', (error) => fail(`failed: ${error.message}`))
  worker.on('exit', (code) => fail(`ended early with code ${code}`))
  return {
    ask: (request) =>
      new Promise((resolve, reject) => {
        if (failure) return reject(failure)
        waiting = { resolve, reject }
        return worker.postMessage(request)
      }),
    tell: (request) => worker.postMessage(request),
    hasFailed: () => failure !== null,
    async end() {
      await worker.terminate()
    },
  }
}

export { type LaneThread, LaneThreadError, startLaneThread }
