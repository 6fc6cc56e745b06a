// How a kind of layer becomes nodes: NCHW, batch-norms in it folded or not, one node more for the activation behind it, so that
// runtimes find the pairs that they fuse (Conv and Clip).

import type { InferenceStep, StepKind } from '../../engine/executor/index.ts'
import type { Refusal } from '../../search-space/layers/refusal.ts'
import type { OnnxWriter } from '../writer.ts'

/** Writes the nodes of one step; the last one's output is `writer.tensor(step.id)`. Or it says why there is no such node. */
type OnnxRule<Kind extends StepKind> = { write(step: InferenceStep<Kind>, writer: OnnxWriter): void } | Refusal

/** Names of what a step reads. */
function inputNames(step: { readonly inputs: readonly string[] }, writer: OnnxWriter): string[] {
  return step.inputs.map((id) => writer.tensor(id))
}

export { inputNames, type OnnxRule }
