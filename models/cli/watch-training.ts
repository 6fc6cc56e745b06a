// Follows a training to its end, with a line where something changed.

import type { Terminal } from '../../command-line/terminal.ts'
import type { CoordinatorClient } from '../../command-line/coordinator-client.ts'
import type { TrainingStatus } from '../../protocol/index.ts'
import { followTrainings } from '../follow-trainings.ts'
import { renderTrainingLine } from './render-training.ts'

/** Returns the status at the end. Throws ClientError where trying again is of no use, such as a deleted training. */
async function watchTraining(
  terminal: Terminal,
  client: CoordinatorClient,
  trainingId: string,
  intervalMs: number,
): Promise<TrainingStatus> {
  let said = ''
  let last: TrainingStatus | undefined
  await followTrainings({
    client,
    trainingIds: [trainingId],
    intervalMs,
    signal: terminal.interrupted,
    onNote: terminal.note,
    onStatus(status) {
      const line = renderTrainingLine(status)
      if (line !== said) terminal.note(`${new Date().toISOString().slice(11, 19)}  ${line}`)
      said = line
      last = status
    },
  })
  return last as TrainingStatus
}

export { watchTraining }
