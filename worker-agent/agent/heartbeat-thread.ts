// Entry of the heartbeat thread: sends heartbeats for the leases that it is told to hold, and says which are lost.

import { parentPort, workerData } from 'node:worker_threads'
import { type LeaseRef, parseTrainingToken, type TrainingHeartbeat } from '../../protocol/index.ts'
import { createCoordinatorClient } from '../client/coordinator-client.ts'
import { createTrainingClient } from '../client/training-client.ts'
import {
  createHeartbeats,
  type FromHeartbeatThread,
  type HeartbeatRef,
  type HeartbeatThreadSetup,
  type ToHeartbeatThread,
} from './heartbeats.ts'

const port = parentPort
if (!port) throw new Error('heartbeat-thread is started by heartbeats, as a worker thread')

const options = { ...(workerData as HeartbeatThreadSetup), signal: new AbortController().signal }
const say = (message: FromHeartbeatThread) => port.postMessage(message)

function createSend(): (ref: HeartbeatRef) => Promise<'extended' | 'lost'> {
  // A token is of a search or of a training, and so are the leases that are held with it.
  if (!parseTrainingToken(options.token)) {
    const client = createCoordinatorClient(options)
    return (ref) => client.heartbeat(ref as LeaseRef)
  }
  const client = createTrainingClient(options)
  return (ref) => client.heartbeat(ref as TrainingHeartbeat)
}

const heartbeats = createHeartbeats(createSend())
port.on('message', (message: ToHeartbeatThread) => {
  switch (message.kind) {
    case 'hold': {
      const { leaseId } = message.ref
      heartbeats.hold(
        message.ref,
        message.leaseMs,
        () => say({ kind: 'lost', leaseId }),
        ({ code, status, message: text }) => say({ kind: 'refused', leaseId, code, status, message: text }),
      )
      break
    }
    case 'drop':
      heartbeats.drop(message)
      break
    default:
      message satisfies never
  }
})

say({ kind: 'ready' })
