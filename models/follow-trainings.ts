// Follows trainings that agents do to their ends. A coordinator that is away for a while is waited for: they go on without us.

import { ClientError, type CoordinatorClient, pause } from '../command-line/coordinator-client.ts'
import { printDuration } from '../command-line/quantities.ts'
import type { TrainingStatus } from '../protocol/index.ts'

type Following = {
  readonly client: Pick<CoordinatorClient, 'trainingStatus'>
  readonly trainingIds: readonly string[]
  /** Milliseconds between two looks. */
  readonly intervalMs: number
  readonly signal: AbortSignal
  /** Told of each look at a training; the last time, `isEnd`, when it has ended. */
  readonly onStatus: (status: TrainingStatus, isEnd: boolean) => void
  readonly onNote: (line: string) => void
}

/** Throws ClientError where trying again is of no use, such as a deleted training. An abort throws the signal's reason. */
async function followTrainings({ client, trainingIds, intervalMs, signal, onStatus, onNote }: Following): Promise<void> {
  let open = trainingIds
  let awaySinceMs: number | null = null
  const read = async (trainingId: string): Promise<TrainingStatus | null> => {
    try {
      const status = await client.trainingStatus(trainingId)
      if (awaySinceMs !== null) onNote(`coordinator is back after ${printDuration(Date.now() - awaySinceMs)}`)
      awaySinceMs = null
      return status
    } catch (error) {
      // A restarting coordinator may also fail with status 500 for a moment.
      if (!(error instanceof ClientError) || !(error.isTemporary || error.problem === 'internal')) throw error
      if (awaySinceMs === null) onNote(`${error.message}; still trying`)
      awaySinceMs ??= Date.now()
      return null
    }
  }
  for (;;) {
    for (const trainingId of open) {
      const status = await read(trainingId)
      // Nor would it answer for the others.
      if (status === null) break
      const isEnd = status.result !== null || status.phase === 'stopped'
      if (isEnd) open = open.filter((id) => id !== trainingId)
      onStatus(status, isEnd)
    }
    if (open.length === 0) return
    await pause(intervalMs, signal)
  }
}

export { followTrainings }
