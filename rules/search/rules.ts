// The rules of a search: who gets which task, what happens with a result, when a lease ends. Pure but for the store:
// time and new ids are arguments, so every rule can be tested at any moment and in any order.
//
// A task is outstanding from the moment it is created until its one result is applied; while outstanding it is either
// leased to an agent or queued to be handed out again. A result is applied if and only if its task is outstanding, in
// the same transaction that ends the task: that is the whole of "exactly once".

import {
  type LeaseRef,
  type LeaseResponse,
  knownKinds,
  MAX_AGENTS,
  type MetricSeries,
  neededVersion,
  type Phase,
  ProblemError,
  ROUND_WAIT_MS,
  type RegisterRequest,
  type ReleaseRequest,
  resultMismatch,
  type SubmitRequest,
  type SubmitResponse,
  type TaskWork,
  understands,
  unknownKind,
  WAIT_MS,
} from '../../protocol/index.ts'
import { type Attendance, findStrategy, type Member, type Strategy, type StrategyContext } from '../../strategies/index.ts'
import { describeFirst, unreadable } from '../stored/stored-form.ts'
import { strategyContext } from './create.ts'
import type { SearchStore } from './store.ts'
import type { AgentRecord, OutstandingTask, Recent, SearchSetup, SearchState } from './stored.ts'

/** Results whose means make up the figures of the status. */
const RECENT_RESULTS = 16
const PAUSED_WAIT_MS = 1000
/** An agent that only waits is noted as seen this often: each note is a row written. */
const SEEN_EVERY_MS = 10_000
/** Weight of the newest task in an agent's throughput. */
const THROUGHPUT_WEIGHT = 0.3
/** An agent that was seen this long ago, and holds no lease, has no seat in the next round: it polls far more often. */
const PRESENT_MS = 30_000
/** Nobody waits for a task that takes this many times as long as its agent's speed says, nor for one much shorter than a request. */
const OVERDUE_FACTOR = 4
const MIN_OVERDUE_MS = 3000

/** A search opened for use: its fixed parts, computed once. */
type OpenSearch = {
  readonly store: SearchStore
  readonly setup: SearchSetup
  readonly context: StrategyContext
  readonly strategy: Strategy<unknown>
}

/** Null where no search has been created in this store. Throws ProblemError `unreadable`. */
function openSearch(store: SearchStore): OpenSearch | null {
  const setup = store.readSetup()
  if (!setup) return null
  const strategy = findStrategy(setup.config.strategy.name)
  const state = strategy.stateSchema.safeParse(store.readState().strategy)
  if (!state.success) throw unreadable('state, strategy', describeFirst(state.error))
  return { store, setup, context: strategyContext(setup), strategy }
}

function phaseOf(search: OpenSearch, state: SearchState): Phase {
  if (state.intent === 'stopped') return 'stopped'
  if (state.finishedAtMs !== null) return 'finished'
  if (state.intent === 'paused') return 'paused'
  return search.strategy.describe(state.strategy, search.context).phase
}

