// A device that grows hot lowers its clock rate, and what is measured then belongs to another device. A reference operation
// tells: it is timed again and again between the others, and while it is slower than it was, measuring waits, and what was
// measured since the last good look is measured again.

import type { Subject } from './measuring.ts'
import { median } from '../table/robust.ts'

/** Ordinary noise of a reference stays below this; a phone that throttles loses a third of its speed and more. */
const TOLERATED_SLOWDOWN = 1.3
/** Looks that the first level is the median of. */
const BASELINE_LOOKS = 5
/** A level is the median of this many looks: a single slow one is another process, not heat. */
const RECENT_LOOKS = 3

type Look = {
  /** How many times slower than at its best the reference is by its last looks; 1 while that is unknown. */
  readonly slowdown: number
  /** Whether this very look was slow: chance, or the first of a lasting slowdown. */
  readonly isSuspect: boolean
}

type ThrottleWatch = {
  /** Takes the reference's time, milliseconds. */
  observe(referenceMs: number): Look
  /** Takes the present level for what the device can sustain. */
  accept(): void
  /** Whether a level that was accepted is still too slow beside the best one: no for a device that has recovered since. */
  isSlow(): boolean
}

function createThrottleWatch(): ThrottleWatch {
  const looks: number[] = []
  let baselineMs: number | null = null
  let bestMs = Number.POSITIVE_INFINITY
  const levelMs = () => median(looks.slice(-RECENT_LOOKS))
  return {
    observe(referenceMs) {
      looks.push(referenceMs)
      if (looks.length > BASELINE_LOOKS) looks.shift()
      if (looks.length === BASELINE_LOOKS) baselineMs = Math.min(baselineMs ?? Number.POSITIVE_INFINITY, median(looks))
      bestMs = Math.min(bestMs, baselineMs ?? bestMs)
      if (baselineMs === null) return { slowdown: 1, isSuspect: false }
      return { slowdown: Math.max(1, levelMs() / baselineMs), isSuspect: referenceMs > TOLERATED_SLOWDOWN * baselineMs }
    },
    accept() {
      baselineMs = levelMs()
      looks.length = 0
    },
    isSlow: () => baselineMs !== null && baselineMs > TOLERATED_SLOWDOWN * bestMs,
  }
}

type RoundConditions = {
  readonly subjects: readonly Subject[]
  /** Their order in this round. */
  readonly order: Iterable<number>
  readonly watch: ThrottleWatch
  /** Times the reference, milliseconds. */
  readonly reference: () => Promise<number>
  /** Milliseconds of measuring so far, by the caller's clock. */
  readonly spentMs: () => number
  /** Milliseconds of measuring between two looks at the reference. */
  readonly lookMs: number
  /** Waits for a device that is `slowdown` times too slow. False: it does not recover, so its speed is to be accepted. */
  readonly cool: (slowdown: number) => Promise<boolean>
}

/** Milliseconds of every subject, none of them measured while the reference was slow, and how many had to be measured again. */
async function steadyRound(conditions: RoundConditions): Promise<{ samples: number[]; repeated: number }> {
  const { subjects, watch, reference, spentMs, lookMs, cool } = conditions
  const samples = subjects.map(() => 0)
  const queue = [...conditions.order]
  let repeated = 0
  /** Measured since the last look that was not slow. */
  let suspects: number[] = []
  while (queue.length > 0 || suspects.length > 0) {
    const lookedAtMs = spentMs()
    while (queue.length > 0 && spentMs() - lookedAtMs < lookMs) {
      const index = queue.shift() as number
      samples[index] = await (subjects[index] as Subject).sample()
      suspects.push(index)
    }
    const { slowdown, isSuspect } = watch.observe(await reference())
    if (slowdown > TOLERATED_SLOWDOWN) {
      if (await cool(slowdown)) {
        repeated += suspects.length
        queue.unshift(...suspects)
      } else {
        watch.accept()
      }
      suspects = []
    } else if (!isSuspect) {
      suspects = []
    }
  }
  return { samples, repeated }
}

export { createThrottleWatch, steadyRound, type ThrottleWatch, TOLERATED_SLOWDOWN }
