// Trains every candidate with every seed, and measures every candidate's latency: by the project's own commands, each in a
// process of its own, so that a training on each core runs beside the others and a latency is measured in a fresh engine.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as z from 'zod'
import { runSideBySide, startCommand } from '../../command-line/child-commands.ts'
import type { SpaceRef } from '../../search-space/index.ts'
import type { Candidate } from './candidates.ts'
import type { ExperimentFolder } from './experiment-folder.ts'

const GATEHOUSE = 'coordinator/cli/main.ts'
const LATENCY_LUT = 'latency-lut/node/main.ts'

type Experiment = {
  readonly candidates: readonly Candidate[]
  readonly seeds: readonly number[]
  /** Flags of `gatehouse train` that are the same for all: recipe, data, backend. */
  readonly trainFlags: readonly string[]
  /** Flags of `latency-lut measure` that are the same for all: runtime, batch, budget. */
  readonly measureFlags: readonly string[]
  /** What a training's result depends on besides candidate and seed, and a latency's besides its candidate. */
  readonly trainingSettings: unknown
  readonly latencySettings: unknown
  /** Trainings at a time. */
  readonly jobs: number
  readonly folder: ExperimentFolder
  readonly signal: AbortSignal
  readonly onNote: (line: string) => void
}

type ExperimentResult = Candidate & { readonly latencyMs: number; readonly accuracies: readonly number[] }

const trainedSchema = z.object({ accuracy: z.number() })
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

/** Does what the folder does not have yet; accuracies in the order of the seeds. Throws what a command failed with. */
async function runExperiment(experiment: Experiment): Promise<ExperimentResult[]> {
  const { candidates, seeds, folder, signal, onNote } = experiment
  const temporary = mkdtempSync(join(tmpdir(), 'gatehouse-compare-'))
  try {
    const spaceFlag = writeSpaces(candidates, temporary)
    const networkFlags = ({ space, architecture }: Candidate) => ['--space', spaceFlag(space), '--architecture', architecture]
    const total = candidates.length * seeds.length
    let done = 0
    // Seed by seed, so that a comparison that is broken off has seen every candidate.
    const jobs = seeds.flatMap((seed) =>
      candidates.map((candidate) => async () => {
        const settings = [experiment.trainingSettings, candidate.space, candidate.architecture, seed]
        const known = folder.readTraining(settings)
        const startMs = performance.now()
        const accuracy =
          known?.accuracy ??
          (
            await runCommand(
              GATEHOUSE,
              ['train', ...networkFlags(candidate), ...experiment.trainFlags, '--seed', String(seed)],
              trainedSchema,
              signal,
            )
          ).accuracy
        const seconds = (performance.now() - startMs) / 1000
        if (!known) folder.writeTraining(settings, { candidate: candidate.name, seed, accuracy, seconds })
        done += 1
        onNote(
          `${String(done).padStart(String(total).length)} of ${total}  ${candidate.name.padEnd(16)} seed ${seed}  ${(accuracy * 100).toFixed(2)} %${known ? '  known' : `  ${seconds.toFixed(0)} s`}`,
        )
        return accuracy
      }),
    )
    const accuracies = await runSideBySide(jobs, experiment.jobs)
    // One at a time, when nothing else runs.
    const latencies: number[] = []
    for (const candidate of candidates) {
      const settings = [experiment.latencySettings, candidate.space, candidate.architecture]
      const known = folder.readLatency(settings)
      const latencyMs =
        known ??
        (await runCommand(LATENCY_LUT, ['measure', ...networkFlags(candidate), ...experiment.measureFlags], measuredSchema, signal)).meanMs
      if (known === null) folder.writeLatency(settings, candidate.name, latencyMs)
      onNote(`latency  ${candidate.name.padEnd(16)} ${latencyMs.toFixed(3)} ms`)
      latencies.push(latencyMs)
    }
    return candidates.map((candidate, index) => ({
      ...candidate,
      latencyMs: latencies[index] as number,
      accuracies: seeds.map((_, seedIndex) => accuracies[seedIndex * candidates.length + index] as number),
    }))
  } finally {
    rmSync(temporary, { recursive: true, force: true })
  }
}

export { type Experiment, type ExperimentResult, runExperiment }
