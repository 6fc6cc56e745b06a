// Calls to the Worker under test over HTTP, and searches made through it: nothing here goes round the routes.

import { env, exports } from 'cloudflare:workers'
import { expect } from 'vitest'
import {
  type Architecture,
  createSearchResponseSchema,
  decodeSafetensors,
  type Dtype,
  encodeSafetensors,
  leaseResponseSchema,
  logEntrySchema,
  planShards,
  printOptions,
  type Problem,
  problemSchema,
  type PushResponse,
  pushResponseSchema,
  registerResponseSchema,
  type SearchConfig,
  searchConfigSchema,
  searchStatusSchema,
  type SubmitResponse,
  submitResponseSchema,
  type Task,
  type TaskResult,
  unwrap,
  weightKeyOf,
} from '../../protocol/index.ts'
import { directoryNames } from '../../coordinator/objects/directory-object.ts'
import { signPushRight } from '../../coordinator/routes/push-rights.ts'
import { createSigner, type Signer } from '../../coordinator/routes/signatures.ts'
import { shardName } from '../../coordinator/objects/shards.ts'
import { createSpace, elementCount, type Space } from '../../search-space/index.ts'
import { answerWork, makeConfigInput, makeRegistration, makeTable, resultsOf, type SearchOptions } from '../fixtures/searches.ts'

const ADMIN_TOKEN = 'admin-token-of-the-tests-0123456789'
const ORIGIN = 'http://gatehouse'

type CallOptions = { token?: string | null; json?: unknown; body?: BodyInit; type?: string; headers?: Record<string, string> }

/** One request; by default with the admin token. */
async function call(method: string, path: string, options: CallOptions = {}): Promise<Response> {
  const {
    token = ADMIN_TOKEN,
    json,
    body = json === undefined ? undefined : JSON.stringify(json),
    type = json === undefined ? undefined : 'application/json',
  } = options
  const headers = new Headers(options.headers)
  if (token !== null) headers.set('Authorization', `Bearer ${token}`)
  if (type !== undefined) headers.set('Content-Type', type)
  return exports.default.fetch(new Request(`${ORIGIN}${path}`, { method, headers, body, redirect: 'manual' }))
}

/** The JSON of an answer that has this status. */
async function expectJson(response: Promise<Response> | Response, status = 200): Promise<unknown> {
  const answer = await response
  const text = await answer.text()
  expect(`${answer.status} ${answer.status === status ? '' : text}`).toBe(`${status} `)
  return JSON.parse(text)
}

/** The problem document of a refusal, checked for everything that every one of them must have. */
async function expectProblem(response: Promise<Response> | Response, status: number, code?: string): Promise<Problem> {
  const answer = await response
  const text = await answer.text()
  expect(`${answer.status} ${answer.status === status ? '' : text}`).toBe(`${status} `)
  expect(answer.headers.get('Content-Type')).toBe('application/problem+json')
  const problem = problemSchema.strict().parse(JSON.parse(text))
  expect(problem.status).toBe(status)
  expect(problem.type).toBe(`urn:gatehouse:problem:${problem.code}`)
  expect(problem.detail).not.toBe('')
  expect(problem.detail).not.toMatch(/\n\s+at |node_modules|\.ts:/)
  if (status === 401) expect(answer.headers.get('WWW-Authenticate')).toMatch(/^Bearer/)
  if (code !== undefined) expect(problem.code).toBe(code)
  return problem
}

type TestSearch = {
  readonly searchId: string
  readonly agentToken: string
  readonly tokenId: string
  readonly path: string
  readonly config: SearchConfig
  readonly space: Space
  readonly shards: number
  readonly shardOf: ReadonlyMap<string, number>
}

/** Publishes a table that covers the space, under a name that follows from the options. */
async function publishTableFor(options: SearchOptions): Promise<void> {
  const config = searchConfigSchema.parse(makeConfigInput(options))
  await expectJson(
    call('POST', '/v1/latency-tables', { json: makeTable(createSpace(config.space), { name: config.latency.table.name }) }),
    201,
  )
}

let tables = 0

