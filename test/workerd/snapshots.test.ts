// A search is taken back to a snapshot: its own state, and the weights of every shard, and nothing of after that counts any more.

import { evictDurableObject, runDurableObjectAlarm, runInDurableObject } from 'cloudflare:test'
import { describe, expect, it } from 'vitest'
import type { WeightsObject } from '../../coordinator/objects/weights-object.ts'
import {
  leaseResponseSchema,
  type LogEntry,
  logEntrySchema,
  type RolledBack,
  rolledBackSchema,
  type Snapshot,
  snapshotListSchema,
  snapshotSchema,
  type Task,
} from '../../protocol/index.ts'
import type { SearchOptions } from '../fixtures/searches.ts'
import {
  call,
  createTestSearch,
  encodePush,
  expectJson,
  expectProblem,
  finishSearch,
  keysOf,
  leaseTask,
  pullShard,
  push,
  readStatus,
  registerTestAgent,
  searchObject,
  shardObject,
  submission,
  submitTask,
  type TestSearch,
} from './api.ts'

const take = async ({ path }: TestSearch): Promise<Snapshot> =>
  snapshotSchema.strict().parse(await expectJson(call('POST', `${path}/snapshots`), 201))
const list = async ({ path }: TestSearch) => snapshotListSchema.strict().parse(await expectJson(call('GET', `${path}/snapshots`)))
const rollBack = async ({ path }: TestSearch, snapshot: number): Promise<RolledBack> =>
  rolledBackSchema.strict().parse(await expectJson(call('POST', `${path}/snapshots/${snapshot}/rollback`)))
const resume = ({ path }: TestSearch) => expectJson(call('POST', `${path}/resume`))
const log = async ({ path }: TestSearch): Promise<LogEntry[]> =>
  ((await expectJson(call('GET', `${path}/log`))) as { entries: unknown[] }).entries.map((entry) => logEntrySchema.parse(entry))
const askForTask = async ({ path, agentToken: token }: TestSearch, agentId: string) =>
  leaseResponseSchema.parse(await expectJson(call('POST', `${path}/lease`, { token, json: { agentId } })))
const alphaOf = async (search: TestSearch) => (await readStatus(search)).alpha

type Versions = Record<string, number>
type Weights = { versions: Versions; values: Record<string, Float32Array> }

async function readWeights(search: TestSearch): Promise<Weights> {
  const shards = await Promise.all(Array.from({ length: search.shards }, (_, shard) => pullShard(search, shard)))
  return {
    versions: Object.assign({}, ...shards.map(({ versions }) => versions)) as Versions,
    values: Object.fromEntries(shards.flatMap(({ values }) => [...values])),
  }
}

/** A right such as the search gives for a task, by how often it was taken back then. */
const rightOf = ({ rollbacks }: Task): { rollbacks?: number } => (rollbacks === undefined ? {} : { rollbacks })

/** Trains one task: each shard's first weight, and each of its biases, moves by `delta`. */
async function train(search: TestSearch, agentId: string, task: Task, delta: number): Promise<void> {
  const { versions } = await readWeights(search)
  for (let shard = 0; shard < search.shards; shard++) await pushTo(search, agentId, task, shard, delta, versions)
  expect(await submitTask(search, agentId, task)).toEqual({ kind: 'accepted' })
}

function pushTo(search: TestSearch, agentId: string, task: Task, shard: number, delta: number, versions: Versions) {
  const keys = keysOf(search, shard).filter((key, i) => i === 0 || key.endsWith('bias'))
  const body = encodePush(search, Object.fromEntries(keys.map((key) => [key, versions[key] ?? 0])), delta)
  return push(search, agentId, task.taskId, body, shard, rightOf(task))
}

async function createWorking(options: SearchOptions = {}): Promise<{ search: TestSearch; agentId: string }> {
  const search = await createTestSearch({ blocks: 2, steps: 24, weights: { shardBytes: 4096 }, ...options })
  expect(search.shards).toBeGreaterThan(1)
  return { search, agentId: await registerTestAgent(search) }
}

async function work(search: TestSearch, agentId: string, tasks: number, delta = 0.01): Promise<void> {
  for (let i = 0; i < tasks; i++) await train(search, agentId, await leaseTask(search, agentId), delta)
}

