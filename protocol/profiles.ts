// Profiles in browsers: an administrator opens one, a browser takes it over with a short code, measures and sends rounds
// of timings; the coordinator makes latency tables of them.
//
// A code is ten characters of 32: 2^50 of them, of which the few that are open at a time are good for half an hour. Who
// tries a million codes a second all that time finds one of ten open ones with a chance of 2 in 100,000, and then may send
// wrong timings under one name, no more. So guesses need no counting, and each of them costs the coordinator one call that
// reads nothing. A code is good until its first timings are stored; from then on only the session's token is.

import * as z from 'zod'
import { spaceRefSchema } from '../search-space/index.ts'
import { tableNameSchema, tableVersionSchema } from '../latency-lut/table/table.ts'
import { profileIdSchema } from './ids.ts'
import { MAX_BATCH_SAMPLES, MAX_PROFILE_IMAGES, MAX_PROFILE_SECONDS, MAX_SAMPLE_MS } from './limits.ts'

/** TensorFlow.js in browsers, best first: the order in which `auto` tries them. */
const profileBackendNames = ['webgpu', 'webgl', 'wasm'] as const
const profileBackendSchema = z.enum(profileBackendNames).describe('backend of TensorFlow.js in the browser')
type ProfileBackend = z.infer<typeof profileBackendSchema>

const MAX_TEXT_LENGTH = 200
const MAX_NAME_LENGTH = 64
const LONGEST_SUFFIX = '-webgpu'
const text = z.string().min(1).max(MAX_TEXT_LENGTH)

const DEFAULT_BUDGET_SECONDS = 60

const profileRequestSchema = z
  .strictObject({
    space: spaceRefSchema,
    name: tableNameSchema,
    backends: z
      .union([z.enum(['auto', 'all']), z.array(profileBackendSchema).min(1).max(profileBackendNames.length)])
      .default('auto')
      .describe('"auto": the best that the browser has; "all": all that it has; or those named'),
    batch: z.int().min(1).max(MAX_PROFILE_IMAGES).default(1).describe('images in one run'),
    budgetSeconds: z
      .number()
      .min(1)
      .max(MAX_PROFILE_SECONDS)
      .default(DEFAULT_BUDGET_SECONDS)
      .describe('for measuring on each backend; it ends earlier when all medians are certain'),
  })
  .refine(({ backends }) => typeof backends === 'string' || new Set(backends).size === backends.length, {
    message: 'expected each backend once',
    path: ['backends'],
  })
  .refine((request) => !hasSeveralTables(request) || request.name.length <= MAX_NAME_LENGTH - LONGEST_SUFFIX.length, {
    message: `expected at most ${MAX_NAME_LENGTH - LONGEST_SUFFIX.length} characters, since each backend's table adds its own name`,
    path: ['name'],
  })
  .meta({ id: 'ProfileRequest', description: 'What is to be measured in a browser.' })
type ProfileRequest = z.infer<typeof profileRequestSchema>
type ProfileRequestInput = z.input<typeof profileRequestSchema>

function hasSeveralTables({ backends }: { readonly backends: 'auto' | 'all' | readonly string[] }): boolean {
  return backends === 'all' || (backends !== 'auto' && backends.length > 1)
}

/** Under which name the table of a backend is published. */
function profileTableName(request: Pick<ProfileRequest, 'name' | 'backends'>, backend: ProfileBackend): string {
  return hasSeveralTables(request) ? `${request.name}-${backend}` : request.name
}

/** In what a browser measured. */
const profileConditionsSchema = z.strictObject({
  device: text.describe('model, as far as the browser tells'),
  os: text.optional(),
  browser: text,
  runtimeVersion: text.describe('of TensorFlow.js'),
  threads: z.int().min(1).max(1024).optional(),
  adapter: text.optional().describe('graphics adapter'),
  clockStepMs: z.number().min(0).max(1000).describe("step of the browser's clock"),
  throttled: z.boolean().describe('whether the device was slower than at its best and did not recover'),
})
type ProfileConditions = z.infer<typeof profileConditionsSchema>

const MAX_BATCHES = 100_000

const profileBatchSchema = z
  .strictObject({
    backend: profileBackendSchema,
    batch: z.int().min(0).max(MAX_BATCHES).describe('number within the backend, from 0; a number known already changes nothing'),
    spentMs: z
      .number()
      .min(0)
      .max(MAX_PROFILE_SECONDS * 1000 * 10)
      .describe('time spent on measuring these rounds'),
    conditions: profileConditionsSchema,
    rounds: z
      .array(z.array(z.number().positive().max(MAX_SAMPLE_MS)).min(1).max(MAX_BATCH_SAMPLES))
      .min(1)
      .max(MAX_BATCH_SAMPLES)
      .describe('for each round milliseconds of every measurable operation, in the order of the space'),
  })
  .refine(({ rounds }) => rounds.reduce((sum, round) => sum + round.length, 0) <= MAX_BATCH_SAMPLES, {
    message: `expected at most ${MAX_BATCH_SAMPLES} timings in one request`,
    path: ['rounds'],
  })
  .meta({ id: 'ProfileBatch' })
