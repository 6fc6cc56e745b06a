// Trainings from scratch: for people and scripts create, list, read, command, delete and fetch the network; for agents lease,
// heartbeat, checkpoint and finish.

import { createRoute, type OpenAPIHono } from '@hono/zod-openapi'
import * as z from 'zod'
import {
  createId,
  createTrainingResponseSchema,
  heartbeatResponseSchema,
  MAX_JSON_BYTES,
  MAX_SMALL_JSON_BYTES,
  MAX_WEIGHTS_BYTES,
  releaseResponseSchema,
  trainingHeartbeatSchema,
  trainingInputSchema,
  trainingIdSchema,
  trainingLeaseRequestSchema,
  trainingLeaseResponseSchema,
  trainingPhaseSchema,
  trainingReleaseSchema,
  trainingSpecSchema,
  trainingStatusSchema,
  trainingSummarySchema,
  trainingUploadQuerySchema,
  unreadableField,
  unwrap,
} from '../../protocol/index.ts'
import { adminOnly, callerOf, ownTrainingOnly, type RouteEnvironment, spokenProtocolOnly } from './auth.ts'
import { bearer, json } from './answers.ts'
import { bodyOf } from './bodies.ts'
import { downloadAnswers, downloadHeaders, readDelivery, sendFile, uploadAnswers, uploadRequest } from './files.ts'
import { enlist, pageQuery, readList } from './lists.ts'
import { withProblems } from './problems.ts'
import { issueAgentToken } from './tokens.ts'

const ID_BYTES = 12
const tags = ['trainings']
const params = z.object({ trainingId: trainingIdSchema })
const body = <S extends z.ZodType>(schema: S) => ({ required: true, content: { 'application/json': { schema } } })
const smallJson = bodyOf('json', MAX_SMALL_JSON_BYTES)
const file = bodyOf('safetensors', MAX_WEIGHTS_BYTES)
const upload = { params, query: trainingUploadQuerySchema, ...uploadRequest }
const download = { params, headers: downloadHeaders }

const createTraining = createRoute({
  method: 'post',
  path: '/v1/trainings',
  summary: 'Create a training from scratch, for agents to do',
  tags,
  security: bearer,
  middleware: [adminOnly, bodyOf('json', MAX_JSON_BYTES)] as const,
  request: { body: body(trainingSpecSchema) },
  responses: withProblems(
    { 201: json(createTrainingResponseSchema, 'Created; agents may start') },
    'forbidden',
    'too-large',
    'unsupported-media-type',
  ),
})

const listTrainings = createRoute({
  method: 'get',
  path: '/v1/trainings',
  summary: 'List trainings, newest first',
  tags,
  security: bearer,
  middleware: adminOnly,
  request: {
    query: pageQuery('trainings'),
  },
  responses: withProblems(
    { 200: json(z.object({ trainings: z.array(trainingSummarySchema), unreadable: unreadableField }), 'The trainings') },
    'forbidden',
  ),
})

const readTraining = createRoute({
  method: 'get',
  path: '/v1/trainings/{trainingId}',
  summary: 'Status of a training',
  tags,
  security: bearer,
  middleware: ownTrainingOnly,
  request: { params },
  responses: withProblems({ 200: json(trainingStatusSchema, 'The status') }, 'forbidden', 'not-found'),
})

const commandRoute = (command: 'pause' | 'resume' | 'stop', summary: string) =>
  createRoute({
    method: 'post',
    path: `/v1/trainings/{trainingId}/${command}`,
    summary,
    tags,
    security: bearer,
    middleware: adminOnly,
    request: { params },
    responses: withProblems(
      { 200: json(z.object({ phase: trainingPhaseSchema }), 'The phase it is in now') },
      'forbidden',
      'not-found',
      'conflict',
    ),
  })
const commandRoutes = {
  pause: commandRoute('pause', 'Hand the training out no more until resumed; who has it goes on to its next checkpoint'),
  resume: commandRoute('resume', 'Go on after a pause, or from the last checkpoint after a stop or a divergence'),
  stop: commandRoute('stop', 'End the training where it is; its checkpoint stays'),
}

