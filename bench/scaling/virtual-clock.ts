// Time that passes only when nobody computes: what runs on it takes as long as it says, however busy the machine is.

import { setImmediate as nextTurn } from 'node:timers/promises'

type VirtualClock = {
  readonly nowMs: () => number
  sleep(ms: number): Promise<void>
  /** Something that really takes time on this machine, and none on the clock: the clock stands still meanwhile. */
  compute<T>(body: () => Promise<T>): Promise<T>
  /** Within `compute`: lets the clock go on while it sleeps. */
  interrupt(ms: number): Promise<void>
  /** Lets time pass until nobody waits for it any more. */
  run(): Promise<void>
}

type Sleeper = { readonly atMs: number; readonly order: number; readonly wake: () => void }

function createVirtualClock(startMs: number): VirtualClock {
  let nowMs = startMs
  const computing = { count: 0 }
  let order = 0
  const sleepers: Sleeper[] = []

  const sleep = (ms: number) =>
    new Promise<void>((wake) => {
      sleepers.push({ atMs: nowMs + ms, order: order++, wake })
    })

  return {
    nowMs: () => nowMs,
    sleep,
    async compute(body) {
      computing.count += 1
      try {
        return await body()
      } finally {
        computing.count -= 1
      }
    },
    async interrupt(ms) {
      computing.count -= 1
      await sleep(ms)
      computing.count += 1
    },
    async run() {
      for (;;) {
        // Whatever follows from the last event without computing has happened after a turn.
        await nextTurn()
        while (computing.count > 0) await nextTurn()
        if (sleepers.length === 0) return
        sleepers.sort((a, b) => a.atMs - b.atMs || a.order - b.order)
        const next = sleepers.shift() as Sleeper
        nowMs = next.atMs
        next.wake()
      }
    },
  }
}

export { createVirtualClock, type VirtualClock }
