import type { InferenceStep, StepKind } from '../../../engine/executor/index.ts'
import type { Refusal } from '../../../search-space/layers/refusal.ts'
import type { GraphWriter } from './writer.ts'

const FORMAT = "TensorFlow.js's graphs"

/**
 * How a kind of layer becomes nodes; the one whose output is the step's is called `writer.nameOf(step.id)`. `write` throws
 * RefusedLayerError for settings that there is no operation for; a kind that there is none for at all is a refusal.
 */
type GraphRule<Kind extends StepKind> = { write(step: InferenceStep<Kind>, writer: GraphWriter): void } | Refusal

export { FORMAT, type GraphRule }
