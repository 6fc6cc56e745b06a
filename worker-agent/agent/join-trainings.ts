// One agent of a training from scratch, or of several: asks for the lease of one after the other, and trains what nobody has. While other
// agents have all that are left it waits, ready to go on where one of them dies.

import type { TrainingLeaseRequest, TrainingLeaseResponse, TrainingResult, Wait } from '../../protocol/index.ts'
import { bitsOf } from '../../engine/datasets/index.ts'
import { createTrainingClient, type TrainingClient } from '../client/training-client.ts'
import { openWakeUpSocket } from '../client/wake-up-socket.ts'
import { describeAgent, noteVersion, watchConnection } from './connection.ts'
import { trainLeased, type TrainLeasedOptions } from './train-leased.ts'
import { LeaseLostError } from './training-lease.ts'
import { createWaiting } from './waiting.ts'

type WaitReason = NonNullable<Extract<TrainingLeaseResponse, { kind: 'wait' }>['reason']>

const waitTexts = {
  taken: 'another agent trains',
  paused: 'the training is paused',
  inputs: 'the files that it begins with are not there yet',
  fault: 'it failed here; others try it first',
} as const satisfies Record<WaitReason, string>

type JoinTrainingsOptions = Omit<TrainLeasedOptions, 'token'> & {
  /** One for each training: its token, and the id there of this agent whenever it is started (agent-id.ts). One at least. */
  readonly seats: readonly { readonly token: string; readonly agentId: string }[]
  /** Shown in the status. */
  readonly name: string
  readonly device: string
}

type TrainingAgentSummary = {
  readonly trainingId: string
  readonly agentId: string
  /** How the training ended, whoever ended it; `interrupted`: it goes on without this agent. */
  readonly end: TrainingResult['end'] | 'interrupted'
  /** Mini-batches trained by this agent. */
  readonly steps: number
}

type Seat = {
  readonly token: string
  readonly client: TrainingClient
  readonly request: TrainingLeaseRequest
  steps: number
  /** Null while it goes on. */
  end: TrainingResult['end'] | null
  /** Why this agent has no more to do with it. */
  failure: unknown
  /** Why it has to wait, and for how long; null where it need not. */
  wait: (Wait & { readonly reason: WaitReason }) | null
}

/**
 * Works until all trainings have ended. One that fails here, or that the coordinator refuses, is left to other agents, and the others are gone
 * on with; then what it failed with is thrown: CoordinatorError where the coordinator refuses for good.
 */
async function joinTrainings(options: JoinTrainingsOptions): Promise<TrainingAgentSummary[]> {
  const { coordinator, name, device, backend, dataset, stop, onNote } = options
  const connection = watchConnection(stop, onNote)
  const description = describeAgent(name, device, backend, { ...dataset, bits: bitsOf(dataset) })
  const seats = options.seats.map(({ token, agentId }): Seat => {
    const client = createTrainingClient({ coordinator, token, signal: connection.signal, onRetry: connection.onRetry })
    return { token, client, request: { agentId, ...description }, steps: 0, end: null, failure: undefined, wait: null }
  })
  const openSeats = () => seats.filter(({ end, failure }) => end === null && failure === undefined)
  let said = ''
  const waiting = createWaiting({
    stop,
    openWakeUps(listener) {
      const { client, request, token } = openSeats()[0] as Seat
      return openWakeUpSocket({ coordinator, token, base: `/v1/trainings/${client.trainingId}`, agentId: request.agentId }, listener)
    },
  })

  /** Asks for the lease, and trains under it where it is given. */
  const attend = async (seat: Seat) => {
    const { client, request, token } = seat
    const answer = await client.lease(request)
    connection.reached()
    seat.wait = null
    switch (answer.kind) {
      case 'ended':
        seat.end = answer.end
        return
      case 'wait':
        seat.wait = { ...answer, reason: answer.reason ?? 'taken' }
        return
      case 'lease':
        said = ''
        waiting.over()
        onNote(`training ${client.trainingId}: ${answer.spec.name}, ${answer.spec.architecture}`)
        seat.end = await trainLeased({ ...options, token }, client, request, answer, () => seat.steps++)
        return
      default:
        return answer satisfies never
    }
  }
  const attendAndNote = async (seat: Seat) => {
    try {
      await attend(seat)
    } catch (error) {
      if (stop.aborted) throw error
      if (!(error instanceof LeaseLostError)) seat.failure = error
      const message = error instanceof Error ? error.message : String(error)
      if (openSeats().length > 0) onNote(openSeats().includes(seat) ? message : `training ${seat.client.trainingId} is left: ${message}`)
    }
  }

  const summary = () =>
    seats.map(({ client, request, end, steps }): TrainingAgentSummary => {
      return { trainingId: client.trainingId, agentId: request.agentId, end: end ?? 'interrupted', steps }
    })
  try {
    await noteVersion((seats[0] as Seat).client, onNote)
    while (openSeats().length > 0) {
      for (const seat of openSeats()) {
        stop.throwIfAborted()
        await attendAndNote(seat)
      }
      const waits = openSeats().map(({ wait }) => wait)
      // One that needs not wait was lost, or diverged here: it is asked for again at once.
      if (waits.length === 0 || waits.includes(null)) continue
      const text = `waiting: ${[...new Set(waits.map((wait) => waitTexts[wait?.reason ?? 'taken']))].join('; ')}`
      if (text !== said) onNote(text)
      said = text
      // It listens where it waits for one training; of several it asks from time to time.
      const [only, ...others] = waits
      await waiting.wait(only && others.length === 0 ? only : { retryAfterMs: Math.min(...waits.map((wait) => wait?.retryAfterMs ?? 0)) })
    }
  } catch (error) {
    if (!stop.aborted) throw error
    return summary()
  } finally {
    waiting.over()
  }
  const failed = seats.find(({ failure }) => failure !== undefined)
  if (failed) throw failed.failure
  return summary()
}

export { joinTrainings, type TrainingAgentSummary }
