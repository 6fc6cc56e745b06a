// Weight steps on mixtures: each mini-batch trains all operations of each block at once, but for those that it drops.

import { keptOperations } from '../../../protocol/index.ts'
import type { Choice } from '../../../search-space/index.ts'
import { trainStep } from '../../executor/index.ts'
import { onlyOne, sumUp, type TaskRunner } from './runner.ts'
import { learn, weightSteps } from './weight-steps.ts'

/** A decision in which all of these options run. */
function together([active = 0, ...inactive]: readonly number[]): Choice {
  return { active, inactive }
}

const trainMixtures: TaskRunner<'trainMixtures'> = {
  ...weightSteps,
  networks: (work, index, decisions) => [
    { choices: keptOperations(work, index, { decisions }).map(together), mixture: work.mixture ?? 'sum' },
  ],
  async run(work, step, input) {
    const { labelSmoothing } = input.training
    const { loss, correct, gradients } = await input.measured((parts) =>
      trainStep({ ...onlyOne(input), labelSmoothing, accumulate: parts }),
    )
    learn(work, step, gradients, input)
    return { loss, correct }
  },
  result: (_, outcomes, { batchSize }) => ({ kind: 'trainMixtures', ...sumUp(outcomes, batchSize) }),
}

export { together, trainMixtures }
