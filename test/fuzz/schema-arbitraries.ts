// Values that fit a schema of the OpenAPI document, and values that nearly do.

import fc from 'fast-check'
import * as z from 'zod'

/** What is used of JSON Schema by the document. */
const schemaSchema = z.looseObject({
  $ref: z.string().optional(),
  const: z.unknown().optional(),
  enum: z.array(z.unknown()).optional(),
  type: z.union([z.string(), z.array(z.string())]).optional(),
  pattern: z.string().optional(),
  minLength: z.number().optional(),
  maxLength: z.number().optional(),
  minimum: z.number().optional(),
  maximum: z.number().optional(),
  exclusiveMinimum: z.number().optional(),
  minItems: z.number().optional(),
  maxItems: z.number().optional(),
  required: z.array(z.string()).optional(),
  get anyOf() {
    return z.array(schemaSchema).optional()
  },
  get oneOf() {
    return z.array(schemaSchema).optional()
  },
  get allOf() {
    return z.array(schemaSchema).optional()
  },
  get items() {
    return schemaSchema.optional()
  },
  get prefixItems() {
    return z.array(schemaSchema).optional()
  },
  get properties() {
    return z.record(z.string(), schemaSchema).optional()
  },
  get additionalProperties() {
    return z.union([z.boolean(), schemaSchema]).optional()
  },
})
type Schema = z.infer<typeof schemaSchema>
type Components = Readonly<Record<string, Schema>>

/** Deeper than this, optional parts are left out. */
const MAX_DEPTH = 6
const MAX_ITEMS = 3
const MAX_TEXT = 30

/** Stands for an id of the scene, `<a>` for that of an agent; the sender puts it in. */
const marker = (prefix: string) => `<${prefix}>`
const ID_PATTERN = /^\^([a-z])\[0-9a-z\]\{12\}\$$/

function textOf({ pattern, minLength = 0, maxLength = MAX_TEXT }: Schema): fc.Arbitrary<string> {
  const prefix = pattern === undefined ? undefined : ID_PATTERN.exec(pattern)?.[1]
  if (prefix !== undefined)
    return fc.oneof({ weight: 9, arbitrary: fc.constant(marker(prefix)) }, fc.constant(`${prefix}${'0'.repeat(12)}`))
  if (pattern !== undefined) {
    try {
      return fc.stringMatching(new RegExp(pattern))
    } catch {
      // Not every pattern can be turned round; what comes instead is refused.
    }
  }
  return fc.string({ minLength, maxLength: Math.min(maxLength, Math.max(minLength, MAX_TEXT)) })
}

function numberOf({ type, minimum, maximum, exclusiveMinimum }: Schema): fc.Arbitrary<number> {
  const min = minimum ?? exclusiveMinimum ?? -1e6
  const max = Math.max(min, maximum ?? min + 1e6)
  const small = fc.integer({ min: Math.ceil(min), max: Math.floor(Math.max(Math.ceil(min), Math.min(max, min + 20))) })
  if (type === 'integer') return fc.oneof(small, fc.constantFrom(Math.ceil(min), Math.floor(max)))
  return fc.oneof(small, fc.double({ min, max, noNaN: true }))
}

function objectOf(schema: Schema, components: Components, depth: number): fc.Arbitrary<Record<string, unknown>> {
  const { properties = {}, required = [], additionalProperties } = schema
  const known = Object.fromEntries(
    Object.entries(properties)
      .filter(([key]) => depth < MAX_DEPTH || required.includes(key))
      .map(([key, of]) => [key, arbitraryOf(of, components, depth + 1)]),
  )
  const record = fc.record(known, { requiredKeys: required.filter((key) => key in known) })
  if (typeof additionalProperties !== 'object' || Object.keys(properties).length > 0) return record
  return fc.dictionary(fc.string({ minLength: 1, maxLength: MAX_TEXT }), arbitraryOf(additionalProperties, components, depth + 1), {
    maxKeys: MAX_ITEMS,
  })
}

/** Values of a schema. What the document cannot say of it, refinements, they may break. */
function arbitraryOf(schema: Schema, components: Components, depth = 0): fc.Arbitrary<unknown> {
  if (schema.$ref !== undefined) {
    const name = schema.$ref.split('/').at(-1) ?? ''
    return arbitraryOf(components[name] as Schema, components, depth)
  }
  if ('const' in schema) return fc.constant(schema.const)
  if (schema.enum) return fc.constantFrom(...schema.enum)
  const branches = schema.anyOf ?? schema.oneOf ?? schema.allOf
  if (branches) return fc.oneof(...branches.map((branch) => arbitraryOf(branch, components, depth)))
  if (Array.isArray(schema.type)) return fc.oneof(...schema.type.map((type) => arbitraryOf({ ...schema, type }, components, depth)))
  switch (schema.type) {
    case 'object':
      return objectOf(schema, components, depth)
    case 'array': {
      if (schema.prefixItems) return fc.tuple(...schema.prefixItems.map((item) => arbitraryOf(item, components, depth + 1)))
      const { minItems: minLength = 0, maxItems = MAX_ITEMS } = schema
      const item = schema.items ? arbitraryOf(schema.items, components, depth + 1) : fc.jsonValue()
      return fc.array(item, { minLength, maxLength: Math.max(minLength, Math.min(maxItems, MAX_ITEMS)) })
    }
    case 'string':
      return textOf(schema)
    case 'integer':
    case 'number':
      return numberOf(schema)
    case 'boolean':
      return fc.boolean()
    case 'null':
      return fc.constant(null)
    default:
      return fc.jsonValue()
  }
}

/** What people who mean ill put where something else belongs. */
const hostileValue: fc.Arbitrary<unknown> = fc.oneof(
  fc.constantFrom<unknown>(
    null,
    true,
    '',
    -1,
    0,
    2 ** 53,
    1e308,
    -0,
    [],
    {},
    '\u0000',
    '\uD800',
    '__proto__',
    '../../x',
    "'; DROP TABLE search; --",
  ),
  fc.constant('x'.repeat(5000)),
  fc.constant(JSON.parse('{"__proto__": {"admin": true}, "constructor": 1}') as unknown),
  fc.jsonValue(),
)

/** Where a value is changed, `at` counting its members, and how. */
type Mutation = { readonly at: number; readonly how: 'replace' | 'remove' | 'add'; readonly value: unknown }

const mutation: fc.Arbitrary<Mutation> = fc.record({
  at: fc.nat({ max: 40 }),
  how: fc.constantFrom('replace', 'remove', 'add'),
  value: hostileValue,
})

/** A copy with one change. */
function mutated(value: unknown, { at, how, value: other }: Mutation): unknown {
  const root = { root: structuredClone(value) } as Record<string, unknown>
  const places: [Record<string, unknown>, string][] = []
  const visit = (holder: Record<string, unknown>, key: string) => {
    places.push([holder, key])
    const member = holder[key]
    if (typeof member === 'object' && member !== null)
      for (const inner of Object.keys(member)) visit(member as Record<string, unknown>, inner)
  }
  visit(root, 'root')
  const [holder, key] = places[at % places.length] as [Record<string, unknown>, string]
  const member = holder[key]
  if (how === 'add' && typeof member === 'object' && member !== null) (member as Record<string, unknown>)['unknown'] = other
  else if (how === 'remove' && holder !== root && !Array.isArray(holder)) delete holder[key]
  else holder[key] = other
  return root['root']
}

export { arbitraryOf, type Components, hostileValue, mutated, type Mutation, mutation, type Schema, schemaSchema }
