// What a task says of the others in its round.

import type { TaskWork } from '../../protocol/index.ts'
import type { WeightOwner } from '../../search-space/index.ts'

/** Whether others train at the same time: then what they learn is taken in while the task runs. */
function isShared(work: TaskWork): boolean {
  return work.kind === 'trainWeights' && work.round !== undefined
}

/** Agents that train at the same time, this one included. */
function membersOf(work: TaskWork): number {
  return work.kind === 'trainWeights' ? (work.round?.members ?? 1) : 1
}

/** The share of a weight's change that is pushed; `owner` is the operation it belongs to, undefined where every path has it. */
function shareOf(work: TaskWork, owner: WeightOwner | undefined): number {
  if (work.kind !== 'trainWeights' || !work.round) return 1
  if (!owner) return work.round.commonShare
  const shared = work.round.sharedOperations.find(({ block, operation }) => block === owner.block && operation === owner.operation)
  return shared?.share ?? 1
}

export { isShared, membersOf, shareOf }
