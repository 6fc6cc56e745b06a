import { describe, expect, it } from 'vitest'
import * as z from 'zod'
import { distributionOf, logEntrySchema, taskSchema } from '../../protocol/index.ts'
import { makeRegistration } from '../fixtures/searches.ts'
import {
  call,
  callPush,
  createTestSearch,
  encodePush,
  expectJson,
  expectProblem,
  leaseTask,
  leaseUntil,
  readStatus,
  registerTestAgent,
  submission,
  submitTask,
} from './api.ts'

describe('an agent', () => {
  it('gets tasks of its own, whole, while it keeps their leases', async () => {
    const search = await createTestSearch()
    const agentId = await registerTestAgent(search)
    const first = taskSchema.parse(await leaseTask(search, agentId))
    const second = await leaseTask(search, agentId)
    expect(first).toMatchObject({ taskId: 1, leaseMs: 60_000, work: { kind: 'trainWeights', firstStep: 0 } })
    expect(second).toMatchObject({ taskId: 2, work: { kind: 'trainWeights', firstStep: 2 } })
    const post = (path: string, json: unknown) => expectJson(call('POST', `${search.path}/${path}`, { token: search.agentToken, json }))
    const ref = { agentId, taskId: 1, leaseId: first.leaseId }
    expect(await post('heartbeat', ref)).toEqual({ kind: 'extended' })
    expect(await post('release', ref)).toEqual({ kind: 'released' })
    expect(await post('heartbeat', ref)).toEqual({ kind: 'lost' })
    expect(await post('release', ref)).toEqual({ kind: 'lost' })
    expect((await leaseTask(search, agentId)).taskId).toBe(1)
  })

  it('that cannot do a task says why; after five times the task is given up, and status, log and results say so', async () => {
    const search = await createTestSearch()
    const agentId = await registerTestAgent(search)
    const release = (json: object) => call('POST', `${search.path}/release`, { token: search.agentToken, json })
    let task = await leaseTask(search, agentId)
    const refOf = () => ({ agentId, taskId: task.taskId, leaseId: task.leaseId })
    await expectProblem(release({ ...refOf(), reason: 'bored' }), 400, 'invalid-request')
    await expectProblem(release({ ...refOf(), reason: 'failed', message: 'x'.repeat(301) }), 400, 'invalid-request')
    for (let attempt = 1; attempt <= 5; attempt++) {
      expect(task.taskId).toBe(1)
      expect(await expectJson(release({ ...refOf(), reason: 'failed', message: `attempt ${attempt}` }))).toEqual({ kind: 'released' })
      if (attempt < 5) task = await leaseTask(search, agentId)
    }
    const failure = { reason: 'failed', message: 'attempt 5', attempts: 5 }
    const { tasks } = await readStatus(search)
    expect(tasks).toMatchObject({
      created: 1,
      failed: 1,
      leased: 0,
      queued: 0,
      lastFailure: { taskId: 1, kind: 'trainWeights', ...failure },
    })
    const { entries } = z.object({ entries: z.array(logEntrySchema) }).parse(await expectJson(call('GET', `${search.path}/log`)))
    expect(entries).toMatchObject([{ seq: 1, taskId: 1, agentId, outcome: 'failed', work: task.work, ...failure }])
    expect(await expectJson(call('GET', `${search.path}/metrics`))).toEqual({ metrics: [] })
    expect(await submitTask(search, agentId, task)).toEqual({ kind: 'duplicate' })
    expect((await leaseTask(search, agentId)).taskId).toBe(2)
  })

  it('that leases at the same time as others gets another task than they do', async () => {
    const search = await createTestSearch({ steps: 100, strategy: { warmupSteps: 100 } })
    // Two: a third would have to wait for the next round.
    const agents = await Promise.all(Array.from({ length: 2 }, (_, index) => registerTestAgent(search, `agent ${index}`)))
    const tasks = await Promise.all(agents.map((agentId) => leaseTask(search, agentId)))
    expect(tasks.map((task) => task.taskId).toSorted()).toEqual([1, 2])
    expect(new Set(tasks.map((task) => task.leaseId)).size).toBe(2)
    const answers = await Promise.all(
      tasks.flatMap((task, index) => [
        submitTask(search, agents[index] as string, task),
        submitTask(search, agents[index] as string, task),
      ]),
    )
    expect(answers.map((answer) => answer.kind).toSorted()).toEqual([
      ...Array<string>(2).fill('accepted'),
      ...Array<string>(2).fill('duplicate'),
    ])
    expect((await readStatus(search)).tasks).toMatchObject({ created: 2, done: 2, duplicates: 2, leased: 0 })
  })

  it('sees alpha move by its gate gradients, and nothing else of alpha', async () => {
    const search = await createTestSearch({ steps: 20, zero: false })
    const agentId = await registerTestAgent(search)
    const before = await readStatus(search)
    const task = await leaseUntil(search, agentId, 'gateGradients')
    expect((await readStatus(search)).alpha).toEqual(before.alpha)
    await submitTask(search, agentId, task)
    const after = await readStatus(search)
    expect(after.alphaVersion).toBe(1)
    expect(after.alpha).not.toEqual(before.alpha)
    // Two operations per block: their probabilities still sum to one, and Adam moved each by about its rate.
    for (const [block, row] of distributionOf(after).alpha.entries()) {
      for (const [i, value] of row.entries())
        expect(Math.abs(value - (distributionOf(before).alpha[block]?.[i] as number))).toBeLessThan(0.0011)
    }
  })

  it('is known by what it reported', async () => {
    const search = await createTestSearch()
    const agentId = await registerTestAgent(search, 'gpu-box')
    await submitTask(search, agentId, await leaseTask(search, agentId))
    const [agent] = (await readStatus(search)).agents
    // 128 images in 10 ms of training, after 1 ms of waiting.
    expect(agent).toMatchObject({
      agentId,
      name: 'gpu-box',
      device: 'test device',
      backend: 'cpu',
      tasksDone: 1,
      imagesPerSecond: 12_800,
      idleShare: 1 / 11,
    })
  })

  it('with other data than the search is refused, both fingerprints named', async () => {
    const search = await createTestSearch()
    await registerTestAgent(search)
    const json = makeRegistration(search.space, { fingerprint: 'b'.repeat(64) })
    const problem = await expectProblem(call('POST', `${search.path}/agents`, { token: search.agentToken, json }), 409, 'dataset-mismatch')
    expect(problem.detail).toContain('a'.repeat(64))
    expect(problem.detail).toContain('b'.repeat(64))
    expect((await readStatus(search)).agents).toHaveLength(1)
  })
})

