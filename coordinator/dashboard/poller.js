// Asks again and again: at a steady pace while answers come, slower and slower while they do not, not at all while
// nobody looks.

import { RequestError } from './client.js'

const POLL_MS = 2000
const FIRST_RETRY_MS = 1000
const LAST_RETRY_MS = 30_000
/** Retries are spread by up to this share, so that many open pages do not return all at once. */
const JITTER = 0.3

/**
 * @typedef {{ kind: 'live' } | { kind: 'hidden' } | { kind: 'ended' } | { kind: 'lost', retryMs: number, error: RequestError }
 *   | { kind: 'refused', error: RequestError }} Connection
 */

/** Wait before retry number `failures` (from 1). @param {number} failures @param {number} random 0 to 1 */
function retryDelayMs(failures, random) {
  const delayMs = Math.min(LAST_RETRY_MS, FIRST_RETRY_MS * 2 ** (failures - 1))
  return delayMs * (1 - JITTER * random)
}

/**
 * Starts at once. `poll` answers whether to go on; what it throws is retried if it may pass, and ends the polling otherwise.
 *
 * @param {(signal: AbortSignal) => Promise<'again' | 'done'>} poll
 * @param {(connection: Connection) => void} onConnection
 */
export function startPolling(poll, onConnection) {
  const stopped = new AbortController()
  const { signal } = stopped
  let woken = false
  let endSleep = () => {}

  const wake = () => {
    woken = true
    endSleep()
  }

  /** Until the time is over, the poller is woken (also while the last request was on its way) or stopped. @param {number} durationMs */
  async function sleep(durationMs) {
    if (!woken) {
      await new Promise((resolve) => {
        const timer = durationMs === Infinity ? undefined : setTimeout(resolve, durationMs)
        endSleep = () => {
          clearTimeout(timer)
          resolve(undefined)
        }
      })
    }
    woken = false
  }

  async function loop() {
    let failures = 0
    while (!signal.aborted) {
      if (document.hidden) {
        onConnection({ kind: 'hidden' })
        await sleep(Infinity)
        continue
      }
      try {
        const next = await poll(signal)
        if (signal.aborted) return
        failures = 0
        onConnection({ kind: next === 'done' ? 'ended' : 'live' })
        if (next === 'done') return
        await sleep(POLL_MS)
      } catch (error) {
        if (signal.aborted) return
        if (!(error instanceof RequestError)) throw error
        if (!error.passing) return onConnection({ kind: 'refused', error })
        failures++
        const retryMs = retryDelayMs(failures, Math.random())
        onConnection({ kind: 'lost', retryMs, error })
        await sleep(retryMs)
      }
    }
  }

  const onVisible = () => !document.hidden && wake()
  addEventListener('online', wake, { signal })
  document.addEventListener('visibilitychange', onVisible, { signal })
  void loop()

  return {
    /** Ask now instead of at the next turn. */
    wake,
    stop() {
      stopped.abort()
      wake()
    },
  }
}
/** @typedef {ReturnType<typeof startPolling>} Poller */
