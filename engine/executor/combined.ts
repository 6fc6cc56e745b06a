// Mixed layers that run all their branches: the references that ProxylessNAS is compared with.
//   DARTS (Liu, Simonyan and Yang 2019, first order):  y = sum_j p_j * o_j(x),  p = softmax(alpha)
//     dL/dalpha_i = sum_j dL/dp_j * p_j * (delta_ij - p_i),  dL/dp_j = sum(o_j * dL/dy)
//   One-Shot (Bender et al. 2018):  y = sum_j o_j(x)
// Every branch's activations are kept until the reverse pass: that is what these methods cost in memory.

import * as tf from '@tensorflow/tfjs-core'

import type { Combination } from '../../search-space/layer-graph.ts'
import { dot, sum } from '../kernels/operations.ts'
import { type GateDots, isZero } from './gates.ts'
import type { Holdings } from './holdings.ts'
import type { MixedStep, Plan } from './step.ts'

/** A branch that has run. */
type BranchTrace = { readonly output: tf.Tensor }

function softmax(alpha: readonly number[]): number[] {
  const largest = Math.max(...alpha)
  const exponentials = alpha.map((value) => Math.exp(value - largest))
  const total = exponentials.reduce((left, right) => left + right, 0)
  return exponentials.map((value) => value / total)
}

/** dL/dalpha from dL/dp. */
function alphaGradients(probabilities: readonly number[], gradients: readonly number[]): number[] {
  const mean = probabilities.reduce((total, p, j) => total + p * (gradients[j] as number), 0)
  return probabilities.map((p, i) => p * ((gradients[i] as number) - mean))
}

/** The factor of each branch; undefined for a plain sum. */
function branchShares(combination: Combination): number[] | undefined {
  return combination.kind === 'softmax' ? softmax(combination.alpha) : undefined
}

/** share * tensor, or the tensor itself; held once (more). */
function holdScaled(tensor: tf.Tensor, share: number | undefined, holdings: Holdings): tf.Tensor {
  return holdings.hold(share === undefined ? tensor : tf.tidy(() => tf.mul(tensor, share)))
}

/** Runs every branch but zeros. The output is held once; with a softmax each trace's output is held once more. */
function forwardCombined<T extends BranchTrace>(
  step: MixedStep,
  input: tf.Tensor,
  holdings: Holdings,
  run: (plan: Plan) => T,
): { output: tf.Tensor; traces: (T | undefined)[] } {
  const shares = branchShares(step.combination as Combination)
  let output: tf.Tensor | undefined
  const traces = step.branches.map(({ plan }, position) => {
    if (isZero(plan)) return undefined
    const trace = run(plan)
    const part = holdScaled(trace.output, shares?.[position], holdings)
    // Only the alphas' gradients read a branch's output again.
    if (!shares) holdings.release(trace.output)
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

/** Reverses every branch; `dInput`, if there is any, is held once. With a softmax, `collect` gets the branches' dots. */
function reverseCombined<T extends BranchTrace>(
  step: MixedStep,
  traces: readonly (T | undefined)[],
  dy: tf.Tensor | undefined,
  holdings: Holdings,
  collect: (dots: GateDots) => void,
  reverse: (trace: T, dOutput: tf.Tensor | undefined) => tf.Tensor | undefined,
): tf.Tensor | undefined {
  const shares = branchShares(step.combination as Combination)
  if (shares) {
    const dots = traces.map((trace) => (trace && dy ? dot(trace.output, dy) : undefined))
    collect({ block: step.block, operations: step.branches.map(({ operation }) => operation), dots, probabilities: shares })
  }
  let dInput: tf.Tensor | undefined
  for (const [position, trace] of traces.entries()) {
    if (!trace) continue
    if (shares) holdings.release(trace.output)
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

/** For a forward pass that is not to be reversed. */
function releaseCombined(step: MixedStep, traces: readonly (BranchTrace | undefined)[], holdings: Holdings): void {
  if (step.combination?.kind !== 'softmax') return
  for (const trace of traces) if (trace) holdings.release(trace.output)
}

export { alphaGradients, forwardCombined, releaseCombined, reverseCombined }
