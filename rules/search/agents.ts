// What a search knows of its agents: who was admitted, with which data, and how fast they are.

import { knownKinds, MAX_AGENTS, ProblemError, type RegisterRequest, type SubmitRequest, trainsWeights } from '../../protocol/index.ts'
import type { OpenSearch } from './open.ts'
import type { SearchStore } from './store.ts'
import type { AgentRecord } from './stored.ts'

/** An agent is set aside whose numbers were clipped in so many tasks, and in more than this share of its tasks. */
const MIN_CLIPPED = 5
const MOST_CLIPPED_SHARE = 0.25
/** Weight of the newest task in an agent's throughput. */
const THROUGHPUT_WEIGHT = 0.3

/**
 * Admits an agent. Throws ProblemError `dataset-mismatch`, naming both sides, or `conflict` when there are too many.
 *
 * @param tokenId the token that it shows; null: the admin token
 */
function registerAgent(
  search: OpenSearch,
  request: RegisterRequest,
  agentId: string,
  nowMs: number,
  tokenId: string | null = null,
): AgentRecord {
  const { store, setup, context } = search
  return store.transaction(() => {
    const state = store.readState()
    const { dataset } = request
    const shape = context.space.input
    if (shape.some((size, axis) => size !== dataset.shape[axis]) || dataset.classes !== context.space.classes) {
      throw new ProblemError(
        'dataset-mismatch',
        `space ${context.space.name} takes ${shape.join('×')} images of ${context.space.classes} classes, this agent's data ${dataset.name} has ${dataset.shape.join('×')} of ${dataset.classes}`,
        [{ path: 'dataset.shape', message: `expected ${shape.join('×')} and ${context.space.classes} classes` }],
      )
    }
    if (state.datasetFingerprint !== null && state.datasetFingerprint !== dataset.fingerprint) {
      throw new ProblemError(
        'dataset-mismatch',
        `the search runs on ${setup.config.dataset.name} with fingerprint ${state.datasetFingerprint}, this agent has ${dataset.name} with fingerprint ${dataset.fingerprint}`,
        [{ path: 'dataset.fingerprint', message: `expected ${state.datasetFingerprint}` }],
      )
    }
    if (state.counts.agents >= MAX_AGENTS) throw new ProblemError('conflict', `this search already has ${MAX_AGENTS} agents`)
    const agent: AgentRecord = {
      agentId,
      tokenId,
      name: request.name,
      device: request.device,
      backend: request.backend,
      registeredAtMs: nowMs,
      lastSeenAtMs: nowMs,
      tasksDone: 0,
      duplicates: 0,
      refusedPushes: 0,
      clipped: 0,
      lastClippedTaskId: null,
      trainMs: 0,
      idleMs: 0,
      peakBytes: null,
      imagesPerSecond: null,
      lanes: request.lanes ?? 1,
      protocol: request.protocol ?? 0,
      kinds: knownKinds(request),
      asked: false,
      exchangeMs: null,
      steps: 0,
      bytesSent: 0,
      bytesReceived: 0,
    }
    store.writeAgent(agent)
    store.writeState({
      ...state,
      datasetFingerprint: dataset.fingerprint,
      counts: { ...state.counts, agents: state.counts.agents + 1 },
    })
    return agent
  })
}

/**
 * Throws ProblemError `forbidden` for an agent that registered with another token. One that an earlier version registered belongs to the
 * token that it shows first.
 */
function checkToken({ store }: OpenSearch, agentId: string, tokenId: string | null): void {
  const agent = store.readAgent(agentId)
  if (!agent || tokenId === null || agent.tokenId === tokenId) return
  if (agent.tokenId !== null) {
    throw new ProblemError('forbidden', `agent ${agentId} registered with another token`, [
      { path: 'agentId', message: 'of another token' },
    ])
  }
  store.writeAgent({ ...agent, tokenId })
}

function knownAgent(store: SearchStore, agentId: string): AgentRecord {
  const agent = store.readAgent(agentId)
  if (!agent)
    throw new ProblemError('not-found', `no agent ${agentId} in this search; register first`, [{ path: 'agentId', message: 'unknown' }])
  return agent
}

function smooth(before: number | null, current: number): number {
  return before === null ? current : before + THROUGHPUT_WEIGHT * (current - before)
}

/** What a result adds to its agent's record: `images` of its metric, weight `steps` of its task. */
function withThroughput(
  agent: AgentRecord,
  request: SubmitRequest,
  { images, steps }: { images: number; steps: number },
  nowMs: number,
): AgentRecord {
  const { trainMs, idleMs, peakBytes, exchangeMs, bytesSent = 0, bytesReceived = 0 } = request.timing
  const current = trainMs > 0 ? (images * 1000) / trainMs : null
  const smoothed = current === null ? agent.imagesPerSecond : smooth(agent.imagesPerSecond, current)
  return {
    ...agent,
    lastSeenAtMs: nowMs,
    tasksDone: agent.tasksDone + 1,
    trainMs: agent.trainMs + trainMs,
    idleMs: agent.idleMs + idleMs,
    ...(exchangeMs !== undefined && { exchangeMs: smooth(agent.exchangeMs, exchangeMs) }),
    steps: agent.steps + steps,
    bytesSent: agent.bytesSent + bytesSent,
    bytesReceived: agent.bytesReceived + bytesReceived,
    peakBytes: peakBytes === undefined ? agent.peakBytes : Math.max(agent.peakBytes ?? 0, peakBytes),
    imagesPerSecond: trainsWeights(request.result) ? smoothed : agent.imagesPerSecond,
  }
}

/** Counts a push or result with bad numbers against its agent. */
function countRefusedPush(search: OpenSearch, agentId: string, nowMs: number): void {
  const agent = search.store.readAgent(agentId)
  if (agent) search.store.writeAgent({ ...agent, lastSeenAtMs: nowMs, refusedPushes: agent.refusedPushes + 1 })
}

/** Counts a task's numbers that were clipped against its agent, once. */
function withClipped(agent: AgentRecord, taskId: number): AgentRecord {
  return agent.lastClippedTaskId === taskId ? agent : { ...agent, clipped: agent.clipped + 1, lastClippedTaskId: taskId }
}

function countClipped({ store }: OpenSearch, agentId: string, taskId: number): void {
  const agent = store.readAgent(agentId)
  if (agent) store.writeAgent(withClipped(agent, taskId))
}

/** Whether what an agent delivered was far off time and again: it gets no more tasks. */
function isSetAside({ clipped, tasksDone }: AgentRecord): boolean {
  return clipped >= MIN_CLIPPED && clipped > MOST_CLIPPED_SHARE * tasksDone
}

export { checkToken, countClipped, countRefusedPush, isSetAside, withClipped, knownAgent, registerAgent, withThroughput }