describe('a search that is taken back', () => {
  it('has the alpha, the weights and the counts that it had, and goes on to its end; what came after stays in the log, marked', async () => {
    const { search, agentId } = await createWorking()
    await work(search, agentId, 6)
    const [before, weights] = [await readStatus(search), await readWeights(search)]
    const snapshot = await take(search)
    expect(snapshot).toMatchObject({ number: 1, steps: before.steps.done, results: 6 })
    expect(snapshot.bytes).toBeGreaterThan(4096)
    const hostile = await registerTestAgent(search, 'hostile')
    await work(search, hostile, 5, 100)
    const poisoned = await readWeights(search)
    const logged = await log(search)
    expect(await alphaOf(search)).not.toEqual(before.alpha)

    const told = await rollBack(search, 1)
    expect(told).toMatchObject({ number: 1, snapshot: 1, steps: snapshot.steps, results: 5, isComplete: true })
    const after = await readStatus(search)
    expect(after.phase).toBe('paused')
    expect(after.alpha).toEqual(before.alpha)
    expect(after.steps).toEqual(before.steps)
    expect(after.tasks).toEqual({ ...before.tasks, created: 11, rolledBack: 5 })
    const { isComplete: _, ...rollback } = told
    expect(after).toMatchObject({ snapshots: [snapshot], rollbacks: [rollback] })
    // Who did it is known as before, and does it no more.
    expect(after.agents.map(({ name, clipped, isSetAside }) => [name, clipped, isSetAside])).toEqual([
      ['agent', 0, false],
      ['hostile', 5, true],
    ])
    await expectProblem(call('POST', `${search.path}/lease`, { token: search.agentToken, json: { agentId: hostile } }), 409, 'conflict')
    expect(await list(search)).toEqual({ snapshots: [snapshot], rollbacks: [rollback] })
    expect(await log(search)).toEqual(logged.map((entry, i) => (i < 6 ? entry : { ...entry, rolledBack: 1 })))

    // The numbers of then, to the bit; each that had changed under a version that nobody has had.
    const back = await readWeights(search)
    expect(back.values).toEqual(weights.values)
    for (const [key, version] of Object.entries(poisoned.versions)) {
      expect(back.versions[key], key).toBe(version === weights.versions[key] ? version : version + 1)
    }
    expect(back.versions).not.toEqual(weights.versions)

    expect(await askForTask(search, agentId)).toMatchObject({ kind: 'wait', reason: 'paused' })
    await resume(search)
    const next = await leaseTask(search, agentId)
    // No number is used twice.
    expect(next).toMatchObject({ taskId: 12, rollbacks: 1 })
    await train(search, agentId, next, 0.01)
    expect((await log(search)).at(-1)).toMatchObject({ seq: 12, taskId: 12 })
    await finishSearch(search, agentId)
    const end = await readStatus(search)
    expect(end.phase).toBe('finished')
    expect(end.steps.done).toBe(24)
    // Metrics are those that count.
    const { metrics } = (await expectJson(call('GET', `${search.path}/metrics`))) as { metrics: { seq: number }[] }
    const counted = (await log(search)).filter(({ rolledBack }) => rolledBack === undefined)
    expect(metrics.map(({ seq }) => seq)).toEqual(counted.map(({ seq }) => seq))
  })

  it('takes no push and no result of before, and says so in a way that agents bear', async () => {
    const { search, agentId } = await createWorking()
    await work(search, agentId, 3)
    // One is out when the snapshot is taken, and has reached the first shard; another one is handed out after it.
    const early = await leaseTask(search, agentId)
    const { versions } = await readWeights(search)
    expect((await pushTo(search, agentId, early, 0, 0.5, versions)).kind).toBe('applied')
    const then = await readWeights(search)
    await take(search)
    const late = await leaseTask(search, agentId)
    await rollBack(search, 1)
    const weights = await readWeights(search)
    expect(weights.values).toEqual(then.values)

    for (const task of [early, late]) {
      const ref = { agentId, taskId: task.taskId, leaseId: task.leaseId }
      const ask = (path: string, json: unknown) => expectJson(call('POST', `${search.path}/${path}`, { token: search.agentToken, json }))
      for (let shard = 0; shard < search.shards; shard++) {
        const answer = await pushTo(search, agentId, task, shard, 0.5, weights.versions)
        expect(answer).toMatchObject({ kind: 'duplicate', scales: {} })
      }
      // Nor of agents that show no right, as those of version 0.1.0.
      const [key = ''] = keysOf(search, 1)
      const body = encodePush(search, { [key]: weights.versions[key] ?? 0 }, 1)
      expect((await push(search, agentId, task.taskId, body, 1, null)).kind).toBe('duplicate')
      expect(await ask('heartbeat', ref)).toEqual({ kind: 'lost' })
      expect(await ask('results', submission(search, agentId, task))).toEqual({ kind: 'duplicate' })
      expect(await ask('release', { ...ref, reason: 'failed' })).toEqual({ kind: 'lost' })
    }
    expect(await readWeights(search)).toEqual(weights)

    // The one that was out is handed out again, and reaches the shards that it had not: each of them once.
    await resume(search)
    const again = await leaseTask(search, agentId)
    expect(again).toMatchObject({ taskId: early.taskId, work: early.work, rollbacks: 1 })
    const kinds: string[] = []
    for (let shard = 0; shard < search.shards; shard++) {
      kinds.push((await pushTo(search, agentId, again, shard, 0.5, weights.versions)).kind)
    }
    expect(kinds).toEqual(kinds.map((_, shard) => (shard === 0 ? 'duplicate' : 'applied')))
    expect(await submitTask(search, agentId, again)).toEqual({ kind: 'accepted' })
    expect((await leaseTask(search, agentId)).taskId).toBe(late.taskId + 1)
  })

  it('can be taken back again, to the same snapshot or one before it; those of after are gone', async () => {
    const { search, agentId } = await createWorking({ steps: 60 })
    const states: { alpha: unknown; weights: Weights }[] = []
    for (let i = 0; i < 3; i++) {
      await work(search, agentId, 3, 0.1 * (i + 1))
      await take(search)
      states.push({ alpha: await alphaOf(search), weights: await readWeights(search) })
    }
    const expectState = async (i: number) => {
      expect(await alphaOf(search)).toEqual(states[i]?.alpha)
      expect((await readWeights(search)).values).toEqual(states[i]?.weights.values)
    }
    for (const [number, results] of [
      [2, 3],
      [2, 2],
      [1, 5],
    ] as const) {
      expect(await rollBack(search, number)).toMatchObject({ snapshot: number, results })
      await expectState(number - 1)
      await resume(search)
      await work(search, agentId, 2, 7)
    }
    expect((await list(search)).snapshots.map(({ number }) => number)).toEqual([1])
    expect((await take(search)).number).toBe(4)
    await expectProblem(call('POST', `${search.path}/snapshots/2/rollback`), 404, 'not-found')
    // All that was pushed since: a replay of what counts comes to this alpha.
    const rebuilt = await expectJson(call('POST', `${search.path}/rebuild-alpha`, { json: { from: 1_000_000 } }))
    expect(rebuilt).toMatchObject({ excluded: 0 })
    const seqs = (await log(search)).map(({ seq }) => seq)
    expect(seqs).toEqual(seqs.map((_, i) => i + 1))
  })

  it('keeps results out that alpha was rebuilt without since', async () => {
    const { search, agentId } = await createWorking({ strategy: { warmupSteps: 0, archEvery: 1 } })
    await work(search, agentId, 6)
    await take(search)
    const before = await alphaOf(search)
    const { seq = 0 } = (await log(search)).find((entry) => entry.work.kind === 'gateGradients') ?? {}
    await expectJson(call('POST', `${search.path}/rebuild-alpha`, { json: { from: seq, to: seq } }))
    const rebuilt = await alphaOf(search)
    expect(rebuilt).not.toEqual(before)
    await work(search, agentId, 4)
    await rollBack(search, 1)
    expect(await alphaOf(search)).toEqual(rebuilt)
  })

  it('is not where it was stopped, or has no such snapshot, and by nobody but the administrator', async () => {
    const { search, agentId } = await createWorking()
    await work(search, agentId, 2)
    await take(search)
    const problem = await expectProblem(call('POST', `${search.path}/snapshots/7/rollback`), 404, 'not-found')
    expect(problem.detail).toContain('there are 1')
    for (const path of ['snapshots', 'snapshots/1/rollback'])
      await expectProblem(call('POST', `${search.path}/${path}`, { token: search.agentToken }), 403)
    await expectProblem(call('POST', `${search.path}/snapshots/x/rollback`), 400)
    expect((await expectJson(call('GET', `${search.path}/snapshots`, { token: search.agentToken }))) as object).toHaveProperty('snapshots')
    await expectJson(call('POST', `${search.path}/stop`))
    await expectProblem(call('POST', `${search.path}/snapshots/1/rollback`), 409, 'conflict')
    await expectProblem(call('POST', `${search.path}/snapshots`), 409, 'conflict')
  })

  it('after its end goes on from the snapshot', async () => {
    const { search, agentId } = await createWorking()
    await work(search, agentId, 4)
    await take(search)
    await finishSearch(search, agentId)
    expect((await readStatus(search)).phase).toBe('finished')
    await rollBack(search, 1)
    expect(await readStatus(search)).toMatchObject({ phase: 'paused', finishedAtMs: null })
    await resume(search)
    await finishSearch(search, agentId)
    expect((await readStatus(search)).steps.done).toBe(24)
  })

  it('is noted in the audit list, with the snapshot', async () => {
    const { search, agentId } = await createWorking()
    await work(search, agentId, 2)
    await take(search)
    await rollBack(search, 1)
    const { entries } = (await expectJson(call('GET', '/v1/audit?limit=1'))) as { entries: { path: string; status: number }[] }
    expect(entries).toMatchObject([{ path: `${search.path}/snapshots/1/rollback`, status: 200 }])
  })
})

