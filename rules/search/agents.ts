// What a search knows of its agents: whose they are, how fast, and how often their numbers were off.

import { ProblemError, type SubmitRequest, trainsWeights } from '../../protocol/index.ts'
import type { OpenSearch } from './open.ts'
import type { SearchStore } from './store.ts'
import type { AgentRecord } from './stored.ts'

/** An agent is set aside whose numbers were clipped in so many tasks, and in more than this share of its tasks. */
const MIN_CLIPPED = 5
const MOST_CLIPPED_SHARE = 0.25
/** Weight of the newest task in an agent's throughput. */
const THROUGHPUT_WEIGHT = 0.3

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

/** Agents that wait ask far more often. */
const PRESENT_MS = 30_000

/** Whether an agent was heard of less than `ms` ago, or, where the clock was set back meanwhile, from now. */
function wasSeen({ lastSeenAtMs }: AgentRecord, ms: number, nowMs: number): boolean {
  return Math.abs(nowMs - lastSeenAtMs) < ms
}

/** Whether an agent that holds no lease is there. */
function isPresent(agent: AgentRecord, nowMs: number): boolean {
  return agent.asked && wasSeen(agent, PRESENT_MS, nowMs)
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

/** A token gets no more tasks whose agents together delivered so many that were clipped, in more than that share of their tasks: ids are free. */
const MIN_CLIPPED_OF_TOKEN = 15

/** Throws ProblemError `conflict` where what the agents of a token delivered was far off time and again, whichever of them it was. */
function checkStandingOfToken({ store }: OpenSearch, tokenId: string | null): void {
  if (tokenId === null) return
  const agents = store.agents().filter((agent) => agent.tokenId === tokenId)
  const sum = (of: (agent: AgentRecord) => number) => agents.reduce((total, agent) => total + of(agent), 0)
  const [clipped, tasks] = [sum((agent) => agent.clipped), sum((agent) => agent.tasksDone)]
  if (clipped < MIN_CLIPPED_OF_TOKEN || clipped <= MOST_CLIPPED_SHARE * tasks) return
  throw new ProblemError(
    'conflict',
    `agents of this token get no more tasks: numbers of ${clipped} of their ${tasks} tasks were far larger than usual; look at their data and their backend (\`worker-agent doctor\`), and use another token`,
    [{ path: 'token', message: 'set aside' }],
  )
}

/** Whether what an agent delivered was far off time and again: it gets no more tasks. */
function isSetAside({ clipped, tasksDone }: AgentRecord): boolean {
  return clipped >= MIN_CLIPPED && clipped > MOST_CLIPPED_SHARE * tasksDone
}

export {
  checkStandingOfToken,
  checkToken,
  countClipped,
  countRefusedPush,
  isPresent,
  isSetAside,
  knownAgent,
  wasSeen,
  withClipped,
  withThroughput,
}
