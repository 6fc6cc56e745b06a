import { describe, expect, it } from 'vitest'
import { architectureSchema, distributionOf, metricSchema, phaseSchema, searchSummarySchema } from '../../protocol/index.ts'
import { architectureCosts, parseArchitecture, presets } from '../../search-space/index.ts'
import { makeConfigInput, makeSpaceRef } from '../fixtures/searches.ts'
import {
  call,
  createTestSearch,
  expectJson,
  expectProblem,
  finishSearch,
  leaseTask,
  publishTableFor,
  pullShard,
  readArchitecture,
  readLog,
  readStatus,
  registerTestAgent,
  submitTask,
  type TestSearch,
} from './api.ts'

const listed = async () => {
  const { searches } = (await expectJson(call('GET', '/v1/searches'))) as { searches: unknown[] }
  return searches.map((search) => searchSummarySchema.strict().parse(search))
}
const command = async (search: TestSearch, name: string) =>
  phaseSchema.parse(((await expectJson(call('POST', `${search.path}/${name}`))) as { phase: unknown }).phase)

describe('a search', () => {
  it('that was created can be read, with the whole of what it runs on', async () => {
    const search = await createTestSearch({ name: 'first of all', blocks: 2 })
    const status = await readStatus(search)
    expect(status).toMatchObject({
      searchId: search.searchId,
      name: 'first of all',
      phase: 'waiting',
      progress: 0,
      startedAtMs: null,
      finishedAtMs: null,
      training: { loss: null, accuracy: null },
      agents: [],
      tasks: { created: 0, leased: 0, queued: 0, done: 0, stale: 0, failed: 0, lastFailure: null, expiredLeases: 0, duplicates: 0 },
      blocks: [
        { name: 'stage1.1', operations: ['mb2k3', 'mb3k3', 'zero'] },
        { name: 'stage1.2', operations: ['mb2k3', 'mb3k3', 'zero'] },
      ],
      latencyTable: { name: search.config.latency.table.name, device: 'test device', runtime: 'test runtime', batch: 1 },
    })
    expect(status.config).toEqual(search.config)
    const found = distributionOf(status)
    expect(found.probabilities.flat().every((p) => Math.abs(p - 1 / 3) < 0.01)).toBe(true)
    expect(found.entropy.mean).toBeCloseTo(Math.log(3), 4)
    // stem 1 ms, classifier 1.25 ms; each block chooses evenly between 1.5 ms, 1.75 ms and nothing.
    expect(found.expectedLatencyMs).toBeCloseTo(2.25 + (2 * 3.25) / 3, 2)
  })

  it('is listed, newest first, and no more once it is deleted', async () => {
    const older = await createTestSearch({ name: 'older' })
    await new Promise((resolve) => setTimeout(resolve, 5))
    const newer = await createTestSearch({ name: 'newer' })
    const names = (searches: { searchId: string; name: string }[]) =>
      searches.filter(({ searchId }) => [older.searchId, newer.searchId].includes(searchId)).map(({ name }) => name)
    expect(names(await listed())).toEqual(['newer', 'older'])
    const { createdAtMs } = await readStatus(newer)
    const page = (await expectJson(call('GET', `/v1/searches?before=${createdAtMs}&limit=1`))) as { searches: { name: string }[] }
    expect(page.searches.map(({ name }) => name)).toEqual(['older'])
    expect((await call('DELETE', newer.path)).status).toBe(204)
    expect(names(await listed())).toEqual(['older'])
  })

  it('can be deleted: nothing of it answers any more, nor can it be deleted twice', async () => {
    const search = await createTestSearch({ blocks: 2, weights: { shardBytes: 4096 } })
    const agentId = await registerTestAgent(search)
    await leaseTask(search, agentId)
    expect((await call('DELETE', search.path)).status).toBe(204)
    for (const path of ['', '/architecture', '/log', '/metrics', '/tokens'])
      await expectProblem(call('GET', `${search.path}${path}`), 404, 'not-found')
    await expectProblem(call('POST', `${search.path}/lease`, { token: search.agentToken, json: { agentId } }), 404)
    await expectProblem(call('POST', `${search.path}/weights/0/pull`, { token: search.agentToken, json: { held: {} } }), 404)
    await expectProblem(call('DELETE', search.path), 404)
  })

  it('runs from its first task to its architecture', async () => {
    const search = await createTestSearch({ blocks: 3, steps: 12 })
    const agentId = await registerTestAgent(search)
    const tasks = await finishSearch(search, agentId)
    const status = await readStatus(search)
    expect(status).toMatchObject({
      phase: 'finished',
      progress: 1,
      timeLeftMs: null,
      weightSteps: { done: 12, total: 12 },
      architectureSteps: { done: 4 },
    })
    expect(status.tasks).toMatchObject({ created: tasks, done: tasks, stale: 0, duplicates: 0 })
    expect(status.agents).toMatchObject([{ agentId, name: 'agent', tasksDone: tasks, refusedPushes: 0 }])
    expect(status.alphaVersion).toBe(4)

    const architecture = architectureSchema.strict().parse(await readArchitecture(search))
    expect(architecture).toEqual(status.current)
    expect(architecture.path).toEqual(distributionOf(status).probabilities.map((p) => p.indexOf(Math.max(...p))))
    expect(parseArchitecture(search.space, architecture.encoding)).toEqual(architecture.path)
    expect({ macs: architecture.macs, parameters: architecture.parameters }).toEqual(architectureCosts(search.space, architecture.path))
    const operationMs = [1.5, 1.75, 0]
    expect(architecture.latencyMs).toBeCloseTo(
      2.25 + architecture.path.reduce((sum, operation) => sum + (operationMs[operation] as number), 0),
      9,
    )

    const { metrics } = (await expectJson(call('GET', `${search.path}/metrics`))) as { metrics: unknown[] }
    const log = await readLog(search)
    expect(metrics.map((metric) => metricSchema.strict().parse(metric))).toEqual(log.map((entry) => entry.metric))
    expect(log.map((entry) => entry.seq)).toEqual(Array.from({ length: tasks }, (_, index) => index + 1))
    const page = (await expectJson(call('GET', `${search.path}/log?after=2&limit=2`))) as { entries: { seq: number }[] }
    expect(page.entries.map(({ seq }) => seq)).toEqual([3, 4])
  })

  it('pauses, goes on, and stops for good', async () => {
    const search = await createTestSearch()
    const agentId = await registerTestAgent(search)
    const lease = () => expectJson(call('POST', `${search.path}/lease`, { token: search.agentToken, json: { agentId } }))
    const task = await leaseTask(search, agentId)
    expect(await command(search, 'pause')).toBe('paused')
    const waits = { retryAfterMs: 1000, retryAtMostMs: 300_000, listeningRetryMs: 900_000 }
    expect(await lease()).toEqual({ kind: 'wait', reason: 'paused', ...waits })
    expect(await submitTask(search, agentId, task)).toEqual({ kind: 'accepted' })
    expect(await command(search, 'resume')).toBe('warmup')
    expect(await lease()).toMatchObject({ kind: 'task' })
    expect(await command(search, 'stop')).toBe('stopped')
    expect(await command(search, 'stop')).toBe('stopped')
    expect(await lease()).toEqual({ kind: 'finished', phase: 'stopped' })
    await expectProblem(call('POST', `${search.path}/resume`), 409, 'conflict')
    await expectProblem(call('POST', `${search.path}/pause`), 409, 'conflict')
    expect((await readStatus(search)).phase).toBe('stopped')
  })

  it('of the ImageNet preset is created on four shards, and an agent gets what it needs to start', async () => {
    const search = await createTestSearch({ space: 'proxyless-mobile' })
    const registration = {
      name: 'a',
      device: 'd',
      backend: 'b',
      dataset: { name: 'imagenet', fingerprint: '0'.repeat(64), shape: [224, 224, 3], classes: 1000, trainImages: 1_281_167 },
    }
    const answer = (await expectJson(
      call('POST', `${search.path}/agents`, { token: search.agentToken, json: registration }),
      201,
    )) as Record<string, unknown>
    expect(answer).toMatchObject({ searchId: search.searchId, shards: 4, space: presets['proxyless-mobile'], config: search.config })
    const { values, versions } = await pullShard(search, 3, { 'classifier/conv/linear.bias': -1 })
    expect(versions).toEqual({ 'classifier/conv/linear.bias': 0 })
    expect(values.get('classifier/conv/linear.bias')).toHaveLength(1000)
  })
})

