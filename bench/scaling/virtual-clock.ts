// Time that passes only when everybody waits for it: what runs on it takes as long as it says, however busy the machine is.

import { setImmediate as nextTurn } from 'node:timers/promises'

type VirtualClock = {
  readonly nowMs: () => number
  sleep(ms: number): Promise<void>
  /** Starts something that runs beside the caller. */
  spawn<T>(body: () => Promise<T>): Promise<T>
  /** Waits for what was spawned. */
  join<T>(spawned: Promise<T>): Promise<T>
  /** Lets time pass until nobody waits for it any more. */
  run(): Promise<void>
}

type Sleeper = { readonly atMs: number; readonly order: number; readonly wake: () => void }

function createVirtualClock(startMs: number): VirtualClock {
  let nowMs = startMs
  let busy = 0
  let order = 0
  const sleepers: Sleeper[] = []
  return {
    nowMs: () => nowMs,
    sleep(ms) {
      busy -= 1
      return new Promise((wake) => {
        sleepers.push({ atMs: nowMs + ms, order: order++, wake })
      })
    },
    spawn(body) {
      busy += 1
      return body().finally(() => {
        busy -= 1
      })
    },
    async join(spawned) {
      busy -= 1
      try {
        return await spawned
      } finally {
        busy += 1
      }
    },
    async run() {
      for (;;) {
        do await nextTurn()
        while (busy > 0)
        if (sleepers.length === 0) return
        sleepers.sort((a, b) => a.atMs - b.atMs || a.order - b.order)
        const next = sleepers.shift() as Sleeper
        nowMs = next.atMs
        busy += 1
        next.wake()
      }
    },
  }
}

export { createVirtualClock, type VirtualClock }
