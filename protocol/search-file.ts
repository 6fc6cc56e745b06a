// A search as a file: lines of JSON. The first says what it is of, the last how many lines and which bytes there have to be; between them are
// rows as the objects of the search store them, page by page, so that neither side ever holds more than a page.

import * as z from 'zod'
import { MAX_SHARDS } from './limits.ts'
import { searchIdSchema } from './ids.ts'

const SEARCH_FILE_FORMAT = 'gatehouse-search'
const SEARCH_FILE_VERSION = 1
/** A page ends before a row that would make it longer. */
const SEARCH_FILE_PAGE_BYTES = 1024 * 1024
/** A page of a single row: at most 1.9 MB, as JSON in JSON, or in base64. */
const MAX_SEARCH_FILE_LINE_BYTES = 8 * 1024 * 1024

/** What a search is stored in: `search`, and each shard of its weights by number. */
const storedObjectSchema = z.union([
  z.literal('search'),
  z
    .int()
    .min(0)
    .max(MAX_SHARDS - 1),
])
type StoredObject = z.infer<typeof storedObjectSchema>

/** A value of a row; bytes in base64. */
const cellSchema = z.union([z.string(), z.number(), z.null(), z.strictObject({ base64: z.base64() })])
type Cell = z.infer<typeof cellSchema>

const rowPageSchema = z
  .strictObject({
    object: storedObjectSchema,
    table: z.string().min(1).max(100),
    rows: z.array(z.record(z.string(), cellSchema)).min(1),
  })
  .meta({ id: 'RowPage', description: 'Rows of one table of one object of a search, in the order of their keys.' })
type RowPage = z.infer<typeof rowPageSchema>

const formsFields = {
  form: z.int().min(1).describe('number of the last migration of the search object'),
  shardForms: z.array(z.int().min(1)).min(1).max(MAX_SHARDS).describe('the same of each shard'),
}
const searchFormsSchema = z.strictObject(formsFields).meta({ id: 'SearchForms' })
type SearchForms = z.infer<typeof searchFormsSchema>

/** What an export begins and ends with: where `revision` is another one, the search has changed meanwhile. */
const exportHeadSchema = z
  .object({ searchId: searchIdSchema, name: z.string(), ...formsFields, revision: z.string() })
  .meta({ id: 'ExportHead' })
type ExportHead = z.infer<typeof exportHeadSchema>

const exportPageSchema = z
  .object({ page: rowPageSchema.nullable(), next: z.string().nullable().describe('cursor of the next page; null after the last') })
  .meta({ id: 'ExportPage' })
type ExportPage = z.infer<typeof exportPageSchema>

const searchFileHeaderSchema = z.strictObject({
  format: z.literal(SEARCH_FILE_FORMAT),
  version: z.int().min(1).max(SEARCH_FILE_VERSION),
  exportedAtMs: z.int(),
  exportedBy: z.string().describe('version of Gatehouse'),
  searchId: searchIdSchema,
  name: z.string(),
  ...formsFields,
})
type SearchFileHeader = z.infer<typeof searchFileHeaderSchema>

/** The last line. `sha256` is of every byte before it. */
const searchFileEndSchema = z.strictObject({ lines: z.int().min(1), sha256: z.string().regex(/^[0-9a-f]{64}$/) })

export {
  type Cell,
  type ExportHead,
  exportHeadSchema,
  type ExportPage,
  exportPageSchema,
  MAX_SEARCH_FILE_LINE_BYTES,
  type RowPage,
  rowPageSchema,
  SEARCH_FILE_FORMAT,
  SEARCH_FILE_PAGE_BYTES,
  SEARCH_FILE_VERSION,
  searchFileEndSchema,
  type SearchFileHeader,
  searchFileHeaderSchema,
  type SearchForms,
  searchFormsSchema,
  type StoredObject,
  storedObjectSchema,
}
