// Times layer graphs so that the sum over the parts of a network comes out at the time of the whole.
//
// A sample is ONE run, and every other subject runs between two samples of the same one: a round runs each once, in an
// order drawn anew. A part of a network runs like that too: behind another operation, its weights no longer in the
// innermost cache, the branch predictor busy with something else. Repeating one operation in a loop, the usual way,
// makes the sum 2 to 11 % too small (fashion-mini, wasm; the smaller the batch, the worse), and so does taking the
// cost of an empty run off every operation (10 to 17 % at batch 1): a first call after other code is what a network
// pays for each of its parts. Nothing is left over for a fixed part. Node's clock counts nanoseconds, so runs of 10 µs
// need no repetition, and the shorter a sample, the fewer of them another process disturbs. (Runtimes that rearrange data
// at the borders of what they run need more: context.ts.)
//
// Where the calling thread does all the work, the time that it waited for a processor is taken off (waiting-time.ts).
// Then, in this order: what a whole round was slower or faster than the others is divided out (robust.ts), outliers
// by median absolute deviation are dropped, and the centre is the median.

import { createRandom, elementCount, type LayerGraph, type Random, seedState, type Shape } from '../../../search-space/index.ts'
import {
  DEFAULT_PRECISION,
  MAX_QUEUED_RUNS,
  MAX_ROUNDS,
  QUEUED_SAMPLE_MS,
  ROUNDS_PER_LOOK,
  WARM_UP_ROUNDS,
  WARM_UP_SHARE,
} from '../limits.ts'
import { drawOrder, needsMoreRounds } from '../measuring.ts'
import { median, relativeHalfWidth, robustDeviation } from '../../table/robust.ts'
import { cleanRounds } from '../../table/rounds.ts'
import type { TableQuality } from '../../table/table.ts'
import type { PreparedNetwork } from '../workbench.ts'
import type { Samples } from './context.ts'
import { DEFAULT_BUDGET_MS, LEAST_SAMPLE_MS, SAVE_INTERVAL_MS } from './limits.ts'
import type { Runtime } from '../runtimes/runtime.ts'
import { openWaitingClock, type WaitingClock } from './waiting-time.ts'

type MeasureProgress = {
  /** 0 to 1: of the rounds asked for, or of the budget. */
  readonly share: number
  readonly rounds: number
  /** Of the least certain median: half of its 95 % interval as a share of it; infinite in the first rounds. */
  readonly relativeHalfWidth: number
}

/** What has been measured up to some point. */
type Progress = {
  /** [round][subject], milliseconds. */
  readonly rounds: readonly (readonly number[])[]
  /** Of the budget. */
  readonly spentMs: number
}

/** Where a measuring that is cut off can go on from. */
type Checkpoint = {
  /** What an earlier attempt measured of the same subjects. */
  readonly earlier: Progress | null
  /** Called every few seconds between rounds, and when the measuring is interrupted. */
  save(progress: Progress): Promise<void>
}

type MeasureSettings = {
  readonly runtime: Runtime
  /** Images in one run. */
  readonly batch: number
  /** Of weights, images and the order of measuring. */
  readonly seed: number
  /** How many samples of each; without it as many as the budget allows or the precision needs. */
  readonly rounds?: number | undefined
  /** Milliseconds for warming up and measuring, without setting up. Default 10 s; five rounds are made in any case. */
  readonly budgetMs?: number | undefined
  /** Enough is measured once half of every median's 95 % interval is within this share of it. Default 0.02. */
  readonly precision?: number | undefined
  /** Ends the measuring between two rounds by throwing its reason. */
  readonly signal?: AbortSignal | undefined
  readonly onProgress?: ((progress: MeasureProgress) => void) | undefined
  readonly checkpoint?: Checkpoint | undefined
}

/** What is to be run, and what its samples say: a list of samples for each result, from one list for each graph. */
type Experiment = {
  readonly graphs: readonly LayerGraph[]
  /** Values by weight key, row-major, in the shape that the network reads. */
  readonly weights: (key: string, shape: readonly number[]) => Float32Array
  readonly interpret: (samples: Samples) => Samples
}

type Measurement = {
  /** Of each graph: drift removed, outliers dropped. */
  readonly samples: Samples
  readonly quality: TableQuality
}

/** One sample of something, milliseconds for one run. */
type Sample = {
  readonly runMs: number
  /** That the thread waited for a processor meanwhile; not part of `runMs`. */
  readonly waitedMs: number
}

/** Something that can be timed once. */
type Subject = { sample(): Promise<Sample> }

/**
 * One run per sample. The result is dropped as a network drops it, outside of the clock: its reader would do that.
 * `waiting`: where all the work is done by the calling thread.
 */
function immediateSubject(network: PreparedNetwork, waiting: WaitingClock | null): Subject {
  return {
    async sample() {
      const waitedBeforeMs = waiting?.() ?? 0
      const startMs = performance.now()
      const pending = network.run()
      // Nothing to wait for costs nothing.
      if (pending) await pending
      const elapsedMs = performance.now() - startMs
      const waitedMs = (waiting?.() ?? 0) - waitedBeforeMs
      network.release()
      // Waits between the two clocks' readings can make it longer than the run.
      return { runMs: Math.max(elapsedMs - waitedMs, LEAST_SAMPLE_MS), waitedMs }
    },
  }
}

