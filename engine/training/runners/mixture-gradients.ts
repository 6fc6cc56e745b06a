// Architecture steps of DARTS: gradients of the factors of all operations of each block. A turn is one step, as of gate gradients.

import { cosineRate, type GateGradient, gateStep, unrolledStep } from '../../executor/index.ts'
import { onlyOne, type StepInput, type TaskRunner } from './runner.ts'
import { together } from './train-mixtures.ts'
import { planFrozen } from './waves.ts'

/** Of each decision; one without a choice has no mixed layer, and its only factor no gradient. */
function byDecision(decisions: StepInput['decisions'], found: readonly GateGradient[]): number[][] {
  const known = new Map(found.map((gradient) => [gradient.block, gradient]))
  return decisions.map(({ options }, block) => {
    const row = options.map(() => 0)
    const { operations, gradients } = known.get(block) ?? { operations: [], gradients: [] }
    for (const [position, operation] of operations.entries()) row[operation] = gradients[position] as number
    return row
  })
}

const mixtureGradients: TaskRunner<'mixtureGradients'> = {
  networkCount: ({ steps }) => steps,
  networks: ({ mixture }, _, decisions) => [
    { choices: decisions.map(({ options }) => together(options.map((__, option) => option))), mixture },
  ],
  batchesPerNetwork: () => 1,
  requests: ({ firstStep, unrolled }, step, batches) => [
    batches.architecture(firstStep + step),
    ...(unrolled ? [batches.weights(unrolled.firstBatch + step)] : []),
  ],
  readsVelocities: ({ unrolled }) => unrolled !== undefined,
  plan: ({ steps }, threads) => planFrozen(steps, 1, threads),
  async run({ unrolled }, _, input) {
    const { batches, decisions, optimiser, training: settings, measured } = input
    const { steps, learningRate, labelSmoothing, momentum, weightDecay } = settings
    const [, training] = batches
    const step = onlyOne(input)
    const done = await measured((parts) => {
      if (!unrolled || !training) return gateStep({ ...step, accumulate: parts })
      const rate = cosineRate(unrolled.position, steps, learningRate)
      return unrolledStep({
        ...step,
        accumulate: parts,
        training,
        labelSmoothing,
        optimiser,
        momentum,
        weightDecay,
        learningRate: rate,
      })
    })
    return { loss: done.loss, correct: done.correct, mixtureGradients: byDecision(decisions, done.mixtureGradients) }
  },
  result: (_, outcomes, { batchSize }) => ({
    kind: 'mixtureGradients',
    steps: outcomes.map(({ loss, correct, mixtureGradients: gradients = [] }) => {
      return { crossEntropy: loss, correct, images: batchSize, gradients }
    }),
  }),
}

export { mixtureGradients }
