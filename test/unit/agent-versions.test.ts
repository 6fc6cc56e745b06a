// Real agents against a coordinator of another version: played by a server here, since there is only one real one.

import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import * as z from 'zod'
import { AnswerError, parseAnswer, problemDocument, searchConfigSchema, taskKinds, VERSION } from '../../protocol/index.ts'
import { openBackend } from '../../engine/backends/backends.ts'
import { resolveSpaceConfig } from '../../search-space/index.ts'
import { joinSearch } from '../../worker-agent/agent/join-search.ts'
import { joinTrainings } from '../../worker-agent/agent/join-trainings.ts'
import { createCoordinatorClient } from '../../worker-agent/client/coordinator-client.ts'
import { makeConfigInput } from '../fixtures/searches.ts'
import { makeTrainingSpec } from '../fixtures/trainings.ts'
import { SMALL_SPACE, smallDataset } from './training-images.ts'

const SEARCH = 's0123456789ab'
const TRAINING = 'r0123456789ab'
const tokenOf = (id: string) => `gha.${id}.t0123456789ab.${'x'.repeat(43)}`
const LEASE = 'l0123456789ab'
const config = searchConfigSchema.parse({ ...makeConfigInput({ space: SMALL_SPACE }), training: { batchSize: 8 } })
const spec = makeTrainingSpec()
const space = resolveSpaceConfig(config.space)
const registered = { agentId: 'a0123456789ab', searchId: SEARCH, config, space, shards: 1 }
const task = { taskId: 7, leaseId: LEASE, leaseMs: 60_000, work: { kind: 'trainWeights', firstStep: 0, paths: [[0, 0, 0]] } }

type Answer = { readonly status?: number; readonly body: unknown }

let server: Server
let coordinator: string
let calls: { path: string; body: unknown }[]
/** Last part of the path → what is answered, once for each call and the last one for ever. */
let answers: Record<string, Answer[]>
const callsOf = (path: string) => calls.filter((call) => call.path === path)

