// Takes the place of a trainer where what would be trained has been recorded: no data, no backend and no weights.

import { setTimeout as sleep } from 'node:timers/promises'
import type { SearchConfig } from '../../protocol/index.ts'
import { createRandom, seedState } from '../../search-space/index.ts'
import { answerFromRecord } from '../../simulation/recorded-answers.ts'
import type { RecordedBenchmark } from '../../simulation/recorded-benchmark.ts'
import type { TaskTrainer } from './train-task.ts'

/** A timer for longer, 25 days, would ring at once. */
const MAX_TIMER_MS = 2 ** 31 - 1

type RecordedTrainerOptions = {
  readonly benchmark: RecordedBenchmark
  readonly config: SearchConfig
  /** Recorded seconds that pass in one second; infinite: none are waited for. */
  readonly speed: number
  /** Ends a wait. */
  readonly stop: AbortSignal
}

/** `run` throws UnansweredError for what the record does not have. */
function createRecordedTrainer({ benchmark, config, speed, stop }: RecordedTrainerOptions): TaskTrainer {
  return {
    prefetch: () => undefined,
    resetOptimiser: () => undefined,
    async run(work) {
      // Whoever gets a task that came back gives the same answer.
      const random = createRandom(seedState('recorded', config.seed, JSON.stringify(work)))
      const { result, seconds } = answerFromRecord(benchmark, work, config.training.batchSize, random)
      let leftMs = ((seconds ?? 0) * 1000) / speed
      for (; leftMs > 0; leftMs -= MAX_TIMER_MS) await sleep(Math.min(leftMs, MAX_TIMER_MS), undefined, { signal: stop })
      return { result, peakBytes: 0 }
    },
  }
}

export { createRecordedTrainer }
