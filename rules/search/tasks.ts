// Who gets which task, and until when. Pure but for the store: time and new ids are arguments, so every rule can be tested at any
// moment and in any order.
//
// A task is outstanding from the moment it is created until its one result is applied or it is given up; while outstanding it
// is either leased to an agent or queued to be handed out again (leased-work/).

import {
  DEFAULT_HELD_MS,
  DEFAULT_LEASES_PER_AGENT,
  type LeaseRef,
  type LeaseResponse,
  LISTENING_PAUSED_WAIT_MS,
  LISTENING_WAIT_MS,
  MAX_PAUSED_WAIT_MS,
  MAX_ROUND_WAIT_MS,
  MAX_TASK_ATTEMPTS,
  MAX_WAIT_MS,
  neededKinds,
  neededVersion,
  PAUSED_WAIT_MS,
  ProblemError,
  ROUND_WAIT_MS,
  type ReleaseRequest,
  type TaskWork,
  understands,
  unknownKind,
  WAIT_MS,
} from '../../protocol/index.ts'
import {
  type Ended,
  expire,
  extended,
  findHeld,
  giveBack,
  type Held,
  type LeasedWork,
  newLease,
  nextExpiry,
} from '../leased-work/leased-work.ts'
import { checkStandingOfToken, countRefusedPush, isSetAside, knownAgent, wasSeen } from './agents.ts'
import { draftOf } from '../../strategies/index.ts'
import { attendanceOf } from './attendance.ts'
import type { OpenSearch } from './open.ts'
import { isEligible } from './eligible.ts'
import { hasFailed } from './standing.ts'
import { giveUp } from './outcomes.ts'
import { rollbacksOf } from './rollback.ts'
import type { AgentRecord, OutstandingTask, SearchSetup } from './stored.ts'
import { checkpointOf } from './trial-checkpoints.ts'
import { isNumberedTrial } from './trial-files.ts'

/** What an agent is told where there is no work for it. */
const waits = {
  paused: {
    kind: 'wait',
    reason: 'paused',
    retryAfterMs: PAUSED_WAIT_MS,
    retryAtMostMs: MAX_PAUSED_WAIT_MS,
    listeningRetryMs: LISTENING_PAUSED_WAIT_MS,
  },
  handedOut: {
    kind: 'wait',
    reason: 'all-handed-out',
    retryAfterMs: WAIT_MS,
    retryAtMostMs: MAX_WAIT_MS,
    listeningRetryMs: LISTENING_WAIT_MS,
  },
  round: { kind: 'wait', reason: 'round', retryAfterMs: ROUND_WAIT_MS, retryAtMostMs: MAX_ROUND_WAIT_MS },
} as const satisfies Record<string, LeaseResponse>
/** Of a task's leases that have ended: more than come to nothing, since agents that stop give theirs back. */
const KEPT_LEASES = 8
/** An agent that only waits is noted as seen this often: each note is a row written. */
const SEEN_EVERY_MS = 10_000

/** The tasks of a search as leased work. */
function leasedTasks(search: OpenSearch): LeasedWork<OutstandingTask> {
  const { store, setup } = search
  return {
    leaseMs: setup.config.tasks.leaseMs,
    maxAttempts: MAX_TASK_ATTEMPTS,
    endsAtMs({ work, lease: { leasedAtMs } }) {
      if (leasedAtMs === null) return null
      const savedAtMs = isNumberedTrial(work) ? store.trialFiles().find(({ trial }) => trial === work.trial)?.checkpoint?.atMs : undefined
      return Math.max(leasedAtMs, savedAtMs ?? 0) + (setup.config.tasks.maxLeaseMs ?? DEFAULT_HELD_MS)
    },
    transaction: (body) => store.transaction(body),
    items: () => store.outstandingTasks(),
    shorten(item, nowMs) {
      const { leasedAtMs } = item.lease
      const since = leasedAtMs === null ? null : Math.min(leasedAtMs, nowMs)
      store.writeOutstanding({ ...item, lease: { ...item.lease, leasedAtMs: since } })
    },
    end(ended, nowMs) {
      for (const task of ended) {
        if (task.isSpent) giveUp(search, task, nowMs)
        else store.writeOutstanding(withEnded(task, store.readAgent(task.lease.agentId), nowMs))
      }
      const expired = ended.filter(({ end }) => end === 'expired').length
      if (expired === 0) return
      const state = store.readState()
      store.writeState({ ...state, counts: { ...state.counts, expiredLeases: state.counts.expiredLeases + expired } })
    },
  }
}