async function createTestSearch(options: SearchOptions = {}): Promise<TestSearch> {
  tables += 1
  // A minute, so that no lease ends by itself on a slow machine; tests about leases say otherwise.
  const named = { tableName: `table-${tables}`, ...options, tasks: { leaseMs: 60_000, ...options.tasks } }
  await publishTableFor(named)
  const input = makeConfigInput(named)
  const created = createSearchResponseSchema.strict().parse(await expectJson(call('POST', '/v1/searches', { json: input }), 201))
  const config = searchConfigSchema.parse(input)
  const space = createSpace(config.space)
  const { count, shardOf } = planShards(space, config.weights.shardBytes)
  return { ...created, path: `/v1/searches/${created.searchId}`, config, space, shards: count, shardOf }
}

async function registerTestAgent(search: TestSearch, name = 'agent'): Promise<string> {
  const response = call('POST', `${search.path}/agents`, { token: search.agentToken, json: makeRegistration(search.space, { name }) })
  return registerResponseSchema.parse(await expectJson(response, 201)).agentId
}

async function leaseTask(search: TestSearch, agentId: string): Promise<Task> {
  const answer = leaseResponseSchema.parse(
    await expectJson(call('POST', `${search.path}/lease`, { token: search.agentToken, json: { agentId } })),
  )
  if (answer.kind !== 'task') throw new Error(`expected a task, got ${answer.kind}`)
  return answer.task
}

function submission(
  search: TestSearch,
  agentId: string,
  task: Task,
  result: TaskResult = answerWork(task.work, search.space, task.taskId),
) {
  return { agentId, taskId: task.taskId, leaseId: task.leaseId, result, timing: { trainMs: 10, idleMs: 1 } }
}

async function submitTask(search: TestSearch, agentId: string, task: Task): Promise<SubmitResponse> {
  const response = call('POST', `${search.path}/results`, { token: search.agentToken, json: submission(search, agentId, task) })
  return submitResponseSchema.parse(await expectJson(response))
}

/** Tasks until the next of this kind, which is left for the test. */
async function leaseUntil(search: TestSearch, agentId: string, kind: Task['work']['kind']): Promise<Task> {
  for (let tries = 0; tries < 50; tries++) {
    const task = await leaseTask(search, agentId)
    if (task.work.kind === kind) return task
    await submitTask(search, agentId, task)
  }
  throw new Error(`expected a ${kind} within 50 tasks`)
}

/** Works until the search has ended; how many tasks that took. */
async function finishSearch(search: TestSearch, agentId: string): Promise<number> {
  for (let tasks = 0; tasks < 200; tasks++) {
    const answer = leaseResponseSchema.parse(
      await expectJson(call('POST', `${search.path}/lease`, { token: search.agentToken, json: { agentId } })),
    )
    if (answer.kind === 'finished') return tasks
    if (answer.kind !== 'task') throw new Error(`expected a task, got ${answer.kind}`)
    await submitTask(search, agentId, answer.task)
  }
  throw new Error('expected the search to end within 200 tasks')
}

const keysOf = (search: TestSearch, shard: number) => [...search.shardOf].filter(([, of]) => of === shard).map(([key]) => key)

type Pulled = { versions: Record<string, number>; values: Map<string, Float32Array>; bytes: number }

/** Weights of one shard; by default all of them. */
async function pullShard(search: TestSearch, shard: number, held?: Record<string, number>): Promise<Pulled> {
  const wanted = held ?? Object.fromEntries(keysOf(search, shard).map((key) => [key, -1]))
  const response = await call('POST', `${search.path}/weights/${shard}/pull`, { token: search.agentToken, json: { held: wanted } })
  expect(response.status).toBe(200)
  expect(response.headers.get('Content-Type')).toBe('application/octet-stream')
  const bytes = new Uint8Array(await response.arrayBuffer())
  const file = decodeSafetensors(bytes)
  const versions = JSON.parse(file.metadata['versions'] ?? '{}') as Record<string, number>
  return { versions, values: new Map([...file.tensors].map(([key, tensor]) => [key, tensor.values])), bytes: bytes.length }
}

