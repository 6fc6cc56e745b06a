// States that earlier versions stored, opened by today's code and continued to their end. docs/storage.md says how they are
// made.

import { runDurableObjectAlarm, runInDurableObject } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { beforeEach, describe, expect, it } from 'vitest'
import * as z from 'zod'
import {
  leaseResponseSchema,
  logEntrySchema,
  metricSchema,
  openProfileResponseSchema,
  planShards,
  profileStatusSchema,
  searchConfigSchema,
  searchSummarySchema,
  tableSummarySchema,
  type TrainingResult,
  trainingLeaseResponseSchema,
  trainingStatusSchema,
  trainingSummarySchema,
  unwrap,
} from '../../protocol/index.ts'
import { latencyTableSchema } from '../../latency-lut/table/table.ts'
import { createSpace, weightKeys } from '../../search-space/index.ts'
import { decodeCheckpoint, encodeCheckpoint } from '../../engine/training/checkpoint.ts'
import { makeConfigInput, makeRegistration, resultsOf } from '../fixtures/searches.ts'
import version010 from '../fixtures/stored/0.1.0.json'
import { type Cell, type StoredState, storedStateSchema } from '../fixtures/stored/stored-state.ts'
import { AGENT_A, encodeTrainingResult } from '../fixtures/trainings.ts'
import {
  call,
  encodePush,
  expectJson,
  expectProblem,
  keysOf,
  leaseTask,
  pullShard,
  push,
  readArchitecture,
  readLog,
  readStatus,
  searchObject,
  submitTask,
  type TestSearch,
} from './api.ts'
import { fromBase64, restoreState, storedRows, stubOf } from './restore.ts'

const BINARY = 'application/octet-stream'
const MAX_TASKS = 500

const jsonOf = (cell: Cell | undefined) => {
  if (typeof cell !== 'object' || cell === null || !('json' in cell)) throw new Error('expected JSON in this column')
  return cell.json as Record<string, unknown>
}
const bytesOf = (cell: Cell | undefined) => {
  if (typeof cell !== 'object' || cell === null || !('base64' in cell)) throw new Error('expected a blob in this column')
  return fromBase64(cell.base64)
}

