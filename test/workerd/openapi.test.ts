import packageFile from '../../package.json'
import { env } from 'cloudflare:workers'
import { describe, expect, it } from 'vitest'
import * as z from 'zod'
import { createApp } from '../../coordinator/routes/app.ts'
import type { Ports } from '../../coordinator/routes/ports.ts'
import { call, createTestSearch, expectJson, expectProblem, finishSearch, leaseTask, registerTestAgent } from './api.ts'

const METHODS = ['get', 'put', 'post', 'delete', 'patch'] as const

const contentSchema = z.looseObject({ schema: z.looseObject({}) })
const operationSchema = z.looseObject({
  summary: z.string().min(1),
  tags: z.array(z.string()).min(1),
  security: z.array(z.record(z.string(), z.array(z.string()))).optional(),
  responses: z.record(
    z.string(),
    z.looseObject({ description: z.string().min(1), content: z.record(z.string(), contentSchema).optional() }),
  ),
})
const documentSchema = z.looseObject({
  openapi: z.string().regex(/^3\.1\.\d+$/),
  info: z.looseObject({ title: z.string(), version: z.string() }),
  paths: z.record(z.string(), z.record(z.string(), operationSchema)),
  components: z.looseObject({
    schemas: z.record(z.string(), z.looseObject({})),
    securitySchemes: z.record(z.string(), z.looseObject({ type: z.literal('http'), scheme: z.literal('bearer') })),
  }),
})
type OpenApiDocument = z.infer<typeof documentSchema>

const readDocument = async () => documentSchema.parse(await expectJson(call('GET', '/openapi.json', { token: null })))

const operationsOf = (document: OpenApiDocument) =>
  Object.entries(document.paths).flatMap(([path, operations]) =>
    METHODS.flatMap((method) => (operations[method] ? [{ method, path, operation: operations[method] }] : [])),
  )

/** A path of the document with ids of nothing in it. */
const fill = (path: string) =>
  path
    .replace('{searchId}', 's000000000000')
    .replace('{tokenId}', 't000000000000')
    .replace('{profileId}', 'p000000000000')
    .replace('{code}', 'AAAAA-AAAAA')
    .replace('{backend}', 'wasm')
    .replace('{trainingId}', 'r000000000000')
    .replace('{shard}', '0')
    .replace('{version}', '0'.repeat(64))
    .replace('{name}', 'nothing')

