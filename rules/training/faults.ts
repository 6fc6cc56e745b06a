// Agents that could not go on from the last checkpoint. One of them may be at fault itself, its data, its memory or its backend, so that the
// training goes to another before it believes any of them: it has diverged where several agents came to the same from the same checkpoint, or
// the only one that is there. A checkpoint that is further shows that it can be gone on with, and what was before is forgotten.

import { ProblemError } from '../../protocol/index.ts'
import { MAX_WAIT_MS } from './limits.ts'
import type { TrainingSetup, TrainingState } from './stored.ts'

type Fault = NonNullable<TrainingState['faults']>[number]

/** Agents that have to find that a training diverges, where there are others. */
const DIVERGED_AGENTS = 2
/** An agent that failed so often from one checkpoint does not get the training again before a person resumes it. */
const MAX_FAULTS = 3
/** Of faults since the last checkpoint, the last ones. */
const KEPT_FAULTS = 50
/** Agents that wait ask again within the longest wait: where nobody has after one and a half of them, nobody else is there. */
const ALONE_FACTOR = 1.5

/** The state with a fault more, of the agent that has the lease. */
function withFault(state: TrainingState, { kind, message }: Pick<Fault, 'kind' | 'message'>, nowMs: number): TrainingState {
  const trainer = state.trainers.at(-1)
  if (!trainer) return state
  const { agentId, name } = trainer
  const fault = { agentId, name, kind, message, step: state.checkpoint?.step ?? 0, atMs: nowMs }
  return { ...state, faults: [...(state.faults ?? []), fault].slice(-KEPT_FAULTS) }
}

/** What several agents found, as the result; null while another has to be asked. */
function agreedDivergence({ faults = [] }: TrainingState): { end: 'diverged'; message: string } | null {
  const diverged = faults.filter(({ kind }) => kind === 'diverged')
  const [first] = diverged
  if (!first || new Set(diverged.map(({ agentId }) => agentId)).size < DIVERGED_AGENTS) return null
  return { end: 'diverged', message: first.message }
}

type Standing =
  | { readonly kind: 'good' }
  /** Others are asked first. */
  | { readonly kind: 'wait'; readonly leftMs: number }
  /** It has diverged for this agent, and nobody else is there. */
  | { readonly kind: 'diverged'; readonly message: string }

/** Whether an agent may have the training, which nobody has. Throws ProblemError `conflict` for one that failed too often. */
function standingOf(state: TrainingState, { spec }: TrainingSetup, agentId: string, nowMs: number): Standing {
  const own = (state.faults ?? []).filter((fault) => fault.agentId === agentId)
  const last = own.at(-1)
  if (!last) return { kind: 'good' }
  const aloneMs = ALONE_FACTOR * Math.min(MAX_WAIT_MS, spec.leaseMs)
  const leftMs = (state.trainers.at(-1)?.lastSeenAtMs ?? 0) + aloneMs - nowMs
  if (leftMs > 0) return { kind: 'wait', leftMs }
  const diverged = own.find(({ kind }) => kind === 'diverged')
  if (diverged) return { kind: 'diverged', message: diverged.message }
  if (own.length < MAX_FAULTS) return { kind: 'good' }
  throw new ProblemError(
    'conflict',
    `agent ${last.name} gets this training no more: it failed ${own.length} times from step ${last.step}, the last time with: ${last.message}`,
    [{ path: 'agentId', message: 'set aside' }],
  )
}

export { agreedDivergence, standingOf, withFault }