const deleteTraining = createRoute({
  method: 'delete',
  path: '/v1/trainings/{trainingId}',
  summary: 'Delete a training with its checkpoint and its network',
  tags,
  security: bearer,
  middleware: adminOnly,
  request: { params },
  responses: withProblems({ 204: { description: 'Deleted' } }, 'forbidden', 'not-found'),
})

const readModel = createRoute({
  method: 'get',
  path: '/v1/trainings/{trainingId}/model',
  summary: 'The trained network: weights and running statistics',
  tags,
  security: bearer,
  middleware: ownTrainingOnly,
  request: download,
  responses: downloadAnswers(),
})

const lease = createRoute({
  method: 'post',
  path: '/v1/trainings/{trainingId}/lease',
  summary: 'Ask for the training: one agent at a time has it',
  tags,
  security: bearer,
  middleware: [ownTrainingOnly, smallJson, spokenProtocolOnly] as const,
  request: { params, body: body(trainingLeaseRequestSchema) },
  responses: withProblems(
    { 200: json(trainingLeaseResponseSchema, 'The lease, or when to ask again, or that the training has ended') },
    'forbidden',
    'not-found',
    'dataset-mismatch',
    'version-mismatch',
    'conflict',
    'too-large',
    'unsupported-media-type',
  ),
})

const heartbeat = createRoute({
  method: 'post',
  path: '/v1/trainings/{trainingId}/heartbeat',
  summary: 'Extend the lease, and say how far the training is',
  tags,
  security: bearer,
  middleware: [ownTrainingOnly, smallJson] as const,
  request: { params, body: body(trainingHeartbeatSchema) },
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
  path: '/v1/trainings/{trainingId}/release',
  summary: 'Give the lease back',
  tags,
  security: bearer,
  middleware: [ownTrainingOnly, smallJson] as const,
  request: { params, body: body(trainingReleaseSchema) },
  responses: withProblems(
    { 200: json(releaseResponseSchema, 'The next agent that asks gets it') },
    'forbidden',
    'not-found',
    'too-large',
    'unsupported-media-type',
  ),
})

const readCheckpoint = createRoute({
  method: 'get',
  path: '/v1/trainings/{trainingId}/checkpoint',
  summary: 'The last checkpoint, to go on from',
  tags,
  security: bearer,
  middleware: ownTrainingOnly,
  request: download,
  responses: downloadAnswers(),
})

const storeCheckpoint = createRoute({
  method: 'put',
  path: '/v1/trainings/{trainingId}/checkpoint',
  summary: 'A checkpoint, or a part of one, in place of the last one',
  tags,
  security: bearer,
  middleware: [ownTrainingOnly, file] as const,
  request: upload,
  responses: uploadAnswers(),
})

const inputParams = params.extend({ input: trainingInputSchema })

const storeInput = createRoute({
  method: 'put',
  path: '/v1/trainings/{trainingId}/inputs/{input}',
  summary: 'A file that the training begins with, or a part of it',
  tags,
  security: bearer,
  middleware: [adminOnly, file] as const,
  request: { ...upload, params: inputParams, query: trainingUploadQuerySchema.omit({ leaseId: true }) },
  responses: uploadAnswers(),
})

const readInput = createRoute({
  method: 'get',
  path: '/v1/trainings/{trainingId}/inputs/{input}',
  summary: 'A file that the training begins with',
  tags,
  security: bearer,
  middleware: ownTrainingOnly,
  request: { ...download, params: inputParams },
  responses: downloadAnswers(),
})

const finish = createRoute({
  method: 'post',
  path: '/v1/trainings/{trainingId}/finish',
  summary: 'The result and the trained network, or a part of them',
  tags,
  security: bearer,
  middleware: [ownTrainingOnly, file] as const,
  request: upload,
  responses: uploadAnswers(),
})

