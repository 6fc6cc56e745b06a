// A lease gives the right to push what its task trains, and to deliver its result: nothing else, and to nobody else.

import { runInDurableObject } from 'cloudflare:test'
import { beforeEach, describe, expect, it } from 'vitest'
import type { Task, TaskResult } from '../../protocol/index.ts'
import { printArchitecture, weightKeys } from '../../search-space/index.ts'
import { answerWork, makeRegistration } from '../fixtures/searches.ts'
import { encodeTrainingCheckpoint, makeTrainingSpec } from '../fixtures/trainings.ts'
import {
  call,
  callPush,
  createTestSearch,
  encodePush,
  expectJson,
  expectProblem,
  leaseTask,
  leaseUntil,
  observe,
  pullShard,
  push,
  readLog,
  readStatus,
  registerTestAgent,
  shardObject,
  submission,
  submitTask,
  type TestSearch,
} from './api.ts'

const STEM = 'stem/conv/conv.filter'

let search: TestSearch
let agentId: string
let task: Task
beforeEach(async () => {
  search = await createTestSearch()
  agentId = await registerTestAgent(search)
  task = await leaseTask(search, agentId)
})

const trainedKeys = () => {
  if (task.work.kind !== 'trainWeights') throw new Error(`expected weights to train, got ${task.work.kind}`)
  return new Set(task.work.paths.flatMap((path) => weightKeys(search.space.network(path))))
}
const appliedTasks = () =>
  runInDurableObject(shardObject(search, 0), (_, { storage }) =>
    storage.sql
      .exec<{ task_id: number }>('SELECT task_id FROM applied')
      .toArray()
      .map((row) => row.task_id),
  )
const body = (keys: Iterable<string> = [STEM]) => encodePush(search, Object.fromEntries([...keys].map((key) => [key, 0])), 1)
/** Another token of the search, and an agent that registered with it. */
async function otherAgent(): Promise<{ token: string; agentId: string }> {
  const created = await expectJson(call('POST', `${search.path}/tokens`, { json: { label: 'other' } }), 201)
  const token = (created as { agentToken: string }).agentToken
  const json = makeRegistration(search.space, { name: 'other' })
  return { token, ...((await expectJson(call('POST', `${search.path}/agents`, { token, json }), 201)) as { agentId: string }) }
}

