// The steps of a task: in which order they are done and which of them side by side, what runs at each of them, and what they give
// together. What is different from kind to kind is in runners/.

import { type TaskResult, type StepWork, trainsWeights } from '../../protocol/index.ts'
import { runnerOf, type StepOutcome } from './runners/index.ts'
import type { Wave } from './runners/waves.ts'

/** @param batchesPerNetwork mini-batches of each path of an evaluation, 1 for other work (task-data.ts) */
function planWaves(work: StepWork, threads: number, batchesPerNetwork: number): Wave[] {
  return runnerOf(work).plan(work, threads, batchesPerNetwork)
}

/** Whether its steps read the velocities of the optimiser. */
function readsVelocities(work: StepWork): boolean {
  return trainsWeights(work) || (runnerOf(work).readsVelocities?.(work) ?? false)
}

/** The result of a task from what each of its steps gave. */
function resultOf(work: StepWork, outcomes: readonly StepOutcome[], batchSize: number, batchesPerNetwork: number): TaskResult {
  return runnerOf(work).result(work, outcomes, { batchSize, batchesPerNetwork })
}

export { planWaves, readsVelocities, resultOf }
export type { StepOutcome } from './runners/index.ts'
export { type Turn, turnsOf, type Wave } from './runners/waves.ts'
