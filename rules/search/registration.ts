// Who is admitted to a search, and with which data. Agents bring their id, so that one which starts anew is the same; those that were not seen
// for long are kept in total only, since every start of an agent that brings none is another one.

import { KEPT_AGENTS, knownKinds, MAX_AGENTS, type RegisterRequest } from '../../protocol/index.ts'
import { checkDataset } from '../check-dataset.ts'
import { expireOf } from '../leased-work/leased-work.ts'
import { checkStandingOfToken, checkToken } from './agents.ts'
import type { OpenSearch } from './open.ts'
import type { AgentRecord } from './stored.ts'
import { leasedTasks } from './tasks.ts'

/** Who has not been seen for so long, and holds no lease, is gone: agents that wait ask many times as often. */
const UNSEEN_MS = 600_000

const NO_AGENTS = { agents: 0, tasksDone: 0, duplicates: 0, refusedPushes: 0, clipped: 0, steps: 0, bytesSent: 0, bytesReceived: 0 }

/** One that has done nothing yet. */
function newAgent(agentId: string, tokenId: string | null, nowMs: number) {
  return {
    agentId,
    tokenId,
    registeredAtMs: nowMs,
    tasksDone: 0,
    duplicates: 0,
    refusedPushes: 0,
    clipped: 0,
    lastClippedTaskId: null,
    trainMs: 0,
    idleMs: 0,
    peakBytes: null,
    imagesPerSecond: null,
    exchangeMs: null,
    steps: 0,
    bytesSent: 0,
    bytesReceived: 0,
  }
}

/**
 * Admits an agent, or one that was admitted before and starts anew: its leases have ended. Throws ProblemError `dataset-mismatch`, naming
 * both sides, `forbidden` for the id of an agent of another token, or `conflict` for a token
 * whose agents' numbers were far off.
 *
 * @param freshId id of an agent that brings none
 * @param tokenId the token that it shows; null: the admin token
 */
function registerAgent(
  search: OpenSearch,
  request: RegisterRequest,
  freshId: string,
  nowMs: number,
  tokenId: string | null = null,
): AgentRecord {
  const { store } = search
  const agentId = request.agentId ?? freshId
  return store.transaction(() => {
    const { setup, context } = search
    const { datasetFingerprint: fingerprint } = store.readState()
    checkDataset({ what: 'search', space: context.space, dataset: setup.config.dataset, fingerprint }, request.dataset)
    checkToken(search, agentId, tokenId)
    expireOf(leasedTasks(search), agentId, nowMs)
    const known = store.readAgent(agentId)
    checkStandingOfToken(search, tokenId)
    const agent: AgentRecord = {
      ...(known ?? newAgent(agentId, tokenId, nowMs)),
      name: request.name,
      device: request.device,
      backend: request.backend,
      lanes: request.lanes ?? 1,
      protocol: request.protocol ?? 0,
      kinds: knownKinds(request),
      lastSeenAtMs: nowMs,
      asked: false,
    }
    store.writeAgent(agent)
    const state = store.readState()
    store.writeState({
      ...state,
      datasetFingerprint: request.dataset.fingerprint,
      counts: { ...state.counts, agents: state.counts.agents + (known ? 0 : 1) },
    })
    if (!known) foldUnseen(search, agentId, nowMs)
    return agent
  })
}

/** Takes the records of agents that are gone into the totals, where there are many. */
function foldUnseen({ store }: OpenSearch, newId: string, nowMs: number): void {
  const agents = store.agents()
  if (agents.length <= KEPT_AGENTS) return
  const holders = new Set(store.outstandingTasks().flatMap(({ lease }) => (lease ? [lease.agentId] : [])))
  const idle = agents
    .filter(({ agentId }) => agentId !== newId && !holders.has(agentId))
    .toSorted((a, b) => a.lastSeenAtMs - b.lastSeenAtMs)
  const surplus = idle
    .slice(0, agents.length - KEPT_AGENTS)
    .filter(({ lastSeenAtMs }, i) => nowMs - lastSeenAtMs > UNSEEN_MS || agents.length - i > MAX_AGENTS)
  if (surplus.length === 0) return
  const state = store.readState()
  const foldedAgents = { ...(state.foldedAgents ?? NO_AGENTS) }
  for (const agent of surplus) {
    foldedAgents.agents += 1
    foldedAgents.tasksDone += agent.tasksDone
    foldedAgents.duplicates += agent.duplicates
    foldedAgents.refusedPushes += agent.refusedPushes
    foldedAgents.clipped += agent.clipped
    foldedAgents.steps += agent.steps
    foldedAgents.bytesSent += agent.bytesSent
    foldedAgents.bytesReceived += agent.bytesReceived
    store.removeAgent(agent.agentId)
  }
  store.writeState({ ...state, foldedAgents })
}

export { registerAgent }
