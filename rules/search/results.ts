// What becomes of a result: it is applied if and only if its task is outstanding, in the same transaction that ends the task. That is
// the whole of "exactly once".

import { type MetricSeries, ProblemError, resultMismatch, type SubmitRequest, type SubmitResponse } from '../../protocol/index.ts'
import { knownAgent, withThroughput } from './agents.ts'
import type { OpenSearch } from './open.ts'
import type { Recent, SearchState } from './stored.ts'

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

export { submitResult }
