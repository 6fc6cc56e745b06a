// What agents call: register, lease, heartbeat, release, submit; and the shards' pull and push.

import { createRoute, type OpenAPIHono } from '@hono/zod-openapi'
import * as z from 'zod'
import {
  agentIdSchema,
  heartbeatResponseSchema,
  leaseIdSchema,
  leaseRefSchema,
  leaseRequestSchema,
  leaseResponseSchema,
  MAX_WEIGHTS_BYTES,
  ProblemError,
  pullRequestSchema,
  pushResponseSchema,
  registerRequestSchema,
  registerResponseSchema,
  releaseRequestSchema,
  releaseResponseSchema,
  submitRequestSchema,
  submitResponseSchema,
  uploadIdSchema,
  unwrap,
} from '../../protocol/index.ts'
import { callerOf, ownSearchOnly, type RouteEnvironment, spokenProtocolOnly } from './auth.ts'
import { downloadAnswers, downloadHeaders, readDelivery, sendFile, uploadAnswers, uploadRequest } from './files.ts'
import { withProblems } from './problems.ts'
import { bearer, json, searchParams } from './searches.ts'

const SAFETENSORS_TYPE = 'application/octet-stream'
const tags = ['agents']
const middleware = ownSearchOnly
const body = <S extends z.ZodType>(schema: S) => ({ required: true, content: { 'application/json': { schema } } })
const safetensors = { [SAFETENSORS_TYPE]: { schema: { type: 'string' as const, format: 'binary', description: 'a safetensors file' } } }

const register = createRoute({
  method: 'post',
  path: '/v1/searches/{searchId}/agents',
  summary: 'Register an agent',
  tags,
  security: bearer,
  middleware: [ownSearchOnly, spokenProtocolOnly] as const,
  request: { params: searchParams, body: body(registerRequestSchema) },
  responses: withProblems(
    { 201: json(registerResponseSchema, 'Registered') },
    'forbidden',
    'not-found',
    'dataset-mismatch',
    'version-mismatch',
  ),
})

const lease = createRoute({
  method: 'post',
  path: '/v1/searches/{searchId}/lease',
  summary: 'Ask for a task',
  tags,
  security: bearer,
  middleware,
  request: { params: searchParams, body: body(leaseRequestSchema) },
  responses: withProblems(
    { 200: json(leaseResponseSchema, 'A task, or when to ask again, or that the search has ended') },
    'forbidden',
    'not-found',
    'conflict',
  ),
})

const heartbeat = createRoute({
  method: 'post',
  path: '/v1/searches/{searchId}/heartbeat',
  summary: 'Extend a lease',
  tags,
  security: bearer,
  middleware,
  request: { params: searchParams, body: body(leaseRefSchema) },
  responses: withProblems({ 200: json(heartbeatResponseSchema, 'Whether the lease still holds') }, 'forbidden', 'not-found'),
})

const release = createRoute({
  method: 'post',
  path: '/v1/searches/{searchId}/release',
  summary: 'Give a lease back',
  tags,
  security: bearer,
  middleware,
  request: { params: searchParams, body: body(releaseRequestSchema) },
  responses: withProblems({ 200: json(releaseResponseSchema, 'The task is handed out again') }, 'forbidden', 'not-found'),
})

const submit = createRoute({
  method: 'post',
  path: '/v1/searches/{searchId}/results',
  summary: "Submit a task's result, after its differences were pushed",
  tags,
  security: bearer,
  middleware,
  request: { params: searchParams, body: body(submitRequestSchema) },
  responses: withProblems(
    { 200: json(submitResponseSchema, 'What became of it; never an error for being late') },
    'forbidden',
    'not-found',
    'bad-numbers',
  ),
})

const taskParams = searchParams.extend({ taskId: z.coerce.number().int().min(1).max(Number.MAX_SAFE_INTEGER) })

const storeCheckpoint = createRoute({
  method: 'put',
  path: '/v1/searches/{searchId}/tasks/{taskId}/checkpoint',
  summary: 'A checkpoint of the trial that a task trains, or a part of one, in place of the last one',
  tags,
  security: bearer,
  middleware,
  request: {
    params: taskParams,
    query: z.object({ agentId: agentIdSchema, leaseId: leaseIdSchema, upload: uploadIdSchema.optional() }),
    ...uploadRequest,
  },
  responses: uploadAnswers(),
})

const readCheckpoint = createRoute({
  method: 'get',
  path: '/v1/searches/{searchId}/tasks/{taskId}/checkpoint',
  summary: 'The checkpoint that a task goes on from',
  tags,
  security: bearer,
  middleware,
  request: { params: taskParams, headers: downloadHeaders },
  responses: downloadAnswers(),
})

const shardParams = searchParams.extend({ shard: z.coerce.number().int().min(0).max(65_535) })

