// Times layer graphs so that the sum over the parts of a network comes out at the time of the whole.
//
// A sample is ONE run, and every other subject runs between two samples of the same one: a round runs each once, in an
// order drawn anew. A part of a network runs like that too: behind another operation, its weights no longer in the
// innermost cache, the branch predictor busy with something else. Repeating one operation in a loop, the usual way,
// makes the sum 2 to 11 % too small (fashion-mini, wasm; the smaller the batch, the worse), and so does taking the
// cost of an empty run off every operation (10 to 17 % at batch 1): a first call after other code is what a network
// pays for each of its parts. Nothing is left over for a fixed part. Node's clock counts nanoseconds, so runs of 10 µs
// need no repetition, and the shorter a sample, the fewer of them another process disturbs.
//
// Then, in this order: what a whole round was slower or faster than the others is divided out (robust.ts), outliers
// by median absolute deviation are dropped, and the centre is the median.

import * as tf from '@tensorflow/tfjs-core'
import { createRandom, elementCount, type LayerGraph, type Random, seedState } from '../../search-space/index.ts'
import type { Backend } from '../../worker-agent/backends/backends.ts'
import { createInference, type Inference } from '../../worker-agent/executor/index.ts'
import { median, relativeHalfWidth, removeDrift, standardDeviation, withoutOutliers } from '../robust.ts'
import type { LatencyEntry } from '../table.ts'
import {
  DEFAULT_BUDGET_MS,
  ENOUGH_HALF_WIDTH,
  MAX_QUEUED_RUNS,
  MAX_ROUNDS,
  MIN_ROUNDS,
  MIN_ROUNDS_FOR_ENOUGH,
  MIN_SUBJECTS_FOR_DRIFT,
  QUEUED_SAMPLE_MS,
  ROUNDS_PER_LOOK,
  WARM_UP_ROUNDS,
  WARM_UP_SHARE,
} from './limits.ts'

type MeasureProgress = {
  /** 0 to 1: of the rounds asked for, or of the budget. */
  readonly share: number
  readonly rounds: number
  /** Of the least certain median: half of its 95 % interval as a share of it; infinite in the first rounds. */
  readonly relativeHalfWidth: number
}

type MeasureSettings = {
  /** The active backend, as openBackend gave it. */
  readonly backend: Backend
  /** Images in one run. */
  readonly batch: number
  /** Of weights, images and the order of measuring. */
  readonly seed: number
  /** How many samples of each; without it as many as the budget allows or the precision needs. */
  readonly rounds?: number | undefined
  /** Milliseconds for warming up and measuring, without setting up. Default 10 s; five rounds are made in any case. */
  readonly budgetMs?: number | undefined
  /** Ends the measuring between two rounds by throwing its reason. */
  readonly signal?: AbortSignal | undefined
  readonly onProgress?: ((progress: MeasureProgress) => void) | undefined
}

/** Something that can be timed once. */
type Subject = { sample(): Promise<number> }

/** True where a run has ended when the call returns: no queue, no device to wait for. */
function runsAtOnce(backend: Backend): boolean {
  return backend.name === 'wasm' || backend.name === 'cpu'
}

/** One run per sample. The result is dropped as a network drops it, outside of the clock: its reader would do that. */
function immediateSubject(inference: Inference, images: tf.Tensor4D): Subject {
  return {
    async sample() {
      const startMs = performance.now()
      const output = inference.run(images)
      const elapsedMs = performance.now() - startMs
      output.dispose()
      return elapsedMs
    },
  }
}

/** Several runs per sample, queued one behind the other, and one wait for the last. */
function queuedSubject(inference: Inference, images: tf.Tensor4D): Subject {
  let runs = 1
  return {
    async sample() {
      const startMs = performance.now()
      for (let run = 1; run < runs; run++) inference.run(images).dispose()
      const output = inference.run(images)
      await output.data()
      const elapsedMs = performance.now() - startMs
      output.dispose()
      const sampleMs = elapsedMs / runs
      // Grows while warming up and then stays: the wait hides in more and more work.
      runs = Math.min(MAX_QUEUED_RUNS, Math.max(runs, Math.ceil(QUEUED_SAMPLE_MS / sampleMs)))
      return sampleMs
    },
  }
}

