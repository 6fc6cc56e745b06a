// The forward and the reverse pass over a plan. Forward keeps exactly what reverse will read; reverse frees each
// activation as soon as it has used it. A mixed layer runs its active branch; its gates' gradients are in gates.ts.

import type * as tf from '@tensorflow/tfjs-core'

import { sum } from '../kernels/operations.ts'
import { forwardCombined, reverseCombined, weightDots } from './combined.ts'
import { gateGradients, type GateDots } from './gates.ts'
import type { Holdings } from './holdings.ts'
import { type LayerContext, ruleOf } from './layers/index.ts'
import { differentiableIds, type GradientMode } from './plan.ts'
import type { Slices } from './slices.ts'
import type { MixedStep, Plan, PrimitiveStep } from './step.ts'

type PassContext = Omit<LayerContext, 'weights'> & {
  readonly slices: Slices
  readonly holdings: Holdings
  readonly mode: GradientMode
  /** Whether gradients by the weights of weighted sums are wanted; default false. */
  readonly wantsMixture?: boolean
  /** Told of each layer as it runs, those within mixed layers included; the tensors stay the executor's. */
  readonly watch?: {
    output(step: PrimitiveStep, output: tf.Tensor): void
    /** Of the loss by the output. */
    gradient?(step: PrimitiveStep, gradient: tf.Tensor): void
  }
}

/** What the reverse of one step reads; every tensor in it is held once. */
type Kept = {
  readonly inputs: readonly tf.Tensor[]
  readonly output: tf.Tensor | undefined
  readonly made: readonly tf.Tensor[]
  /** The traces of the branches of a mixed step that ran; undefined for zeros. */
  readonly branches?: readonly (Trace | undefined)[]
}

/** A forward pass that can be reversed. */
type Trace = {
  readonly plan: Plan
  readonly throughInput: boolean
  /** One entry per step; undefined where no gradient flows through the step. */
  readonly kept: readonly (Kept | undefined)[]
  /** Held once for the caller. */
  readonly output: tf.Tensor
}

type Reversed = {
  /** Held once for the caller; undefined if not wanted or zero. */
  readonly dInput: tf.Tensor | undefined
}

type GradientSink = {
  weight(key: string, gradient: tf.Tensor): void
  gates(dots: GateDots): void
}

/** Runs a plan on `input`, which stays the caller's. */
function forward(plan: Plan, input: tf.Tensor, throughInput: boolean, context: PassContext): Trace {
  const { holdings, mode } = context
  const wanted = differentiableIds(plan, mode, throughInput)
  const values = new Map<string, tf.Tensor>()
  const publish = (id: string, tensor: tf.Tensor) => {
    values.set(id, tensor)
    // Held once while published, so that a tensor that nobody reads is freed as well.
    holdings.hold(tensor, (plan.reads.get(id) ?? 0) + 1)
    holdings.release(tensor)
  }
  holdings.hold(input)
  publish(plan.input, input)
  const kept = plan.steps.map((step) => {
    const inputs = step.inputs.map((id) => values.get(id) as tf.Tensor)
    const keep = wanted.has(step.id)
    const result =
      step.kind === 'mixed'
        ? forwardMixed(step, inputs[0] as tf.Tensor, keep, wanted.has(step.inputs[0] ?? ''), context)
        : forwardPrimitive(step, inputs, keep, context)
    for (const [index, id] of step.makes.entries()) publish(id, result.outputs[index] as tf.Tensor)
    if (result.held) holdings.release(result.outputs[0] as tf.Tensor)
    for (const tensor of inputs) holdings.release(tensor)
    return result.kept
  })
  holdings.release(input)
  return { plan, throughInput, kept, output: values.get(plan.output) as tf.Tensor }
}

type StepResult = {
  readonly outputs: readonly tf.Tensor[]
  /** The output arrives held once already: a branch's, which may be its own input. */
  readonly held: boolean
  readonly kept: Kept | undefined
}

function forwardPrimitive(step: PrimitiveStep, inputs: readonly tf.Tensor[], keep: boolean, context: PassContext): StepResult {
  const { holdings, mode } = context
  const rule = ruleOf(step)
  const { outputs, made = [] } = rule.forward(step, inputs, { ...context, weights: context.slices.sourceOf(step) })
  context.watch?.output(step, outputs[0] as tf.Tensor)
  if (!keep) {
    for (const tensor of made) tensor.dispose()
    return { outputs, held: false, kept: undefined }
  }
  const output = outputs[0] as tf.Tensor
  const keepInputs = rule.readsInputs(step, mode === 'weights')
  const keepOutput = rule.readsOutput?.(step) ?? false
  for (const tensor of [...made, ...(keepInputs ? inputs : [])]) holdings.hold(tensor)
  if (keepOutput) holdings.hold(output)
  return {
    outputs,
    held: false,
    kept: { inputs: keepInputs ? inputs : [], output: keepOutput ? output : undefined, made },
  }
}