describe('a search that is refused', () => {
  const create = (json: unknown) => call('POST', '/v1/searches', { json })
  const before = async () => (await listed()).map(({ searchId }) => searchId)

  it.each([
    ['no latency table of that name', { tableName: 'nowhere' }, 404, 'latency.table'],
    ['an alpha of another shape', { strategy: { initialAlpha: [[0, 0, 0]] } }, 400, 'strategy.initialAlpha'],
    ['a kernel twice', { kernels: [3, 3] as (1 | 3 | 5 | 7)[] }, 400, 'space.kernels'],
    ['a target too small for its logarithm', { targetMs: 0.5 }, 400, 'latency.targetMs'],
    [
      'more shards than can be called at once',
      { space: 'proxyless-mobile' as const, weights: { shardBytes: 65_536 } },
      400,
      'weights.shardBytes',
    ],
    ['a tensor larger than a message', { width: 8000, classes: 4000 }, 400, 'space'],
    [
      'tasks larger than a row',
      {
        blocks: 64,
        kernels: [3, 5, 7] as (1 | 3 | 5 | 7)[],
        expansions: [1, 2, 3, 4, 5, 6],
        strategy: { form: 'full' as const },
        tasks: { architectureSteps: 1000 },
      },
      400,
      'tasks.architectureSteps',
    ],
  ])('says why and leaves nothing behind: %s', async (_, options, status, path) => {
    // The table exists for all of them but the first.
    const named = { tableName: 'refused', ...options }
    if (named.tableName !== 'nowhere' && path !== 'space.kernels') await publishTableFor(named)
    const ids = await before()
    const problem = await expectProblem(create(makeConfigInput(named)), status)
    expect(problem.errors.map((error) => error.path)).toEqual([path])
    expect(await before()).toEqual(ids)
  })

  it('names the operations that its table lacks: 422, the keys in the errors', async () => {
    await publishTableFor({ tableName: 'narrow', blocks: 1, expansions: [2], zero: false })
    const problem = await expectProblem(create(makeConfigInput({ tableName: 'narrow', blocks: 1 })), 422, 'missing-latencies')
    const key = 'expanded_conv-input:4x4x8-output:4x4x8-expand:3-kernel:3-stride:1-idskip:1'
    expect(problem.errors).toEqual([{ path: `entries.${key}`, message: 'missing' }])
    expect(problem.detail).toContain(key)
  })

  it('is refused where the sums of its table are no milliseconds', async () => {
    const entries = Object.fromEntries(
      [
        'Conv-input:8x8x1-output:4x4x8',
        'Logits-input:4x4x8-output:4',
        ...[2, 3].map((e) => `expanded_conv-input:4x4x8-output:4x4x8-expand:${e}-kernel:3-stride:1-idskip:1`),
      ].map((key) => [key, { meanMs: 1.7e308, stdMs: 0, count: 1 }]),
    )
    const table = { name: 'endless', device: { name: 'd' }, runtime: { name: 'r' }, inputShape: [8, 8, 1], entries }
    await expectJson(call('POST', '/v1/latency-tables', { json: table }), 201)
    const problem = await expectProblem(create(makeConfigInput({ tableName: 'endless', space: makeSpaceRef() })), 400)
    expect(problem.errors.map((error) => error.path)).toEqual(['latency.table'])
  })
})

