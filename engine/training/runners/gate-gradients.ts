// Architecture steps of ProxylessNAS: gradients of binary gates. A turn is one step, since weights are frozen and steps of one task
// follow from nothing but them.

import { hasGradients } from '../../../protocol/index.ts'
import type { Choice, Space } from '../../../search-space/index.ts'
import { type GateGradient, gateStep } from '../../executor/index.ts'
import { onlyOne, type TaskRunner } from './runner.ts'
import { planFrozen } from './waves.ts'

/** Of each decision; a choice within a branch that is not active passes nothing on, so its gradients are 0. */
function byDecision(choices: readonly Choice[], decisions: Space['decisions'], found: readonly GateGradient[]): (number[] | null)[] {
  const known = new Map(found.map(({ block, gradients }) => [block, [...gradients]]))
  return choices.map((choice, block) => {
    const gradients = known.get(block)
    if (gradients || typeof choice === 'number') return gradients ?? null
    return hasGradients({ decisions }, block, choice) ? [0, ...choice.inactive.map(() => 0)] : null
  })
}

const gateGradients: TaskRunner<'gateGradients'> = {
  networkCount: ({ steps }) => steps.length,
  networks: ({ steps }, index) => [{ choices: steps[index] as Choice[] }],
  batchesPerNetwork: () => 1,
  requests: ({ firstStep }, step, batches) => [batches.architecture(firstStep + step)],
  plan: ({ steps }, threads) => planFrozen(steps.length, 1, threads),
  async run({ steps }, step, input) {
    const done = await input.measured((parts) => gateStep({ ...onlyOne(input), accumulate: parts }))
    return {
      loss: done.loss,
      correct: done.correct,
      gateGradients: byDecision(steps[step] as Choice[], input.decisions, done.gateGradients),
    }
  },
  result: (_, outcomes, { batchSize }) => ({
    kind: 'gateGradients',
    steps: outcomes.map(({ loss, correct, gateGradients: gradients = [] }) => {
      return { crossEntropy: loss, correct, images: batchSize, gateGradients: gradients }
    }),
  }),
}

export { gateGradients }
