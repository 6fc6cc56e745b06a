// Schemas of what is stored: apart from those of the wire, without defaults.

import { describe, expect, it } from 'vitest'
import * as z from 'zod'
import { profileRecordSchema, storedConditionsSchema } from '../../coordinator/objects/stored-profile.ts'
import { storedSummarySchema, storedTableSchema } from '../../coordinator/objects/stored-table.ts'
import { shardSetupSchema } from '../../coordinator/objects/stored-shard.ts'
import * as protocol from '../../protocol/index.ts'
import {
  agentRecordSchema,
  outstandingTaskSchema,
  searchSetupSchema,
  searchStateSchema,
  storedLogEntrySchema,
} from '../../rules/search/index.ts'
import { storedReportSchema, trainingSetupSchema, trainingStateSchema } from '../../rules/training/index.ts'
import { spaceConfigSchema, spaceRefSchema } from '../../search-space/index.ts'
import { readStored } from '../../rules/stored/stored-form.ts'

const stored = {
  agentRecordSchema,
  outstandingTaskSchema,
  profileRecordSchema,
  searchSetupSchema,
  searchStateSchema,
  shardSetupSchema,
  storedConditionsSchema,
  storedLogEntrySchema,
  storedReportSchema,
  storedSummarySchema,
  storedTableSchema,
  trainingSetupSchema,
  trainingStateSchema,
} satisfies Record<string, z.ZodType>

/** A schema and all that it is made of. */
function partsOf(schema: z.core.$ZodType, found = new Set<z.core.$ZodType>()): Set<z.core.$ZodType> {
  if (found.has(schema)) return found
  found.add(schema)
  const visit = (value: unknown): void => {
    if (value instanceof z.core.$ZodType) partsOf(value, found)
    else if (Array.isArray(value)) value.forEach(visit)
    else if (typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype)
      Object.values(value).forEach(visit)
  }
  Object.values(schema._zod.def).forEach(visit)
  return found
}

const wire = [...Object.values(protocol), spaceConfigSchema, spaceRefSchema].filter((value) => value instanceof z.core.$ZodType)
const wireParts = new Set(wire.flatMap((schema) => [...partsOf(schema)]))

describe.each(Object.entries(stored))('%s', (_, schema) => {
  it('has no default: it would be a migration without a number', () => {
    const kinds = [...partsOf(schema)].map((part) => part._zod.def.type)
    expect(kinds.length).toBeGreaterThan(3)
    expect(kinds.filter((kind) => ['default', 'prefault', 'catch', 'transform', 'pipe'].includes(kind))).toEqual([])
  })

  it('has no part of the wire, which may change by itself', () => {
    expect([...partsOf(schema)].filter((part) => wireParts.has(part))).toEqual([])
  })

  it('refuses a field that it does not know, and names it', () => {
    expect(() => readStored(schema, '{"mood":"good"}', 'the row')).toThrow(/^the row cannot be read by version .+: .+/)
    expect(() => readStored(schema, '{', 'the row')).toThrow('it is not JSON')
  })
})

it('what the wire has is looked at: its schemas have defaults, and parts in common', () => {
  expect(wire.length).toBeGreaterThan(20)
  expect([...wireParts].some((part) => part._zod.def.type === 'default')).toBe(true)
})