describe('the data of a search', () => {
  it('are set right by the administrator as long as no result is in', async () => {
    const search = await createTestSearch()
    const bind = (fingerprint: unknown, token?: string) =>
      call('PUT', `${search.path}/dataset`, { json: { fingerprint }, ...(token !== undefined && { token }) })
    expect((await readStatus(search)).datasetFingerprint).toBeNull()
    const first = await registerTestAgent(search)
    const bound = (await readStatus(search)).datasetFingerprint as string
    expect(bound).toMatch(/^[0-9a-f]{64}$/)
    await expectProblem(bind(null, search.agentToken), 403, 'forbidden')
    expect((await expectProblem(bind('abc'), 400, 'invalid-request')).errors.map(({ path }) => path)).toEqual(['fingerprint'])
    expect(await expectJson(bind('c'.repeat(64)))).toEqual({ datasetFingerprint: 'c'.repeat(64) })
    await expectProblem(call('POST', `${search.path}/lease`, { token: search.agentToken, json: { agentId: first } }), 404, 'not-found')
    expect(await expectJson(bind(null))).toEqual({ datasetFingerprint: null })
    const agentId = await registerTestAgent(search)
    await submitTask(search, agentId, await leaseTask(search, agentId))
    await expectProblem(bind(null), 409, 'conflict')
    expect((await readStatus(search)).datasetFingerprint).toBe(bound)
  })
})

