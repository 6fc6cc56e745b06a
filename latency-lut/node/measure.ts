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
// measuring.ts has the rounds and what becomes of their samples, tfjs/subjects.ts what a sample is.

import { createRandom, type LayerGraph, type Random, seedState } from '../../search-space/index.ts'
import type { Backend } from '../../worker-agent/backends/backends.ts'
import { MAX_ROUNDS, ROUNDS_PER_LOOK, WARM_UP_ROUNDS, WARM_UP_SHARE } from '../limits.ts'
import { drawOrder, entriesOf, needsMoreRounds, type Rounds, type Subject, worstHalfWidth } from '../measuring.ts'
import type { LatencyEntry } from '../table.ts'
import { createSubjects } from '../tfjs/subjects.ts'
import { DEFAULT_BUDGET_MS } from './limits.ts'

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

/** True where a run has ended when the call returns: no queue, no device to wait for. */
function runsAtOnce(backend: Backend): boolean {
  return backend.name === 'wasm' || backend.name === 'cpu'
}

async function sampleRound(subjects: readonly Subject[], random: Random, signal: AbortSignal | undefined): Promise<number[]> {
  signal?.throwIfAborted()
  const samples = subjects.map(() => 0)
  for (const index of drawOrder(subjects.length, random)) samples[index] = await (subjects[index] as Subject).sample()
  // Lets timers, signals and the terminal have their turn between rounds, never within one.
  await new Promise((resolve) => setImmediate(resolve))
  return samples
}

async function sampleAll(subjects: readonly Subject[], settings: MeasureSettings): Promise<Rounds> {
  const { rounds: wanted, budgetMs = DEFAULT_BUDGET_MS, signal, onProgress } = settings
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
  const hasMore = () => needsMoreRounds({ count: rounds.length, wanted, spentMs: spentMs(), budgetMs, halfWidth })
  while (hasMore()) {
    rounds.push(await sampleRound(subjects, random, signal))
    if (rounds.length % ROUNDS_PER_LOOK === 0) halfWidth = worstHalfWidth(rounds, subjects.length)
    const share = wanted === undefined ? spentMs() / budgetMs : rounds.length / Math.min(wanted, MAX_ROUNDS)
    onProgress?.({ share: hasMore() ? Math.min(share, 1) : 1, rounds: rounds.length, relativeHalfWidth: halfWidth })
  }
  return rounds
}

/** Latency of each graph for one batch, in the order given. `weights`: values by key, row-major. */
async function measureGraphs(
  graphs: readonly LayerGraph[],
  weights: (key: string) => Float32Array,
  settings: MeasureSettings,
): Promise<LatencyEntry[]> {
  const { batch, seed, backend } = settings
  const subjects = createSubjects(graphs, weights, { batch, seed, queued: !runsAtOnce(backend) })
  try {
    return entriesOf(await sampleAll(subjects.all, settings), graphs.length)
  } finally {
    subjects.dispose()
  }
}

export { measureGraphs, type MeasureProgress, type MeasureSettings }
