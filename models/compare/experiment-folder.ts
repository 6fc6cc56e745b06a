// What a comparison has measured so far, on disk: one file per training, named by everything that its result depends on, so
// that a comparison that was broken off, or that gets one candidate more, repeats nothing.

import { createHash } from 'node:crypto'
import { mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { writeWholeFile } from '../../command-line/whole-files.ts'
import * as z from 'zod'

/** Of files with tokens. */
const OWNER_ONLY = 0o600

const trainingSchema = z.strictObject({
  candidate: z.string(),
  seed: z.int(),
  /** Top-1 on the validation share, 0 to 1. */
  validation: z.number().min(0).max(1),
  /** Top-1 on the test split; null where it was left alone. */
  test: z.number().min(0).max(1).nullable(),
  seconds: z.number(),
  /** At the coordinator, of one that agents did: it has the network. */
  trainingId: z.string().optional(),
  /** Of the data that agents had. */
  fingerprint: z.string().optional(),
})
type TrainingRecord = z.infer<typeof trainingSchema>

const latencySchema = z.strictObject({ candidate: z.string(), latencyMs: z.number().positive() })

/** A training that a coordinator keeps for agents. */
const agentTrainingSchema = z.strictObject({ candidate: z.string(), seed: z.int(), trainingId: z.string(), agentToken: z.string() })
type AgentTraining = z.infer<typeof agentTrainingSchema>

type ExperimentFolder = {
  /** Result of the training that `settings` describe, if there is one. */
  readTraining(settings: unknown): TrainingRecord | null
  writeTraining(settings: unknown, record: TrainingRecord): void
  /** The training at a coordinator that `settings` describe, if one was created. */
  readAgentTraining(settings: unknown): AgentTraining | null
  writeAgentTraining(settings: unknown, training: AgentTraining): void
  readLatency(settings: unknown): number | null
  writeLatency(settings: unknown, candidate: string, latencyMs: number): void
  /** Writes a file of the report; returns its path. */
  writeReport(file: string, content: string | Uint8Array): string
  /** Writes a file that nobody else may read; returns its path. */
  writeSecret(file: string, content: string): string
}

function nameOf(settings: unknown): string {
  return createHash('sha256').update(JSON.stringify(settings)).digest('hex').slice(0, 16)
}

function readRecord<T>(path: string, schema: z.ZodType<T>): T | null {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
  // Written whole or not at all; what does not parse was changed by hand and is measured again.
  const parsed = schema.safeParse(JSON.parse(text))
  return parsed.success ? parsed.data : null
}

function openExperimentFolder(folder: string): ExperimentFolder {
  const trainings = join(folder, 'trainings')
  const agentTrainings = join(folder, 'agent-trainings')
  const latencies = join(folder, 'latencies')
  for (const path of [trainings, latencies]) mkdirSync(path, { recursive: true })
  const trainingPath = (settings: unknown) => join(trainings, `${nameOf(settings)}.json`)
  const agentTrainingPath = (settings: unknown) => join(agentTrainings, `${nameOf(settings)}.json`)
  const latencyPath = (settings: unknown) => join(latencies, `${nameOf(settings)}.json`)
  return {
    readTraining: (settings) => readRecord(trainingPath(settings), trainingSchema),
    writeTraining: (settings, record) => writeWholeFile(trainingPath(settings), `${JSON.stringify(record)}\n`),
    readAgentTraining: (settings) => readRecord(agentTrainingPath(settings), agentTrainingSchema),
    writeAgentTraining: (settings, training) => writeWholeFile(agentTrainingPath(settings), `${JSON.stringify(training)}\n`, OWNER_ONLY),
    readLatency: (settings) => readRecord(latencyPath(settings), latencySchema)?.latencyMs ?? null,
    writeLatency: (settings, candidate, latencyMs) =>
      writeWholeFile(latencyPath(settings), `${JSON.stringify({ candidate, latencyMs })}\n`),
    writeReport(file, content) {
      const path = join(folder, file)
      writeWholeFile(path, content)
      return path
    },
    writeSecret(file, content) {
      const path = join(folder, file)
      writeWholeFile(path, content, OWNER_ONLY)
      return path
    },
  }
}

export { type ExperimentFolder, openExperimentFolder, type TrainingRecord }