beforeEach(async () => {
  calls = []
  answers = {
    health: [{ body: { status: 'ok', version: '9.9.9', protocols: [9], mood: 'good' } }],
    release: [{ body: { kind: 'released' } }],
    heartbeat: [{ body: { kind: 'extended' } }],
    agents: [{ status: 201, body: registered }],
  }
  server = createServer(async (request, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const text = Buffer.concat(chunks).toString('utf8')
    const path = request.url?.split('/').at(-1) ?? ''
    calls.push({ path, body: text === '' ? undefined : JSON.parse(text) })
    const given = answers[path] ?? []
    const { status = 200, body } = (given.length > 1 ? given.shift() : given[0]) ?? {
      status: 404,
      body: problemDocument('not-found', path),
    }
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  coordinator = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
})
afterEach(() => {
  server.closeAllConnections()
  server.close()
})

async function options(id: string, notes: string[] = []) {
  return {
    coordinator,
    token: tokenOf(id),
    agentId: 'a00000000000a',
    name: 'agent',
    device: 'test',
    backend: (await openBackend('cpu')).chosen,
    allowSoftwareAdapter: false,
    dataset: smallDataset(),
    accumulate: 1,
    stop: new AbortController().signal,
    onNote: (line: string) => void notes.push(line),
    onEvent: () => undefined,
  } as const
}
const search = async (notes?: string[]) => joinSearch({ ...(await options(SEARCH, notes)), threads: 1 })
const training = async (notes?: string[], ids: readonly string[] = [TRAINING]) => {
  const { agentId, ...others } = await options(TRAINING, notes)
  return joinTrainings({ ...others, seats: ids.map((id) => ({ token: tokenOf(id), agentId })), threads: 1 })
}

describe('an agent of a search', () => {
  it('that is refused for its protocol ends before it has a lease', async () => {
    answers['agents'] = [{ status: 409, body: problemDocument('version-mismatch', 'this agent speaks protocol 1, and this coordinator 9') }]
    const notes: string[] = []
    await expect(search(notes)).rejects.toMatchObject({ code: 'version-mismatch', message: expect.stringContaining('speaks protocol 1') })
    expect([callsOf('agents').length, callsOf('lease').length]).toEqual([1, 0])
    expect(callsOf('agents')[0]?.body).toMatchObject({ protocol: 1, kinds: taskKinds })
    expect(notes).toEqual([`version  the coordinator is version 9.9.9, this is version ${VERSION}`])
  })

  it.each([
    ['of a kind that it does not know', { work: { kind: 'score', paths: [[0]] } }, 'task.work'],
    ['without its paths', { work: { kind: 'trainWeights', firstStep: 0 } }, 'task.work.paths'],
    ['whose lease has another name for its length', { leaseMs: undefined, lengthMs: 5 }, 'task.leaseMs'],
  ])('that gets a task %s gives it back and ends, with both versions and the field named', async (_, changes, field) => {
    answers['lease'] = [{ body: { kind: 'task', task: { ...task, ...changes } } }]
    const failure = search()
    await expect(failure).rejects.toMatchObject({ name: 'CoordinatorError', code: 'unknown-answer' })
    const { message } = (await failure.catch((error: unknown) => error)) as Error
    for (const part of [field, '9.9.9', VERSION, '/lease']) expect(message).toContain(part)
    expect(callsOf('lease')).toHaveLength(1)
    expect(callsOf('release')).toEqual([
      { path: 'release', body: { agentId: registered.agentId, taskId: 7, leaseId: LEASE, reason: 'stopping' } },
    ])
  })

  it('that gets an answer that is no lease at all ends as well', async () => {
    answers['lease'] = [{ body: { kind: 'holiday' } }]
    await expect(search()).rejects.toMatchObject({ code: 'unknown-answer' })
    expect([callsOf('lease').length, callsOf('release').length]).toEqual([1, 0])
  })

  it('that is refused with a code of a newer version takes it for what its status says', async () => {
    answers['lease'] = [{ status: 409, body: { ...problemDocument('conflict', 'not on Sundays'), code: 'sunday', more: 1 } }]
    await expect(search()).rejects.toMatchObject({ code: 'conflict', message: 'not on Sundays' })
    expect(callsOf('lease')).toHaveLength(1)
  })

  it('ignores fields that it does not know, wherever they are', async () => {
    const more = { mood: 'good' }
    answers['agents'] = [
      {
        status: 201,
        body: {
          ...registered,
          ...more,
          config: {
            ...config,
            ...more,
            training: { ...config.training, ...more, augmentation: { ...config.training.augmentation, ...more } },
          },
          space: { ...space, ...more, stem: { ...('stem' in space && space.stem), ...more } },
        },
      },
    ]
    answers['lease'] = [
      { body: { kind: 'wait', reason: 'paused', retryAfterMs: 1, ...more } },
      { body: { kind: 'finished', phase: 'stopped', ...more } },
    ]
    expect(await search()).toMatchObject({ end: 'stopped', tasks: 0 })

    const { work } = task
    answers['lease'] = [{ body: { kind: 'task', ...more, task: { ...task, ...more, work: { ...work, ...more } } } }]
    const client = createCoordinatorClient({ coordinator, token: tokenOf(SEARCH), signal: new AbortController().signal })
    expect(await client.lease(registered.agentId)).toEqual({ kind: 'task', task })
  })
})

describe('an agent of a training', () => {
  it('that is refused for its protocol ends without the lease', async () => {
    answers['lease'] = [{ status: 409, body: problemDocument('version-mismatch', 'speaks 9') }]
    await expect(training()).rejects.toMatchObject({ code: 'version-mismatch' })
    expect(callsOf('lease')).toHaveLength(1)
  })

  it('that gets a training in a form that it does not know gives it back and ends', async () => {
    const { momentum: _, ...recipe } = spec.recipe
    answers['lease'] = [
      { body: { kind: 'lease', leaseId: LEASE, spec: { ...spec, recipe: { ...recipe, momentum: 'much' } }, space, checkpointStep: null } },
    ]
    await expect(training()).rejects.toMatchObject({ code: 'unknown-answer', message: expect.stringContaining('spec.recipe.momentum') })
    expect(callsOf('lease')).toHaveLength(1)
    expect(callsOf('release')).toEqual([{ path: 'release', body: { leaseId: LEASE } }])
  })

  it('and of others is told how these end before it ends with what one of them was refused for', async () => {
    answers['lease'] = [
      { status: 404, body: problemDocument('not-found', 'there is no such training') },
      { body: { kind: 'wait', reason: 'taken', retryAfterMs: 1 } },
      { body: { kind: 'ended', end: 'finished' } },
    ]
    const notes: string[] = []
    await expect(training(notes, [TRAINING, 'r0123456789ac'])).rejects.toMatchObject({ code: 'not-found' })
    expect(notes.slice(1)).toEqual([`training ${TRAINING} is left: there is no such training`, 'waiting: another agent trains'])
    expect(callsOf('lease')).toHaveLength(3)

    answers['lease'] = [{ body: { kind: 'ended', end: 'finished' } }, { body: { kind: 'ended', end: 'diverged' } }]
    expect((await training([], [TRAINING, 'r0123456789ac'])).map(({ trainingId, end }) => [trainingId, end])).toEqual([
      [TRAINING, 'finished'],
      ['r0123456789ac', 'diverged'],
    ])
  })
})

describe('an answer', () => {
  const part = z.strictObject({ a: z.int() })
  const schema = z.strictObject({
    list: z.array(part),
    one: z.discriminatedUnion('kind', [z.strictObject({ kind: z.literal('x'), part }), z.strictObject({ kind: z.literal('y') })]),
    any: z.union([part, z.strictObject({ b: z.int(), c: z.int() })]),
    left: part.optional(),
  })
  const known = { list: [{ a: 1 }, { a: 2 }], one: { kind: 'x', part: { a: 3 } }, any: { b: 1, c: 2 } }

  it('is read without the fields that are not known, in lists and unions too', () => {
    const more = {
      list: [{ a: 1, z: 0 }, { a: 2 }],
      one: { kind: 'x', part: { a: 3, z: { y: 1 } }, z: 1 },
      any: { b: 1, c: 2, z: 3 },
      z: [],
    }
    expect(parseAnswer(schema, more)).toEqual(known)
    expect(parseAnswer(schema, known)).toEqual(known)
  })

  it.each([
    [{ ...known, z: 1, one: { kind: 'z' } }, 'one'],
    [{ ...known, list: [{ a: 1 }, { a: 'x', z: 1 }] }, 'list[1].a'],
    [{ ...known, any: { z: 1 } }, 'any'],
    [undefined, ''],
    [[], ''],
  ])('that lacks something is refused: %j', (answer, field) => {
    const read = () => parseAnswer(schema, answer)
    expect(read).toThrow(AnswerError)
    expect(read).toThrow(field)
  })

  it('keeps the settings of a search as they are', () => {
    expect(parseAnswer(searchConfigSchema, JSON.parse(JSON.stringify(config)))).toEqual(config)
  })
})
