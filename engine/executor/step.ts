// What a plan is made of: one step per layer that runs, with what the layers around it leave to it.

import type { Combination, LayerOf, Shape } from '../../search-space/layer-graph.ts'
import type { LayerKind } from '../../search-space/layers/index.ts'
import type { FusedActivation } from '../kernels/operations.ts'

/** Every kind of layer that runs: images are there already. */
type StepKind = Exclude<LayerKind, 'input'>

type StepBase<Kind extends string> = {
  readonly kind: Kind
  /** Names its output; a fused step has the id of its last layer. */
  readonly id: string
  readonly shape: Shape
  /** Ids of the tensors it reads, with their shapes. */
  readonly inputs: readonly string[]
  readonly inputShapes: readonly Shape[]
  /** Ids of the tensors it makes: its own and, of a convolution with a batch-norm behind it, its moments'. */
  readonly makes: readonly string[]
}

type NormFields = {
  readonly gamma: string
  readonly beta: string
  readonly epsilon: number
  /** Applied to the result. */
  readonly activation: FusedActivation
}

type LayerStep<Kind extends StepKind> = StepBase<Kind> & {
  /** As the graph has it; its ids and shape are not those of a fused step. */
  readonly layer: LayerOf<Kind>
  /** Of a batch-norm: what its only reader would do to the result. */
  readonly activation: FusedActivation
  /** Of a convolution, a batch-norm that is applied to the input; the inputs are then the tensor and its moments. */
  readonly before?: NormFields
  /** Of a convolution, the batch-norm that alone reads it: the moments are computed as well, and gradients arrive deferred. */
  readonly behind?: NormFields
}

type PrimitiveStep = { readonly [Kind in StepKind]: LayerStep<Kind> }[StepKind]

type MixedStep = StepBase<'mixed'> & {
  readonly block: number
  readonly active: number
  readonly branches: readonly { readonly operation: number; readonly plan: Plan }[]
  /** Undefined for binary gates: only the active branch runs. */
  readonly combination: Combination | undefined
}

type Step = PrimitiveStep | MixedStep

type Plan = {
  readonly input: string
  readonly output: string
  readonly steps: readonly Step[]
  /** How many times each tensor is read; the output counts once more. */
  readonly reads: ReadonlyMap<string, number>
  /** Ids whose gradient is needed, by `${mode}/${whether the plan's input needs one}`; filled on first use. */
  readonly differentiable: Map<string, ReadonlySet<string>>
}

export type { LayerStep, MixedStep, NormFields, Plan, PrimitiveStep, Step, StepKind }