/** Admits an agent. Throws ProblemError `dataset-mismatch`, naming both sides, or `conflict` when there are too many. */
function registerAgent(search: OpenSearch, request: RegisterRequest, agentId: string, nowMs: number): AgentRecord {
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
      name: request.name,
      device: request.device,
      backend: request.backend,
      registeredAtMs: nowMs,
      lastSeenAtMs: nowMs,
      tasksDone: 0,
      duplicates: 0,
      refusedPushes: 0,
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

function knownAgent(store: SearchStore, agentId: string): AgentRecord {
  const agent = store.readAgent(agentId)
  if (!agent)
    throw new ProblemError('not-found', `no agent ${agentId} in this search; register first`, [{ path: 'agentId', message: 'unknown' }])
  return agent
}

/** Puts tasks whose lease has ended back into the queue; returns how many. */
function expireLeases(search: OpenSearch, nowMs: number): number {
  const { store } = search
  const overdue = store.outstandingTasks().filter((task) => task.lease !== null && task.lease.expiresAtMs <= nowMs)
  if (overdue.length === 0) return 0
  store.transaction(() => {
    for (const task of overdue) store.writeOutstanding({ ...task, lease: null })
    const state = store.readState()
    store.writeState({ ...state, counts: { ...state.counts, expiredLeases: state.counts.expiredLeases + overdue.length } })
  })
  return overdue.length
}

/** When the next lease ends, or null. */
function nextExpiryMs(search: OpenSearch): number | null {
  const times = search.store.outstandingTasks().flatMap((task) => (task.lease ? [task.lease.expiresAtMs] : []))
  return times.length > 0 ? Math.min(...times) : null
}

function memberOf(agent: AgentRecord, batchSize: number): Member {
  const { agentId, lanes, imagesPerSecond, exchangeMs } = agent
  return {
    agentId,
    lanes,
    stepsPerSecond: imagesPerSecond === null ? null : imagesPerSecond / (batchSize * lanes),
    exchangeMs,
  }
}

/** Whether a task takes so long that its agent may be gone. */
function isOverdue({ work, lease }: OutstandingTask, agent: AgentRecord | null, batchSize: number, nowMs: number): boolean {
  if (!lease?.leasedAtMs || work.kind !== 'trainWeights' || !agent?.imagesPerSecond) return false
  const expectedMs = (1000 * work.paths.length * batchSize) / agent.imagesPerSecond
  return nowMs - lease.leasedAtMs > Math.max(MIN_OVERDUE_MS, OVERDUE_FACTOR * expectedMs)
}

/** Who is there, as the strategy sees it. An agent that holds only overdue leases is not. */
function attendanceOf(
  { store, setup }: OpenSearch,
  tasks: readonly OutstandingTask[],
  asker: AgentRecord,
  nextTaskId: number,
  nowMs: number,
): Attendance {
  const { batchSize } = setup.config.training
  const outstanding = tasks.map((task) => {
    const agentId = task.lease?.agentId ?? null
    const agent = agentId === null ? null : store.readAgent(agentId)
    return { taskId: task.taskId, agentId, overdue: isOverdue(task, agent, batchSize, nowMs) }
  })
  const isPresent = (agent: AgentRecord): boolean => {
    if (agent.agentId === asker.agentId) return true
    const held = outstanding.filter(({ agentId }) => agentId === agent.agentId)
    return held.length > 0 ? held.some(({ overdue }) => !overdue) : agent.asked && nowMs - agent.lastSeenAtMs < PRESENT_MS
  }
  return {
    asker: memberOf(asker, batchSize),
    members: store
      .agents()
      .filter(isPresent)
      .map((agent) => memberOf(agent, batchSize)),
    outstanding,
    nextTaskId,
  }
}

/** Whether an agent knows the kind of a piece of work, in the form that it has. */
function knows({ kinds }: AgentRecord, work: TaskWork): boolean {
  return understands(kinds, work.kind, neededVersion(work))
}

/**
 * Hands out a task that the agent knows: one that came back first, else a new one. Throws ProblemError `conflict`, which ends the agent,
 * where there are only others.
 */
function leaseTask(search: OpenSearch, agentId: string, leaseId: string, nowMs: number): LeaseResponse {
  const { store, setup, strategy, context } = search
  const { leaseMs, maxOutstanding } = setup.config.tasks
  return store.transaction((): LeaseResponse => {
    const agent = knownAgent(store, agentId)
    if (!agent.asked || nowMs - agent.lastSeenAtMs >= SEEN_EVERY_MS) store.writeAgent({ ...agent, asked: true, lastSeenAtMs: nowMs })
    expireLeases(search, nowMs)
    const state = store.readState()
    if (state.intent === 'stopped') return { kind: 'finished', phase: 'stopped' }
    if (state.finishedAtMs !== null) return { kind: 'finished', phase: 'finished' }
    if (state.intent === 'paused') return { kind: 'wait', reason: 'paused', retryAfterMs: PAUSED_WAIT_MS }

    const lease = { leaseId, agentId, expiresAtMs: nowMs + leaseMs, leasedAtMs: nowMs }
    const hand = (task: OutstandingTask): LeaseResponse => {
      store.writeOutstanding(task)
      return { kind: 'task', task: { taskId: task.taskId, leaseId, leaseMs, work: task.work } }
    }
    const refuse = (work: TaskWork): never => {
      throw unknownKind(agent.name, agent.kinds, work.kind, neededVersion(work))
    }
    const outstanding = store.outstandingTasks()
    const queued = outstanding.filter((task) => task.lease === null)
    const known = queued.find(({ work }) => knows(agent, work))
    if (known) return hand({ ...known, lease })
    const wait = (answer: Extract<LeaseResponse, { kind: 'wait' }>): LeaseResponse => (queued[0] ? refuse(queued[0].work) : answer)
    if (outstanding.length >= maxOutstanding) return wait({ kind: 'wait', reason: 'all-handed-out', retryAfterMs: WAIT_MS })

    const taskId = state.counts.created + 1
    const attendance = attendanceOf(search, outstanding, agent, taskId, nowMs)
    const proposal = strategy.propose(state.strategy, context, attendance)
    if (proposal.kind === 'wait' && attendance.members.length > 1)
      return wait({ kind: 'wait', reason: 'round', retryAfterMs: ROUND_WAIT_MS })
    if (proposal.kind !== 'work') return wait({ kind: 'wait', reason: 'all-handed-out', retryAfterMs: WAIT_MS })
    if (!knows(agent, proposal.work)) refuse(proposal.work)
    store.writeState({
      ...state,
      strategy: proposal.state,
      startedAtMs: state.startedAtMs ?? nowMs,
      counts: { ...state.counts, created: taskId },
    })
    return hand({ taskId, work: proposal.work, ...(proposal.private !== undefined && { private: proposal.private }), lease })
  })
}

function findLease(store: SearchStore, ref: LeaseRef): OutstandingTask | null {
  const task = store.outstandingTasks().find((candidate) => candidate.taskId === ref.taskId)
  return task?.lease?.leaseId === ref.leaseId ? task : null
}

/** Extends a lease, unless it has ended. */
function heartbeat(search: OpenSearch, ref: LeaseRef, nowMs: number): { kind: 'extended' | 'lost' } {
  const { store, setup } = search
  return store.transaction(() => {
    const agent = knownAgent(store, ref.agentId)
    expireLeases(search, nowMs)
    const task = findLease(store, ref)
    if (!task?.lease) return { kind: 'lost' }
    store.writeOutstanding({ ...task, lease: { ...task.lease, expiresAtMs: nowMs + setup.config.tasks.leaseMs } })
    store.writeAgent({ ...agent, lastSeenAtMs: nowMs })
    return { kind: 'extended' }
  })
}

/** Gives a lease back: the task is handed out again at once. */
function releaseLease(search: OpenSearch, { reason, ...ref }: ReleaseRequest, nowMs: number): { kind: 'released' | 'lost' } {
  const { store } = search
  return store.transaction(() => {
    knownAgent(store, ref.agentId)
    if (reason === 'bad-numbers') countRefusedPush(search, ref.agentId, nowMs)
    const task = findLease(store, ref)
    if (!task) return { kind: 'lost' }
    store.writeOutstanding({ ...task, lease: null })
    return { kind: 'released' }
  })
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
    imagesPerSecond: request.result.kind === 'trainWeights' ? smoothed : agent.imagesPerSecond,
  }
}

