// Which work several agents do at the same time, and how much of what each of them learns counts.

import type { TaskWork } from '../../coordinator/protocol/index.ts'

/** Whether other agents train at the same time what they are to learn from each other while they do. */
function isShared(work: TaskWork): boolean {
  return work.kind === 'trainWeights' && 'members' in work && typeof work.members === 'number' && work.members > 1
}

/** The part of what a task changes on a weight that is pushed. */
function shareOf(_work: TaskWork, _key: string): number {
  return 1
}

export { isShared, shareOf }
