// What becomes of a task in the end. Its strategy hears of it once: a result is applied, or a failure told, if and only if the task
// is outstanding, in the same transaction that ends the task. That is the whole of "exactly once".

import {
  type MetricSeries,
  ProblemError,
  resultMismatch,
  type SubmitRequest,
  type SubmitResponse,
  trainsWeights,
  weightStepsOf,
} from '../../protocol/index.ts'
import { draftOf } from '../../strategies/index.ts'
import type { Ended } from '../leased-work/leased-work.ts'
import { knownAgent, withClipped, withThroughput } from './agents.ts'
import { boundResult } from './bounds.ts'
import { lastSeq } from './log.ts'
import type { OpenSearch } from './open.ts'
import { withDueSnapshot } from './snapshots.ts'
import type { OutstandingTask, Recent, SearchState } from './stored.ts'
import { dropAllCheckpoints, dropCheckpoints } from './trial-files.ts'

/** Results whose means make up the figures of the status. */
const RECENT_RESULTS = 16

/** Where the last results of a curve are kept. */
const recentOf = {
  training: 'trainWeights',
  architecture: 'gateGradients',
  validation: 'evaluatePaths',
} as const satisfies Record<MetricSeries, keyof SearchState['recent']>

function addRecent(list: readonly Recent[], entry: Recent): Recent[] {
  return [...list, entry].slice(-RECENT_RESULTS)
}

/** Whether nothing is out any more, and nothing comes after. */
function isLast({ store, strategy, context }: OpenSearch, strategyState: unknown): boolean {
  return store.outstandingTasks().length === 0 && strategy.propose(strategyState, { ...context, rows: draftOf(store.rows) }).kind === 'done'
}

/**
 * Sets a task aside that no agent could do: its strategy hears of it, and it is never handed out again. Called within the transaction
 * that ended its last lease.
 */
function giveUp(search: OpenSearch, { item: task, lease, end, message }: Ended<OutstandingTask>, nowMs: number): void {
  if (end === 'released') throw new Error(`task ${task.taskId} was given back by an agent that stops, which is no attempt at it`)
  const { store, strategy, context } = search
  const { taskId, work, attempts } = task
  const state = store.readState()
  const { state: next, keeps = [] } = strategy.absorb(state.strategy, task, { kind: 'failure', reason: end, attempts }, context)
  const counts = { ...state.counts, failed: state.counts.failed + 1 }
  const failure = { reason: end, ...(message !== undefined && { message }), attempts }
  store.removeOutstanding(taskId)
  const finishedAtMs = isLast(search, next) ? (state.finishedAtMs ?? nowMs) : state.finishedAtMs
  if (finishedAtMs === null) dropCheckpoints(store, keeps)
  else dropAllCheckpoints(store)
  const lastFailure = { taskId, kind: work.kind, atMs: nowMs, ...failure }
  store.writeState({ ...state, strategy: next, finishedAtMs, counts, lastFailure, failuresInARow: (state.failuresInARow ?? 0) + 1 })
  store.appendLog({
    seq: lastSeq(counts),
    taskId,
    agentId: lease.agentId,
    outcome: 'failed',
    work,
    ...(task.private !== undefined && { private: task.private }),
    atMs: nowMs,
    ...failure,
  })
}

/** Whether an agent has the lease that it names, or had it before that ended. */
function hasHeld({ lease, ended }: OutstandingTask, { agentId, leaseId }: Pick<SubmitRequest, 'agentId' | 'leaseId'>): boolean {
  return [...ended, ...(lease ? [lease] : [])].some((held) => held.leaseId === leaseId && held.agentId === agentId)
}

/**
 * Applies a result exactly once. A late result counts if nobody else delivered; otherwise the answer is `duplicate`.
 * Throws ProblemError `forbidden` for an agent that has never had the task, `bad-numbers` where the result does not fit it; the task then
 * stays outstanding.
 */