describe('bad numbers', () => {
  it('of a push or a result are counted against the agent that sent them, and no other', async () => {
    const search = await createTestSearch({ steps: 20 })
    const [good, bad] = [await registerTestAgent(search, 'good'), await registerTestAgent(search, 'bad')]
    const task = await leaseTask(search, bad)
    const refused = async () => (await readStatus(search)).agents.map(({ name, refusedPushes }) => [name, refusedPushes])
    await expectProblem(callPush(search, bad, 1, encodePush(search, { 'stem/conv/conv.filter': 0 }, Number.NaN)), 422)
    expect((await refused()).toSorted()).toEqual([
      ['bad', 1],
      ['good', 0],
    ])
    const wrong = submission(search, bad, task, { kind: 'evaluatePaths', paths: [{ crossEntropy: 1, correct: 1, images: 1 }] })
    await expectProblem(call('POST', `${search.path}/results`, { token: search.agentToken, json: wrong }), 422, 'bad-numbers')
    expect((await refused()).toSorted()).toEqual([
      ['bad', 2],
      ['good', 0],
    ])
    expect(await submitTask(search, bad, task)).toEqual({ kind: 'accepted' })
    expect((await readStatus(search)).agents.find(({ agentId }) => agentId === good)?.tasksDone).toBe(0)
  })
})
