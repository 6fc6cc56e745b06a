// Trains what is compared on this machine: by `gatehouse train`, each in a process of its own and on one core, beside the others.

import * as z from 'zod'
import { runSideBySide } from '../../command-line/child-commands.ts'
import { GATEHOUSE, runCommand, type TrainAll } from './run-experiment.ts'

type LocalTrainings = {
  /** Flags of `gatehouse train` that are the same for all: recipe, data, backend. */
  readonly trainFlags: readonly string[]
  /** Evaluate each on the test split. */
  readonly test: boolean
  /** Trainings at a time. */
  readonly jobs: number
  readonly signal: AbortSignal
}

const top1Schema = z.object({ top1: z.number() })
const trainedSchema = z.object({ validation: top1Schema, test: top1Schema.nullable() })
const MS_PER_SECOND = 1000

/** Throws what a training failed with, when those beside it have ended. */
function trainHere({ trainFlags, test, jobs: width, signal }: LocalTrainings): TrainAll {
  return async (jobs, _known, onRecord) => {
    await runSideBySide(
      jobs.map((job) => async () => {
        const startMs = performance.now()
        const flags = [...job.networkFlags, ...trainFlags, '--seed', String(job.seed), ...(test ? ['--test'] : [])]
        const trained = await runCommand(GATEHOUSE, ['train', ...flags, '--threads', '1'], trainedSchema, signal)
        const seconds = (performance.now() - startMs) / MS_PER_SECOND
        const { candidate, seed } = job
        onRecord(job, { candidate: candidate.name, seed, validation: trained.validation.top1, test: trained.test?.top1 ?? null, seconds })
      }),
      width,
    )
  }
}

export { trainHere }
