// What a training says of itself while it runs: a line per epoch, and one every few seconds in between.

import { printDuration, printShare } from '../../command-line/quantities.ts'
import type { EpochReport } from '../../protocol/index.ts'
import type { Schedule } from '../../engine/training/schedule.ts'

const LINE_EVERY_MS = 5000

type TrainProgress = {
  onStep(done: number, schedule: Schedule, loss: number): void
  onReport(report: EpochReport): void
  /** Over this process's whole training, evaluations left out. */
  imagesPerSecond(): number
}

function createTrainProgress(note: (line: string) => void, batchSize: number, now: () => number): TrainProgress {
  let lineAtMs = now()
  /** Of the span since the last line or epoch; the first step, which compiles, is in none. */
  let span = { sinceMs: now(), steps: -1 }
  const total = { ms: 0, steps: 0 }
  let latest: { done: number; schedule: Schedule; loss: number } | null = null

  const closeSpan = () => {
    const ms = now() - span.sinceMs
    const steps = Math.max(0, span.steps)
    total.ms += steps > 0 ? ms : 0
    total.steps += steps
    span = { sinceMs: now(), steps: 0 }
  }
  const imagesPerSecond = () => (total.ms > 0 ? (total.steps * batchSize * 1000) / total.ms : 0)
  const pace = () => {
    if (!latest || total.ms === 0) return ''
    const leftMs = ((latest.schedule.steps - latest.done) * total.ms) / total.steps
    return `  ${Math.round(imagesPerSecond())} images/s${leftMs > 0 ? `  ${printDuration(leftMs)} left` : ''}`
  }

  return {
    onStep(done, schedule, loss) {
      latest = { done, schedule, loss }
      span.steps += 1
      if (span.steps === 0) span.sinceMs = now()
      // A report follows, and before it perhaps an evaluation, whose time is not training.
      const isReported = done % schedule.stepsPerEpoch === 0 || done === schedule.steps
      const isLineDue = now() - lineAtMs >= LINE_EVERY_MS
      if (isReported || isLineDue) closeSpan()
      if (isReported || !isLineDue) return
      lineAtMs = now()
      note(`step ${done} of ${schedule.steps}  loss ${loss.toFixed(3)}${pace()}`)
    },
    onReport({ epoch, step, trainLoss, validation }) {
      span = { sinceMs: now(), steps: 0 }
      lineAtMs = now()
      const epochs = latest ? latest.schedule.steps / latest.schedule.stepsPerEpoch : epoch
      const print = (value: number) => (Number.isInteger(value) ? String(value) : value.toFixed(2))
      const score = validation
        ? `  validation top-1 ${printShare(validation.top1)}, top-5 ${printShare(validation.top5)}, cross-entropy ${validation.crossEntropy.toFixed(3)}`
        : ''
      note(`epoch ${print(epoch)} of ${print(epochs)}  step ${step}  loss ${trainLoss.toFixed(3)}${score}${pace()}`)
    },
    imagesPerSecond,
  }
}

export { createTrainProgress, type TrainProgress }
