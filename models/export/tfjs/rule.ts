import type { InferenceStep, StepKind } from '../../../engine/executor/index.ts'
import type { Refusal } from '../../../search-space/layers/refusal.ts'
import type { TfjsWriter } from './writer.ts'

const FORMAT = "TensorFlow.js's layers"

/**
 * How a kind of layer becomes layers of Keras; the one whose output is the step's is called `writer.nameOf(step.id)`. `write` throws
 * RefusedLayerError for settings that they lack; a kind that they lack altogether is a refusal.
 */
type TfjsRule<Kind extends StepKind> = { write(step: InferenceStep<Kind>, writer: TfjsWriter): void } | Refusal

export { FORMAT, type TfjsRule }
