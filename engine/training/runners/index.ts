// Who does which kind of task. A kind that is in protocol/tasks/ and not here does not compile. Trials have no steps on the
// supernet, and are done by train-architecture.ts (trials-trainer.ts).

import type { StepWork, TaskResult } from '../../../protocol/index.ts'
import { batchNormScales } from './batch-norm-scales.ts'
import { evaluatePaths } from './evaluate-paths.ts'
import { gateGradients } from './gate-gradients.ts'
import { mixtureGradients } from './mixture-gradients.ts'
import type { AnyRunner, TaskRunner } from './runner.ts'
import { score } from './score.ts'
import { trainMixtures } from './train-mixtures.ts'
import { trainWeights } from './train-weights.ts'

const runners = { trainWeights, trainMixtures, gateGradients, mixtureGradients, evaluatePaths, batchNormScales, score } satisfies {
  readonly [K in StepWork['kind']]: TaskRunner<K>
}

/** The runner of a piece of work. */
function runnerOf(work: StepWork): AnyRunner<StepWork, TaskResult> {
  return runners[work.kind]
}

export { runnerOf }
export type { NumberedBatches, StepOutcome, TaskNetwork } from './runner.ts'
