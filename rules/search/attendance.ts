// Who is there, as the strategy sees it when an agent asks for work.

import { type TaskWork, trainsWeights, weightStepsOf } from '../../protocol/index.ts'
import type { Attendance, Member } from '../../strategies/index.ts'
import { isPresent } from './agents.ts'
import type { OpenSearch } from './open.ts'
import type { AgentRecord, OutstandingTask } from './stored.ts'

/** Nobody waits for a task that takes this many times as long as its agent's speed says, nor for one much shorter than a request. */
const OVERDUE_FACTOR = 4
const MIN_OVERDUE_MS = 3000
/** Nor for architecture steps and evaluations of more than a minute. */
const LONG_STEPS_MS = 60_000

function memberOf(agent: AgentRecord, batchSize: number): Member {
  const { agentId, lanes, imagesPerSecond, exchangeMs } = agent
  return {
    agentId,
    lanes,
    stepsPerSecond: imagesPerSecond === null ? null : imagesPerSecond / (batchSize * lanes),
    exchangeMs,
  }
}

function isShort({ kind }: TaskWork): boolean {
  return kind === 'gateGradients' || kind === 'mixtureGradients' || kind === 'evaluatePaths' || kind === 'batchNormScales'
}

/** Whether a task takes so long that its agent may be gone. */
function isOverdue({ work, lease }: OutstandingTask, agent: AgentRecord | null, batchSize: number, nowMs: number): boolean {
  if (!lease?.leasedAtMs) return false
  if (isShort(work)) return nowMs - lease.leasedAtMs > LONG_STEPS_MS
  if (!trainsWeights(work) || !agent?.imagesPerSecond) return false
  const expectedMs = (1000 * weightStepsOf(work) * batchSize) / agent.imagesPerSecond
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
  /** One that holds no lease and is not there has no seat in the next round. */
  const isMember = (agent: AgentRecord): boolean => {
    if (agent.agentId === asker.agentId) return true
    const held = outstanding.filter(({ agentId }) => agentId === agent.agentId)
    return held.length > 0 ? held.some(({ overdue }) => !overdue) : isPresent(agent, nowMs)
  }
  return {
    asker: memberOf(asker, batchSize),
    members: store
      .agents()
      .filter(isMember)
      .map((agent) => memberOf(agent, batchSize)),
    outstanding,
    nextTaskId,
    nowMs,
  }
}

export { attendanceOf }