describe.each([storedStateSchema.parse(version010)])('what version $version stored', (stored) => {
  const { searches, training, profiles } = stored.keys
  let state: StoredState
  beforeEach(async () => {
    state = await restoreState(stored)
  })

  const rowsOf = (searchId: string, table: string) => storedRows(state, { binding: 'SEARCH', name: searchId }, table)
  const listed = async <T>(path: string, name: string, schema: z.ZodType<T>) =>
    z.object({ [name]: z.array(schema) }).parse(await expectJson(call('GET', path)))[name] as T[]

  function openSearch({ searchId, agentToken }: { searchId: string; agentToken: string }): TestSearch {
    const setup = jsonOf(rowsOf(searchId, 'search')[0]?.['setup'])
    const config = searchConfigSchema.parse(setup['config'])
    const space = createSpace(config.space)
    const { count, shardOf } = planShards(space, config.weights.shardBytes)
    const tokenId = agentToken.split('.')[2] as string
    return { searchId, agentToken, tokenId, path: `/v1/searches/${searchId}`, config, space, shards: count, shardOf }
  }

  /** An agent with the data of the search. */
  async function register(search: TestSearch): Promise<string> {
    const fingerprint = jsonOf(rowsOf(search.searchId, 'state')[0]?.['json'])['datasetFingerprint'] as string
    const json = makeRegistration(search.space, { fingerprint })
    const answer = await expectJson(call('POST', `${search.path}/agents`, { token: search.agentToken, json }), 201)
    return (answer as { agentId: string }).agentId
  }

  const outstandingOf = (search: TestSearch) =>
    rowsOf(search.searchId, 'outstanding').map((row) =>
      z.looseObject({ taskId: z.int(), lease: z.object({ leaseId: z.string(), agentId: z.string() }) }).parse(jsonOf(row['json'])),
    )

  /** Works by turns until the search has ended, and pushes to every shard. */
  async function work(search: TestSearch, agents: readonly string[]): Promise<void> {
    for (let turn = 0; turn < MAX_TASKS; turn++) {
      const agentId = agents[turn % agents.length] as string
      const answer = leaseResponseSchema.parse(
        await expectJson(call('POST', `${search.path}/lease`, { token: search.agentToken, json: { agentId } })),
      )
      if (answer.kind === 'finished') return
      if (answer.kind === 'wait') continue
      if (answer.task.work.kind === 'trainWeights') {
        const trained = new Set(answer.task.work.paths.flatMap((path) => weightKeys(search.space.network(path))))
        for (let shard = 0; shard < search.shards; shard++) {
          const key = keysOf(search, shard).find((candidate) => trained.has(candidate))
          if (key === undefined) continue
          const { versions } = await pullShard(search, shard, { [key]: -1 })
          const { taskId, pushRight } = answer.task
          const body = encodePush(search, versions, 1e-3)
          expect((await push(search, agentId, taskId, body, shard, pushRight ?? null)).kind).toMatch(/applied|duplicate/)
        }
      }
      expect(await submitTask(search, agentId, answer.task)).toEqual({ kind: 'accepted' })
    }
    throw new Error(`expected the search to end within ${MAX_TASKS} tasks`)
  }

  /** Every task has one result, those that were stored first and unchanged. */
  async function expectWhole(search: TestSearch): Promise<void> {
    const status = await readStatus(search)
    const { steps } = search.config.training
    expect(status).toMatchObject({ phase: 'finished', weightSteps: { done: steps, total: steps }, tasks: { leased: 0, queued: 0 } })
    const log = await readLog(search)
    const before = rowsOf(search.searchId, 'log').map((row) => logEntrySchema.parse(jsonOf(row['json'])))
    expect(log.slice(0, before.length)).toEqual(before)
    expect(log.map(({ seq }) => seq)).toEqual(Array.from({ length: status.tasks.created }, (_, i) => i + 1))
    expect(new Set(log.map(({ taskId }) => taskId)).size).toBe(status.tasks.created)
    expect((await readArchitecture(search)).blocks).toHaveLength(search.space.decisions.length)
  }

  it('is listed and read as it was: searches with results and weights, trainings, profiles, tables', async () => {
    const summaries = await listed('/v1/searches', 'searches', searchSummarySchema)
    const phases = new Map(summaries.map(({ searchId, phase }) => [searchId, phase]))
    expect(phases.get(searches.running.searchId)).toBe('stalled')
    expect(phases.get(searches.paused.searchId)).toBe('paused')

    for (const search of [searches.running, searches.paused].map(openSearch)) {
      const { tasks, agents } = await readStatus(search)
      const log = rowsOf(search.searchId, 'log').map((row) => logEntrySchema.parse(jsonOf(row['json'])))
      expect(tasks).toMatchObject({ done: log.length, created: log.length + outstandingOf(search).length })
      expect(agents).toHaveLength(rowsOf(search.searchId, 'agents').length)
      expect(await readLog(search)).toEqual(log)
      expect(await listed(`${search.path}/metrics`, 'metrics', metricSchema)).toEqual(resultsOf(log).map(({ metric }) => metric))
      for (let shard = 0; shard < search.shards; shard++) {
        const rows = storedRows(state, { binding: 'WEIGHTS', name: `${search.searchId}:${shard}` }, 'segments')
        const values = rows.flatMap((row) => [...new Float32Array(bytesOf(row['data']).buffer)])
        const pulled = await pullShard(search, shard)
        const keys = keysOf(search, shard)
        expect(keys.flatMap((key) => [...(pulled.values.get(key) ?? [])])).toEqual(values)
        expect(keys.map((key) => pulled.versions[key])).toEqual(rows.flatMap((row) => jsonOf(row['versions'])))
      }
      // Also the version of the table that another one has replaced since.
      const { name, version } = (await readStatus(search)).latencyTable
      const pinned = latencyTableSchema.parse(await expectJson(call('GET', `/v1/latency-tables/${name}/${version}`)))
      expect(pinned).toMatchObject(state.kv.find(({ key }) => key === `table:${name}:${version}`)?.value as object)
    }
    const { searchId, revokedToken } = searches.running
    await expectProblem(call('GET', `/v1/searches/${searchId}`, { token: revokedToken }), 401, 'unauthorized')
    const tables = await listed('/v1/latency-tables', 'tables', tableSummarySchema)
    expect(tables.find(({ name }) => name === 'tiny')).toEqual(state.kv.find(({ key }) => key === 'pointer:tiny')?.metadata)

    const trainings = await listed('/v1/trainings', 'trainings', trainingSummarySchema)
    expect(trainings.map(({ trainingId }) => trainingId)).toEqual([training.trainingId])
    const checkpoint = await call('GET', `/v1/trainings/${training.trainingId}/checkpoint`, { token: training.agentToken })
    const chunks = storedRows(state, { binding: 'TRAINING', name: training.trainingId }, 'chunks')
    expect(new Uint8Array(await checkpoint.arrayBuffer())).toEqual(Uint8Array.from(chunks.flatMap((row) => [...bytesOf(row['data'])])))

    const found = await listed('/v1/profiles', 'profiles', profileStatusSchema)
    expect(new Map(found.map(({ profileId, phase }) => [profileId, phase]))).toEqual(
      new Map([
        [profiles.measuring.profileId, 'measuring'],
        [profiles.waiting.profileId, 'waiting'],
      ]),
    )
  })

  it('in a search that ran: an agent of then is told to start anew where there are others, and one of now finishes it', async () => {
    const search = openSearch(searches.running)
    await runDurableObjectAlarm(searchObject(search))
    const lost = outstandingOf(search)
    const before = await readStatus(search)
    expect(before.tasks).toMatchObject({ leased: 0, queued: lost.length })
    const earlier = lost[0]?.lease.agentId as string
    const ref = { agentId: earlier, taskId: lost[0]?.taskId, leaseId: lost[0]?.lease.leaseId }
    expect(await expectJson(call('POST', `${search.path}/heartbeat`, { token: search.agentToken, json: ref }))).toEqual({ kind: 'lost' })
    // What was handed out before is as the agent knows it.
    const known = await leaseTask(search, earlier)
    expect(known.taskId).toBe(lost[0]?.taskId)
    await submitTask(search, earlier, known)
    const later = await register(search)
    const next = await leaseTask(search, later)
    expect(next.taskId).toBe(lost[1]?.taskId)
    await submitTask(search, later, next)
    const held = await leaseTask(search, later)
    const status = await readStatus(search)
    const refused = await call('POST', `${search.path}/lease`, { token: search.agentToken, json: { agentId: earlier } })
    expect([refused.status, await refused.text()]).toEqual([409, expect.stringContaining('start it anew')])
    expect(await readStatus(search)).toEqual(status)
    await submitTask(search, later, held)
    await work(search, [later])
    await expectWhole(search)
  })

  it('in a search that was paused: it resumes, and one agent finishes it with every mini-batch once', async () => {
    const search = openSearch(searches.paused)
    const agentId = await register(search)
    const wait = await expectJson(call('POST', `${search.path}/lease`, { token: search.agentToken, json: { agentId } }))
    expect(wait).toMatchObject({ kind: 'wait', reason: 'paused' })
    expect(await expectJson(call('POST', `${search.path}/resume`))).toEqual({ phase: 'warmup' })
    await work(search, [agentId])
    await expectWhole(search)
    const steps = (await readLog(search)).flatMap(({ work: done }) =>
      done.kind === 'trainWeights' ? done.paths.map((_, i) => done.firstStep + i) : [],
    )
    expect(steps.toSorted((a, b) => a - b)).toEqual(Array.from({ length: search.config.training.steps }, (_, i) => i))
  })

  it('in a training: another agent goes on from its checkpoint, and it ends with a network', async () => {
    const path = `/v1/trainings/${training.trainingId}`
    const token = training.agentToken
    const read = async () => trainingStatusSchema.strict().parse(await expectJson(call('GET', path)))
    await runDurableObjectAlarm(env.TRAINING.getByName(training.trainingId))
    const before = await read()
    expect(before).toMatchObject({ phase: 'waiting', trainers: [{ end: 'expired' }] })
    const { spec, datasetFingerprint } = before
    const registration = makeRegistration(createSpace(spec.space), { fingerprint: datasetFingerprint as string })
    const answer = trainingLeaseResponseSchema.parse(
      await expectJson(call('POST', `${path}/lease`, { token, json: { ...registration, agentId: AGENT_A } })),
    )
    if (answer.kind !== 'lease') throw new Error(`expected a lease, got ${answer.kind}`)
    expect(answer.checkpointStep).toBe(before.checkpoint?.step)

    const stopped = decodeCheckpoint(new Uint8Array(await (await call('GET', `${path}/checkpoint`, { token })).arrayBuffer()))
    expect(stopped).toMatchObject({ step: answer.checkpointStep, reports: before.reports })
    expect(stopped.average.size).toBeGreaterThan(0)
    const last = before.reports.at(-1)
    if (!last) throw new Error('expected the report of an epoch')
    const report = { ...last, epoch: last.epoch + 1, step: last.step + last.step / last.epoch }
    const next = encodeCheckpoint({ ...stopped, step: report.step, reports: [...before.reports, report] })
    const put = (body: Uint8Array<ArrayBuffer>) =>
      expectJson(call('PUT', `${path}/checkpoint?leaseId=${answer.leaseId}`, { token, body, type: BINARY }))
    expect(await put(next)).toEqual({ kind: 'stored' })
    const score = { top1: 0.9, top5: 1, crossEntropy: 0.3, images: 100 }
    const result: TrainingResult = {
      end: 'finished',
      steps: report.step,
      validation: score,
      test: score,
      normalisation: { mean: [0.3], std: [0.4] },
    }
    const model = encodeTrainingResult(spec, result)
    const end = call('POST', `${path}/finish?leaseId=${answer.leaseId}`, { token, body: model, type: BINARY })
    expect(await expectJson(end)).toEqual({ kind: 'stored' })
    expect(await read()).toMatchObject({ phase: 'finished', reports: [...before.reports, report], result })
    expect(new Uint8Array(await (await call('GET', `${path}/model`, { token })).arrayBuffer())).toEqual(model)
  })

  it('in a profile: its browser sends more, and the table is made of all batches; a code that was not used still opens its own', async () => {
    const { profileId, token } = profiles.measuring
    const path = `/v1/profiles/${profileId}`
    const rows = storedRows(state, { binding: 'PROFILE', name: profileId }, 'batches')
    const batches = rows.map((row) => jsonOf(row['timings']) as unknown as number[][])
    const before = profileStatusSchema.strict().parse(await expectJson(call('GET', path, { token })))
    expect(before.backends).toMatchObject([{ backend: 'wasm', rounds: batches.flat().length, nextBatch: rows.length }])
    expect(await expectJson(call('GET', `${path}/rounds/wasm`, { token }))).toEqual({ rounds: batches.flat() })
    const send = (batch: number) => {
      const json = { backend: 'wasm', batch, spentMs: 100, conditions: jsonOf(rows[0]?.['conditions']), rounds: batches[0] }
      return expectJson(call('POST', `${path}/batches`, { token, json }))
    }
    expect(await send(rows.length - 1)).toEqual({ kind: 'duplicate', rounds: batches.flat().length })
    expect(await send(rows.length)).toMatchObject({ kind: 'stored' })
    const status = profileStatusSchema.strict().parse(await expectJson(call('POST', `${path}/finish`, { token })))
    expect(status).toMatchObject({ phase: 'published', tables: [{ backend: 'wasm', name: before.request.name }] })
    const config = makeConfigInput({ space: before.request.space, tableName: before.request.name })
    const created = await expectJson(call('POST', '/v1/searches', { json: config }), 201)
    expect(created).toMatchObject({ tableVersion: status.tables[0]?.version })
    // A code is good for half an hour, and the coordinator was away for ten minutes.
    const opened = await expectJson(call('POST', '/v1/profile-sessions', { token: profiles.waiting.code }), 201)
    expect(openProfileResponseSchema.strict().parse(opened)).toMatchObject({
      profileId: profiles.waiting.profileId,
      status: { phase: 'open' },
    })
  })

  it('can be deleted, and leaves nothing', async () => {
    const paths = [
      ...[searches.running, searches.paused].map(({ searchId }) => `/v1/searches/${searchId}`),
      `/v1/trainings/${training.trainingId}`,
      ...[profiles.measuring, profiles.waiting].map(({ profileId }) => `/v1/profiles/${profileId}`),
    ]
    for (const path of paths) {
      expect((await call('DELETE', path)).status).toBe(204)
      await expectProblem(call('GET', path), 404, 'not-found')
    }
    for (const object of state.objects.filter(({ binding }) => binding !== 'DIRECTORY')) {
      const tables = await runInDurableObject(stubOf(object), (_, { storage }) =>
        storage.sql.exec("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE '\\_cf%' ESCAPE '\\'").toArray(),
      )
      expect({ name: object.name, tables }).toEqual({ name: object.name, tables: [] })
    }
    for (const { name, tables } of state.objects.filter(({ binding }) => binding === 'DIRECTORY')) {
      const listedBefore = new Set(tables.flatMap(({ rows }) => rows.map(([id]) => id)))
      const left = unwrap(await env.DIRECTORY.getByName(name).list(Number.MAX_SAFE_INTEGER, 100))
      expect(left.filter(({ id }) => listedBefore.has(id))).toEqual([])
    }
  })
})