/** @param agent who had the lease, unless it is not known any more */
function withEnded({ item, lease, end }: Ended<OutstandingTask>, agent: AgentRecord | null, nowMs: number): OutstandingTask {
  const { leaseId, agentId } = lease
  const ended = [...item.ended, { leaseId, agentId }].slice(-KEPT_LEASES)
  if (end === 'released') return { ...item, ended }
  return { ...item, ended, failedBy: [...(item.failedBy ?? []), { agentId, tokenId: agent?.tokenId ?? null, atMs: nowMs }] }
}

/** Puts tasks whose lease has ended back into the queue, or gives them up; returns how many. */
function expireLeases(search: OpenSearch, nowMs: number): number {
  return expire(leasedTasks(search), nowMs)
}

/** When the next lease ends, or null. */
function nextExpiryMs(search: OpenSearch): number | null {
  return nextExpiry(leasedTasks(search))
}

/** What an agent does not know of what a piece of work needs; undefined: it can do it. */
function lackOf({ kinds }: AgentRecord, work: TaskWork, { config }: Pick<SearchSetup, 'config'>) {
  return neededKinds(work, config.training).find(({ kind, version }) => !understands(kinds, kind, version))
}

function setAside({ name, clipped, tasksDone }: AgentRecord): ProblemError {
  return new ProblemError(
    'conflict',
    `agent ${name} gets no more tasks: numbers of ${clipped} of its ${tasksDone} tasks were far larger than usual; look at its data and its backend (\`worker-agent doctor\`)`,
    [{ path: 'agentId', message: 'set aside' }],
  )
}

/**
 * Hands out a task that the agent knows: one that came back first, else a new one. Throws ProblemError `conflict`, which ends the agent,
 * where there are only others, or where its numbers were far off
 * time and again.
 */
