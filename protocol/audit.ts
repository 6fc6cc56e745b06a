// What was done with the admin token.

import * as z from 'zod'

/** Entries in one answer. */
const MAX_AUDIT_PAGE = 1000
/** Older ones are forgotten: 2 MB of rows. */
const MAX_AUDIT_ENTRIES = 10_000

const auditEntrySchema = z
  .object({
    seq: z.int(),
    atMs: z.int(),
    actor: z.string().describe('fingerprint of the admin token: the first 12 hexadecimal digits of its SHA-256'),
    method: z.string(),
    path: z.string(),
    status: z.int().describe('with which status it was answered'),
    requestId: z.string(),
  })
  .meta({ id: 'AuditEntry', description: 'Something that was done with the admin token.' })
type AuditEntry = z.infer<typeof auditEntrySchema>

export { type AuditEntry, auditEntrySchema, MAX_AUDIT_ENTRIES, MAX_AUDIT_PAGE }
