// Names of things on the wire. Searches and agents get random ids from the coordinator; tasks are numbered within a search.

import * as z from 'zod'

const searchIdSchema = z
  .string()
  .regex(/^s[0-9a-z]{12}$/, 'expected a search id such as s0123456789ab')
  .describe('id of a search')
const agentIdSchema = z
  .string()
  .regex(/^a[0-9a-z]{12}$/, 'expected an agent id such as a0123456789ab')
  .describe('id of an agent, given at registration')
const taskIdSchema = z.int().min(1).max(Number.MAX_SAFE_INTEGER).describe('number of a task within its search, from 1')
const leaseIdSchema = z
  .string()
  .regex(/^l[0-9a-z]{12}$/, 'expected a lease id such as l0123456789ab')
  .describe('id of one lease of a task')
const tokenIdSchema = z
  .string()
  .regex(/^t[0-9a-z]{12}$/, 'expected a token id such as t0123456789ab')
  .describe('id of an agent token')
const profileIdSchema = z
  .string()
  .regex(/^p[0-9a-z]{12}$/, 'expected a profile id such as p0123456789ab')
  .describe('id of a profile in a browser')
const trainingIdSchema = z
  .string()
  .regex(/^r[0-9a-z]{12}$/, 'expected a training id such as r0123456789ab')
  .describe('id of a training from scratch')

const uploadIdSchema = z
  .string()
  .regex(/^u[0-9a-z]{12}$/, 'expected an upload id such as u0123456789ab')
  .describe('made by the sender at random: the parts of one upload have the same')

const ID_ALPHABET = '0123456789abcdefghijklmnopqrstuvwxyz'
const ID_LENGTH = 12

/** An id from random bytes (at least 12). 36^12 is about 2^62, so two of them do not meet. */
function createId(prefix: 's' | 'r' | 'a' | 'l' | 't' | 'p' | 'u', randomBytes: Uint8Array): string {
  let id: string = prefix
  for (let i = 0; i < ID_LENGTH; i++) id += ID_ALPHABET[(randomBytes[i] ?? 0) % ID_ALPHABET.length]
  return id
}

export {
  agentIdSchema,
  createId,
  leaseIdSchema,
  profileIdSchema,
  searchIdSchema,
  taskIdSchema,
  tokenIdSchema,
  trainingIdSchema,
  uploadIdSchema,
}
