// What the lease of a task lets its agent push.

import { keptOperations, type PushRight, printOptions, trainsWeights, type WeightWork } from '../../protocol/index.ts'
import { optionCounts, type Space, usedOptions } from '../../search-space/index.ts'
import type { OpenSearch } from './open.ts'
import { rollbacksOf } from './rollback.ts'
import type { OutstandingTask } from './stored.ts'

/** Null for work that leaves the weights alone, for what is not outstanding, and for an agent that neither has nor had it. */
function pushRightOf(
  { store, setup, context }: OpenSearch,
  { agentId, taskId }: { readonly agentId: string; readonly taskId: number },
  tokenId: string | null,
): PushRight | null {
  const task = store.outstandingTasks().find((candidate) => candidate.taskId === taskId)
  const lease = task && leaseOf(task, agentId)
  if (!lease || !trainsWeights(task.work)) return null
  const { round } = task.work
  const rollbacks = rollbacksOf(store.readState())
  const counts = optionCounts(context.space)
  return {
    searchId: setup.searchId,
    taskId,
    leaseId: lease.leaseId,
    agentId,
    tokenId,
    options: printOptions(counts, trainedOptions(task.work, context.space)),
    members: round?.members ?? 1,
    velocities: round?.velocities ?? false,
    ...(rollbacks > 0 && { rollbacks }),
  }
}

/** Options of each decision that a step of the work trains. */
function trainedOptions(work: WeightWork, space: Space): number[][] {
  if (work.kind === 'trainWeights') return usedOptions(space.decisions.length, work.paths)
  const steps = Array.from({ length: work.steps }, (_, step) => keptOperations(work, step, space))
  return space.decisions.map((_, decision) => [...new Set(steps.flatMap((kept) => kept[decision] ?? []))].toSorted((a, b) => a - b))
}

/** The agent's lease of a task, or its last one that has ended. */
function leaseOf({ lease, ended }: OutstandingTask, agentId: string) {
  return lease?.agentId === agentId ? lease : ended.findLast((held) => held.agentId === agentId)
}

export { pushRightOf }