/** Where the last results of a curve are kept. */
const recentOf = {
  training: 'trainWeights',
  architecture: 'gateGradients',
  validation: 'evaluatePaths',
} as const satisfies Record<MetricSeries, keyof SearchState['recent']>

function addRecent(list: readonly Recent[], entry: Recent): Recent[] {
  return [...list, entry].slice(-RECENT_RESULTS)
}

/**
 * Applies a result exactly once. A late result counts if nobody else delivered; otherwise the answer is `duplicate`.
 * Throws ProblemError `bad-numbers` where the result does not fit its task; the task then stays outstanding.
 */
function submitResult(search: OpenSearch, request: SubmitRequest, nowMs: number): SubmitResponse {
  const { store, strategy, context } = search
  return store.transaction((): SubmitResponse => {
    const agent = knownAgent(store, request.agentId)
    const state = store.readState()
    if (request.taskId > state.counts.created) {
      throw new ProblemError('not-found', `no task ${request.taskId} in this search`, [
        { path: 'taskId', message: `expected 1 to ${state.counts.created}` },
      ])
    }
    const outstanding = store.outstandingTasks()
    const task = outstanding.find((candidate) => candidate.taskId === request.taskId)
    if (!task) {
      store.writeAgent({ ...agent, lastSeenAtMs: nowMs, duplicates: agent.duplicates + 1 })
      store.writeState({ ...state, counts: { ...state.counts, duplicates: state.counts.duplicates + 1 } })
      return { kind: 'duplicate' }
    }
    const mismatch = resultMismatch(task.work, request.result, context.space)
    if (mismatch) throw new ProblemError('bad-numbers', `${mismatch.path}: ${mismatch.message}`, [mismatch])
    const absorbed = strategy.absorb(state.strategy, task, request.result, context)
    const applied = absorbed.kind === 'applied'
    const metric = applied ? absorbed.metric : { loss: 0, correct: 0, images: 1 }
    const { kind } = request.result
    const description = strategy.describe(absorbed.state, context)
    const steps = task.work.kind === 'trainWeights' ? task.work.paths.length : description.weightSteps.done
    const list = recentOf[absorbed.series]
    const recent = applied ? { ...state.recent, [list]: addRecent(state.recent[list], { atMs: nowMs, ...metric, steps }) } : state.recent
    const finishes = outstanding.length === 1 && strategy.propose(absorbed.state, context).kind === 'done'
    const done = state.counts.done + (applied ? 1 : 0)
    const stale = state.counts.stale + (applied ? 0 : 1)
    store.removeOutstanding(task.taskId)
    store.writeState({
      ...state,
      strategy: absorbed.state,
      recent,
      finishedAtMs: finishes ? nowMs : state.finishedAtMs,
      counts: { ...state.counts, done, stale },
    })
    const ownSteps = task.work.kind === 'trainWeights' ? task.work.paths.length : 0
    store.writeAgent(withThroughput(agent, request, { images: metric.images, steps: ownSteps }, nowMs))
    store.appendLog({
      seq: done + stale,
      taskId: task.taskId,
      agentId: agent.agentId,
      outcome: applied ? 'applied' : 'stale',
      work: task.work,
      ...(task.private !== undefined && { private: task.private }),
      result: request.result,
      metric: {
        seq: done + stale,
        atMs: nowMs,
        taskId: task.taskId,
        kind,
        series: absorbed.series,
        weightSteps: description.weightSteps.done,
        loss: metric.loss,
        accuracy: metric.correct / metric.images,
        entropy: description.entropy.mean,
        expectedLatencyMs: description.expectedLatencyMs,
      },
    })
    return { kind: applied ? 'accepted' : 'stale' }
  })
}

