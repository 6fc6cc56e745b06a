// Requests to any route of the OpenAPI document: right ones, nearly right ones and hostile ones, as anybody may send them.

import fc from 'fast-check'
import * as z from 'zod'
import { arbitraryOf, type Components, hostileValue, mutated, mutation, type Schema, schemaSchema } from './schema-arbitraries.ts'

const parameterSchema = z.looseObject({ name: z.string(), in: z.enum(['path', 'query', 'header']), schema: schemaSchema })
const operationSchema = z.looseObject({
  parameters: z.array(parameterSchema).optional(),
  requestBody: z.looseObject({ content: z.record(z.string(), z.looseObject({ schema: schemaSchema })) }).optional(),
  responses: z.record(z.string(), z.unknown()),
})
const methods = ['get', 'post', 'put', 'delete', 'patch'] as const
const documentSchema = z.looseObject({
  paths: z.record(z.string(), z.partialRecord(z.enum(methods), operationSchema)),
  components: z.looseObject({ schemas: z.record(z.string(), schemaSchema) }),
})
type OpenApiDocument = z.infer<typeof documentSchema>
type Operation = z.infer<typeof operationSchema> & { readonly method: string; readonly path: string }

/** Who sends it. The scene has a good token for each, but for the last three. */
const senders = ['admin', 'agent', 'otherToken', 'otherSearch', 'trainer', 'profile', 'code', 'forged', 'garbage', 'nobody'] as const
type Sender = (typeof senders)[number]

/** `json` may have markers in it (schema-arbitraries.ts); `right`: what the scene knows as a good body for the operation. */
type Body =
  | { readonly kind: 'none' }
  | { readonly kind: 'json'; readonly value: unknown }
  | { readonly kind: 'right'; readonly change: ReturnType<typeof mutation.generate>['value'] | null }
  | { readonly kind: 'bytes'; readonly bytes: Uint8Array }
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'huge'; readonly bytes: number }

type FuzzRequest = {
  readonly operation: Operation
  readonly sender: Sender
  /** Of path, query and header, with markers in them. */
  readonly parameters: Readonly<Record<string, unknown>>
  readonly body: Body
  readonly contentType: string | null
}

const hostileTexts = ['{', '[', '"', 'null', '{"a":NaN}', '{"a":1e999}', `${'['.repeat(20_000)}`, '{"a":1,"a":2}', '\uFEFF{}', '<xml/>']

function operationsOf({ paths }: OpenApiDocument): Operation[] {
  return Object.entries(paths).flatMap(([path, operations]) =>
    methods.flatMap((method) => {
      const operation = operations[method]
      return operation ? [{ ...operation, method: method.toUpperCase(), path }] : []
    }),
  )
}

const hostileParameter = fc.oneof(
  fc.constantFrom('', '0', '-1', '1e400', '9007199254740993', '%00', '%ff', '..%2F..', 'a'.repeat(3000), '__proto__', 'NaN', ' '),
  fc.string({ maxLength: 20 }),
)

function parametersOf({ parameters = [] }: Operation, components: Components): fc.Arbitrary<Record<string, unknown>> {
  const values = parameters.map(({ name, schema }) => {
    const right = arbitraryOf(schema, components)
    return [name, fc.oneof({ weight: 12, arbitrary: right }, { weight: 1, arbitrary: hostileParameter })] as const
  })
  const needed = parameters.filter(({ in: place }) => place === 'path').map(({ name }) => name)
  return fc.record(Object.fromEntries(values), { requiredKeys: needed })
}

function bodyOf(schema: Schema | undefined, components: Components): fc.Arbitrary<Body> {
  const json = schema ? arbitraryOf(schema, components) : fc.jsonValue()
  const wrap = (value: fc.Arbitrary<unknown>) => value.map((made): Body => ({ kind: 'json', value: made }))
  return fc.oneof(
    { weight: 4, arbitrary: wrap(json) },
    { weight: 4, arbitrary: wrap(fc.tuple(json, mutation).map(([value, change]) => mutated(value, change))) },
    { weight: 4, arbitrary: fc.constant<Body>({ kind: 'right', change: null }) },
    { weight: 4, arbitrary: mutation.map((change): Body => ({ kind: 'right', change })) },
    { weight: 1, arbitrary: wrap(hostileValue) },
    { weight: 1, arbitrary: fc.constantFrom(...hostileTexts).map((text): Body => ({ kind: 'text', text })) },
    { weight: 1, arbitrary: fc.uint8Array({ maxLength: 200 }).map((bytes): Body => ({ kind: 'bytes', bytes })) },
    { weight: 1, arbitrary: fc.constant<Body>({ kind: 'none' }) },
  )
}

/** Who may most of what is under a path. */
function rightSenders(path: string): Sender[] {
  if (path.startsWith('/v1/searches/')) return ['admin', 'agent']
  if (path.startsWith('/v1/trainings/')) return ['admin', 'trainer']
  if (path.startsWith('/v1/profiles/')) return ['admin', 'profile']
  return path === '/v1/profile-sessions' ? ['code'] : ['admin']
}

/** What deletes ends most of what comes behind it. */
const DELETE_WEIGHT = 1
const OTHER_WEIGHT = 6

function arbitraryRequest(document: OpenApiDocument): fc.Arbitrary<FuzzRequest> {
  const components = document.components.schemas
  const operations = operationsOf(document).map((operation) => {
    const content = Object.entries(operation.requestBody?.content ?? {})[0]
    const body: fc.Arbitrary<Body> = operation.requestBody
      ? fc.oneof(
          { weight: 40, arbitrary: bodyOf(content?.[1].schema, components) },
          {
            weight: 1,
            arbitrary: fc.integer({ min: 5, max: 31 }).map((mebibytes): Body => ({ kind: 'huge', bytes: mebibytes * 1024 * 1024 })),
          },
        )
      : fc.constant({ kind: 'none' })
    const arbitrary: fc.Arbitrary<FuzzRequest> = fc.record({
      operation: fc.constant(operation),
      sender: fc.oneof({ weight: 3, arbitrary: fc.constantFrom(...rightSenders(operation.path)) }, fc.constantFrom(...senders)),
      parameters: parametersOf(operation, components),
      body,
      contentType: fc.oneof(
        { weight: 12, arbitrary: fc.constant(content?.[0] ?? 'application/json') },
        fc.constantFrom(null, 'text/plain', 'application/x-www-form-urlencoded', 'application/json; charset=utf-8', 'x'.repeat(500)),
      ),
    })
    return { weight: operation.method === 'DELETE' ? DELETE_WEIGHT : OTHER_WEIGHT, arbitrary }
  })
  return fc.oneof(...operations)
}

export { arbitraryRequest, type Body, documentSchema, type FuzzRequest, type OpenApiDocument, type Operation, type Sender }
