// Waiting out a coordinator that cannot be reached: exponential backoff with full jitter (AWS Architecture Blog,
// "Exponential Backoff and Jitter"), without an end, because an outage of any length must not stop an agent.

import { setTimeout as sleep } from 'node:timers/promises'

const FIRST_DELAY_MS = 200
const MAX_DELAY_MS = 15_000

type RetryOptions = {
  readonly signal: AbortSignal
  /** Whether this failure may pass. */
  readonly passing: (error: unknown) => boolean
  readonly onRetry?: (error: unknown, delayMs: number, attempt: number) => void
}

/** Repeats `call` until it succeeds, fails for good, or the signal aborts. */
async function withRetries<T>(call: () => Promise<T>, { signal, passing, onRetry }: RetryOptions): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    signal.throwIfAborted()
    try {
      return await call()
    } catch (error) {
      if (signal.aborted || !passing(error)) throw error
      const ceiling = Math.min(MAX_DELAY_MS, FIRST_DELAY_MS * 2 ** (attempt - 1))
      const delayMs = ceiling / 2 + (Math.random() * ceiling) / 2
      onRetry?.(error, delayMs, attempt)
      await sleep(delayMs, undefined, { signal })
    }
  }
}

export { withRetries }
