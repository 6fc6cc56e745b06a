// Members of a list that this version of the coordinator cannot read: shown as such, with what is known of them.

import * as z from 'zod'

const unreadableSchema = z
  .object({
    id: z.string(),
    createdAtMs: z.int(),
    reason: z.string().describe('why it cannot be read; it can be deleted'),
  })
  .meta({ id: 'Unreadable', description: 'Something that is stored in a form that this version of the coordinator cannot read.' })
type Unreadable = z.infer<typeof unreadableSchema>

/** Beside the members of a list. Coordinators of version 0.1.0 answer without it. */
const unreadableField = z.array(unreadableSchema).optional().describe('members that cannot be read, newest first')

const unreadableTableSchema = z
  .object({ name: z.string(), reason: z.string().describe('why it cannot be read') })
  .meta({ id: 'UnreadableTable' })
type UnreadableTable = z.infer<typeof unreadableTableSchema>
const unreadableTablesField = z.array(unreadableTableSchema).optional().describe('tables that cannot be read')

export { type Unreadable, unreadableField, type UnreadableTable, unreadableTablesField }
