// A trial: one architecture trained by a recipe of its own, with a network, an optimiser and threads of its own. It leaves the
// supernet alone, so that it has no steps in common with other kinds of task.

import { parentFingerprint, type ResultOf, type SearchConfig, type Tensor, type TrialWork } from '../../../protocol/index.ts'
import { inheritWeights, printArchitecture, type Space } from '../../../search-space/index.ts'
import type { Backend } from '../../backends/backends.ts'
import type { Dataset } from '../../datasets/index.ts'
import { type Checkpoint, CheckpointError } from '../checkpoint.ts'
import { type FromScratchResult, trainFromScratch, TrainingDivergedError } from '../from-scratch.ts'
import type { Accumulate } from '../micro-batches.ts'
import type { Threads } from '../threads/choose-threads.ts'

type TrialOptions = {
  readonly backend: Backend
  readonly dataset: Dataset
  readonly space: Space
  readonly config: SearchConfig
  readonly accumulate: Accumulate
  readonly threads: Threads
  readonly onNote: (line: string) => void
  /** Weights of the supernet, for a trial that starts from them. */
  readonly readWeights: (path: readonly number[]) => Promise<ReadonlyMap<string, Tensor>>
}

/** Where a trial goes on from, and where it leaves what the next one goes on from. */
type TrialCheckpoints = {
  /** Null where there is none. */
  read(): Promise<Checkpoint | null>
  /** Of the trial that this one starts from; null where there is none any more. */
  readParent(): Promise<Checkpoint | null>
  readonly everyMs: number
  save(checkpoint: Checkpoint): Promise<void>
}

/** Weights of another trial, grown into those of this one; none where the checkpoint of that trial is gone: it begins with random ones. */
async function inherit(
  { path, seed, start }: TrialWork & { readonly start: { readonly trial: number; readonly path: readonly number[] } },
  { space, onNote }: TrialOptions,
  checkpoints: TrialCheckpoints | undefined,
): Promise<ReadonlyMap<string, Tensor>> {
  const parent = await checkpoints?.readParent()
  if (parent?.identity.architecture === printArchitecture(space, start.path)) {
    return inheritWeights(space, start.path, path, parent.average.size > 0 ? parent.average : parent.weights, seed)
  }
  onNote(`a trial begins with random weights: there is no checkpoint of trial ${start.trial}, whose weights it was to grow out of`)
  return new Map()
}

/** Throws what `betweenSteps` throws, between two steps; a checkpoint is saved before that. */
async function trainArchitecture(
  work: TrialWork,
  options: TrialOptions,
  betweenSteps: (stepsLeft: number) => Promise<void>,
  checkpoints?: TrialCheckpoints,
): Promise<ResultOf<'trainArchitecture'>> {
  const { backend, dataset, space, config, accumulate, threads, onNote, readWeights } = options
  const { path, recipe, seed, start } = work
  const startMs = performance.now()
  const stop = new AbortController()
  let checkpoint = (await checkpoints?.read()) ?? undefined
  const initialWeights = async () => {
    if (start === 'scratch') return undefined
    if (start === 'supernet') return { fingerprint: 'supernet', tensors: await readWeights(path) }
    // What goes on from its own checkpoint has its weights from there.
    const tensors = checkpoint ? new Map<string, Tensor>() : await inherit({ ...work, start }, options, checkpoints)
    return { fingerprint: parentFingerprint(start), tensors }
  }
  let reports = [...(checkpoint?.reports ?? [])]
  const curveNow = () => reports.map(({ step, trainLoss, validation }) => ({ step, loss: trainLoss, accuracy: validation?.top1 ?? null }))
  let steps = checkpoint?.step ?? 0
  let totalSteps = Number.POSITIVE_INFINITY
  const secondsNow = () => (performance.now() - startMs) / 1000
  try {
    const train = async () => {
      const initial = await initialWeights()
      return trainFromScratch({
        backend,
        dataset,
        space,
        path,
        recipe,
        seed,
        shareSeed: config.seed,
        initial,
        untilEpoch: work.epochs,
        checkpoint,
        ...(checkpoints && {
          checkpoints: {
            everyEpochs: Number.POSITIVE_INFINITY,
            everyMs: checkpoints.everyMs,
            async save(state) {
              // Nobody goes on from the end of the recipe, but others may start there.
              if (state.step < totalSteps || work.isParent) await checkpoints.save(state)
            },
          },
        }),
        accumulate,
        threads,
        signal: stop.signal,
        onNote,
        onStep(done, schedule) {
          steps = done
          totalSteps = schedule.steps
          // The next step sees the abort: training gives other work its turn in between.
          betweenSteps(schedule.steps - done).catch((error: unknown) => stop.abort(error))
        },
        onReport: (report) => reports.push(report),
      })
    }
    let trained: FromScratchResult
    try {
      trained = await train()
    } catch (error) {
      // Made by an agent of another version, that has other networks: nobody could go on from it.
      if (!(error instanceof CheckpointError && error.code === 'does-not-fit')) throw error
      onNote(`a trial begins anew: ${error.message}`)
      checkpoint = undefined
      reports = []
      trained = await train()
    }
    const { top1, crossEntropy, images } = trained.validation
    const validation = { crossEntropy, correct: Math.round(top1 * images), images }
    return { kind: 'trainArchitecture', end: trained.end, steps, seconds: secondsNow(), validation, curve: curveNow() }
  } catch (error) {
    // The same for every agent: a result, not a failure.
    if (!(error instanceof TrainingDivergedError)) throw error
    return { kind: 'trainArchitecture', end: 'diverged', steps, seconds: secondsNow(), validation: null, curve: curveNow() }
  }
}

export { trainArchitecture, type TrialCheckpoints, type TrialOptions }
