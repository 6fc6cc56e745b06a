// Entry of a training's thread: a replica of the network with a backend of its own, which trains on its part of each
// mini-batch and evaluates its turns.

import { parentPort, workerData } from 'node:worker_threads'
import { openBackend } from '../../backends/backends.ts'
import { createReplica, type Replica } from '../replica.ts'
import { createTeacher } from '../teacher.ts'
import { createBlockingMeet } from './barrier.ts'
import { createExchange } from './gradient-exchange.ts'
import type { ThreadMessage, ThreadRequest, ThreadSetup } from './messages.ts'

const port = parentPort
if (!port) throw new Error('training-thread is started by thread-team, as a worker thread')

const setup = workerData as ThreadSetup
const { dataset, task, place, teacher } = setup
const say = (message: ThreadMessage) => port.postMessage(message)
const exchange = createExchange(setup.exchange, place, createBlockingMeet(setup.barrier, place.count))
let replica: Replica | undefined

async function begin({ state }: Extract<ThreadRequest, { kind: 'begin' }>): Promise<void> {
  const { chosen: backend } = await openBackend(setup.backend)
  replica = await createReplica({
    backend,
    dataset,
    task,
    place,
    state,
    ...(teacher && { teacher: createTeacher(teacher, dataset) }),
    onNote: (line) => say({ kind: 'note', line }),
  })
  say({ kind: 'begun' })
}

async function work(trained: Replica, request: Exclude<ThreadRequest, { kind: 'begin' }>): Promise<void> {
  const brokenFiles = () => trained.brokenFiles()
  switch (request.kind) {
    case 'train':
      for (let step = 0; step < request.steps; step++) trained.apply((await exchange(await trained.gradients())).tensors)
      return
    case 'observe':
      return say({ kind: 'observed', observed: await trained.observe(), brokenFiles: brokenFiles() })
    case 'score':
      if (request.weights) trained.replaceEvaluated(request.weights)
      return say({ kind: 'scored', sums: await trained.score(request.images, request.statistics), brokenFiles: brokenFiles() })
    default:
      return request satisfies never
  }
}

async function answer(request: ThreadRequest): Promise<void> {
  if (request.kind === 'begin') return begin(request)
  if (!replica) throw new Error(`${request.kind} came before begin`)
  return work(replica, request)
}

let last = Promise.resolve()
port.on('message', (request: ThreadRequest) => {
  last = last
    .then(() => answer(request))
    .catch((error: Error & { code?: string }) => {
      say({ kind: 'failed', code: error.code ?? null, message: error.message })
      port.close()
    })
})
