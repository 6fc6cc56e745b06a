import * as z from 'zod'
import { MAX_TASK_STEPS } from '../limits.ts'
import { scoreNamesSchema } from '../scores.ts'
import { type Mismatch, pathSchema, step } from './parts.ts'

const scoreSchema = z
  .strictObject({
    kind: z.literal('score'),
    paths: z.array(pathSchema).min(1).max(MAX_TASK_STEPS),
    scores: scoreNamesSchema,
    batch: step.describe('number of the mini-batch of the architecture share, as in `gateGradients`'),
  })
  .meta({
    id: 'Score',
    description: "Scores of architectures without training: each with random weights of its own, of the search's seed, on one mini-batch.",
  })

const scoreResultSchema = z.strictObject({
  kind: z.literal('score'),
  paths: z
    .array(
      z.strictObject({
        // Not bounded like losses: synflow of a deep network is beyond 1e100.
        values: z.array(z.number().nullable()).describe('more is better; null for a network that has none, which is worse than all others'),
        seconds: z.array(z.number().min(0).max(1e12)).describe('what each of the scores takes alone'),
      }),
    )
    .min(1)
    .max(MAX_TASK_STEPS),
})

function scoreMismatch({ paths, scores }: z.infer<typeof scoreSchema>, result: z.infer<typeof scoreResultSchema>): Mismatch | null {
  if (result.paths.length !== paths.length) {
    return { path: 'result.paths', message: `expected ${paths.length} paths, got ${result.paths.length}` }
  }
  for (const [i, { values, seconds }] of result.paths.entries()) {
    for (const [field, { length }] of Object.entries({ values, seconds })) {
      if (length !== scores.length)
        return { path: `result.paths[${i}].${field}`, message: `expected ${scores.length} numbers, one per score, got ${length}` }
    }
  }
  return null
}

export { scoreMismatch, scoreResultSchema, scoreSchema }
