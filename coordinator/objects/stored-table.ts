// Latency tables as they are stored in KV. A table never changes, so that there is nothing to migrate: each value says of which form it
// is, and is read as that form.

import * as z from 'zod'
import type { LatencyTable } from '../../latency-lut/table/table.ts'
import type { TableSummary } from '../../protocol/index.ts'
import { readStored, storedAs, unreadable } from '../../rules/stored/stored-form.ts'
import { storedTableFields } from '../../rules/stored/table.ts'

/** Version of the form of tables that are stored now. Those that version 0.1.0 stored do not say it, and have form 1 too. */
const TABLE_FORM = 1

const storedTableSchema = storedAs<LatencyTable>()(
  z.strictObject({
    ...storedTableFields,
    entries: z.record(
      z.string(),
      z.strictObject({
        meanMs: z.number(),
        stdMs: z.number(),
        count: z.int(),
        predicted: z.strictObject({ rmseMs: z.number(), mapePct: z.number() }).optional(),
      }),
    ),
  }),
)

const storedPointerSchema = z.strictObject({ version: z.string() })

const storedSummarySchema = storedAs<TableSummary>()(
  z.strictObject({
    name: z.string(),
    version: z.string(),
    device: z.string(),
    runtime: z.string(),
    batch: z.int(),
    entries: z.int(),
    publishedAtMs: z.int(),
  }),
)

const formSchema = z.looseObject({ form: z.int().default(TABLE_FORM) })

/** A table by its text and metadata. Throws ProblemError `unreadable`. */
function readStoredTable(text: string, metadata: unknown, where: string): LatencyTable {
  const { form } = formSchema.safeParse(metadata ?? {}).data ?? { form: TABLE_FORM }
  if (form > TABLE_FORM) throw unreadable(where, `a newer version stored it, in form ${form}, and this one knows forms up to ${TABLE_FORM}`)
  return readStored(storedTableSchema, text, where)
}

export { readStoredTable, storedPointerSchema, storedSummarySchema, storedTableSchema, TABLE_FORM }
