// Evaluations: each path on the same mini-batches. A turn is some mini-batches in a row.

import { evaluate } from '../../executor/index.ts'
import { onlyOne, sumUp, type TaskRunner } from './runner.ts'
import { planFrozen } from './waves.ts'

/** Mini-batches of an evaluation between two looks at the network. */
const EVALUATED_PER_TURN = 4

const evaluatePaths: TaskRunner<'evaluatePaths'> = {
  networkCount: ({ paths }) => paths.length,
  networks: ({ paths }, index) => [{ choices: paths[index] as number[] }],
  batchesPerNetwork: ({ batches, images = 0 }, { batchSize, validationImages }) =>
    batches?.count ?? Math.max(1, Math.floor(Math.min(images, validationImages) / batchSize)),
  requests({ batches: wanted }, step, batches, batchesPerNetwork) {
    const batch = step % batchesPerNetwork
    return [wanted ? batches.architecture(wanted.first + batch) : batches.validation(batch)]
  },
  plan({ paths }, threads, batchesPerNetwork) {
    const steps = paths.length * batchesPerNetwork
    return planFrozen(steps, Math.min(EVALUATED_PER_TURN, Math.ceil(steps / threads)), threads)
  },
  async run(_, __, input) {
    const { loss, correct } = await evaluate(onlyOne(input))
    return { loss, correct }
  },
  result: (work, outcomes, { batchSize, batchesPerNetwork }) => ({
    kind: 'evaluatePaths',
    paths: work.paths.map((_, path) => {
      const { loss, ...counts } = sumUp(outcomes.slice(path * batchesPerNetwork, (path + 1) * batchesPerNetwork), batchSize)
      return { crossEntropy: loss, ...counts }
    }),
  }),
}

export { evaluatePaths }
