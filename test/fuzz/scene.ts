// What requests of the fuzz test meet: a search under way with an agent that holds a task, another search, a training, a profile, a table;
// and everything that the coordinator stores of them.

import { runInDurableObject } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import * as z from 'zod'
import { directoryNames } from '../../coordinator/objects/directory-object.ts'
import { shardName } from '../../coordinator/objects/shards.ts'
import { createTrainingResponseSchema, type Task, trainingLeaseResponseSchema } from '../../protocol/index.ts'
import { answerWork, makeConfigInput, makeRegistration } from '../fixtures/searches.ts'
import {
  encodeTrainingCheckpoint,
  encodeTrainingResult,
  makeLeaseRequest,
  makeResult,
  makeTrainingInput,
  makeTrainingSpec,
} from '../fixtures/trainings.ts'
import {
  ADMIN_TOKEN,
  call,
  createTestSearch,
  encodePush,
  expectJson,
  keysOf,
  leaseTask,
  registerTestAgent,
  type TestSearch,
} from '../workerd/api.ts'
import type { FuzzRequest, Sender } from './requests.ts'
import { mutated, type Mutation } from './schema-arbitraries.ts'

const ORIGIN = 'http://gatehouse'
const SHARDS_SEEN = 2

type RightBody = { readonly json: unknown } | { readonly bytes: Uint8Array<ArrayBuffer> }

type Scene = {
  readonly search: TestSearch
  readonly tokens: Readonly<Record<Sender, string | null>>
  /** By letter. */
  readonly ids: Readonly<Record<string, string>>
  readonly task: Task
  /** Good bodies by operation: `POST /v1/searches/{searchId}/results`. */
  readonly right: Readonly<Record<string, RightBody>>
}

async function makeScene(): Promise<Scene> {
  const search = await createTestSearch({ steps: 200, blocks: 2, weights: { shardBytes: 2048 } })
  const other = await createTestSearch({ blocks: 2 })
  const otherToken = (await expectJson(call('POST', `${search.path}/tokens`, { json: { label: 'other' } }), 201)) as { agentToken: string }
  const agentId = await registerTestAgent(search)
  const task = await leaseTask(search, agentId)
  const spec = makeTrainingSpec()
  const training = createTrainingResponseSchema.parse(await expectJson(call('POST', '/v1/trainings', { json: makeTrainingInput() }), 201))
  const leased = trainingLeaseResponseSchema.parse(
    await expectJson(
      call('POST', `/v1/trainings/${training.trainingId}/lease`, { token: training.agentToken, json: makeLeaseRequest(spec) }),
    ),
  )
  if (leased.kind !== 'lease') throw new Error(`expected the lease of a training, got ${leased.kind}`)
  const profile = (await expectJson(call('POST', '/v1/profiles', { json: { space: 'fashion-mini', name: 'fuzzed' } }), 201)) as {
    profileId: string
    code: string
  }
  const session = (await expectJson(call('POST', '/v1/profile-sessions', { token: profile.code }), 201)) as { token: string }
  const timing = { trainMs: 10, idleMs: 1 }
  const ref = { agentId, taskId: task.taskId, leaseId: task.leaseId }
  const trainingRef = { leaseId: leased.leaseId }
  return {
    search,
    task,
    tokens: {
      admin: ADMIN_TOKEN,
      agent: search.agentToken,
      otherToken: otherToken.agentToken,
      otherSearch: other.agentToken,
      trainer: training.agentToken,
      profile: session.token,
      code: profile.code,
      forged: `${search.agentToken.slice(0, -1)}${search.agentToken.endsWith('A') ? 'E' : 'A'}`,
      garbage: 'x'.repeat(70),
      nobody: null,
    },
    ids: {
      s: search.searchId,
      a: agentId,
      l: task.leaseId,
      t: search.tokenId,
      r: training.trainingId,
      p: profile.profileId,
      u: `u${'0'.repeat(12)}`,
    },
    right: {
      'POST /v1/searches': { json: makeConfigInput({ tableName: search.config.latency.table.name, blocks: 2 }) },
      'POST /v1/searches/{searchId}/agents': { json: makeRegistration(search.space) },
      'POST /v1/searches/{searchId}/lease': { json: { agentId } },
      'POST /v1/searches/{searchId}/heartbeat': { json: ref },
      'POST /v1/searches/{searchId}/release': { json: ref },
      'POST /v1/searches/{searchId}/results': { json: { ...ref, result: answerWork(task.work, search.space, task.taskId), timing } },
      'POST /v1/searches/{searchId}/weights/{shard}/pull': {
        json: { held: Object.fromEntries(keysOf(search, 0).map((key) => [key, -1])) },
      },
      'POST /v1/searches/{searchId}/weights/{shard}/push': { bytes: encodePush(search, { 'stem/conv/conv.filter': 0 }, 1e-3) },
      'POST /v1/trainings': { json: makeTrainingInput() },
      'POST /v1/trainings/{trainingId}/lease': { json: makeLeaseRequest(spec) },
      'POST /v1/trainings/{trainingId}/heartbeat': { json: trainingRef },
      'POST /v1/trainings/{trainingId}/release': { json: trainingRef },
      'PUT /v1/trainings/{trainingId}/checkpoint': { bytes: encodeTrainingCheckpoint(spec, 1) },
      'POST /v1/trainings/{trainingId}/finish': { bytes: encodeTrainingResult(spec, makeResult(1)) },
    },
  }
}