/** Differences that are `delta` everywhere, for the keys with a base version. */
function encodePush(
  search: TestSearch,
  baseVersions: Record<string, number>,
  delta: number | ((i: number) => number),
  dtype: Dtype = 'F32',
): Uint8Array<ArrayBuffer> {
  const specs = new Map(search.space.weightSpecs.map((spec) => [spec.key, spec]))
  const tensors = new Map(
    Object.keys(baseVersions).map((key) => {
      const shape = specs.get(weightKeyOf(key))?.shape ?? [1]
      const values = Float32Array.from({ length: elementCount(shape) }, (_, i) => (typeof delta === 'number' ? delta : delta(i)))
      return [key, { shape, values }]
    }),
  )
  return encodeSafetensors({ metadata: { baseVersions: JSON.stringify(baseVersions) }, tensors }, dtype)
}

/** A right such as a lease gives; by default to push all weights of the search, velocities too. */
type RightOptions = {
  options?: string
  members?: number
  velocities?: boolean
  rollbacks?: number
  taskId?: number
  agentId?: string
  leaseId?: string
  tokenId?: string | null
}

let signer: Signer | null = null

async function makePushRight(search: TestSearch, agentId: string, taskId: number, given: RightOptions = {}): Promise<string> {
  signer ??= await createSigner(unwrap(await env.DIRECTORY.getByName(directoryNames.searches).signingKey()))
  const counts = search.space.decisions.map(({ options }) => options.length)
  return signPushRight(signer, {
    searchId: search.searchId,
    taskId,
    agentId,
    tokenId: search.tokenId,
    leaseId: 'l000000000000',
    options: printOptions(
      counts,
      counts.map((count) => Array.from({ length: count }, (_, option) => option)),
    ),
    members: 1,
    velocities: true,
    ...given,
  })
}

/** `right`: what is shown; null shows nothing. */
type PushOptions = { shard?: number; token?: string; type?: string; right?: RightOptions | string | null }

async function callPush(
  search: TestSearch,
  agentId: string,
  taskId: number | string,
  body: BodyInit,
  { shard = 0, token = search.agentToken, type = 'application/octet-stream', right = {} }: PushOptions = {},
) {
  const shown = right === null || typeof right === 'string' ? right : await makePushRight(search, agentId, Number(taskId), right)
  const headers: Record<string, string> = shown === null ? {} : { 'Push-Right': shown }
  return call('POST', `${search.path}/weights/${shard}/push?agentId=${agentId}&taskId=${taskId}`, { token, body, type, headers })
}

async function push(
  search: TestSearch,
  agentId: string,
  taskId: number,
  body: BodyInit,
  shard = 0,
  right: PushOptions['right'] = {},
): Promise<PushResponse> {
  return pushResponseSchema.strict().parse(await expectJson(callPush(search, agentId, taskId, body, { shard, right })))
}

const readStatus = async (search: TestSearch) => searchStatusSchema.strict().parse(await expectJson(call('GET', search.path)))
const readArchitecture = async (search: TestSearch) => (await expectJson(call('GET', `${search.path}/architecture`))) as Architecture
/** Of a search whose tasks all have results. */
const readLog = async (search: TestSearch) =>
  resultsOf(
    ((await expectJson(call('GET', `${search.path}/log`))) as { entries: unknown[] }).entries.map((entry) => logEntrySchema.parse(entry)),
  )

/** Everything that can be seen of a search: status, log, tokens and every weight of every shard. */
async function observe(search: TestSearch) {
  const weights: Record<string, unknown>[] = []
  for (let shard = 0; shard < search.shards; shard++) {
    const { versions, values } = await pullShard(search, shard)
    weights.push({ versions, values: Object.fromEntries(values) })
  }
  return {
    status: await readStatus(search),
    log: await readLog(search),
    tokens: await expectJson(call('GET', `${search.path}/tokens`)),
    weights,
  }
}

const searchObject = (search: { searchId: string }) => env.SEARCH.getByName(search.searchId)
const shardObject = (search: { searchId: string }, shard: number) => env.WEIGHTS.getByName(shardName(search.searchId, shard))

export {
  ADMIN_TOKEN,
  call,
  callPush,
  createTestSearch,
  encodePush,
  expectJson,
  expectProblem,
  finishSearch,
  keysOf,
  leaseTask,
  leaseUntil,
  observe,
  publishTableFor,
  pullShard,
  push,
  readArchitecture,
  readLog,
  readStatus,
  registerTestAgent,
  searchObject,
  shardObject,
  submission,
  submitTask,
  type TestSearch,
}