/** Several runs per sample, queued one behind the other, and one wait for the last. */
function queuedSubject(network: PreparedNetwork): Subject {
  let runs = 1
  return {
    async sample() {
      const startMs = performance.now()
      for (let run = 0; run < runs; run++) await network.run()
      await network.result()
      const elapsedMs = performance.now() - startMs
      network.release()
      const sampleMs = elapsedMs / runs
      // Grows while warming up and then stays: the wait hides in more and more work.
      runs = Math.min(MAX_QUEUED_RUNS, Math.max(runs, Math.ceil(QUEUED_SAMPLE_MS / sampleMs)))
      return { runMs: sampleMs, waitedMs: 0 }
    },
  }
}

/** `waitedShare`: of the round's time, spent waiting for a processor. */
async function sampleRound(
  subjects: readonly Subject[],
  random: Random,
  signal: AbortSignal | undefined,
): Promise<{ readonly samples: number[]; readonly waitedShare: number }> {
  signal?.throwIfAborted()
  const samples = subjects.map(() => 0)
  let totalMs = 0
  let totalWaitedMs = 0
  for (const index of drawOrder(subjects.length, random)) {
    const { runMs, waitedMs } = await (subjects[index] as Subject).sample()
    samples[index] = runMs
    totalMs += runMs + waitedMs
    totalWaitedMs += waitedMs
  }
  // Lets timers, signals and the terminal have their turn between rounds, never within one.
  await new Promise((resolve) => setImmediate(resolve))
  return { samples, waitedShare: totalWaitedMs / totalMs }
}

async function sampleAll(
  subjects: readonly Subject[],
  { interpret, countsWaiting }: Pick<Experiment, 'interpret'> & { readonly countsWaiting: boolean },
  settings: MeasureSettings,
): Promise<Measurement> {
  const { rounds: wantedRounds, budgetMs = DEFAULT_BUDGET_MS, precision = DEFAULT_PRECISION, signal, onProgress, checkpoint } = settings
  const rounds: (readonly number[])[] = [...(checkpoint?.earlier?.rounds ?? [])]
  const earlierMs = checkpoint?.earlier?.spentMs ?? 0
  // Another order in each attempt, or its first rounds would repeat those of the last.
  const random = createRandom(seedState('latency-order', settings.seed, rounds.length))
  const startMs = performance.now()
  const spentMs = () => earlierMs + performance.now() - startMs
  const halfWidths = () => interpret(cleanRounds(rounds, subjects.length).samples).map(relativeHalfWidth)
  let halfWidth = rounds.length > 0 ? Math.max(...halfWidths()) : Number.POSITIVE_INFINITY
  const hasMore = () => needsMoreRounds({ count: rounds.length, wanted: wantedRounds, spentMs: spentMs(), budgetMs, halfWidth, precision })
  const waitedShares: number[] = []
  const save = async () => checkpoint?.save({ rounds, spentMs: spentMs() })

  try {
    for (let warmUp = 0; hasMore() && warmUp < WARM_UP_ROUNDS; warmUp++) {
      if (warmUp > 0 && spentMs() - earlierMs >= budgetMs * WARM_UP_SHARE) break
      await sampleRound(subjects, random, signal)
    }
    let savedAtMs = performance.now()
    while (hasMore()) {
      const { samples, waitedShare } = await sampleRound(subjects, random, signal)
      rounds.push(samples)
      waitedShares.push(waitedShare)
      if (rounds.length % ROUNDS_PER_LOOK === 0) halfWidth = Math.max(...halfWidths())
      const share = wantedRounds === undefined ? spentMs() / budgetMs : rounds.length / Math.min(wantedRounds, MAX_ROUNDS)
      onProgress?.({ share: hasMore() ? Math.min(share, 1) : 1, rounds: rounds.length, relativeHalfWidth: halfWidth })
      if (performance.now() - savedAtMs >= SAVE_INTERVAL_MS) {
        await save()
        savedAtMs = performance.now()
      }
    }
  } catch (error) {
    if (rounds.length > 0) await save()
    throw error
  }
  const { samples, effects } = cleanRounds(rounds, subjects.length)
  const kept = samples.reduce((sum, row) => sum + row.length, 0)
  const last = halfWidths()
  const worst = Math.max(...last)
  const percent = (share: number) => Number((100 * share).toFixed(3))
  return {
    samples,
    quality: {
      rounds: rounds.length,
      // Infinite where a subject has too few samples for an interval, be it that few were made or that outliers were dropped.
      ...(Number.isFinite(worst) ? { halfWidthPct: percent(median(last)), worstHalfWidthPct: percent(worst) } : {}),
      droppedPct: percent(1 - kept / (rounds.length * subjects.length)),
      driftPct: percent(robustDeviation(effects)),
      ...(countsWaiting && waitedShares.length > 0 ? { waitedPct: percent(mean(waitedShares)) } : {}),
    },
  }
}

/** Runs every graph of an experiment in interleaved rounds, and says how steady the machine was. */
async function measure({ graphs, weights, interpret }: Experiment, settings: MeasureSettings): Promise<Measurement> {
  const { runtime, batch } = settings
  const random = createRandom(seedState('latency-images', settings.seed))
  const images = (shape: Shape) => Float32Array.from({ length: batch * elementCount(shape) }, () => random.uniform())
  const waiting = runtime.runsInCaller ? openWaitingClock() : null
  const workbench = runtime.setUp({ batch, weights, images })
  try {
    const subjects: Subject[] = []
    for (const graph of graphs) {
      settings.signal?.throwIfAborted()
      const network = await workbench.prepare(graph)
      subjects.push(runtime.isQueued ? queuedSubject(network) : immediateSubject(network, waiting))
    }
    return await sampleAll(subjects, { interpret, countsWaiting: waiting !== null }, settings)
  } finally {
    await workbench.dispose()
  }
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length
}

export { type Checkpoint, measure, type Measurement, type MeasureProgress, type MeasureSettings, type Progress }