/** Calls of this method of a shard fail, as if it could not be reached, until it is evicted. */
async function cutOff(search: TestSearch, shard: number, method: 'takeSnapshot' | 'rollBack'): Promise<void> {
  await runInDurableObject(shardObject(search, shard), (object: WeightsObject) => {
    // No property of an instance can be called from elsewhere.
    Object.defineProperty(object, method, { value: null })
  })
}

const numbersOf = (search: TestSearch, shard: number) =>
  runInDurableObject(shardObject(search, shard), (_, { storage }) =>
    storage.sql
      .exec<{ number: number }>('SELECT number FROM snapshots')
      .toArray()
      .map(({ number }) => number),
  )

describe('cut off between two shards', () => {
  it('a rollback goes on to its end, and nothing is handed out or changed before', async () => {
    const { search, agentId } = await createWorking()
    await work(search, agentId, 4)
    const [alpha, weights] = [await alphaOf(search), await readWeights(search)]
    await take(search)
    await work(search, agentId, 3, 50)
    await cutOff(search, 1, 'rollBack')
    expect(await rollBack(search, 1)).toMatchObject({ isComplete: false })
    const last = search.shards - 1
    await evictDurableObject(searchObject(search))
    for (let shard = 0; shard <= last; shard++) await evictDurableObject(shardObject(search, shard))
    expect((await readStatus(search)).phaseReason).toContain('taken back to snapshot 1')
    expect((await readWeights(search)).values).not.toEqual(weights.values)
    await resume(search)
    expect(await askForTask(search, agentId)).toMatchObject({ kind: 'wait', reason: 'paused' })
    await expectProblem(call('POST', `${search.path}/snapshots`), 409, 'conflict')
    await expectJson(call('POST', `${search.path}/pause`))
    expect((await expectProblem(call('GET', `${search.path}/export`), 409, 'conflict')).detail).toContain('taken back')

    expect(await runDurableObjectAlarm(searchObject(search))).toBe(true)
    expect((await readWeights(search)).values).toEqual(weights.values)
    expect(await alphaOf(search)).toEqual(alpha)
    expect((await readStatus(search)).phaseReason).toBeUndefined()
    await resume(search)
    await finishSearch(search, agentId)
  })

  it('asked for again it is the same one', async () => {
    const { search, agentId } = await createWorking()
    await work(search, agentId, 4)
    await take(search)
    await work(search, agentId, 1)
    await take(search)
    await cutOff(search, 0, 'rollBack')
    const first = await rollBack(search, 1)
    expect(first.isComplete).toBe(false)
    await expectProblem(call('POST', `${search.path}/snapshots/2/rollback`), 409, 'conflict')
    await evictDurableObject(shardObject(search, 0))
    expect(await rollBack(search, 1)).toEqual({ ...first, isComplete: true })
  })

  it('a snapshot is none, and what shards have of it goes with the next one', async () => {
    const { search, agentId } = await createWorking()
    await work(search, agentId, 3)
    await take(search)
    await cutOff(search, 1, 'takeSnapshot')
    expect((await call('POST', `${search.path}/snapshots`)).status).toBe(500)
    await evictDurableObject(shardObject(search, 1))
    expect((await list(search)).snapshots.map(({ number }) => number)).toEqual([1])
    // As a search finds it that ended in between.
    await runInDurableObject(searchObject(search), (_, { storage }) => {
      const { json } = storage.sql.exec<{ json: string }>('SELECT json FROM snapshots').one()
      const half = { ...(JSON.parse(json) as Snapshot), number: 2, isComplete: false }
      storage.sql.exec('INSERT INTO snapshots (number, json) VALUES (2, ?)', JSON.stringify(half))
    })
    await evictDurableObject(searchObject(search))
    expect((await list(search)).snapshots.map(({ number }) => number)).toEqual([1])
    expect(await numbersOf(search, 0)).toEqual([1, 2])
    expect(await numbersOf(search, 1)).toEqual([1])
    await work(search, agentId, 1)
    expect((await take(search)).number).toBe(3)
    for (let shard = 0; shard < search.shards; shard++) expect(await numbersOf(search, shard)).toEqual([1, 3])
  })
})

