// How an agent waits for work: it asks more and more seldom, and keeps a socket open on which it is told to ask at once. Waiting never depends on
// the socket: where there is none, because a proxy refuses it or it was lost, the agent asks as if there were no sockets.
//
//   ask ── wait ── … ── ask ─ socket opens ─ ask ───── long wait ───── told ─ ask
//
// It asks once more when the socket has opened, since nobody tells it what has happened in between.

import { type Wait, waitMs } from '../../protocol/index.ts'
import type { OpenWakeUps, WakeUpSocket } from '../client/wake-up-socket.ts'

/** No socket is opened for a shorter wait. */
const WORTH_A_SOCKET_MS = 700
/** Between two requests, however often it is told to ask. */
const SHORTEST_MS = 1000
/** After a socket was lost: this first, then twice as long each time, so that a proxy which ends every socket is not asked for more. */
const FIRST_PAUSE_MS = 2000
const LONGEST_PAUSE_MS = 3_600_000
/** A socket that lived for so long shows that sockets are possible here. */
const GOOD_SOCKET_MS = 300_000

type Waiting = {
  /** Resolves when it is time to ask again; `onWait` is told how long that is if nothing happens. Throws the reason of `stop`. */
  wait(answer: Wait, onWait?: (ms: number) => void): Promise<void>
  /** It waits no more, for now or for good: the socket is closed. */
  over(): void
}

type WaitingOptions = {
  /** Without it no socket is opened. */
  readonly openWakeUps?: OpenWakeUps | undefined
  readonly stop: AbortSignal
  /** Milliseconds, from any moment on. */
  readonly now?: () => number
  /** Uniform in [0, 1). */
  readonly random?: () => number
}

type Held = { readonly socket: WakeUpSocket; openedAtMs: number | null }

function createWaiting({ openWakeUps, stop, now = () => performance.now(), random = Math.random }: WaitingOptions): Waiting {
  /** In a row. */
  let waits = 0
  /** Something has happened since the agent asked last that is worth asking for. */
  let isWoken = false
  /** Of the wait under way: looks again whether it is over. */
  let look = () => {}
  let held: Held | null = null
  let losses = 0
  let mayOpenAtMs = Number.NEGATIVE_INFINITY
  /** When the socket was lost that has made the wait under way long. */
  let lostAtMs: number | null = null

  const wake = () => {
    isWoken = true
    look()
  }
  const onLost = (lost: Held) => {
    held = null
    const livedMs = lost.openedAtMs === null ? 0 : now() - lost.openedAtMs
    losses = livedMs >= GOOD_SOCKET_MS ? 1 : losses + 1
    const pauseMs = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** (losses - 1))
    mayOpenAtMs = now() + pauseMs * (1 - random() / 2)
    // One that never opened has made no wait longer.
    if (lost.openedAtMs !== null) lostAtMs = now()
    look()
  }
  const open = (openWakeUps: OpenWakeUps): Held => {
    const opening: Held = {
      openedAtMs: null,
      socket: openWakeUps({
        onOpen() {
          opening.openedAtMs = now()
          wake()
        },
        onWork() {
          waits = 0
          wake()
        },
        onLost: () => onLost(opening),
      }),
    }
    return opening
  }
  const pause = (ms: number) =>
    new Promise<void>((resolve) => {
      const timer = setTimeout(() => look(), ms)
      look = () => {
        clearTimeout(timer)
        look = () => {}
        resolve()
      }
    })
  stop.addEventListener('abort', () => look(), { once: true })

  return {
    async wait(answer, onWait) {
      const { retryAfterMs, retryAtMostMs = retryAfterMs, listeningRetryMs } = answer
      const askedAtMs = now()
      const ms = waitMs(answer, waits, random(), held?.openedAtMs != null)
      waits += 1
      if (openWakeUps && !held && listeningRetryMs !== undefined && ms >= WORTH_A_SOCKET_MS && askedAtMs >= mayOpenAtMs)
        held = open(openWakeUps)
      onWait?.(ms)
      for (;;) {
        stop.throwIfAborted()
        const soonMs = isWoken ? 0 : lostAtMs === null ? Number.POSITIVE_INFINITY : Math.min(mayOpenAtMs, lostAtMs + retryAtMostMs)
        const leftMs = Math.min(askedAtMs + ms, Math.max(soonMs, askedAtMs + SHORTEST_MS)) - now()
        if (leftMs <= 0) break
        await pause(leftMs)
      }
      isWoken = false
      lostAtMs = null
    },
    over() {
      waits = 0
      isWoken = false
      held?.socket.close()
      held = null
    },
  }
}

export { createWaiting, type Waiting }