describe('agent tokens', () => {
  const tokensOf = async (search: TestSearch) =>
    ((await expectJson(call('GET', `${search.path}/tokens`))) as { tokens: { tokenId: string; label: string }[] }).tokens

  it('can be issued besides the first, each good for every object of the search', async () => {
    const search = await createTestSearch({ weights: { shardBytes: 2048 } })
    expect(search.shards).toBeGreaterThan(1)
    const issued = (await expectJson(call('POST', `${search.path}/tokens`, { json: { label: 'laptop' } }), 201)) as {
      tokenId: string
      agentToken: string
    }
    expect((await tokensOf(search)).map(({ label }) => label).toSorted()).toEqual(['first', 'laptop'])
    const second = { ...search, agentToken: issued.agentToken }
    const agentId = await registerTestAgent(second)
    await leaseTask(second, agentId)
    for (let shard = 0; shard < search.shards; shard++) await pullShard(second, shard)
    expect(JSON.stringify(await tokensOf(search))).not.toContain(issued.agentToken)
  })

  it('that are revoked are good for nothing, at once, on every object; others stay good', async () => {
    const search = await createTestSearch({ weights: { shardBytes: 2048 } })
    const agentId = await registerTestAgent(search)
    const { tokenId, agentToken } = (await expectJson(call('POST', `${search.path}/tokens`, { json: { label: 'laptop' } }), 201)) as {
      tokenId: string
      agentToken: string
    }
    await pullShard({ ...search, agentToken }, 1)
    expect((await call('DELETE', `${search.path}/tokens/${tokenId}`)).status).toBe(204)
    await expectProblem(call('POST', `${search.path}/lease`, { token: agentToken, json: { agentId } }), 401)
    await expectProblem(call('GET', search.path, { token: agentToken }), 401)
    for (let shard = 0; shard < search.shards; shard++)
      await expectProblem(call('POST', `${search.path}/weights/${shard}/pull`, { token: agentToken, json: { held: {} } }), 401)
    await leaseTask(search, agentId)
    expect((await tokensOf(search)).map(({ label }) => label)).toEqual(['first'])
    await expectProblem(call('DELETE', `${search.path}/tokens/${tokenId}`), 404)
  })
})
