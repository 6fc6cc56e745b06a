// What webhooks are told, and how they are set.

import * as z from 'zod'
import { searchSummarySchema } from './status.ts'

const webhookUrlSchema = z.url({ protocol: /^https?$/ }).max(2000)

const webhookBodySchema = searchSummarySchema
  .extend({
    kind: z.literal('phase'),
    seq: z.int().min(1).describe('counts the phases of this search: one that was told already has the same number'),
    before: z.string().nullable().describe('the phase before; null where there was none'),
    atMs: z.int().describe('when it was noticed'),
  })
  .meta({ id: 'WebhookBody', description: 'What a webhook is sent when a search has come into another phase.' })
type WebhookBody = z.infer<typeof webhookBodySchema>

export { type WebhookBody, webhookBodySchema, webhookUrlSchema }
