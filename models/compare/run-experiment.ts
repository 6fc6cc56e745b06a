// Trains every candidate with every seed, and measures every candidate's latency, by the project's own command in a process of its own, so
// that each is measured in a fresh engine.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as z from 'zod'
import { startCommand } from '../../command-line/child-commands.ts'
import type { SpaceRef } from '../../search-space/index.ts'
import type { Candidate } from './candidates.ts'
import type { ExperimentFolder, TrainingRecord } from './experiment-folder.ts'

const GATEHOUSE = 'gatehouse/main.ts'
const LATENCY_LUT = 'latency-lut/profiler/cli/main.ts'

/** One training. */
type TrainingJob = {
  readonly candidate: Candidate
  readonly seed: number
  /** Everything that its result depends on. */
  readonly settings: unknown
  /** Its network, as commands take it. */
  readonly networkFlags: readonly string[]
}

/**
 * Trains all of them, and tells of each result as soon as it is there. Throws where one of them has none in the end. `known`: results of the
 * comparison that there are.
 */
type TrainAll = (
  jobs: readonly TrainingJob[],
  known: readonly TrainingRecord[],
  onRecord: (job: TrainingJob, record: TrainingRecord) => void,
) => Promise<void>

type Experiment = {
  readonly candidates: readonly Candidate[]
  readonly seeds: readonly number[]
  /** Trains what has no result yet. */
  readonly trainAll: TrainAll
  /** Flags of `latency-lut measure` that are the same for all: runtime, batch, budget. */
  readonly measureFlags: readonly string[]
  /** What a training's result depends on besides candidate and seed, and a latency's besides its candidate and its round. */
  readonly trainingSettings: unknown
  readonly latencySettings: unknown
  /** Evaluate each on the test split, and compare by that. */
  readonly test: boolean
  /** How often each latency is measured, all networks in turn, so that a busy minute of the machine does not fall on one of them. */
  readonly latencyRounds: number
  readonly folder: ExperimentFolder
  readonly signal: AbortSignal
  readonly onNote: (line: string) => void
}

/** In the order of the seeds; `test` is null where the split was left alone. */
type ExperimentResult = Candidate & { readonly latenciesMs: readonly number[]; readonly trainings: readonly TrainingRecord[] }

const PERCENT = 100
const measuredSchema = z.object({ meanMs: z.number().positive() })

/** Runs one of the commands; its JSON result. Ends it when the comparison is interrupted. */
async function runCommand<T>(script: string, args: readonly string[], schema: z.ZodType<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted()
  const { child, result } = startCommand(script, [...args, '--json'])
  const end = () => void child.kill('SIGTERM')
  signal.addEventListener('abort', end, { once: true })
  try {
    return schema.parse(JSON.parse(await result))
  } catch (error) {
    throw signal.aborted ? signal.reason : error
  } finally {
    signal.removeEventListener('abort', end)
  }
}

/** Settings of a space as a command line takes them. */
function writeSpaces(candidates: readonly Candidate[], folder: string): (space: SpaceRef) => string {
  const flags = new Map<SpaceRef, string>()
  for (const { space } of candidates) {
    if (flags.has(space)) continue
    if (typeof space === 'string') {
      flags.set(space, space)
      continue
    }
    const path = join(folder, `space-${flags.size}.json`)
    writeFileSync(path, JSON.stringify(space))
    flags.set(space, `@${path}`)
  }
  return (space) => flags.get(space) as string
}

/** Top-1 that networks are compared by: that on the test split where there is one. */
function compared({ validation, test }: TrainingRecord): number {
  return test ?? validation
}

/** Does what the folder does not have yet. Throws what a training or a command failed with. */
async function runExperiment(experiment: Experiment): Promise<ExperimentResult[]> {
  const { candidates, seeds, folder, signal, onNote } = experiment
  const temporary = mkdtempSync(join(tmpdir(), 'gatehouse-compare-'))
  try {
    const spaceFlag = writeSpaces(candidates, temporary)
    const networkFlags = ({ space, architecture }: Candidate) => ['--space', spaceFlag(space), '--architecture', architecture]
    const total = candidates.length * seeds.length
    const nameWidth = Math.max(...candidates.map(({ name }) => name.length))
    const measure = async (candidate: Candidate): Promise<number> =>
      (await runCommand(LATENCY_LUT, ['measure', ...networkFlags(candidate), ...experiment.measureFlags], measuredSchema, signal)).meanMs
    // Seed by seed, so that a comparison that is broken off has seen every candidate.
    const jobs = seeds.flatMap((seed) =>
      candidates.map((candidate): TrainingJob => {
        const settings = [experiment.trainingSettings, candidate.space, candidate.architecture, seed, { test: experiment.test }]
        return { candidate, seed, settings, networkFlags: networkFlags(candidate) }
      }),
    )
    const trainings = new Map<TrainingJob, TrainingRecord>()
    const take = (job: TrainingJob, record: TrainingRecord, how: string) => {
      trainings.set(job, record)
      const count = `${String(trainings.size).padStart(String(total).length)} of ${total}`
      onNote(`${count}  ${job.candidate.name.padEnd(nameWidth)} seed ${job.seed}  ${(compared(record) * PERCENT).toFixed(2)} %  ${how}`)
    }
    for (const job of jobs) {
      const known = folder.readTraining(job.settings)
      if (known) take(job, known, 'known')
    }
    await experiment.trainAll(
      jobs.filter((job) => !trainings.has(job)),
      [...trainings.values()],
      (job, record) => {
        folder.writeTraining(job.settings, record)
        take(job, record, `${record.seconds.toFixed(0)} s`)
      },
    )

    // One at a time, when nothing else runs.
    const latencies = candidates.map((): number[] => [])
    for (let round = 1; round <= experiment.latencyRounds; round++) {
      for (const [index, candidate] of candidates.entries()) {
        const settings = [experiment.latencySettings, candidate.space, candidate.architecture, { round }]
        const known = folder.readLatency(settings)
        const latencyMs = known ?? (await measure(candidate))
        if (known === null) folder.writeLatency(settings, candidate.name, latencyMs)
        onNote(`latency  round ${round} of ${experiment.latencyRounds}  ${candidate.name.padEnd(nameWidth)} ${latencyMs.toFixed(3)} ms`)
        latencies[index]?.push(latencyMs)
      }
    }
    return candidates.map((candidate, index) => ({
      ...candidate,
      latenciesMs: latencies[index] as number[],
      trainings: jobs.filter((job) => job.candidate === candidate).map((job) => trainings.get(job) as TrainingRecord),
    }))
  } finally {
    rmSync(temporary, { recursive: true, force: true })
  }
}

export { compared, type Experiment, type ExperimentResult, GATEHOUSE, runCommand, runExperiment, type TrainAll, type TrainingJob }
