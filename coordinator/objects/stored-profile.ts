// What is stored of a profile in a browser, row by row. A change of a form here needs a migration (migrations/profile.ts).

import * as z from 'zod'
import type { ProfileConditions, ProfileRequest, ProfileTable } from '../../protocol/index.ts'
import { storedSpaceRefSchema } from '../../rules/stored/space.ts'
import { storedAs } from '../../rules/stored/stored-form.ts'

const backend = z.enum(['webgpu', 'webgl', 'wasm'])

const requestSchema = storedAs<ProfileRequest>()(
  z.strictObject({
    space: storedSpaceRefSchema,
    name: z.string(),
    backends: z.union([z.enum(['auto', 'all']), z.array(backend)]),
    batch: z.int(),
    budgetSeconds: z.number(),
  }),
)

const profileRecordSchema = z.strictObject({
  profileId: z.string(),
  request: requestSchema,
  /** SHA-256, in hexadecimal; null once the first timings are stored. */
  codeHash: z.string().nullable(),
  /** Of the session's token; null until a browser has shown the code. */
  tokenHash: z.string().nullable(),
  createdAtMs: z.int(),
  expiresAtMs: z.int(),
  tables: z.array(storedAs<ProfileTable>()(z.strictObject({ backend, name: z.string(), version: z.string() }))),
})
type ProfileRecord = z.infer<typeof profileRecordSchema>

const storedConditionsSchema = storedAs<ProfileConditions>()(
  z.strictObject({
    device: z.string(),
    os: z.string().optional(),
    browser: z.string(),
    runtimeVersion: z.string(),
    threads: z.int().optional(),
    adapter: z.string().optional(),
    clockStepMs: z.number(),
    throttled: z.boolean(),
  }),
)

/** Of a batch: milliseconds, [round][operation]. */
const storedTimingsSchema = z.array(z.array(z.number()))

export { type ProfileRecord, profileRecordSchema, storedConditionsSchema, storedTimingsSchema }
