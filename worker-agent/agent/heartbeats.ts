// Heartbeats for leases, three to a lease. `createHeartbeats` sends them from the thread that calls it;
// `startHeartbeatThread` from one that does nothing else, since a training step that takes longer than a lease would lose it.

import { Worker } from 'node:worker_threads'
import type { LeaseRef, TrainingHeartbeat } from '../../protocol/index.ts'
import { CoordinatorError, isPassing } from '../client/requests.ts'

/** Two heartbeats may get lost before a lease ends. */
const HEARTBEATS_PER_LEASE = 3
/** A heartbeat thread that ended by itself is replaced after this. */
const RESTART_MS = 1000

/** What a heartbeat says; of a lease of a search, or of one of a training. */
type HeartbeatRef = LeaseRef | TrainingHeartbeat
type LeaseId = LeaseRef['leaseId']

type Heartbeats<Ref extends HeartbeatRef = HeartbeatRef> = {
  /**
   * Heartbeats until the lease is dropped or lost; the same lease again changes what the next ones say. `onRefused`: the
   * coordinator refuses for good, for example because what was leased was deleted.
   */
  hold(ref: Ref, leaseMs: number, onLost: () => void, onRefused?: (error: CoordinatorError) => void): void
  drop(ref: { readonly leaseId: LeaseId }): void
  /** No more heartbeats, also for what is held from now on. */
  close(): void
}

type Held<Ref> = {
  ref: Ref
  readonly leaseMs: number
  readonly onLost: () => void
  readonly onRefused: ((error: CoordinatorError) => void) | undefined
}

function createHeartbeats<Ref extends HeartbeatRef>(send: (ref: Ref) => Promise<'extended' | 'lost'>): Heartbeats<Ref> {
  const held = new Map<LeaseId, Held<Ref> & { readonly timer: NodeJS.Timeout }>()
  let closed = false

  const drop = ({ leaseId }: { readonly leaseId: LeaseId }) => {
    clearInterval(held.get(leaseId)?.timer)
    held.delete(leaseId)
  }
  const beat = async (leaseId: LeaseId) => {
    const lease = held.get(leaseId)
    if (!lease) return
    try {
      const answer = await send(lease.ref)
      if (answer !== 'lost' || held.get(leaseId) !== lease) return
      drop({ leaseId })
      lease.onLost()
    } catch (error) {
      // What may pass is tried again by the next beat; work goes on meanwhile, since a late result still counts if nobody
      // else delivers.
      if (error instanceof CoordinatorError && !isPassing(error) && held.has(leaseId)) lease.onRefused?.(error)
    }
  }

  return {
    hold(ref, leaseMs, onLost, onRefused) {
      const known = held.get(ref.leaseId)
      if (known) known.ref = ref
      if (known || closed) return
      const timer = setInterval(() => void beat(ref.leaseId), leaseMs / HEARTBEATS_PER_LEASE)
      held.set(ref.leaseId, { ref, leaseMs, onLost, onRefused, timer })
    },
    drop,
    close() {
      closed = true
      for (const leaseId of held.keys()) drop({ leaseId })
    },
  }
}

/** Given to the thread at its start. */
type HeartbeatThreadSetup = { readonly coordinator: string; readonly token: string }

type ToHeartbeatThread =
  | { readonly kind: 'hold'; readonly ref: HeartbeatRef; readonly leaseMs: number }
  | { readonly kind: 'drop'; readonly leaseId: LeaseId }

type FromHeartbeatThread =
  | { readonly kind: 'ready' }
  | { readonly kind: 'lost'; readonly leaseId: LeaseId }
  | {
      readonly kind: 'refused'
      readonly leaseId: LeaseId
      readonly code: CoordinatorError['code']
      readonly status: number
      readonly message: string
    }

/**
 * Waits until the thread is ready: on a busy machine a short lease would end while it starts. From then on it does not keep
 * the process alive, and one that ends by itself, for want of memory for example, is replaced. Throws what a thread that
 * cannot start fails with.
 */
async function startHeartbeatThread<Ref extends HeartbeatRef>(setup: HeartbeatThreadSetup): Promise<Heartbeats<Ref>> {
  const held = new Map<LeaseId, Held<Ref>>()
  let closed = false
  let isReady = false
  let worker: Worker

  const say = (message: ToHeartbeatThread) => worker.postMessage(message)
  const hear = (message: FromHeartbeatThread) => {
    if (message.kind === 'ready') {
      isReady = true
      return worker.unref()
    }
    const lease = held.get(message.leaseId)
    // Dropped here while the thread heard of it.
    if (!lease) return
    switch (message.kind) {
      case 'lost':
        held.delete(message.leaseId)
        return lease.onLost()
      case 'refused':
        return lease.onRefused?.(new CoordinatorError(message.code, message.status, message.message))
      default:
        return message satisfies never
    }
  }
  const start = () => {
    worker = new Worker(new URL('./heartbeat-thread.ts', import.meta.url), { workerData: setup })
    worker.on('message', hear)
    // The exit that follows is what matters.
    worker.on('error', () => undefined)
    worker.once('exit', () => {
      if (!closed) setTimeout(() => closed || start(), RESTART_MS).unref()
    })
    for (const { ref, leaseMs } of held.values()) say({ kind: 'hold', ref, leaseMs })
  }
  start()
  await new Promise((resolve, reject) => {
    worker.once('message', resolve)
    worker.once('error', (error) => {
      // Later ones are answered by a restart.
      if (isReady) return
      closed = true
      reject(error)
    })
  })

  return {
    hold(ref, leaseMs, onLost, onRefused) {
      if (closed) return
      const known = held.get(ref.leaseId)
      if (known) known.ref = ref
      else held.set(ref.leaseId, { ref, leaseMs, onLost, onRefused })
      say({ kind: 'hold', ref, leaseMs })
    },
    drop({ leaseId }) {
      held.delete(leaseId)
      say({ kind: 'drop', leaseId })
    },
    close() {
      closed = true
      held.clear()
      void worker.terminate()
    },
  }
}

export {
  createHeartbeats,
  type FromHeartbeatThread,
  type HeartbeatRef,
  type Heartbeats,
  type HeartbeatThreadSetup,
  startHeartbeatThread,
  type ToHeartbeatThread,
}
