// Mixed layers that run all their branches.
//   DARTS (Liu, Simonyan and Yang 2019):  y = sum_j w_j * o_j(x),  dL/dw_j = sum(o_j * dL/dy)
//   One-Shot (Bender et al. 2018):        y = sum_j o_j(x)
// Every branch's activations are kept until the reverse pass: that is what these methods cost in memory. A branch's output by itself is
// kept only where dL/dw is wanted.

import * as tf from '@tensorflow/tfjs-core'

import type { Combination } from '../../search-space/layer-graph.ts'
import { dot, sum } from '../kernels/operations.ts'
import { type GateDots, isZero } from './gates.ts'
import type { Holdings } from './holdings.ts'
import type { MixedStep, Plan } from './step.ts'

/** A branch that has run. */
type BranchTrace = { readonly output: tf.Tensor }

/** The factor of each branch; undefined for a plain sum. */
function branchShares(combination: Combination): readonly number[] | undefined {
  return combination.kind === 'weighted' ? combination.weights : undefined
}

/** share * tensor, or the tensor itself; held once (more). */
function holdScaled(tensor: tf.Tensor, share: number | undefined, holdings: Holdings): tf.Tensor {
  return holdings.hold(share === undefined ? tensor : tf.tidy(() => tf.mul(tensor, share)))
}

/** Runs every branch but zeros. The output is held once, and each trace's output once more if `keepsOutputs` says so. */
function forwardCombined<T extends BranchTrace>(
  step: MixedStep,
  input: tf.Tensor,
  { holdings, keepsOutputs }: { holdings: Holdings; keepsOutputs: boolean },
  run: (plan: Plan) => T,
): { output: tf.Tensor; traces: (T | undefined)[] } {
  const shares = branchShares(step.combination as Combination)
  let output: tf.Tensor | undefined
  const traces = step.branches.map(({ plan }, position): T | undefined => {
    if (isZero(plan)) return undefined
    const trace = run(plan)
    const part = holdScaled(trace.output, shares?.[position], holdings)
    if (!keepsOutputs) holdings.release(trace.output)
    if (!output) {
      output = part
      return trace
    }
    const total = holdings.hold(sum(output, part))
    holdings.release(output)
    holdings.release(part)
    output = total
    return trace
  })
  output ??= holdings.hold(tf.zeros([input.shape[0] as number, ...step.shape]))
  return { output, traces }
}

/** dL/dw of a weighted sum whose branches' outputs were kept, which it releases; still on the device. */
function weightDots<T extends BranchTrace>(
  step: MixedStep,
  traces: readonly (T | undefined)[],
  dy: tf.Tensor | undefined,
  holdings: Holdings,
): GateDots {
  const dots = traces.map((trace) => {
    if (!trace) return undefined
    const gradient = dy && dot(trace.output, dy)
    holdings.release(trace.output)
    return gradient
  })
  return { block: step.block, operations: step.branches.map(({ operation }) => operation), dots, isMixture: true }
}

/** Reverses every branch; `dInput`, if there is any, is held once. */
function reverseCombined<T extends BranchTrace>(
  step: MixedStep,
  traces: readonly (T | undefined)[],
  dy: tf.Tensor | undefined,
  holdings: Holdings,
  reverse: (trace: T, dOutput: tf.Tensor | undefined) => tf.Tensor | undefined,
): tf.Tensor | undefined {
  const shares = branchShares(step.combination as Combination)
  let dInput: tf.Tensor | undefined
  for (const [position, trace] of traces.entries()) {
    if (!trace) continue
    const part = reverse(trace, dy && holdScaled(dy, shares?.[position], holdings))
    if (!part) continue
    if (!dInput) {
      dInput = part
      continue
    }
    const total = holdings.hold(sum(dInput, part))
    holdings.release(dInput)
    holdings.release(part)
    dInput = total
  }
  return dInput
}

export { forwardCombined, reverseCombined, weightDots }
