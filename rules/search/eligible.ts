// Who is handed a task at which leases have come to nothing. Whether the task or the agent is at fault shows when another tries: an agent that
// failed at it does not get it again while there is one that has not, nor does one of a token whose agents failed at it twice.

import type { AgentRecord, OutstandingTask } from './stored.ts'
import { isPresent, isSetAside } from './agents.ts'

/** Attempts of agents of one token, while those of others have not tried. */
const MOST_OF_TOKEN = 2
/** Others that are there have so long: they may be busy with a task of their own, or have hung. */
const OTHERS_FIRST_MS = 300_000

function mayTry({ failedBy = [] }: OutstandingTask, agent: AgentRecord): boolean {
  const ofToken = failedBy.filter(({ tokenId }) => tokenId === agent.tokenId)
  return !failedBy.some(({ agentId }) => agentId === agent.agentId) && ofToken.length < MOST_OF_TOKEN
}

/**
 * Whether an agent is to be handed a task that came back.
 *
 * @param able all agents that know its kind
 */
function isEligible(task: OutstandingTask, agent: AgentRecord, able: readonly AgentRecord[], nowMs: number): boolean {
  if (mayTry(task, agent) || nowMs - (task.failedBy?.at(-1)?.atMs ?? 0) >= OTHERS_FIRST_MS) return true
  return !able.some((other) => other.agentId !== agent.agentId && isPresent(other, nowMs) && !isSetAside(other) && mayTry(task, other))
}

export { isEligible }