const pull = createRoute({
  method: 'post',
  path: '/v1/searches/{searchId}/weights/{shard}/pull',
  summary: 'Weights of one shard that differ from the versions held',
  tags,
  security: bearer,
  middleware,
  request: { params: shardParams, body: body(pullRequestSchema) },
  responses: withProblems(
    { 200: { description: 'safetensors; metadata `versions` is JSON', content: safetensors } },
    'forbidden',
    'not-found',
  ),
})

const push = createRoute({
  method: 'post',
  path: '/v1/searches/{searchId}/weights/{shard}/push',
  summary: 'Differences that a task made to the weights of one shard',
  tags,
  security: bearer,
  middleware,
  request: {
    params: shardParams,
    query: z.object({ agentId: agentIdSchema, taskId: z.coerce.number().int().min(1).max(Number.MAX_SAFE_INTEGER) }),
    body: { required: true, content: safetensors },
  },
  responses: withProblems(
    { 200: json(pushResponseSchema, 'Applied, or known already') },
    'forbidden',
    'not-found',
    'bad-numbers',
    'too-large',
    'unsupported-media-type',
    'overloaded',
  ),
})

/** Paths whose bodies are checkpoints, or parts of them, of at most MAX_WEIGHTS_BYTES. */
function isTrialUpload(path: string): boolean {
  return /^\/v1\/searches\/[^/]+\/tasks\/[^/]+\/checkpoint$/.test(path)
}

/** Paths whose bodies are not held by the Worker. */
function isPush(path: string): boolean {
  return /^\/v1\/searches\/[^/]+\/weights\/[^/]+\/push$/.test(path)
}

/** A byte stream like that of a request with a body. */
function emptyBody(): ReadableStream<Uint8Array> {
  return new Blob([]).stream()
}

function addAgentRoutes(app: OpenAPIHono<RouteEnvironment>): void {
  app.openapi(register, async (context) => {
    const { searchId } = context.req.valid('param')
    return context.json(unwrap(await context.var.ports.search(searchId).register(callerOf(context), context.req.valid('json'))), 201)
  })

  app.openapi(lease, async (context) => {
    const { searchId } = context.req.valid('param')
    const { agentId } = context.req.valid('json')
    return context.json(unwrap(await context.var.ports.search(searchId).lease(callerOf(context), agentId)), 200)
  })

  app.openapi(heartbeat, async (context) => {
    const { searchId } = context.req.valid('param')
    return context.json(unwrap(await context.var.ports.search(searchId).heartbeat(callerOf(context), context.req.valid('json'))), 200)
  })

  app.openapi(release, async (context) => {
    const { searchId } = context.req.valid('param')
    return context.json(unwrap(await context.var.ports.search(searchId).release(callerOf(context), context.req.valid('json'))), 200)
  })

  app.openapi(submit, async (context) => {
    const { searchId } = context.req.valid('param')
    return context.json(unwrap(await context.var.ports.search(searchId).submit(callerOf(context), context.req.valid('json'))), 200)
  })

  app.openapi(storeCheckpoint, async (context) => {
    const { searchId, taskId } = context.req.valid('param')
    const { upload, ...holder } = context.req.valid('query')
    const delivery = await readDelivery(context.req, upload)
    return context.json(
      unwrap(await context.var.ports.search(searchId).storeCheckpoint(callerOf(context), { taskId, ...holder }, delivery)),
      200,
    )
  })

  app.openapi(readCheckpoint, async (context) => {
    const { searchId, taskId } = context.req.valid('param')
    const { range } = context.req.valid('header')
    return sendFile(range, (begin) => context.var.ports.search(searchId).readCheckpoint(callerOf(context), taskId, begin))
  })

  app.openapi(pull, async (context) => {
    const { searchId, shard } = context.req.valid('param')
    const file = unwrap(await context.var.ports.shard(searchId, shard).pull(callerOf(context), context.req.valid('json').held))
    return context.body(file, 200, { 'Content-Type': SAFETENSORS_TYPE })
  })

  app.openapi(push, async (context) => {
    const { searchId, shard } = context.req.valid('param')
    const { agentId, taskId } = context.req.valid('query')
    const type = context.req.header('Content-Type')?.split(';')[0]?.trim()
    if (type !== SAFETENSORS_TYPE) {
      throw new ProblemError('unsupported-media-type', `expected Content-Type ${SAFETENSORS_TYPE}, got ${type ?? 'none'}`)
    }
    const length = context.req.header('Content-Length')
    const bytes = length === undefined ? null : Number(length)
    if (bytes !== null && bytes > MAX_WEIGHTS_BYTES) throw new ProblemError('too-large', `expected at most ${MAX_WEIGHTS_BYTES} bytes`)
    const file = context.req.raw.body ?? emptyBody()
    const outcome = await context.var.ports.shard(searchId, shard).push(callerOf(context), taskId, file, bytes)
    if (!outcome.ok && outcome.refusal.code === 'bad-numbers') await context.var.ports.search(searchId).countRefusedPush(agentId)
    return context.json(unwrap(outcome), 200)
  })
}

export { addAgentRoutes, isPush, isTrialUpload }
