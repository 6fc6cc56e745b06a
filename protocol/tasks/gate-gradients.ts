import * as z from 'zod'
import type { Space } from '../../search-space/index.ts'
import { MAX_DECISIONS, MAX_TASK_STEPS } from '../limits.ts'
import {
  counts,
  crossEntropyMismatch,
  finite,
  imagesMismatch,
  type Mismatch,
  moreThanImages,
  notMoreThanImages,
  operationIndex,
  step,
  type TaskSetting,
} from './parts.ts'

const gateChoiceSchema = z.strictObject({
  active: operationIndex.describe('gate 1'),
  inactive: z.array(operationIndex).describe('gate 0; their gate gradients are wanted too'),
})

const gateGradientsSchema = z
  .strictObject({
    kind: z.literal('gateGradients'),
    firstStep: step.describe('number of the first architecture step; step i uses mini-batch firstStep + i of the architecture share'),
    steps: z.array(z.array(gateChoiceSchema).max(MAX_DECISIONS)).min(1).max(MAX_TASK_STEPS).describe('sampled gates, [step][block]'),
    alphaVersion: z.int().min(0).describe('version of alpha that the gates were sampled at'),
  })
  .meta({ id: 'GateGradients', description: 'Gradients of the cross-entropy by binary gates, weights frozen.' })
type GateWork = z.infer<typeof gateGradientsSchema>
/** What is sampled in one block. */
type GateChoice = z.infer<typeof gateChoiceSchema>

const gateStepResultSchema = z
  .strictObject({
    crossEntropy: finite.min(0).describe('plain cross-entropy of the active path'),
    ...counts,
    gateGradients: z
      .array(z.array(finite).nullable())
      .describe('[block][0 = active, then inactive in the order of the task]; null where the active operation is Zero'),
  })
  .refine(notMoreThanImages, moreThanImages)

const gateGradientsResultSchema = z.strictObject({
  kind: z.literal('gateGradients'),
  steps: z.array(gateStepResultSchema).min(1).max(MAX_TASK_STEPS),
})

/** A block whose active operation is Zero has no gate gradients, nor has one without a choice. */
function hasGradients(
  space: Pick<Space, 'decisions'>,
  block: number,
  choice: { readonly active: number; readonly inactive: readonly number[] },
): boolean {
  return choice.inactive.length > 0 && space.decisions[block]?.options[choice.active]?.isZero === false
}

function gateGradientsMismatch(work: GateWork, result: z.infer<typeof gateGradientsResultSchema>, setting: TaskSetting): Mismatch | null {
  if (result.steps.length !== work.steps.length) {
    return { path: 'result.steps', message: `expected ${work.steps.length} steps, got ${result.steps.length}` }
  }
  for (const [i, step] of work.steps.entries()) {
    const { gateGradients: gradients, crossEntropy, images } = result.steps[i] as (typeof result.steps)[number]
    const path = `result.steps[${i}].gateGradients`
    const mismatch =
      crossEntropyMismatch(`result.steps[${i}].crossEntropy`, crossEntropy) ??
      imagesMismatch(`result.steps[${i}].images`, images, setting.batchSize)
    if (mismatch) return mismatch
    if (gradients.length !== step.length) return { path, message: `expected ${step.length} blocks, got ${gradients.length}` }
    for (const [block, choice] of step.entries()) {
      const expected = hasGradients(setting, block, choice) ? 1 + choice.inactive.length : null
      const got = gradients[block]?.length ?? null
      if (got !== expected) {
        return {
          path: `${path}[${block}]`,
          message: `expected ${expected === null ? 'null' : `${expected} numbers`}, got ${got === null ? 'null' : `${got} numbers`}`,
        }
      }
    }
  }
  return null
}

export { type GateChoice, gateGradientsMismatch, gateGradientsResultSchema, gateGradientsSchema, type GateWork, hasGradients }