/** Counts a push or result with bad numbers against its agent. */
function countRefusedPush(search: OpenSearch, agentId: string, nowMs: number): void {
  const agent = search.store.readAgent(agentId)
  if (agent) search.store.writeAgent({ ...agent, lastSeenAtMs: nowMs, refusedPushes: agent.refusedPushes + 1 })
}

/** Pauses, resumes or stops. Stopping is final; a search that has ended stays as it is (ProblemError `conflict`). */
function commandSearch(search: OpenSearch, command: 'pause' | 'resume' | 'stop', nowMs: number): Phase {
  const { store } = search
  return store.transaction(() => {
    const state = store.readState()
    const phase = phaseOf(search, state)
    if (phase === 'finished' || phase === 'stopped') {
      if (command === 'stop') return phase
      throw new ProblemError('conflict', `this search is ${phase}; it cannot ${command}`)
    }
    const next: SearchState = {
      ...state,
      intent: command === 'pause' ? 'paused' : command === 'resume' ? 'running' : 'stopped',
      finishedAtMs: command === 'stop' ? nowMs : state.finishedAtMs,
    }
    store.writeState(next)
    return phaseOf(search, next)
  })
}

export {
  commandSearch,
  countRefusedPush,
  expireLeases,
  heartbeat,
  leaseTask,
  nextExpiryMs,
  type OpenSearch,
  openSearch,
  phaseOf,
  registerAgent,
  releaseLease,
  submitResult,
}
