// The leases that this agent holds: kept alive by heartbeats, given back when it stops.

import type { LeaseRef, Task } from '../../coordinator/protocol/index.ts'
import type { CoordinatorClient } from '../client/coordinator-client.ts'

/** Two heartbeats may get lost before a lease ends. */
const HEARTBEATS_PER_LEASE = 3

type HeldLease = { readonly ref: LeaseRef; readonly isLost: () => boolean }

type Leases = {
  hold(task: Task): HeldLease
  /** The task is delivered, or somebody else's: no more heartbeats. */
  drop(lease: HeldLease): void
  /** Gives everything back that is still held, and whatever arrives from now on. */
  close(): Promise<void>
}

function createLeases(client: CoordinatorClient, agentId: string): Leases {
  const timers = new Map<HeldLease, NodeJS.Timeout>()
  let closed = false

  const drop = (lease: HeldLease) => {
    clearInterval(timers.get(lease))
    timers.delete(lease)
  }

  return {
    hold(task) {
      let lost = false
      const lease: HeldLease = { ref: { agentId, taskId: task.taskId, leaseId: task.leaseId }, isLost: () => lost }
      if (closed) {
        // Asked for before the agent stopped, granted after it. A lease that cannot be given back ends by itself.
        client.release(lease.ref).catch(() => undefined)
        return lease
      }
      const beat = async () => {
        try {
          if ((await client.heartbeat(lease.ref)) === 'lost') {
            lost = true
            drop(lease)
          }
        } catch {
          // The next beat tries again; work goes on meanwhile, since a late result still counts if nobody else delivers.
        }
      }
      timers.set(
        lease,
        setInterval(() => void beat(), task.leaseMs / HEARTBEATS_PER_LEASE),
      )
      return lease
    },
    drop,
    async close() {
      closed = true
      const held = [...timers.keys()]
      for (const lease of held) drop(lease)
      // A lease that cannot be given back ends by itself.
      await Promise.allSettled(held.map((lease) => client.release(lease.ref)))
    },
  }
}

export { createLeases, type HeldLease, type Leases }