function leaseTask(search: OpenSearch, agentId: string, leaseId: string, nowMs: number): LeaseResponse {
  const { store, setup, strategy, context } = search
  const { leaseMs, maxOutstanding, leasesPerAgent = DEFAULT_LEASES_PER_AGENT } = setup.config.tasks
  return store.transaction((): LeaseResponse => {
    const agent = knownAgent(store, agentId)
    if (isSetAside(agent)) throw setAside(agent)
    checkStandingOfToken(search, agent.tokenId)
    if (!agent.asked || !wasSeen(agent, SEEN_EVERY_MS, nowMs)) store.writeAgent({ ...agent, asked: true, lastSeenAtMs: nowMs })
    expireLeases(search, nowMs)
    const state = store.readState()
    if (state.intent === 'stopped') return { kind: 'finished', phase: 'stopped' }
    if (state.finishedAtMs !== null) return { kind: 'finished', phase: 'finished' }
    if (state.intent === 'paused' || state.isRollingBack || hasFailed(state)) return waits.paused

    const rollbacks = rollbacksOf(state)

    const lease = { ...newLease({ leaseMs }, leaseId, agentId, nowMs), leasedAtMs: nowMs }
    const hand = (task: OutstandingTask): LeaseResponse => {
      store.writeOutstanding(task)
      const checkpoint = checkpointOf(search, task.work)
      const taken = { taskId: task.taskId, leaseId, leaseMs, work: task.work }
      return { kind: 'task', task: { ...taken, ...(rollbacks > 0 && { rollbacks }), ...(checkpoint && { checkpoint }) } }
    }
    const knows = (other: AgentRecord, work: TaskWork) => lackOf(other, work, setup) === undefined
    const refuse = (work: TaskWork): never => {
      const { kind, version } = lackOf(agent, work, setup) ?? { kind: work.kind, version: neededVersion(work) }
      throw unknownKind(agent.name, agent.kinds, kind, version)
    }
    const outstanding = store.outstandingTasks()
    const held = outstanding.filter((task) => task.lease?.agentId === agentId)
    if (held.length >= leasesPerAgent) return waits.handedOut
    const queued = outstanding.filter((task) => task.lease === null)
    const known = queued.filter(({ work }) => knows(agent, work))
    const ableTo = (work: TaskWork) => store.agents().filter((other) => knows(other, work))
    const next = known.find((task) => isEligible(task, agent, ableTo(task.work), nowMs))
    if (next) return hand({ ...next, lease })
    const wait = (answer: Extract<LeaseResponse, { kind: 'wait' }>): LeaseResponse =>
      queued[0] && known.length === 0 ? refuse(queued[0].work) : answer
    if (outstanding.length >= maxOutstanding) return wait(waits.handedOut)

    const taskId = state.counts.created + 1
    const attendance = attendanceOf(search, outstanding, agent, taskId, nowMs)
    const rows = draftOf(store.rows)
    const proposal = strategy.propose(state.strategy, { ...context, rows }, attendance)
    if (proposal.kind === 'wait' && !proposal.isLong && attendance.members.length > 1) return wait(waits.round)
    if (proposal.kind !== 'work') return wait(waits.handedOut)
    if (!knows(agent, proposal.work)) refuse(proposal.work)
    rows.keep()
    store.writeState({
      ...state,
      strategy: proposal.state,
      startedAtMs: state.startedAtMs ?? nowMs,
      counts: { ...state.counts, created: taskId },
    })
    return hand({
      taskId,
      work: proposal.work,
      ...(proposal.private !== undefined && { private: proposal.private }),
      lease,
      attempts: 0,
      ended: [],
    })
  })
}

function findLease(search: OpenSearch, { agentId, taskId, leaseId }: LeaseRef, nowMs: number): Held<OutstandingTask> | null {
  const task = findHeld(leasedTasks(search), leaseId, nowMs)
  return task?.taskId === taskId && task.lease.agentId === agentId ? task : null
}

/** Extends a lease, unless it has ended. */
function heartbeat(search: OpenSearch, ref: LeaseRef, nowMs: number): { kind: 'extended' | 'lost' } {
  const { store } = search
  return store.transaction(() => {
    const agent = knownAgent(store, ref.agentId)
    const task = findLease(search, ref, nowMs)
    if (!task) return { kind: 'lost' }
    store.writeOutstanding(extended(leasedTasks(search), task, nowMs))
    store.writeAgent({ ...agent, lastSeenAtMs: nowMs })
    return { kind: 'extended' }
  })
}

/** Gives a lease back: the task is handed out again at once, unless it has failed too often. */
function releaseLease(search: OpenSearch, { reason, message, ...ref }: ReleaseRequest, nowMs: number): { kind: 'released' | 'lost' } {
  const { store } = search
  return store.transaction(() => {
    knownAgent(store, ref.agentId)
    if (reason === 'bad-numbers') countRefusedPush(search, ref.agentId, nowMs)
    const task = findLease(search, ref, nowMs)
    if (!task) return { kind: 'lost' }
    giveBack(leasedTasks(search), task, { end: reason === 'stopping' ? 'released' : reason, message }, nowMs)
    return { kind: 'released' }
  })
}

export { expireLeases, heartbeat, leasedTasks, leaseTask, nextExpiryMs, releaseLease }