describe('a push', () => {
  it('of what the task trains is applied with the right that came with the task', async () => {
    expect(task.pushRight).toMatch(/^[\w-]+\.[\w-]{43}$/)
    const response = await callPush(search, agentId, task.taskId, body(trainedKeys()), { right: task.pushRight ?? '' })
    expect(await expectJson(response)).toMatchObject({ kind: 'applied' })
    expect(await appliedTasks()).toEqual([task.taskId])
  })

  it.each([1, 2 ** 53 - 1])('of a task to come changes nothing, and takes nothing from who gets it: %d after', async (after) => {
    const early = Math.min(task.taskId + after, Number.MAX_SAFE_INTEGER)
    expect(await expectJson(callPush(search, agentId, early, body(), { right: null }))).toMatchObject({ kind: 'duplicate' })
    await expectProblem(callPush(search, agentId, early, body(), { right: task.pushRight ?? '' }), 403, 'forbidden')
    expect(await appliedTasks()).toEqual([])
    expect((await pullShard(search, 0, { [STEM]: 0 })).values.size).toBe(0)
    const next = await leaseTask(search, agentId)
    const response = callPush(search, agentId, next.taskId, body(), { right: next.pushRight ?? '' })
    expect(await expectJson(response)).toMatchObject({ kind: 'applied' })
  })

  it('without a tensor is refused, and the task is not taken for delivered', async () => {
    await expectProblem(callPush(search, agentId, task.taskId, body([]), { right: task.pushRight ?? '' }), 400, 'invalid-request')
    expect(await appliedTasks()).toEqual([])
  })

  it('of weights that the task does not train is refused, and counted against its agent', async () => {
    const trained = trainedKeys()
    const others = search.space.weightSpecs.map(({ key }) => key).filter((key) => !trained.has(key))
    expect(others.length).toBeGreaterThan(0)
    const keys = [STEM, others[0] as string]
    const problem = await expectProblem(
      callPush(search, agentId, task.taskId, body(keys), { right: task.pushRight ?? '' }),
      422,
      'bad-numbers',
    )
    expect(problem.errors[0]?.path).toBe(others[0])
    const velocity = callPush(search, agentId, task.taskId, body([STEM]), { right: { velocities: false } })
    expect((await velocity).status).toBe(200)
    expect((await readStatus(search)).agents[0]?.refusedPushes).toBe(1)
  })

  it.each<[string, (mine: string) => Promise<Response>]>([
    [
      'made up',
      (mine) => callPush(search, agentId, task.taskId, body(), { right: `${mine.slice(0, -1)}${mine.endsWith('A') ? 'E' : 'A'}` }),
    ],
    ['of no form', () => callPush(search, agentId, task.taskId, body(), { right: 'none' })],
    ['of another agent', async (mine) => callPush(search, (await otherAgent()).agentId, task.taskId, body(), { right: mine })],
    [
      'of another token',
      async (mine) => callPush(search, agentId, task.taskId, body(), { right: mine, token: (await otherAgent()).token }),
    ],
    [
      'of another search',
      async () => {
        const other = await createTestSearch()
        const theirs = await leaseTask(other, await registerTestAgent(other))
        return callPush(search, agentId, task.taskId, body(), { right: theirs.pushRight ?? '' })
      },
    ],
  ])('with a right that is %s is refused', async (_, send) => {
    await expectProblem(send(task.pushRight ?? ''), 403, 'forbidden')
    expect(await appliedTasks()).toEqual([])
  })

  it('is scaled by the members of its round that the search knows of, not by those that it names', async () => {
    await push(search, agentId, 101, body())
    await push(search, agentId, 102, encodePush(search, { [STEM]: 1 }, 1))
    const late = encodePush(search, { [STEM]: 0 }, 1)
    expect((await push(search, agentId, 103, late, 0, { members: 1 })).scales).toEqual({ [STEM]: 1 / 3 })
    expect((await push(search, agentId, 104, late, 0, { members: 4 })).scales).toEqual({})
  })

  it('of an agent of version 0.1.0, which shows no right, is what its lease allows', async () => {
    const trained = trainedKeys()
    const other = search.space.weightSpecs.map(({ key }) => key).find((key) => !trained.has(key)) as string
    const send = (keys: Iterable<string>) => callPush(search, agentId, task.taskId, body(keys), { right: null })
    await expectProblem(send([other]), 422, 'bad-numbers')
    expect(await expectJson(send(trained))).toMatchObject({ kind: 'applied' })
    await submitTask(search, agentId, task)
    expect(await expectJson(send(trained))).toMatchObject({ kind: 'duplicate' })
  })
})

describe('a checkpoint of a trial', () => {
  it('is taken from the agent that has the lease, with its own token', async () => {
    search = await createTestSearch({
      steps: 1,
      targetMs: 30,
      strategy: { name: 'random', trials: 4, recipe: { epochs: 2 } },
    })
    agentId = await registerTestAgent(search)
    const { taskId, leaseId, work, checkpoint } = await leaseTask(search, agentId)
    if (work.kind !== 'trainArchitecture') throw new Error(`expected a trial, got ${work.kind}`)
    expect(checkpoint).toMatchObject({ step: null })
    const { path, recipe, seed } = work
    const architecture = printArchitecture(search.space, path)
    const file = encodeTrainingCheckpoint({ ...makeTrainingSpec(), architecture, recipe, seed, shareSeed: seed }, 10)
    const at = `${search.path}/tasks/${taskId}/checkpoint`
    const put = (token: string, agent: string, type = 'application/octet-stream') =>
      call('PUT', `${at}?agentId=${agent}&leaseId=${leaseId}`, { token, body: file, type })
    const other = await otherAgent()
    await expectProblem(put(other.token, agentId), 403, 'forbidden')
    expect(await expectJson(put(other.token, other.agentId))).toEqual({ kind: 'lost' })
    await expectProblem(put(search.agentToken, agentId, 'application/json'), 415, 'unsupported-media-type')
    await expectProblem(call('GET', at, { token: search.agentToken }), 404, 'not-found')
    expect(await expectJson(put(search.agentToken, agentId))).toEqual({ kind: 'stored' })
    const read = await call('GET', at, { token: search.agentToken })
    expect(new Uint8Array(await read.arrayBuffer())).toEqual(file)
  })
})

