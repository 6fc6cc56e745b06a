// Measures a space on one backend: the method of latency-lut/profiler/node/measure.ts (rounds that time every operation once,
// in an order drawn anew), with what a browser on a phone adds: pages that are hidden, clocks with coarse steps, and heat.

import { drawOrder, needsMoreRounds, type Subject } from '../../latency-lut/profiler/measuring.ts'
import { QUEUED_SAMPLE_MS, ROUNDS_PER_LOOK, WARM_UP_ROUNDS, WARM_UP_SHARE } from '../../latency-lut/profiler/limits.ts'
import { median } from '../../latency-lut/table/robust.ts'
import { worstHalfWidth } from '../../latency-lut/table/rounds.ts'
import { weightsOf } from '../../latency-lut/profiler/network-weights.ts'
import { createSubjects } from '../../latency-lut/profiler/tfjs/subjects.ts'
import { createThrottleWatch, steadyRound, TOLERATED_SLOWDOWN } from '../../latency-lut/profiler/throttling.ts'
import { createRandom, seedState, type Space } from '../../search-space/index.ts'
import type { Attention } from './attention.ts'
import type { OpenedBackend } from './backends.ts'
import { CLOCK_STEPS_PER_SAMPLE, COOLING_MS, COOLING_SHARE, LOOK_MS, REFERENCE_SAMPLES, YIELD_MS } from './limits.ts'

type MeasureOptions = {
  readonly space: Space
  readonly opened: OpenedBackend
  /** Images in one run. */
  readonly batch: number
  readonly budgetMs: number
  readonly clockStepMs: number
  readonly attention: Attention
  /** Of an earlier visit of this page: they count as measured. */
  readonly before: { readonly rounds: readonly (readonly number[])[]; readonly spentMs: number }
  /** Ends the measuring between two rounds, without an error. */
  readonly signal: AbortSignal
  readonly onPhase: (phase: 'preparing' | 'warming up' | 'measuring') => void
  readonly onRound: (round: RoundReport) => void
  /** `slowdown` as a factor, or null when the device is as fast as before, or was accepted as it is. */
  readonly onThrottling: (slowdown: number | null) => void
}

type RoundReport = {
  readonly samples: readonly number[]
  /** Of this round. */
  readonly spentMs: number
  /** All rounds, those of earlier visits included. */
  readonly rounds: readonly (readonly number[])[]
  /** 0 to 1. */
  readonly share: number
  readonly halfWidth: number
  /** Operations measured again because the device was too slow, in all rounds of this visit. */
  readonly repeated: number
  /** Whether the device is slower than at its best, and was accepted so because it did not recover. */
  readonly throttled: boolean
}

const pause = (durationMs: number) => new Promise<void>((resolve) => setTimeout(resolve, durationMs))

/** The subject that tells whether the device is as fast as before: neither the shortest nor the longest. */
function referenceIndex(space: Space): number {
  const operations = space.measurableOperations()
  const byWork = [...operations.keys()].toSorted((a, b) => (operations[a]?.macs ?? 0) - (operations[b]?.macs ?? 0))
  return byWork[byWork.length >> 1] ?? 0
}

async function measureBackend(options: MeasureOptions): Promise<void> {
  const { space, opened, batch, budgetMs, clockStepMs, attention, before, signal, onPhase, onRound, onThrottling } = options
  onPhase('preparing')
  await pause(0)
  const leastMs = clockStepMs * CLOCK_STEPS_PER_SAMPLE
  const subjects = await createSubjects(
    space.measurableOperations().map(({ graph }) => graph),
    weightsOf(space, 0),
    { batch, seed: 0, queued: opened.queued, minSampleMs: opened.queued ? Math.max(QUEUED_SAMPLE_MS, leastMs) : leastMs },
  )
  try {
    let yieldedAtMs = performance.now()
    // Waiting for a hidden page or a hot device is not measuring.
    let busyMs = 0
    const guarded = subjects.all.map((subject): Subject => ({
      async sample() {
        for (;;) {
          // The page is drawn and touched between samples, never within one.
          if (performance.now() - yieldedAtMs > YIELD_MS) {
            await pause(0)
            yieldedAtMs = performance.now()
          }
          await attention.whenVisible()
          const hiddenBefore = attention.hiddenCount()
          const fromMs = performance.now()
          const sampleMs = await subject.sample()
          busyMs += performance.now() - fromMs
          if (attention.hiddenCount() === hiddenBefore) return sampleMs
        }
      },
    }))
    const referenceSubject = guarded[referenceIndex(space)] as Subject
    const reference = async () => {
      const looks: number[] = []
      for (let look = 0; look < REFERENCE_SAMPLES; look++) looks.push(await referenceSubject.sample())
      return median(looks)
    }

    const watch = createThrottleWatch()
    let coolingLeftMs = budgetMs * COOLING_SHARE
    const cool = async (slowdown: number) => {
      onThrottling(slowdown)
      while (coolingLeftMs > 0 && !signal.aborted) {
        coolingLeftMs -= COOLING_MS
        await pause(COOLING_MS)
        let level = slowdown
        for (let look = 0; look < REFERENCE_SAMPLES; look++) level = watch.observe(await reference()).slowdown
        if (level > TOLERATED_SLOWDOWN) continue
        onThrottling(null)
        return true
      }
      onThrottling(null)
      return false
    }

    const random = createRandom(seedState('latency-order', before.rounds.length))
    const makeRound = () =>
      steadyRound({
        subjects: guarded,
        order: drawOrder(guarded.length, random),
        watch,
        reference,
        spentMs: () => busyMs,
        lookMs: LOOK_MS,
        cool,
      })

    onPhase('warming up')
    const warmUpFromMs = performance.now()
    for (let round = 0; round < WARM_UP_ROUNDS && !signal.aborted; round++) {
      // Not watched: shaders and code are still being compiled.
      for (const index of drawOrder(guarded.length, random)) await (guarded[index] as Subject).sample()
      if (performance.now() - warmUpFromMs > budgetMs * WARM_UP_SHARE) break
    }

    onPhase('measuring')
    const rounds = [...before.rounds]
    let { spentMs } = before
    let repeated = 0
    let halfWidth = rounds.length >= ROUNDS_PER_LOOK ? worstHalfWidth(rounds, guarded.length) : Number.POSITIVE_INFINITY
    const hasMore = () => needsMoreRounds({ count: rounds.length, spentMs, budgetMs, halfWidth })
    while (hasMore() && !signal.aborted) {
      const busyBeforeMs = busyMs
      const made = await makeRound()
      const measuredMs = busyMs - busyBeforeMs
      rounds.push(made.samples)
      repeated += made.repeated
      spentMs += measuredMs
      if (rounds.length % ROUNDS_PER_LOOK === 0) halfWidth = worstHalfWidth(rounds, guarded.length)
      const share = hasMore() ? Math.min(1, spentMs / budgetMs) : 1
      onRound({ samples: made.samples, spentMs: measuredMs, rounds, share, halfWidth, repeated, throttled: watch.isSlow() })
    }
  } finally {
    await subjects.dispose()
  }
}

export { measureBackend, type RoundReport }