function forwardMixed(step: MixedStep, input: tf.Tensor, keep: boolean, throughInput: boolean, context: PassContext): StepResult {
  const { holdings, mode } = context
  if (step.combination) {
    const keepsOutputs = keep && context.wantsMixture === true && step.combination.kind === 'weighted'
    const { output, traces } = forwardCombined(step, input, { holdings, keepsOutputs }, (plan) =>
      forward(plan, input, throughInput, context),
    )
    const kept: Kept | undefined = keep ? { inputs: [], output: undefined, made: [], branches: traces } : undefined
    return { outputs: [output], held: true, kept }
  }
  const active = step.branches[step.active] as MixedStep['branches'][number]
  const branch = forward(active.plan, input, throughInput, context)
  const { output } = branch
  if (!keep) return { outputs: [output], held: true, kept: undefined }
  const forGates = mode === 'gates'
  if (forGates) {
    holdings.hold(input)
    holdings.hold(output)
  }
  return {
    outputs: [output],
    held: true,
    kept: {
      inputs: forGates ? [input] : [],
      output: forGates ? output : undefined,
      made: [],
      branches: [branch],
    },
  }
}

/** Reverses a trace from dLoss/doutput, which it takes over (one hold); frees everything the trace kept. */
function reverse(trace: Trace, dOutput: tf.Tensor | undefined, sink: GradientSink, context: PassContext): Reversed {
  const { plan, throughInput, kept } = trace
  const { holdings, mode } = context
  const wanted = differentiableIds(plan, mode, throughInput)
  const gradients = new Map<string, tf.Tensor>()
  /** Of deferred gradients, which have one reader each and are never summed; held once. */
  const coefficients = new Map<string, tf.Tensor>()
  /** Takes over one hold on `gradient`. */
  const accumulate = (id: string, gradient: tf.Tensor) => {
    const before = gradients.get(id)
    if (!before) {
      gradients.set(id, gradient)
      return
    }
    gradients.set(id, holdings.hold(sum(before, gradient)))
    holdings.release(before)
    holdings.release(gradient)
  }
  if (dOutput) {
    if (wanted.has(plan.output)) accumulate(plan.output, dOutput)
    else holdings.release(dOutput)
  }
  for (let index = plan.steps.length - 1; index >= 0; index--) {
    const step = plan.steps[index] as Plan['steps'][number]
    const needs = kept[index]
    if (!needs) continue
    const dy = gradients.get(step.id)
    gradients.delete(step.id)
    if (step.kind === 'mixed') {
      const dx = reverseMixed(step, needs, dy, sink, context)
      if (dx) accumulate(step.inputs[0] as string, dx)
    } else if (dy) {
      const own = coefficients.get(step.id)
      const result = reversePrimitive(step, needs, dy, own, wanted, sink, context)
      for (const [position, gradient] of result.inputs.entries()) {
        if (gradient) accumulate(step.inputs[position] as string, gradient)
      }
      if (result.coefficients) coefficients.set(step.inputs[0] as string, result.coefficients)
      if (own) holdings.release(own)
    }
    if (dy) holdings.release(dy)
    releaseKept(needs, holdings)
  }
  return { dInput: gradients.get(plan.input) }
}

function reversePrimitive(
  step: PrimitiveStep,
  { inputs, output, made }: Kept,
  dy: tf.Tensor,
  coefficients: tf.Tensor | undefined,
  wanted: ReadonlySet<string>,
  sink: GradientSink,
  context: PassContext,
): { inputs: (tf.Tensor | undefined)[]; coefficients: tf.Tensor | undefined } {
  const { holdings, mode } = context
  const wantInput = step.inputs.some((id) => wanted.has(id))
  const wantWeights = mode === 'weights'
  context.watch?.gradient?.(step, dy)
  const result = ruleOf(step).reverse({
    step,
    inputs,
    output,
    made,
    dy,
    coefficients,
    ownsDy: holdings.isLast(dy),
    wantInput,
    wantWeights,
    context: { ...context, weights: context.slices.sourceOf(step) },
  })
  for (const [key, gradient] of result.weights ?? []) sink.weight(key, gradient)
  const inputGradients = result.inputs.map((gradient, position) => {
    if (!gradient) return undefined
    holdings.hold(gradient)
    if (wanted.has(step.inputs[position] as string)) return gradient
    holdings.release(gradient)
    return undefined
  })
  return { inputs: inputGradients, coefficients: result.coefficients && holdings.hold(result.coefficients) }
}

function reverseMixed(
  step: MixedStep,
  { inputs, output, branches = [] }: Kept,
  dy: tf.Tensor | undefined,
  sink: GradientSink,
  context: PassContext,
): tf.Tensor | undefined {
  const { holdings, mode } = context
  if (step.combination) {
    if (context.wantsMixture && step.combination.kind === 'weighted') sink.gates(weightDots(step, branches, dy, holdings))
    return reverseCombined(step, branches, dy, holdings, (trace, dOutput) => reverse(trace, dOutput, sink, context).dInput)
  }
  if (mode === 'gates') {
    const input = inputs[0] as tf.Tensor
    const activeOutput = output as tf.Tensor
    sink.gates(gateGradients(step, input, activeOutput, dy, (plan) => runDetached(plan, input, context)))
  }
  if (dy) holdings.hold(dy)
  return reverse(branches[0] as Trace, dy, sink, context).dInput
}

/** A branch's output, forward only; the result is held once. */
function runDetached(plan: Plan, input: tf.Tensor, context: PassContext): { output: tf.Tensor; free(): void } {
  const { output } = forward(plan, input, false, { ...context, mode: 'none' })
  return { output, free: () => context.holdings.release(output) }
}

function releaseKept({ inputs, output, made }: Kept, holdings: Holdings): void {
  for (const tensor of [...inputs, ...made]) holdings.release(tensor)
  if (output) holdings.release(output)
}

export { forward, type PassContext, reverse, type Trace }