describe('snapshots', () => {
  const rowsOf = (search: TestSearch, table: string) =>
    runInDurableObject(searchObject(search), (_, { storage }) => storage.sql.exec(`SELECT * FROM ${table}`).toArray().length)

  it('are taken by themselves after so many steps, and the oldest makes room', async () => {
    const { search, agentId } = await createWorking({ steps: 40, snapshots: { everySteps: 8, keep: 2 } })
    const seen = new Map<number, number>()
    for (let i = 0; i < 100; i++) {
      const answer = await askForTask(search, agentId)
      if (answer.kind !== 'task') break
      await submitTask(search, agentId, answer.task)
      // Due at once; it may have rung by itself.
      await runDurableObjectAlarm(searchObject(search))
      const { snapshots } = await list(search)
      expect(snapshots.length).toBeLessThanOrEqual(2)
      for (const { number, steps } of snapshots) seen.set(number, steps)
    }
    expect((await readStatus(search)).phase).toBe('finished')
    expect([...seen]).toEqual([8, 16, 24, 32, 40].map((steps, i) => [i + 1, steps]))
    const { snapshots } = await list(search)
    expect(snapshots.map(({ number }) => number)).toEqual([4, 5])
    for (let shard = 0; shard < search.shards; shard++) expect(await numbersOf(search, shard)).toEqual([4, 5])
    expect(await rowsOf(search, 'snapshot_parts')).toBe(2)
  })

  it('are none where nobody wants any, and none of what is stored goes into a file of the search', async () => {
    const { search, agentId } = await createWorking({ snapshots: { everySteps: 0 } })
    await work(search, agentId, 3)
    await take(search)
    await rollBack(search, 1)
    const tables = new Set<string>()
    for (const of of ['search', 'shards/0']) {
      let cursor: string | null = null
      do {
        const query: string = cursor === null ? '' : `?cursor=${encodeURIComponent(cursor)}`
        const { page, next } = (await expectJson(call('GET', `${search.path}/export/${of}${query}`))) as {
          page: { table: string } | null
          next: string | null
        }
        if (page) tables.add(page.table)
        cursor = next
      } while (cursor !== null)
    }
    expect(tables).toContain('rollbacks')
    expect([...tables].filter((table) => table.startsWith('snapshot'))).toEqual([])
  })
})