function addTrainingRoutes(app: OpenAPIHono<RouteEnvironment>): void {
  app.openapi(createTraining, async (context) => {
    const { ports } = context.var
    const trainingId = createId('r', crypto.getRandomValues(new Uint8Array(ID_BYTES)))
    const { token, record } = await issueAgentToken(await ports.signer(), trainingId, 'first')
    const { parameters, checkpointBytes } = await enlist(ports.trainings, trainingId, record.createdAtMs, () =>
      ports.training(trainingId).create(trainingId, context.req.valid('json'), record),
    )
    return context.json({ trainingId, agentToken: token, tokenId: record.tokenId, parameters, checkpointBytes }, 201)
  })

  app.openapi(listTrainings, async (context) => {
    const { ports } = context.var
    const { members, unreadable } = await readList(ports.trainings, context.req.valid('query'), (id) => ports.training(id).summary())
    return context.json({ trainings: members, unreadable }, 200)
  })

  app.openapi(readTraining, async (context) => {
    const { trainingId } = context.req.valid('param')
    return context.json(unwrap(await context.var.ports.training(trainingId).status(callerOf(context))), 200)
  })

  for (const command of ['pause', 'resume', 'stop'] as const) {
    app.openapi(commandRoutes[command], async (context) => {
      const { trainingId } = context.req.valid('param')
      return context.json({ phase: unwrap(await context.var.ports.training(trainingId).command(command)) }, 200)
    })
  }

  app.openapi(deleteTraining, async (context) => {
    const { trainingId } = context.req.valid('param')
    const outcome = await context.var.ports.training(trainingId).destroy()
    // Also where there is no training any more: a deletion cut short here can be repeated.
    unwrap(await context.var.ports.trainings.remove(trainingId))
    unwrap(outcome)
    return context.body(null, 204)
  })

  app.openapi(readModel, async (context) => {
    const { trainingId } = context.req.valid('param')
    const { range } = context.req.valid('header')
    return sendFile(range, (begin) => context.var.ports.training(trainingId).readFile(callerOf(context), 'model', begin))
  })

  app.openapi(lease, async (context) => {
    const { trainingId } = context.req.valid('param')
    return context.json(unwrap(await context.var.ports.training(trainingId).lease(callerOf(context), context.req.valid('json'))), 200)
  })

  app.openapi(heartbeat, async (context) => {
    const { trainingId } = context.req.valid('param')
    return context.json(unwrap(await context.var.ports.training(trainingId).heartbeat(callerOf(context), context.req.valid('json'))), 200)
  })

  app.openapi(release, async (context) => {
    const { trainingId } = context.req.valid('param')
    return context.json(unwrap(await context.var.ports.training(trainingId).release(callerOf(context), context.req.valid('json'))), 200)
  })

  app.openapi(readCheckpoint, async (context) => {
    const { trainingId } = context.req.valid('param')
    const { range } = context.req.valid('header')
    return sendFile(range, (begin) => context.var.ports.training(trainingId).readFile(callerOf(context), 'checkpoint', begin))
  })

  app.openapi(storeCheckpoint, async (context) => {
    const { trainingId } = context.req.valid('param')
    const { leaseId, upload: uploadId } = context.req.valid('query')
    const delivery = await readDelivery(context.req, uploadId)
    return context.json(unwrap(await context.var.ports.training(trainingId).storeCheckpoint(callerOf(context), leaseId, delivery)), 200)
  })

  app.openapi(storeInput, async (context) => {
    const { trainingId, input } = context.req.valid('param')
    const delivery = await readDelivery(context.req, context.req.valid('query').upload)
    return context.json(unwrap(await context.var.ports.training(trainingId).storeInput(input, delivery)), 200)
  })

  app.openapi(readInput, async (context) => {
    const { trainingId, input } = context.req.valid('param')
    const { range } = context.req.valid('header')
    return sendFile(range, (begin) => context.var.ports.training(trainingId).readFile(callerOf(context), input, begin))
  })

  app.openapi(finish, async (context) => {
    const { trainingId } = context.req.valid('param')
    const { leaseId, upload: uploadId } = context.req.valid('query')
    const delivery = await readDelivery(context.req, uploadId)
    return context.json(unwrap(await context.var.ports.training(trainingId).finish(callerOf(context), leaseId, delivery)), 200)
  })
}

export { addTrainingRoutes }
