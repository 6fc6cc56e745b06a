// A latency table: what each operation of a space costs on one device, in one runtime. Tables are immutable; the name of
// a version is the SHA-256 of its canonical JSON.

import * as z from 'zod'

const MAX_ENTRIES = 20_000
const MAX_KEY_LENGTH = 200
const MAX_TEXT_LENGTH = 200

const text = z.string().min(1).max(MAX_TEXT_LENGTH)

const tableNameSchema = z
  .string()
  .regex(/^[a-z0-9][a-z0-9._-]{0,63}$/, 'expected lower-case letters, digits, ".", "_" or "-", 64 at most')
  .describe('name under which versions of a table are published')

const tableVersionSchema = z
  .string()
  .regex(/^[0-9a-f]{64}$/, 'expected 64 hexadecimal digits')
  .describe("SHA-256 of the table's canonical JSON")

const latencyEntrySchema = z
  .strictObject({
    meanMs: z.number().positive().describe('milliseconds for one run of the operation on one batch'),
    stdMs: z.number().min(0).describe('standard deviation between runs, milliseconds'),
    count: z.int().min(0).describe('runs measured; 0 for an entry that was predicted'),
    predicted: z
      .strictObject({
        rmseMs: z.number().min(0).describe('root mean square error of the predictor, cross-validated, milliseconds'),
        mapePct: z.number().min(0).describe('mean absolute error of the predictor, cross-validated, percent'),
      })
      .optional()
      .describe('there if the entry was not measured but predicted from others of the table'),
  })
  .refine(({ count, predicted }) => predicted !== undefined || count !== 0, { message: 'expected 1 run or more', path: ['count'] })
  .refine(({ count, predicted }) => predicted === undefined || count <= 0, {
    message: 'expected 0 runs of an entry that was predicted',
    path: ['count'],
  })
type LatencyEntry = z.infer<typeof latencyEntrySchema>

const percent = z.number().min(0)
const tableQualitySchema = z.strictObject({
  rounds: z.int().min(1).describe('how often every operation was run'),
  halfWidthPct: percent.optional().describe("half of the median's 95 % interval, percent of it; of the entry in the middle"),
  worstHalfWidthPct: percent.optional().describe('the same of the least certain entry'),
  droppedPct: percent.max(100).describe('share of the runs that were outliers and do not count'),
  driftPct: percent.describe('how much rounds differ in speed: standard deviation, robust'),
  waitedPct: percent
    .max(100)
    .optional()
    .describe('share of the time spent waiting for a processor that others used; taken off the figures; absent where it cannot be known'),
})
type TableQuality = z.infer<typeof tableQualitySchema>

const correctionSchema = z.strictObject({
  offsetMs: z.number().describe('milliseconds that every network takes beside'),
  factor: z.number().positive().describe('by which entries and the fixed part are multiplied'),
  networks: z.int().min(2).describe('whole networks that it was fitted to'),
})
type Correction = z.infer<typeof correctionSchema>

const latencyTableSchema = z
  .strictObject({
    name: tableNameSchema,
    device: z.strictObject({
      name: text.describe('for example "Pixel 1" or a CPU model'),
      os: text.optional(),
    }),
    runtime: z.strictObject({
      name: text.describe('for example "tfjs-wasm" or "TF-Lite"'),
      version: text.optional(),
      threads: z.int().min(1).optional(),
      browser: text.optional().describe('for example "Chrome 141", where it ran in one'),
    }),
    batch: z.int().min(1).default(1).describe('images in one run'),
    inputShape: z.tuple([z.int().min(1), z.int().min(1), z.int().min(1)]).describe('height, width and channels of the network input'),
    measuredAt: z.iso.datetime().optional().describe('when, in UTC'),
    fixedMs: z.number().min(0).default(0).describe('latency of a network that no entry accounts for, milliseconds'),
    correction: correctionSchema.optional().describe('latency of a network = offsetMs + factor · (fixedMs + sum of its entries)'),
    quality: tableQualitySchema.optional().describe('how steady the machine was while the table was measured'),
    entries: z.record(z.string().min(1).max(MAX_KEY_LENGTH), latencyEntrySchema).refine(
      (entries) => {
        const count = Object.keys(entries).length
        return count > 0 && count <= MAX_ENTRIES
      },
      { message: `expected 1 to ${MAX_ENTRIES} entries` },
    ),
  })
  .meta({ id: 'LatencyTable', description: 'Measured latency of every operation of a space on one device.' })
type LatencyTable = z.infer<typeof latencyTableSchema>

/** JSON with sorted keys and no spaces: the same table always gives the same text. */
function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`
  if (value !== null && typeof value === 'object') {
    const members = Object.entries(value)
      .filter(([, member]) => member !== undefined)
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, member]) => `${JSON.stringify(key)}:${canonicalJson(member)}`)
    return `{${members.join(',')}}`
  }
  return JSON.stringify(value)
}

export {
  canonicalJson,
  type Correction,
  type LatencyEntry,
  latencyEntrySchema,
  type LatencyTable,
  latencyTableSchema,
  tableNameSchema,
  type TableQuality,
  tableVersionSchema,
}
