// Asks again and again: at a steady pace while answers come, slower and slower while they do not, not at all while
// nobody looks. Where a socket says that something has changed, it asks then, and otherwise seldom.

import { RequestError } from './client.js'

/** As often as a socket says that something has changed: what changes in between, it says no more of. */
const POLL_MS = 2000
/** While a socket is open that says nothing. */
const LISTENING_POLL_MS = 60_000
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
 * @param {(onChange: () => void) => import('./wake-ups.js').WakeUps} [listen]
 */
export function startPolling(poll, onConnection, listen) {
  const stopped = new AbortController()
  const { signal } = stopped
  let woken = false
  let endSleep = () => {}
  /** Whether it sleeps because nothing has changed. */
  let rests = false
  let changedAtMs = performance.now()
  const wakeUps = listen?.(() => {
    changedAtMs = performance.now()
    if (rests) wake()
  })

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
        wakeUps?.close()
        onConnection({ kind: 'hidden' })
        await sleep(Infinity)
        continue
      }
      try {
        const next = await poll(signal)
        if (signal.aborted) return
        failures = 0
        onConnection({ kind: next === 'done' ? 'ended' : 'live' })
        if (next === 'done') return wakeUps?.close()
        wakeUps?.open()
        rests = wakeUps?.isOpen() === true && performance.now() - changedAtMs > POLL_MS
        await sleep(rests ? LISTENING_POLL_MS : POLL_MS)
        rests = false
      } catch (error) {
        if (signal.aborted) return
        if (!(error instanceof RequestError)) throw error
        if (!error.passing) {
          wakeUps?.close()
          return onConnection({ kind: 'refused', error })
        }
        failures++
        const retryMs = retryDelayMs(failures, Math.random())
        onConnection({ kind: 'lost', retryMs, error })
        await sleep(retryMs)
      }
    }
  }

  addEventListener('online', wake, { signal })
  document.addEventListener('visibilitychange', wake, { signal })
  void loop()

  return {
    /** Ask now instead of at the next turn. */
    wake,
    stop() {
      stopped.abort()
      wakeUps?.close()
      wake()
    },
  }
}
/** @typedef {ReturnType<typeof startPolling>} Poller */