async function sampleRound(subjects: readonly Subject[], random: Random, signal: AbortSignal | undefined): Promise<number[]> {
  signal?.throwIfAborted()
  const samples = subjects.map(() => 0)
  const order = random.shuffle(Int32Array.from(subjects.keys()))
  for (const index of order) samples[index] = await (subjects[index] as Subject).sample()
  // Lets timers, signals and the terminal have their turn between rounds, never within one.
  await new Promise((resolve) => setImmediate(resolve))
  return samples
}

/** Samples of each subject that mean something: drift removed where there are enough subjects to see it. */
function clean(rounds: readonly (readonly number[])[], subjectCount: number): number[][] {
  const bySubject = Array.from({ length: subjectCount }, (_, subject) => rounds.map((round) => round[subject] as number))
  const steady = subjectCount >= MIN_SUBJECTS_FOR_DRIFT ? removeDrift(bySubject) : bySubject
  return steady.map(withoutOutliers)
}

async function sampleAll(subjects: readonly Subject[], settings: MeasureSettings): Promise<number[][]> {
  const { rounds: wantedRounds, budgetMs = DEFAULT_BUDGET_MS, signal, onProgress } = settings
  const random = createRandom(seedState('latency-order', settings.seed))
  const startMs = performance.now()
  const spentMs = () => performance.now() - startMs
  let warmUp = 0
  do {
    await sampleRound(subjects, random, signal)
    warmUp += 1
  } while (warmUp < WARM_UP_ROUNDS && spentMs() < budgetMs * WARM_UP_SHARE)

  const rounds: number[][] = []
  let halfWidth = Number.POSITIVE_INFINITY
  const maxRounds = Math.min(wantedRounds ?? MAX_ROUNDS, MAX_ROUNDS)
  const hasMore = () => {
    if (rounds.length >= maxRounds) return false
    if (wantedRounds !== undefined || rounds.length < MIN_ROUNDS) return true
    return spentMs() < budgetMs && !(rounds.length >= MIN_ROUNDS_FOR_ENOUGH && halfWidth <= ENOUGH_HALF_WIDTH)
  }
  while (hasMore()) {
    rounds.push(await sampleRound(subjects, random, signal))
    if (rounds.length % ROUNDS_PER_LOOK === 0) halfWidth = Math.max(...clean(rounds, subjects.length).map(relativeHalfWidth))
    const share = wantedRounds === undefined ? spentMs() / budgetMs : rounds.length / maxRounds
    onProgress?.({ share: hasMore() ? Math.min(share, 1) : 1, rounds: rounds.length, relativeHalfWidth: halfWidth })
  }
  return clean(rounds, subjects.length)
}

/** Latency of each graph for one batch, in the order given. `weights`: values by key, row-major. */
async function measureGraphs(
  graphs: readonly LayerGraph[],
  weights: (key: string) => Float32Array,
  settings: MeasureSettings,
): Promise<LatencyEntry[]> {
  const random = createRandom(seedState('latency-images', settings.seed))
  const inferences: Inference[] = []
  // Graphs with inputs of one shape share the images: large spaces would not fit otherwise.
  const imagesByShape = new Map<string, tf.Tensor4D>()
  const imagesFor = ({ inputShape }: Inference): tf.Tensor4D => {
    const name = inputShape.join('x')
    let images = imagesByShape.get(name)
    if (!images) {
      const shape: [number, number, number, number] = [settings.batch, ...inputShape]
      images = tf.tensor4d(
        Float32Array.from({ length: elementCount(shape) }, () => random.uniform()),
        shape,
      )
      imagesByShape.set(name, images)
    }
    return images
  }
  try {
    const makeSubject = runsAtOnce(settings.backend) ? immediateSubject : queuedSubject
    const subjects = graphs.map((graph) => {
      const inference = createInference({ graph, weights })
      inferences.push(inference)
      return makeSubject(inference, imagesFor(inference))
    })
    const samples = await sampleAll(subjects, settings)
    return samples.map((kept) => ({ meanMs: median(kept), stdMs: standardDeviation(kept), count: kept.length }))
  } finally {
    for (const inference of inferences) inference.dispose()
    tf.dispose([...imagesByShape.values()])
  }
}

export { measureGraphs, type MeasureProgress, type MeasureSettings }