describe('a result', () => {
  const send = (token: string, request: unknown) => call('POST', `${search.path}/results`, { token, json: request })
  const change = (result: Partial<Extract<TaskResult, { kind: 'trainWeights' }>>) => {
    const answered = answerWork(task.work, search.space, task.taskId)
    return send(search.agentToken, submission(search, agentId, task, { ...answered, ...result } as TaskResult))
  }

  it.each<[string, (mine: ReturnType<typeof submission>) => Promise<unknown>]>([
    ['a lease that nobody was given', async (mine) => ({ ...mine, leaseId: 'l000000000000' })],
    ['the lease of another task', async (mine) => ({ ...mine, leaseId: (await leaseTask(search, agentId)).leaseId })],
    ['the lease of another agent', async (mine) => ({ ...mine, agentId: await registerTestAgent(search, 'another') })],
  ])('under %s is refused', async (_, forge) => {
    const request = await forge(submission(search, agentId, task))
    const before = await observe(search)
    await expectProblem(send(search.agentToken, request), 403, 'forbidden')
    expect(await observe(search)).toEqual(before)
    expect(await submitTask(search, agentId, task)).toEqual({ kind: 'accepted' })
  })

  it('of an agent of another token is refused, and so are its leases and heartbeats', async () => {
    const other = await otherAgent()
    const ref = { agentId, taskId: task.taskId, leaseId: task.leaseId }
    const before = await observe(search)
    await expectProblem(send(other.token, submission(search, agentId, task)), 403, 'forbidden')
    for (const [path, json] of [
      ['lease', { agentId }],
      ['heartbeat', ref],
      ['release', ref],
    ] as const)
      await expectProblem(call('POST', `${search.path}/${path}`, { token: other.token, json }), 403, 'forbidden')
    expect(await observe(search)).toEqual(before)
  })

  it.each([
    ['a loss below 0', { loss: -1e20 }, 'result.loss'],
    ['a loss of a network that has diverged', { loss: 1e19 }, 'result.loss'],
    ['more images than the task has', { images: 1000 }, 'result.images'],
    ['fewer images than the task has', { images: 64 }, 'result.images'],
  ])('with %s is refused', async (_, numbers, path) => {
    const problem = await expectProblem(change(numbers), 422, 'bad-numbers')
    expect(problem.errors[0]?.path).toBe(path)
  })

  it('with more images than any data set has is refused', async () => {
    await expectProblem(change({ images: 9e15 }), 400, 'invalid-request')
  })

  it('of gates is held against the mini-batch too', async () => {
    const gates = await leaseUntil(search, agentId, 'gateGradients')
    const request = submission(search, agentId, gates)
    const result = structuredClone(request.result) as Extract<TaskResult, { kind: 'gateGradients' }>
    result.steps[0]!.images = 65
    const problem = await expectProblem(send(search.agentToken, { ...request, result }), 422, 'bad-numbers')
    expect(problem.errors[0]?.path).toBe('result.steps[0].images')
  })

  it('is attributable: status and log name agent and token', async () => {
    await submitTask(search, agentId, task)
    expect((await readStatus(search)).agents).toMatchObject([{ agentId, tokenId: search.tokenId }])
    expect(await readLog(search)).toMatchObject([{ agentId, tokenId: search.tokenId }])
  })
})