function submitResult(search: OpenSearch, request: SubmitRequest, nowMs: number): SubmitResponse {
  const { store, strategy, context, setup } = search
  return store.transaction((): SubmitResponse => {
    const agent = knownAgent(store, request.agentId)
    const state = store.readState()
    if (request.taskId > state.counts.created) {
      throw new ProblemError('not-found', `no task ${request.taskId} in this search`, [
        { path: 'taskId', message: `expected 1 to ${state.counts.created}` },
      ])
    }
    const task = store.outstandingTasks().find((candidate) => candidate.taskId === request.taskId)
    // What comes after a stop changes nothing any more: the search ended where it was. Nor does what comes from before a rollback.
    if (!task || state.intent === 'stopped' || (task.isRequeued && !hasHeld(task, request))) {
      store.writeAgent({ ...agent, lastSeenAtMs: nowMs, duplicates: agent.duplicates + 1 })
      store.writeState({ ...state, counts: { ...state.counts, duplicates: state.counts.duplicates + 1 } })
      return { kind: 'duplicate' }
    }
    if (!hasHeld(task, request)) {
      throw new ProblemError('forbidden', `agent ${request.agentId} has had no lease ${request.leaseId} of task ${task.taskId}`, [
        { path: 'leaseId', message: 'not given to this agent for this task' },
      ])
    }
    const { decisions } = context.space
    const mismatch = resultMismatch(task.work, request.result, { decisions, batchSize: setup.config.training.batchSize })
    if (mismatch) throw new ProblemError('bad-numbers', `${mismatch.path}: ${mismatch.message}`, [mismatch])
    const { result, sizes, clipped } = boundResult(request.result, state.gateSizes)
    const absorbed = strategy.absorb(state.strategy, task, { kind: 'result', result }, context)
    const applied = absorbed.kind === 'applied' || absorbed.kind === 'noted'
    const metric = absorbed.kind === 'applied' ? absorbed.metric : { loss: 0, correct: 0, images: 1 }
    const { kind } = request.result
    const description = strategy.describe(absorbed.state, context)
    const ownSteps = trainsWeights(task.work) ? weightStepsOf(task.work) : null
    const steps = ownSteps ?? description.steps.done
    const series = absorbed.kind === 'noted' ? null : absorbed.series
    const list = absorbed.kind === 'applied' ? recentOf[absorbed.series] : null
    const recent = list ? { ...state.recent, [list]: addRecent(state.recent[list], { atMs: nowMs, ...metric, steps }) } : state.recent
    const counts = { ...state.counts, [applied ? 'done' : 'stale']: state.counts[applied ? 'done' : 'stale'] + 1 }
    store.removeOutstanding(task.taskId)
    const finishedAtMs = isLast(search, absorbed.state) ? nowMs : state.finishedAtMs
    if (finishedAtMs === null) dropCheckpoints(store, absorbed.keeps ?? [])
    else dropAllCheckpoints(store)
    store.writeState({
      ...state,
      strategy: absorbed.state,
      gateSizes: [...sizes],
      recent,
      finishedAtMs,
      counts,
      failuresInARow: 0,
      ...withDueSnapshot(search, { ...state, counts }, description.steps, nowMs),
    })
    const worked = withThroughput(agent, request, { images: metric.images, steps: ownSteps ?? 0 }, nowMs)
    store.writeAgent(clipped > 0 ? withClipped(worked, task.taskId) : worked)
    store.appendLog({
      seq: lastSeq(counts),
      taskId: task.taskId,
      agentId: agent.agentId,
      ...(agent.tokenId !== null && { tokenId: agent.tokenId }),
      outcome: applied ? 'applied' : 'stale',
      work: task.work,
      ...(task.private !== undefined && { private: task.private }),
      result,
      ...(clipped > 0 && { clipped }),
      ...(series && {
        metric: {
          seq: lastSeq(counts),
          atMs: nowMs,
          taskId: task.taskId,
          kind,
          series,
          weightSteps: description.steps.done,
          loss: metric.loss,
          accuracy: metric.correct / metric.images,
          ...(description.view.kind === 'distribution' && {
            entropy: description.view.entropy.mean,
            expectedLatencyMs: description.view.expectedLatencyMs,
          }),
        },
      }),
    })
    return { kind: applied ? 'accepted' : 'stale' }
  })
}

export { giveUp, submitResult }
