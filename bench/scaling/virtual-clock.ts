// Time that passes only when nobody computes: what runs on it takes as long as it says, however busy the machine is.

import { setImmediate as nextTurn } from 'node:timers/promises'
import { createEvents } from '../../simulation/events.ts'

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

function createVirtualClock(startMs: number): VirtualClock {
  const events = createEvents(startMs)
  const computing = { count: 0 }
  const sleep = (ms: number) => new Promise<void>((wake) => void events.after(ms, wake))

  return {
    nowMs: events.nowMs,
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
        if (!events.step()) return
      }
    },
  }
}

export { createVirtualClock, type VirtualClock }
