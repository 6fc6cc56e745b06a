// Trains every candidate with every seed, and measures every candidate's latency: by the project's own commands, each in a
// process of its own, so that a training on each core runs beside the others and a latency is measured in a fresh engine.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as z from 'zod'
import { runSideBySide, startCommand } from '../../command-line/child-commands.ts'
import type { SpaceRef } from '../../search-space/index.ts'
import type { Candidate } from './candidates.ts'
import type { ExperimentFolder, TrainingRecord } from './experiment-folder.ts'

const GATEHOUSE = 'gatehouse/main.ts'
const LATENCY_LUT = 'latency-lut/profiler/cli/main.ts'

type Experiment = {
  readonly candidates: readonly Candidate[]
  readonly seeds: readonly number[]
  /** Flags of `gatehouse train` that are the same for all: recipe, data, backend. */
  readonly trainFlags: readonly string[]
  /** Flags of `latency-lut measure` that are the same for all: runtime, batch, budget. */
  readonly measureFlags: readonly string[]
  /** What a training's result depends on besides candidate and seed, and a latency's besides its candidate and its round. */
  readonly trainingSettings: unknown
  readonly latencySettings: unknown
  /** Trainings at a time. */
  readonly jobs: number
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

const top1Schema = z.object({ top1: z.number() })
const trainedSchema = z.object({ validation: top1Schema, test: top1Schema.nullable() })
const MS_PER_SECOND = 1000
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

/** Does what the folder does not have yet. Throws what a command failed with. */
async function runExperiment(experiment: Experiment): Promise<ExperimentResult[]> {
  const { candidates, seeds, folder, signal, onNote } = experiment
  const temporary = mkdtempSync(join(tmpdir(), 'gatehouse-compare-'))
  try {
    const spaceFlag = writeSpaces(candidates, temporary)
    const networkFlags = ({ space, architecture }: Candidate) => ['--space', spaceFlag(space), '--architecture', architecture]
    const total = candidates.length * seeds.length
    const nameWidth = Math.max(...candidates.map(({ name }) => name.length))
    const train = async (candidate: Candidate, seed: number): Promise<TrainingRecord> => {
      const startMs = performance.now()
      const flags = [...networkFlags(candidate), ...experiment.trainFlags, '--seed', String(seed), ...(experiment.test ? ['--test'] : [])]
      // Each on one core, beside the others.
      const { validation, test } = await runCommand(GATEHOUSE, ['train', ...flags, '--threads', '1'], trainedSchema, signal)
      const seconds = (performance.now() - startMs) / MS_PER_SECOND
      return { candidate: candidate.name, seed, validation: validation.top1, test: test?.top1 ?? null, seconds }
    }
    const measure = async (candidate: Candidate): Promise<number> =>
      (await runCommand(LATENCY_LUT, ['measure', ...networkFlags(candidate), ...experiment.measureFlags], measuredSchema, signal)).meanMs
    let done = 0
    // Seed by seed, so that a comparison that is broken off has seen every candidate.
    const jobs = seeds.flatMap((seed) =>
      candidates.map((candidate) => async (): Promise<TrainingRecord> => {
        const settings = [experiment.trainingSettings, candidate.space, candidate.architecture, seed, { test: experiment.test }]
        const known = folder.readTraining(settings)
        const record = known ?? (await train(candidate, seed))
        if (!known) folder.writeTraining(settings, record)
        done += 1
        const count = `${String(done).padStart(String(total).length)} of ${total}`
        const accuracy = `${(compared(record) * PERCENT).toFixed(2)} %`
        onNote(
          `${count}  ${candidate.name.padEnd(nameWidth)} seed ${seed}  ${accuracy}  ${known ? 'known' : `${record.seconds.toFixed(0)} s`}`,
        )
        return record
      }),
    )
    const trainings = await runSideBySide(jobs, experiment.jobs)

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
      trainings: seeds.map((_, seedIndex) => trainings[seedIndex * candidates.length + index] as TrainingRecord),
    }))
  } finally {
    rmSync(temporary, { recursive: true, force: true })
  }
}

export { compared, type Experiment, type ExperimentResult, runExperiment }
