// Architecture steps of ProxylessNAS: gradients of binary gates. A turn is one step, since weights are frozen and steps of one task
// follow from nothing but them.

import { type GateGradient, gateStep } from '../../executor/index.ts'
import type { TaskRunner } from './runner.ts'
import { planFrozen } from './waves.ts'

/** Gate gradients of each decision: those of all its places, added up. Its places name its options in the same order. */
function sumByBlock(gradients: readonly GateGradient[]): Map<number, number[]> {
  const sums = new Map<number, number[]>()
  for (const { block, gradients: own } of gradients) {
    const sum = sums.get(block)
    sums.set(block, sum ? sum.map((value, branch) => value + (own[branch] as number)) : [...own])
  }
  return sums
}

const gateGradients: TaskRunner<'gateGradients'> = {
  networks: ({ steps }) => steps,
  batchesPerNetwork: () => 1,
  request: ({ firstStep }, step, batches) => batches.architecture(firstStep + step),
  plan: ({ steps }, threads) => planFrozen(steps.length, 1, threads),
  async run(_, __, { step: input, choices, measured }) {
    const done = await measured((parts) => gateStep({ ...input, accumulate: parts }))
    const byBlock = sumByBlock(done.gateGradients)
    return { loss: done.loss, correct: done.correct, gateGradients: choices.map((_, block) => byBlock.get(block) ?? null) }
  },
  result: (_, outcomes, { batchSize }) => ({
    kind: 'gateGradients',
    steps: outcomes.map(({ loss, correct, gateGradients: gradients = [] }) => {
      return { crossEntropy: loss, correct, images: batchSize, gateGradients: gradients }
    }),
  }),
}

export { gateGradients }
