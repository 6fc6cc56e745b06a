// Alpha rebuilt from the log without some results.

import * as z from 'zod'
import { agentIdSchema } from './ids.ts'

const seq = z.int().min(1)

/** Results that do not count any more: those of an agent, those of a range of the log, or those that are both. */
const rebuildRequestSchema = z
  .strictObject({
    agentId: agentIdSchema.optional(),
    from: seq.optional().describe('the first result, by seq'),
    to: seq.optional().describe('the last one'),
  })
  .refine(({ agentId, from, to }) => agentId !== undefined || from !== undefined || to !== undefined, {
    message: 'expected an agent, or a range of results',
    path: ['agentId'],
  })
  .meta({ id: 'RebuildRequest' })
type RebuildRequest = z.infer<typeof rebuildRequestSchema>

const rebuiltSchema = z
  .object({
    excluded: z.int().describe('results that count no more, for the first time'),
    alphaVersion: z.int().describe('updates of alpha that are left'),
  })
  .meta({ id: 'Rebuilt' })
type Rebuilt = z.infer<typeof rebuiltSchema>

export { type RebuildRequest, rebuildRequestSchema, type Rebuilt, rebuiltSchema }