/** Ids in place of their markers, also within values. The lease of a training is another one than that of a task. */
function resolveIds(scene: Scene, value: unknown): unknown {
  if (typeof value === 'string') {
    const prefix = /^<([a-z])>$/.exec(value)?.[1]
    return prefix === undefined ? value : (scene.ids[prefix] ?? `${prefix}${'0'.repeat(12)}`)
  }
  if (Array.isArray(value)) return value.map((member) => resolveIds(scene, member))
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, member]) => [key, resolveIds(scene, member)]))
}

function changedBytes(bytes: Uint8Array<ArrayBuffer>, { at, how, value }: Mutation): Uint8Array<ArrayBuffer> {
  const place = Math.floor((bytes.length * at) / 41)
  if (how === 'remove') return bytes.slice(0, place)
  if (how === 'add') return Uint8Array.from([...bytes, ...new TextEncoder().encode(String(value)).slice(0, 20)])
  return bytes.map((byte, i) => (i === place ? byte ^ 0xff : byte))
}

function bodyOf(scene: Scene, { operation, body }: FuzzRequest): BodyInit | undefined {
  switch (body.kind) {
    case 'none':
      return undefined
    case 'json':
      return JSON.stringify(resolveIds(scene, body.value)) ?? 'undefined'
    case 'text':
      return body.text
    case 'bytes':
      return body.bytes as Uint8Array<ArrayBuffer>
    case 'huge':
      return new Uint8Array(body.bytes)
    case 'right': {
      const right = scene.right[`${operation.method} ${operation.path}`]
      if (!right) return '{}'
      if ('bytes' in right) return body.change ? changedBytes(right.bytes, body.change) : right.bytes
      return JSON.stringify(body.change ? mutated(right.json, body.change) : right.json) ?? 'undefined'
    }
    default:
      return body satisfies never
  }
}

