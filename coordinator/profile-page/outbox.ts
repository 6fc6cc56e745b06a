// Batches on their way to the coordinator: kept until it has acknowledged them, sent one after the other in their order.

import type { ProfileBatch } from '../../protocol/profiles.ts'
import type { Requests } from './requests.ts'
import { readPending, writePending } from './session.ts'

type Outbox = {
  /** Not acknowledged yet, oldest first. */
  pending(): readonly ProfileBatch[]
  add(batch: ProfileBatch): void
  /** Resolves when all are acknowledged. Throws what the coordinator refused a batch with. */
  drain(): Promise<void>
}

/** Begins with what an earlier visit left. `onChange` is told how many batches wait. */
function createOutbox(profileId: string, requests: Requests, onChange: (pending: number) => void): Outbox {
  const batches = readPending(profileId)
  let sending: Promise<void> | null = null
  let refusal: { readonly error: unknown } | null = null

  async function sendAll(): Promise<void> {
    for (let next = batches[0]; next; next = batches[0]) {
      await requests.addBatch(next)
      batches.shift()
      writePending(profileId, batches)
      onChange(batches.length)
    }
  }

  function send(): Promise<void> {
    sending ??= sendAll()
      .catch((error: unknown) => {
        refusal = { error }
      })
      .finally(() => {
        sending = null
      })
    return sending
  }

  return {
    pending: () => batches,
    add(batch) {
      batches.push(batch)
      writePending(profileId, batches)
      onChange(batches.length)
      if (!refusal) void send()
    },
    async drain() {
      while (!refusal && (sending !== null || batches.length > 0)) await send()
      if (refusal) throw refusal.error
    },
  }
}

export { createOutbox, type Outbox }
