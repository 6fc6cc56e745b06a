// Who does which kind of task. A kind that is in protocol/tasks/ and not here does not compile.

import type { TaskKind, TaskResult, TaskWork } from '../../../protocol/index.ts'
import { evaluatePaths } from './evaluate-paths.ts'
import { gateGradients } from './gate-gradients.ts'
import type { AnyRunner, TaskRunner } from './runner.ts'
import { trainWeights } from './train-weights.ts'

const runners = { trainWeights, gateGradients, evaluatePaths } satisfies { readonly [K in TaskKind]: TaskRunner<K> }

/** The runner of a piece of work. */
function runnerOf(work: TaskWork): AnyRunner<TaskWork, TaskResult> {
  return runners[work.kind]
}

export { runnerOf }
export type { NumberedBatches, StepOutcome } from './runner.ts'
