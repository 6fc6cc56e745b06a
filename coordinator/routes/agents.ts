// What agents call: register, lease, heartbeat, release, submit; and the shards' pull and push.

import { createRoute, type OpenAPIHono } from '@hono/zod-openapi'
import type { Context } from 'hono'
import * as z from 'zod'
import {
  agentIdSchema,
  heartbeatResponseSchema,
  leaseIdSchema,
  leaseRefSchema,
  leaseRequestSchema,
  leaseResponseSchema,
  MAX_JSON_BYTES,
  MAX_SMALL_JSON_BYTES,
  MAX_WEIGHTS_BYTES,
  ProblemError,
  pullRequestSchema,
  type PushRight,
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
import { bodyOf, SAFETENSORS_TYPE, streamedBody } from './bodies.ts'
import { downloadAnswers, downloadHeaders, readDelivery, sendFile, uploadAnswers, uploadRequest } from './files.ts'
import { withProblems } from './problems.ts'
import { MAX_PUSH_RIGHT_CHARACTERS, readPushRight, signPushRight } from './push-rights.ts'
import { bearer, json } from './answers.ts'
import { searchParams } from './searches.ts'

const tags = ['agents']
const small = [ownSearchOnly, bodyOf('json', MAX_SMALL_JSON_BYTES)] as const
const large = [ownSearchOnly, bodyOf('json', MAX_JSON_BYTES)] as const
const body = <S extends z.ZodType>(schema: S) => ({ required: true, content: { 'application/json': { schema } } })
const safetensors = { [SAFETENSORS_TYPE]: { schema: { type: 'string' as const, format: 'binary', description: 'a safetensors file' } } }

const register = createRoute({
  method: 'post',
  path: '/v1/searches/{searchId}/agents',
  summary: 'Register an agent',
  tags,
  security: bearer,
  middleware: [...small, spokenProtocolOnly],
  request: { params: searchParams, body: body(registerRequestSchema) },
  responses: withProblems(
    { 201: json(registerResponseSchema, 'Registered') },
    'forbidden',
    'not-found',
    'dataset-mismatch',
    'version-mismatch',
    'too-large',
    'unsupported-media-type',
  ),
})

const lease = createRoute({
  method: 'post',
  path: '/v1/searches/{searchId}/lease',
  summary: 'Ask for a task',
  tags,
  security: bearer,
  middleware: [...small],
  request: { params: searchParams, body: body(leaseRequestSchema) },
  responses: withProblems(
    { 200: json(leaseResponseSchema, 'A task, or when to ask again, or that the search has ended') },
    'forbidden',
    'not-found',
    'conflict',
    'too-large',
    'unsupported-media-type',
  ),
})

const heartbeat = createRoute({
  method: 'post',
  path: '/v1/searches/{searchId}/heartbeat',
  summary: 'Extend a lease',
  tags,
  security: bearer,
  middleware: [...small],
  request: { params: searchParams, body: body(leaseRefSchema) },
  responses: withProblems(
    { 200: json(heartbeatResponseSchema, 'Whether the lease still holds') },
    'forbidden',
    'not-found',
    'too-large',
    'unsupported-media-type',
  ),
})

const release = createRoute({
  method: 'post',
  path: '/v1/searches/{searchId}/release',
  summary: 'Give a lease back',
  tags,
  security: bearer,
  middleware: [...small],
  request: { params: searchParams, body: body(releaseRequestSchema) },
  responses: withProblems(
    { 200: json(releaseResponseSchema, 'The task is handed out again') },
    'forbidden',
    'not-found',
    'too-large',
    'unsupported-media-type',
  ),
})

const submit = createRoute({
  method: 'post',
  path: '/v1/searches/{searchId}/results',
  summary: "Submit a task's result, after its differences were pushed",
  tags,
  security: bearer,
  middleware: [...large],
  request: { params: searchParams, body: body(submitRequestSchema) },
  responses: withProblems(
    { 200: json(submitResponseSchema, 'What became of it; never an error for being late') },
    'forbidden',
    'not-found',
    'bad-numbers',
    'too-large',
    'unsupported-media-type',
  ),
})

const taskParams = searchParams.extend({ taskId: z.coerce.number().int().min(1).max(Number.MAX_SAFE_INTEGER) })

const storeCheckpoint = createRoute({
  method: 'put',
  path: '/v1/searches/{searchId}/tasks/{taskId}/checkpoint',
  summary: 'A checkpoint of the trial that a task trains, or a part of one, in place of the last one',
  tags,
  security: bearer,
  middleware: [ownSearchOnly, bodyOf('safetensors', MAX_WEIGHTS_BYTES)] as const,
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
  middleware: ownSearchOnly,
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
  middleware: [...large],
  request: { params: shardParams, body: body(pullRequestSchema) },
  responses: withProblems(
    { 200: { description: 'safetensors; metadata `versions` is JSON', content: safetensors } },
    'forbidden',
    'not-found',
    'too-large',
    'unsupported-media-type',
  ),
})

const push = createRoute({
  method: 'post',
  path: '/v1/searches/{searchId}/weights/{shard}/push',
  summary: 'Differences that a task made to the weights of one shard',
  tags,
  security: bearer,
  middleware: [ownSearchOnly, streamedBody('safetensors', MAX_WEIGHTS_BYTES)] as const,
  request: {
    params: shardParams,
    query: z.object({ agentId: agentIdSchema, taskId: z.coerce.number().int().min(1).max(Number.MAX_SAFE_INTEGER) }),
    headers: z.object({
      'push-right': z
        .string()
        .max(MAX_PUSH_RIGHT_CHARACTERS)
        .optional()
        .describe('the `pushRight` of the task; left out, as agents of version 0.1.0 do, the search is asked for it'),
    }),
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

/** What the caller may push: what it shows, or, if it shows nothing, what the search says. Throws ProblemError `forbidden`. */
async function findPushRight(
  context: Context<RouteEnvironment>,
  pushed: Pick<PushRight, 'searchId' | 'agentId' | 'taskId'>,
  shown: string | undefined,
): Promise<PushRight | null> {
  const { ports } = context.var
  const caller = callerOf(context)
  if (shown === undefined) return unwrap(await ports.search(pushed.searchId).pushRight(caller, pushed.agentId, pushed.taskId))
  const right = await readPushRight(await ports.signer(), shown)
  const isOwn =
    right?.searchId === pushed.searchId &&
    right.agentId === pushed.agentId &&
    right.taskId === pushed.taskId &&
    (caller.kind === 'admin' || right.tokenId === caller.tokenId)
  if (isOwn) return right
  throw new ProblemError('forbidden', `this is no right to push differences of task ${pushed.taskId} of agent ${pushed.agentId}`, [
    { path: 'Push-Right', message: 'not that of this task, agent and token' },
  ])
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
    const { answer, right } = unwrap(await context.var.ports.search(searchId).lease(callerOf(context), agentId))
    if (answer.kind !== 'task' || !right) return context.json(answer, 200)
    const pushRight = await signPushRight(await context.var.ports.signer(), right)
    return context.json({ ...answer, task: { ...answer.task, pushRight } }, 200)
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
    const length = context.req.header('Content-Length')
    const bytes = length === undefined ? null : Number(length)
    const shown = context.req.valid('header')['push-right']
    const right = await findPushRight(context, { searchId, agentId, taskId }, shown)
    const file = context.req.raw.body ?? emptyBody()
    const outcome = await context.var.ports.shard(searchId, shard).push(callerOf(context), right, file, bytes)
    if (!outcome.ok && outcome.refusal.code === 'bad-numbers') await context.var.ports.search(searchId).countRefusedPush(agentId)
    if (outcome.ok && outcome.value.clipped) await context.var.ports.search(searchId).countClipped(agentId, taskId)
    return context.json(unwrap(outcome), 200)
  })
}

export { addAgentRoutes }