type ProfileBatch = z.infer<typeof profileBatchSchema>

const profileBatchResponseSchema = z.object({
  kind: z.enum(['stored', 'duplicate']),
  rounds: z.int().describe('of this backend, stored so far'),
})
type ProfileBatchResponse = z.infer<typeof profileBatchResponseSchema>

const profilePhaseSchema = z.enum(['waiting', 'open', 'measuring', 'published'])

const profileTableSchema = z.object({ backend: profileBackendSchema, name: tableNameSchema, version: tableVersionSchema })
type ProfileTable = z.infer<typeof profileTableSchema>

const profileStatusSchema = z
  .object({
    profileId: profileIdSchema,
    phase: profilePhaseSchema.describe(
      'waiting: for a browser; open: one is there; measuring: rounds have come; published: tables are there',
    ),
    request: profileRequestSchema,
    space: z.string().describe('name of the space'),
    keys: z.int().describe('operations to measure'),
    createdAtMs: z.int(),
    expiresAtMs: z.int().describe('when it is deleted, unless something happens before'),
    backends: z.array(
      z.object({
        backend: profileBackendSchema,
        rounds: z.int(),
        nextBatch: z.int().describe('number that the next batch should have'),
        spentMs: z.number(),
        lastAtMs: z.int(),
        conditions: profileConditionsSchema,
      }),
    ),
    tables: z.array(profileTableSchema),
  })
  .meta({ id: 'ProfileStatus' })
type ProfileStatus = z.infer<typeof profileStatusSchema>

const createProfileResponseSchema = z.object({
  profileId: profileIdSchema,
  code: z.string().describe('shown this once; good for half an hour'),
  url: z.string().describe('the page with the code, at the address that this request was sent to'),
  expiresAtMs: z.int(),
})

const openProfileResponseSchema = z.object({
  profileId: profileIdSchema,
  token: z.string().describe('good for this profile only; shown this once'),
  status: profileStatusSchema,
})

const CODE_ALPHABET = '0123456789ABCDEFGHJKMNPQRSTVWXYZ'
const CODE_LENGTH = 10
const HALF_CODE = CODE_LENGTH / 2
const CODE_PATTERN = new RegExp(`^[${CODE_ALPHABET}]{${CODE_LENGTH}}$`)

/** A code from random bytes (at least 10): each of 32 characters is equally likely. */
function createProfileCode(randomBytes: Uint8Array): string {
  let code = ''
  for (let i = 0; i < CODE_LENGTH; i++) code += CODE_ALPHABET[(randomBytes[i] ?? 0) % CODE_ALPHABET.length]
  return code
}

/** As people read it: `K7QF9-M2X4T`. */
function printProfileCode(code: string): string {
  return `${code.slice(0, HALF_CODE)}-${code.slice(HALF_CODE)}`
}

/** A code as somebody typed it (small letters, O for 0, I and L for 1, hyphens), or null where it can be none. */
function parseProfileCode(typed: string): string | null {
  const code = typed.toUpperCase().replaceAll(/[\s-]/g, '').replaceAll('O', '0').replaceAll(/[IL]/g, '1')
  return CODE_PATTERN.test(code) ? code : null
}

const PROFILE_TOKEN_PATTERN = /^ghp\.(p[0-9a-z]{12})\.[A-Za-z0-9_-]{43}$/

/** The profile that a session's token is for, or null for text of another form. */
function parseProfileToken(token: string): { profileId: string } | null {
  const profileId = PROFILE_TOKEN_PATTERN.exec(token)?.[1]
  return profileId === undefined ? null : { profileId }
}

/** @param secret 32 random bytes in base64url, without padding */
function printProfileToken(profileId: string, secret: string): string {
  return ['ghp', profileId, secret].join('.')
}

export {
  createProfileCode,
  createProfileResponseSchema,
  openProfileResponseSchema,
  parseProfileCode,
  parseProfileToken,
  printProfileCode,
  printProfileToken,
  type ProfileBackend,
  profileBackendNames,
  profileBackendSchema,
  type ProfileBatch,
  type ProfileBatchResponse,
  profileBatchResponseSchema,
  profileBatchSchema,
  type ProfileConditions,
  type ProfileRequest,
  type ProfileRequestInput,
  profileRequestSchema,
  type ProfileStatus,
  profileStatusSchema,
  type ProfileTable,
  profileTableName,
  profileTableSchema,
}