/** The request as it is sent. Bodies that are too large for the time of a test come once in a while. */
function requestOf(scene: Scene, request: FuzzRequest): Request {
  const { operation, sender, parameters, contentType } = request
  const values = resolveIds(scene, parameters) as Record<string, unknown>
  let path = operation.path
  const query = new URLSearchParams()
  const headers = new Headers()
  for (const { name, in: place } of operation.parameters ?? []) {
    if (!(name in values)) continue
    const text = String(values[name])
    if (place === 'path')
      path = path.replace(`{${name}}`, /%/.test(text) ? text : encodeURIComponent(text.replaceAll(/\p{Surrogate}/gu, '?')))
    else if (place === 'query') query.set(name, text)
    else if (/^[\x20-\x7e]+$/.test(text)) headers.set(name, text)
  }
  const isPush = operation.path.endsWith('/push')
  if (isPush && request.body.kind === 'right') {
    query.set('agentId', scene.ids['a'] as string)
    query.set('taskId', String(scene.task.taskId))
    if (scene.task.pushRight !== undefined) headers.set('Push-Right', scene.task.pushRight)
  }
  const token = scene.tokens[sender]
  if (token !== null) headers.set('Authorization', `Bearer ${token}`)
  const body = bodyOf(scene, request)
  if (contentType !== null && body !== undefined) headers.set('Content-Type', contentType)
  const suffix = query.size > 0 ? `?${query}` : ''
  return new Request(`${ORIGIN}${path}${suffix}`, { method: operation.method, headers, body, redirect: 'manual' })
}

const toText = (_: string, value: unknown) => (value instanceof ArrayBuffer ? [...new Uint8Array(value)].join() : value)

function dump(_: unknown, { storage }: DurableObjectState): string {
  const names = storage.sql
    .exec<{ name: string }>("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE '\\_cf%' ESCAPE '\\' ORDER BY name")
    .toArray()
  const tables = names.map(({ name }) => [name, storage.sql.exec(`SELECT * FROM "${name}"`).toArray()])
  return JSON.stringify(tables, toText)
}

/** Everything that is stored of the scene, and all lists, by object; agents apart, since bad numbers are counted against them. */
async function storedOf(scene: Scene): Promise<Record<string, string>> {
  const { search, ids } = scene
  const stubs: [string, DurableObjectStub][] = [
    ['search', env.SEARCH.getByName(search.searchId)],
    ...Array.from({ length: SHARDS_SEEN }, (_, shard): [string, DurableObjectStub] => [
      `shard ${shard}`,
      env.WEIGHTS.getByName(shardName(search.searchId, shard)),
    ]),
    ['training', env.TRAINING.getByName(ids['r'] as string)],
    ['profile', env.PROFILE.getByName(ids['p'] as string)],
    ...Object.values(directoryNames).map((name): [string, DurableObjectStub] => [`list ${name}`, env.DIRECTORY.getByName(name)]),
  ]
  const dumps = await Promise.all(stubs.map(async ([name, stub]) => [name, await runInDurableObject(stub, dump)] as const))
  const tables = await env.LATENCY_TABLES.list()
  return { ...Object.fromEntries(dumps), tables: tables.keys.map(({ name }) => name).join() }
}

/** The same without what counts refused numbers against an agent. */
function withoutRefusals(stored: Readonly<Record<string, string>>): Record<string, string> {
  const tables = z.array(z.tuple([z.string(), z.array(z.record(z.string(), z.unknown()))])).parse(JSON.parse(stored['search'] ?? '[]'))
  const agents = tables.map(([name, rows]) => {
    if (name !== 'agents') return [name, rows]
    return [
      name,
      rows.map(({ json }) =>
        Object.entries(z.record(z.string(), z.unknown()).parse(JSON.parse(String(json))))
          .filter(isKept)
          .toSorted(byKey),
      ),
    ]
  })
  return { ...stored, search: JSON.stringify(agents) }
}

const isKept = ([key]: [string, unknown]) => key !== 'refusedPushes' && key !== 'lastSeenAtMs'
const byKey = ([one]: [string, unknown], [other]: [string, unknown]) => (one < other ? -1 : 1)

/** Names of what is not the same. */
function differences(before: Readonly<Record<string, string>>, after: Readonly<Record<string, string>>): string[] {
  return Object.keys({ ...before, ...after }).filter((name) => before[name] !== after[name])
}

export { differences, makeScene, requestOf, type Scene, storedOf, withoutRefusals }
