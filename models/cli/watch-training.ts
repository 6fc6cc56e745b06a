// Follows a training to its end. A coordinator that is away for a while is waited for: the training goes on without us.

import type { Terminal } from '../../command-line/terminal.ts'
import { ClientError, type CoordinatorClient, pause } from '../../command-line/coordinator-client.ts'
import { printDuration } from '../../command-line/quantities.ts'
import type { TrainingStatus } from '../../protocol/index.ts'
import { renderTrainingLine } from './render-training.ts'

/** Returns the status at the end. Throws ClientError where trying again is of no use, such as a deleted training. */
async function watchTraining(
  terminal: Terminal,
  client: CoordinatorClient,
  trainingId: string,
  intervalMs: number,
): Promise<TrainingStatus> {
  let said = ''
  let awaySinceMs: number | null = null
  for (;;) {
    try {
      const status = await client.trainingStatus(trainingId)
      if (awaySinceMs !== null) terminal.note(`coordinator is back after ${printDuration(Date.now() - awaySinceMs)}`)
      awaySinceMs = null
      const line = renderTrainingLine(status)
      if (line !== said) terminal.note(`${new Date().toISOString().slice(11, 19)}  ${line}`)
      said = line
      if (status.result || status.phase === 'stopped') return status
    } catch (error) {
      // A restarting coordinator may also fail with status 500 for a moment.
      if (!(error instanceof ClientError) || !(error.isTemporary || error.problem === 'internal')) throw error
      if (awaySinceMs === null) terminal.note(`${error.message}; still trying`)
      awaySinceMs ??= Date.now()
    }
    await pause(intervalMs, terminal.interrupted)
  }
}

export { watchTraining }
