// What flows through the paths of a network (Tanaka et al. 2020, "Pruning neural networks without any data by iteratively conserving synaptic
// flow", section 5), as Abdelfattah et al. 2021 compute it: without batch-norms, with the absolute values of all weights and biases, an
// image of ones, R the sum of the outputs; wanted are the ∂R/∂|w|.
//
// Nothing is negative, so that a ReLU changes nothing. Activations that are no ReLU count as one, or R would stop at the 6 of a ReLU6;
// gates, which are nearly 1 for inputs as large as these, count as 1. Values grow with each layer beyond what float32 holds: the pass
// carries an exponent beside each tensor (scaled.ts).

import * as tf from '@tensorflow/tfjs-core'
import { rectifies } from './activation-patterns.ts'
import { type Holdings, withHoldings } from '../executor/holdings.ts'
import { ruleOf, type WeightSource } from '../executor/layers/index.ts'
import { compilePlan } from '../executor/plan.ts'
import { readValues } from '../executor/read-values.ts'
import type { PrimitiveStep, StepKind } from '../executor/step.ts'
import type { ScoredNetwork } from './score.ts'
import { aligned, type Keep, rescaled, type Scaled } from './scaled.ts'

/** Of one weight: its gradient is gradient · 2^exponent. */
type Flow = { readonly magnitudes: Float32Array; readonly gradient: Float32Array; readonly exponent: number }

/**
 * How a kind of layer takes part: left out, so that its first input goes on as it is, or linear in all of its inputs together but for a
 * bias. What multiplies by gates is left out, since these count as 1, and the first image of a Split-Attention stands for all.
 */
const parts = {
  activation: 'left-out',
  add: 'linear',
  batchNorm: 'left-out',
  channelRange: 'linear',
  channelShuffle: 'linear',
  concat: 'linear',
  conv2d: 'linear',
  crop: 'linear',
  depthwiseConv2d: 'linear',
  globalAveragePool: 'linear',
  linear: 'linear',
  multiply: 'left-out',
  pool: 'linear',
  splitAttention: 'left-out',
  zero: 'linear',
} as const satisfies Record<StepKind, 'left-out' | 'linear'>

/** What the reverse of a step reads. */
type Trace = {
  readonly step: PrimitiveStep
  readonly inputs: readonly tf.Tensor[]
  readonly exponent: number
  readonly output: tf.Tensor
  readonly made: readonly tf.Tensor[]
}

const isGate = (step: PrimitiveStep) => step.kind === 'activation' && !rectifies[step.layer.activation]

/** |w|; of biases |b| · 2^−exponent, which is to be added to values with that exponent. */
function magnitudesOf({ weights, keys }: ScoredNetwork, keep: Keep) {
  const filters = new Set(keys)
  const known = new Map<string, tf.Tensor>()
  return (exponent: number): WeightSource => ({
    get(key) {
      if (!filters.has(key)) return keep(tf.tidy(() => tf.mul(tf.abs(weights.get(key)), 2 ** -exponent)))
      const found = known.get(key) ?? keep(tf.abs(weights.get(key)))
      known.set(key, found)
      return found
    },
  })
}

async function forwardFlow(
  steps: readonly PrimitiveStep[],
  start: readonly [id: string, Scaled],
  source: (exponent: number) => WeightSource,
  keep: Keep,
) {
  const values = new Map<string, Scaled>([start])
  const traces: Trace[] = []
  for (const step of steps) {
    const given = step.inputs.map((id) => values.get(id) as Scaled)
    if (parts[step.kind] === 'left-out') {
      const value = given[0] as Scaled
      values.set(step.id, isGate(step) ? { tensor: keep(tf.onesLike(value.tensor)), exponent: 0 } : value)
      continue
    }
    const { tensors: inputs, exponent } = aligned(given, keep)
    const { outputs, made = [] } = ruleOf(step).forward(step, inputs, { weights: source(exponent) })
    const output = keep(outputs[0] as tf.Tensor)
    for (const tensor of made) keep(tensor)
    values.set(step.id, await rescaled({ tensor: output, exponent }, keep))
    traces.push({ step, inputs, exponent, output, made })
  }
  return { values, traces: new Map(traces.map((trace) => [trace.step, trace])) }
}

async function reverseFlow(
  steps: readonly PrimitiveStep[],
  end: readonly [id: string, Scaled],
  traces: ReadonlyMap<PrimitiveStep, Trace>,
  source: (exponent: number) => WeightSource,
  keep: Keep,
): Promise<Map<string, Scaled>> {
  const gradients = new Map<string, Scaled>([end])
  const found = new Map<string, Scaled>()
  const add = async (into: Map<string, Scaled>, key: string, more: Scaled) => {
    const before = into.get(key)
    const { tensors, exponent } = aligned(before ? [before, more] : [more], keep)
    const [one, other] = tensors as [tf.Tensor, tf.Tensor | undefined]
    into.set(key, await rescaled({ tensor: other ? keep(tf.add(one, other)) : one, exponent }, keep))
  }
  for (const step of steps.toReversed()) {
    const dy = gradients.get(step.id)
    if (!dy) continue
    const trace = traces.get(step)
    if (!trace) {
      if (!isGate(step)) await add(gradients, step.inputs[0] as string, dy)
      continue
    }
    const { inputs, exponent, output, made } = trace
    const reversed = ruleOf(step).reverse({
      step,
      inputs,
      output,
      made,
      dy: dy.tensor,
      coefficients: undefined,
      ownsDy: false,
      wantInput: true,
      wantWeights: true,
      context: { weights: source(exponent) },
    })
    for (const [position, tensor] of reversed.inputs.entries()) {
      if (tensor) await add(gradients, step.inputs[position] as string, { tensor: keep(tensor), exponent: dy.exponent })
    }
    // A gradient by weights is a product of inputs and dy.
    for (const [key, tensor] of reversed.weights ?? []) await add(found, key, { tensor: keep(tensor), exponent: dy.exponent + exponent })
  }
  return found
}

async function computeFlow(network: ScoredNetwork, holdings: Holdings): Promise<Flow[]> {
  const { graph, images, keys } = network
  // Out of any tf.tidy that a layer may be in when it asks for a weight.
  const keep: Keep = (tensor) => holdings.hold(tf.keep(tensor))
  const plan = compilePlan(graph, { mergeNorms: false })
  const steps = plan.steps.map((step) => {
    if (step.kind === 'mixed') throw new Error(`${step.id}: expected the network of one architecture, without mixed layers`)
    return step
  })
  const source = magnitudesOf(network, keep)
  const ones = (shape: readonly number[]): Scaled => ({ tensor: keep(tf.ones([1, ...shape.slice(1)])), exponent: 0 })
  const { values, traces } = await forwardFlow(steps, [plan.input, ones(images.shape)], source, keep)
  const { tensor: output } = values.get(plan.output) as Scaled
  const gradients = await reverseFlow(steps, [plan.output, ones(output.shape)], traces, source, keep)
  const flows: Flow[] = []
  for (const key of keys) {
    const found = gradients.get(key)
    if (!found) continue
    const magnitudes = (await readValues(source(0).get(key))).slice()
    flows.push({ magnitudes, gradient: (await readValues(found.tensor)).slice(), exponent: found.exponent })
  }
  return flows
}

/** Of every filter and matrix that R depends on. */
function pathFlow(network: ScoredNetwork): Promise<readonly Flow[]> {
  return network.shared('path flow', () => withHoldings((holdings) => computeFlow(network, holdings)))
}

export { pathFlow }
