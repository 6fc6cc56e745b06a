// The leases that this agent holds: kept alive by heartbeats, given back when it stops.

import type { LeaseRef, Task } from '../../protocol/index.ts'
import type { CoordinatorClient } from '../client/coordinator-client.ts'
import type { Heartbeats } from './heartbeats.ts'

type HeldLease = { readonly ref: LeaseRef; readonly isLost: () => boolean }

type Leases = {
  hold(task: Task): HeldLease
  /** The task is delivered, or somebody else's: no more heartbeats. */
  drop(lease: HeldLease): void
  /** Gives everything back that is still held, and whatever arrives from now on. */
  close(): Promise<void>
}

function createLeases(client: CoordinatorClient, agentId: string, heartbeats: Heartbeats<LeaseRef>): Leases {
  const holding = new Set<HeldLease>()
  let closed = false

  const drop = (lease: HeldLease) => {
    holding.delete(lease)
    heartbeats.drop(lease.ref)
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
      holding.add(lease)
      heartbeats.hold(lease.ref, task.leaseMs, () => {
        lost = true
        holding.delete(lease)
      })
      return lease
    },
    drop,
    async close() {
      closed = true
      const held = [...holding]
      for (const lease of held) drop(lease)
      heartbeats.close()
      // A lease that cannot be given back ends by itself.
      await Promise.allSettled(held.map((lease) => client.release(lease.ref)))
    },
  }
}

export { createLeases, type HeldLease, type Leases }
