// Trains what is compared on agents: each network and seed is a training that a coordinator keeps, which hands it on where an agent
// dies. Which training is which is kept beside the results, so that the same comparison, begun again, waits for those that there are.

import { ClientError, type CoordinatorClient } from '../../command-line/coordinator-client.ts'
import { CliError } from '../../command-line/exit-codes.ts'
import type { TrainingSpecInput, TrainingStatus } from '../../protocol/index.ts'
import type { ExperimentFolder, TrainingRecord } from './experiment-folder.ts'
import { followTrainings } from '../follow-trainings.ts'
import type { TrainAll, TrainingJob } from './run-experiment.ts'

type AgentTrainings = {
  readonly client: Pick<CoordinatorClient, 'url' | 'createTraining' | 'trainingStatus'>
  readonly folder: ExperimentFolder
  /** What is the same for all: data, recipe, shares, leases. */
  readonly spec: Omit<TrainingSpecInput, 'name' | 'space' | 'architecture' | 'seed'>
  /** Milliseconds between two looks at a training. */
  readonly intervalMs: number
  readonly signal: AbortSignal
  readonly onNote: (line: string) => void
  /** All trainings are there; `tokens` are those of their agents. */
  readonly onBegun: (tokens: readonly string[]) => void
}

const MAX_NAME = 100
const MS_PER_SECOND = 1000

const labelOf = (candidate: string, seed: number) => `${candidate}, seed ${seed}`

/** What became of a training that has ended: its record, or in words why there is none. */
function recordOf(job: TrainingJob, status: TrainingStatus): TrainingRecord | string {
  const { result, trainingId, startedAtMs, finishedAtMs, datasetFingerprint } = status
  const anew = `"gatehouse training delete ${trainingId} --yes" has it trained anew`
  if (!result) return `was stopped: "gatehouse training resume ${trainingId}" goes on with it, ${anew}`
  if (result.end === 'diverged') return `diverged: ${result.message}; choose a smaller rate, or ${anew}`
  if (result.end === 'stopped') return `was stopped as hopeless by the recipe's stopBelow, after ${result.steps} mini-batches`
  return {
    candidate: job.candidate.name,
    seed: job.seed,
    validation: result.validation.top1,
    test: result.test?.top1 ?? null,
    seconds: ((finishedAtMs ?? 0) - (startedAtMs ?? 0)) / MS_PER_SECOND,
    trainingId,
    ...(datasetFingerprint !== null && { fingerprint: datasetFingerprint }),
  }
}

/** The training of a job, created where there is none: on the data of this fingerprint, if one is known. */
async function openTraining({ client, folder, spec }: AgentTrainings, job: TrainingJob, fingerprint: string | undefined) {
  const settings = [client.url, job.settings]
  const kept = folder.readAgentTraining(settings)
  if (kept) {
    try {
      await client.trainingStatus(kept.trainingId)
      return kept
    } catch (error) {
      // Somebody has deleted it.
      if (!(error instanceof ClientError && error.problem === 'not-found')) throw error
    }
  }
  const { name, space, architecture } = job.candidate
  const { trainingId, agentToken } = await client.createTraining({
    ...spec,
    name: labelOf(name, job.seed).slice(0, MAX_NAME),
    space,
    architecture,
    dataset: { ...spec.dataset, ...(fingerprint !== undefined && { fingerprint }) },
    seed: job.seed,
  })
  const training = { candidate: name, seed: job.seed, trainingId, agentToken }
  folder.writeAgentTraining(settings, training)
  return training
}

/**
 * Throws CliError `conflict` where agents have different data, and, when all have ended, `failure` where one of them has no result. An abort
 * of `signal` throws its reason; agents go on all the same.
 */
function trainOnAgents(options: AgentTrainings): TrainAll {
  const { client, intervalMs, signal, onNote, onBegun } = options
  return async (jobs, known, onRecord) => {
    if (jobs.length === 0) return
    const before = known.find((record) => record.fingerprint !== undefined)
    const jobOf = new Map<string, TrainingJob>()
    const tokens: string[] = []
    for (const job of jobs) {
      const { trainingId, agentToken } = await openTraining(options, job, before?.fingerprint)
      jobOf.set(trainingId, job)
      tokens.push(agentToken)
    }
    onBegun(tokens)
    const without: { path: string; message: string }[] = []
    let data = before && { label: labelOf(before.candidate, before.seed), fingerprint: before.fingerprint }
    const onStatus = (status: TrainingStatus, isEnd: boolean) => {
      const job = jobOf.get(status.trainingId) as TrainingJob
      const label = labelOf(job.candidate.name, job.seed)
      const { datasetFingerprint } = status
      if (datasetFingerprint !== null) {
        data ??= { label, fingerprint: datasetFingerprint }
        if (data.fingerprint !== datasetFingerprint) {
          throw new CliError(
            'conflict',
            `agents have different data: ${data.label} is trained on ${data.fingerprint}, ${label} on ${datasetFingerprint}. ` +
              `Stop the agents that have the wrong ones, delete their trainings ("gatehouse training delete ${status.trainingId} --yes" for one), ` +
              'and run the command again.',
          )
        }
      }
      if (!isEnd) return
      const record = recordOf(job, status)
      if (typeof record === 'string') {
        without.push({ path: label, message: record })
        onNote(`${label} ${record}`)
      } else onRecord(job, record)
    }
    await followTrainings({ client, trainingIds: [...jobOf.keys()], intervalMs, signal, onStatus, onNote })
    if (without.length > 0) throw new CliError('failure', `${without.length} of ${jobs.length} trainings have no network`, without)
  }
}

export { trainOnAgents }
