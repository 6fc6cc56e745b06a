// What is stored of something that was done with the admin token. A change of the form needs a migration (migrations/directory.ts).

import * as z from 'zod'
import type { AuditEntry } from '../../protocol/index.ts'
import { storedAs } from '../../rules/stored/stored-form.ts'

const storedAuditEntrySchema = storedAs<AuditEntry>()(
  z.strictObject({
    seq: z.int(),
    atMs: z.int(),
    actor: z.string(),
    method: z.string(),
    path: z.string(),
    status: z.int(),
    requestId: z.string(),
  }),
)

export { storedAuditEntrySchema }
