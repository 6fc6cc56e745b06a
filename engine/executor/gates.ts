// Gradients of binary gates (ProxylessNAS, Cai et al. 2019, section 3.2.1): a mixed layer computes
// y = sum_j g_j * o_j(x) with one gate at 1, so dLoss/dg_j = sum(o_j(x) * dLoss/dy) over batch and all elements.
// Inactive branches are recomputed one at a time, so memory stays that of one path and one branch.

import * as tf from '@tensorflow/tfjs-core'

import { dot } from '../kernels/operations.ts'
import { ruleOf } from './layers/index.ts'
import type { MixedStep, Plan } from './step.ts'

/** The gate gradients of one block, still on the device: one [1] tensor per branch, undefined for an exact 0. */
type GateDots = {
  readonly block: number
  readonly operations: readonly number[]
  readonly dots: readonly (tf.Tensor1D | undefined)[]
  /** Whether the block is a weighted sum of all branches: gates are then its weights. */
  readonly isMixture?: true
}

/** True for a branch that is 0 whatever it reads. */
function isZero(plan: Plan): boolean {
  const last = plan.steps.find((step) => step.id === plan.output)
  return last !== undefined && last.kind !== 'mixed' && ruleOf(last).isZero === true
}

function gateGradients(
  step: MixedStep,
  input: tf.Tensor,
  activeOutput: tf.Tensor,
  dy: tf.Tensor | undefined,
  run: (plan: Plan) => { output: tf.Tensor; free(): void },
): GateDots {
  const { block, branches, active } = step
  const dots = branches.map(({ plan }, position) => {
    if (!dy || isZero(plan)) return undefined
    if (position === active) return dot(activeOutput, dy)
    if (plan.output === plan.input) return dot(input, dy)
    const branch = run(plan)
    const gradient = dot(branch.output, dy)
    branch.free()
    return gradient
  })
  return { block, operations: branches.map(({ operation }) => operation), dots }
}

export { gateGradients, type GateDots, isZero }