describe('the OpenAPI document', () => {
  it('is OpenAPI 3.1, public, and every reference in it leads somewhere', async () => {
    const document = await readDocument()
    const references = [...JSON.stringify(document).matchAll(/"\$ref":"#\/components\/schemas\/([^"]+)"/g)].map(
      ([, name]) => name as string,
    )
    expect(references.length).toBeGreaterThan(20)
    for (const name of references) expect(Object.keys(document.components.schemas)).toContain(name)
  })

  it('has every route that there is, and there is every route that it has', async () => {
    const app = createApp(() => ({}) as Ports)
    const registered = app.routes
      .filter((route) => route.method !== 'ALL' && route.path !== '/openapi.json')
      .map((route) => `${route.method.toLowerCase()} ${route.path.replaceAll(/:([^/]+)/g, '{$1}')}`)
    const documented = operationsOf(await readDocument()).map(({ method, path }) => `${method} ${path}`)
    expect(documented.toSorted()).toEqual([...new Set(registered)].toSorted())
    expect(documented.length).toBeGreaterThanOrEqual(24)
  })

  it('says of everything under /v1 that it needs a token, and it does', async () => {
    for (const { method, path, operation } of operationsOf(await readDocument())) {
      const answer = await call(method.toUpperCase(), fill(path), { token: null })
      if (path.startsWith('/v1/') || path === '/metrics') {
        expect(operation.security).toEqual([{ bearer: [] }])
        expect(Object.keys(operation.responses)).toContain('401')
        await expectProblem(answer, 401)
      } else {
        expect(answer.status).toBe(path.startsWith('/profile/') ? 302 : 200)
      }
    }
  })

  it('names only what answers: no path of it is an unknown place, no method not allowed', async () => {
    for (const { method, path, operation } of operationsOf(await readDocument())) {
      const response = await call(method.toUpperCase(), fill(path))
      const text = await response.text()
      expect(response.status).toBeLessThan(500)
      expect(response.status).not.toBe(405)
      expect(text).not.toContain('there is nothing at')
      // What it answers for ids of nothing is documented too, but for bodies that are not sent here.
      if (response.status !== 415) expect(Object.keys(operation.responses)).toContain(String(response.status))
    }
  })

  it('describes the answers: what comes back fits its schema', async () => {
    const document = await readDocument()
    const search = await createTestSearch({ tableName: 'documented' })
    const agentId = await registerTestAgent(search)
    const lease = await expectJson(call('POST', `${search.path}/lease`, { token: search.agentToken, json: { agentId } }))
    /** The schema of the document itself, read back into zod. */
    const schemaOf = (method: (typeof METHODS)[number], path: string, status = '200', type = 'application/json') => {
      const schema = document.paths[path]?.[method]?.responses[status]?.content?.[type]?.schema
      if (!schema) throw new Error(`expected a schema for ${method} ${path} ${status}`)
      const definitions = JSON.parse(JSON.stringify(document.components.schemas).replaceAll('#/components/schemas/', '#/$defs/')) as object
      const root = JSON.parse(JSON.stringify(schema).replaceAll('#/components/schemas/', '#/$defs/')) as object
      return z.fromJSONSchema({ ...root, $defs: definitions } as z.core.JSONSchema.JSONSchema)
    }
    const leaseSchema = schemaOf('post', '/v1/searches/{searchId}/lease')
    expect(leaseSchema.safeParse(lease).error).toBeUndefined()
    expect(leaseSchema.safeParse({ kind: 'task', task: {} }).success).toBe(false)
    await leaseTask(search, agentId)

    await call('POST', `${search.path}/stop`)
    for (const [path, url] of [
      ['/v1/searches/{searchId}', search.path],
      ['/v1/searches/{searchId}/architecture', `${search.path}/architecture`],
      ['/v1/searches/{searchId}/metrics', `${search.path}/metrics`],
      ['/v1/searches/{searchId}/log', `${search.path}/log`],
      ['/v1/searches/{searchId}/tokens', `${search.path}/tokens`],
      ['/v1/searches', '/v1/searches'],
      ['/v1/latency-tables', '/v1/latency-tables'],
      ['/v1/profiles', '/v1/profiles'],
      ['/v1/latency-tables/{name}', '/v1/latency-tables/documented'],
      ['/health', '/health'],
    ] as const) {
      const schema = schemaOf('get', path)
      expect(schema.safeParse(await expectJson(call('GET', url))).error, path).toBeUndefined()
      expect(schema.safeParse({}).success, path).toBe(false)
    }
    const problem: unknown = await (await call('GET', '/v1/searches/s000000000000')).json()
    expect(schemaOf('get', '/v1/searches/{searchId}', '404', 'application/problem+json').safeParse(problem).error).toBeUndefined()
  })

  it('describes a finished search too', async () => {
    const search = await createTestSearch({ steps: 6 })
    await finishSearch(search, await registerTestAgent(search))
    const document = await readDocument()
    expect(document.components.schemas).toHaveProperty('SearchStatus')
    expect(env.ADMIN_TOKEN).not.toBe('')
    expect(JSON.stringify(document)).not.toContain(env.ADMIN_TOKEN)
  })
})

describe('the health check', () => {
  it('needs no token', async () => {
    expect(await expectJson(call('GET', '/health', { token: null }))).toEqual({
      status: 'ok',
      version: packageFile.version,
      protocols: [0, 1],
    })
  })
})
