// The threads that help the one that trains: it computes a part of each mini-batch itself, and they the others. Between
// barriers they need no word from it; what they are to do next comes as messages.

import { setImmediate as nextTurn } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import type { Tensor } from '../../../protocol/index.ts'
import type { Backend } from '../../backends/backends.ts'
import { type Dataset, shareDataset } from '../../datasets/index.ts'
import type { Observed, Statistics } from '../evaluation.ts'
import type { ReplicaState, TrainingTask } from '../replica.ts'
import type { ScoreSums } from '../score.ts'
import type { TeacherModel } from '../teacher.ts'
import { createBarrierMemory, createListeningMeet } from './barrier.ts'
import { createExchange, createExchangeMemory, type Exchange } from './gradient-exchange.ts'
import type { ThreadAnswer, ThreadMessage, ThreadRequest, ThreadSetup } from './messages.ts'

/** A thread failed, and the training with it; `code` is that of the error that it failed with. */
class TrainingThreadError extends Error {
  override readonly name = 'TrainingThreadError'
  readonly code: string | null

  constructor(code: string | null, message: string) {
    super(message)
    this.code = code
  }
}

type TeamOptions = {
  readonly backend: Backend
  readonly dataset: Dataset
  readonly task: TrainingTask
  readonly teacher?: TeacherModel
  /** Threads together, with the one that calls. */
  readonly count: number
  /** Of the network's weights, in any order. */
  readonly weights: readonly { readonly key: string; readonly shape: readonly number[] }[]
  readonly state: ReplicaState
  readonly onNote: (line: string) => void
}

/** All throw TrainingThreadError once a thread has failed. */
type ThreadTeam = {
  /** Lets the threads train the next mini-batches; the caller has to exchange as many gradients. */
  train(steps: number): void
  readonly exchange: Exchange
  /** The statistics of the mini-batches in their order, given those that the caller finds itself. */
  observe(own: () => Promise<Observed[]>): Promise<Observed[]>
  /** The sums of each thread, in their order, given the caller's own. `weights`: scored from now on, instead of those that were trained. */
  score(
    images: 'validation' | 'test',
    statistics: Statistics,
    own: () => Promise<ScoreSums>,
    weights?: ReadonlyMap<string, Tensor>,
  ): Promise<ScoreSums[]>
  /** As far as the threads have said, with their last answers. */
  brokenFiles(): string[]
  /** Ends the threads, whatever they are doing. */
  close(): Promise<void>
}

type Helper = {
  /** The threads' answers come in the order of the requests; `train` has none. */
  ask(request: Exclude<ThreadRequest, { kind: 'train' }>): Promise<ThreadAnswer>
  tell(request: Extract<ThreadRequest, { kind: 'train' }>): void
  end(): Promise<void>
}

type HelperEvents = { onNote(line: string): void; onFailure(error: TrainingThreadError): void }

/** One thread. It is told to have failed at most once, and never after `end`. */
function startHelper(setup: ThreadSetup, { onNote, onFailure }: HelperEvents): Helper {
  const name = `training thread ${setup.place.index + 1} of ${setup.place.count}`
  const worker = new Worker(new URL('./training-thread.ts', import.meta.url), { workerData: setup })
  const waiting: { resolve(answer: ThreadAnswer): void; reject(error: Error): void }[] = []
  let failure: TrainingThreadError | undefined
  let isEnding = false
  const fail = (code: string | null, message: string) => {
    if (isEnding || failure) return
    failure = new TrainingThreadError(code, `${name} ${message}`)
    for (const { reject } of waiting) reject(failure)
    onFailure(failure)
  }
  worker.on('message', (message: ThreadMessage) => {
    switch (message.kind) {
      case 'note':
        return onNote(`${name}: ${message.line}`)
      case 'failed':
        return fail(message.code, `failed: ${message.message}`)
      default:
        return waiting.shift()?.resolve(message)
    }
  })
  worker.on('error', (error: Error & { code?: string }) => fail(error.code ?? null, `failed: ${error.message}`))
  worker.on('exit', (code) => fail(null, `ended early with code ${code}`))
  return {
    tell: (request) => worker.postMessage(request),
    ask: (request) =>
      new Promise((resolve, reject) => {
        if (failure) return reject(failure)
        waiting.push({ resolve, reject })
        return worker.postMessage(request)
      }),
    async end() {
      isEnding = true
      await worker.terminate()
    },
  }
}

function unexpected({ kind }: ThreadAnswer, wanted: ThreadAnswer['kind']): Error {
  return new Error(`expected a training thread to answer ${wanted}, got ${kind}`)
}

/** Batch i was looked at by thread i mod n, each thread's in order. */
function inOrder<T>(byThread: readonly (readonly T[])[]): T[] {
  const count = byThread.reduce((sum, values) => sum + values.length, 0)
  const threads = byThread.length
  return Array.from({ length: count }, (_, i) => byThread[i % threads]?.[Math.floor(i / threads)] as T)
}

/** Starts the other threads, and returns when they are ready to train. */
async function startTeam({ backend, dataset, task, teacher, count, weights, state, onNote }: TeamOptions): Promise<ThreadTeam> {
  const barrier = createBarrierMemory()
  const memory = createExchangeMemory(weights, count)
  const shared = { backend: backend.name, dataset: shareDataset(dataset), task, ...(teacher && { teacher }), barrier, exchange: memory }
  const broken = new Set<string>()
  let failure: TrainingThreadError | undefined
  const onFailure = (error: TrainingThreadError) => void (failure ??= error)
  const helpers = Array.from({ length: count - 1 }, (_, i) =>
    startHelper({ ...shared, place: { index: i + 1, count } }, { onNote, onFailure }),
  )
  const close = async () => {
    await Promise.all(helpers.map((helper) => helper.end()))
  }
  const askAll = (request: Parameters<Helper['ask']>[0]) => Promise.all(helpers.map((helper) => helper.ask(request)))
  const listen = async () => {
    await nextTurn()
    if (failure) throw failure
  }
  try {
    await askAll({ kind: 'begin', state })
  } catch (error) {
    await close()
    throw error
  }
  return {
    train: (steps) => helpers.forEach((helper) => helper.tell({ kind: 'train', steps })),
    exchange: createExchange(memory, { index: 0, count }, createListeningMeet(barrier, count, listen)),
    async observe(own) {
      const [mine, answers] = await Promise.all([own(), askAll({ kind: 'observe' })])
      const theirs = answers.map((answer) => {
        if (answer.kind !== 'observed') throw unexpected(answer, 'observed')
        for (const file of answer.brokenFiles) broken.add(file)
        return answer.observed
      })
      return inOrder([mine, ...theirs])
    },
    async score(images, statistics, own, weights) {
      const [mine, answers] = await Promise.all([own(), askAll({ kind: 'score', images, statistics, ...(weights && { weights }) })])
      const theirs = answers.map((answer) => {
        if (answer.kind !== 'scored') throw unexpected(answer, 'scored')
        for (const file of answer.brokenFiles) broken.add(file)
        return answer.sums
      })
      return [mine, ...theirs]
    },
    brokenFiles: () => [...broken],
    close,
  }
}

export { startTeam, type ThreadTeam, TrainingThreadError }
