// The command against an HTTP server that answers as a coordinator would, or fails in ways that a coordinator may.

import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { createClient } from '../../command-line/coordinator-client.ts'
import { exitCodes } from '../../command-line/exit-codes.ts'
import type { Terminal } from '../../command-line/terminal.ts'
import { type ProblemCode, problemDocument, problemKinds, VERSION } from '../../protocol/index.ts'
import { presets } from '../../search-space/index.ts'
import { runGatehouse } from '../fixtures/command.ts'

type Answer = { status: number; body?: unknown; headers?: Record<string, string> }
type Call = { method: string; path: string; authorization: string | undefined; body: unknown }

const SEARCH_ID = 's0123456789ab'
const summary = { searchId: SEARCH_ID, name: 'one', phase: 'searching', space: 'fashion-mini', createdAtMs: 1_700_000_000_000 }
const refuse = (code: ProblemCode, detail = 'because'): Answer => ({
  status: problemKinds[code].status,
  body: problemDocument(code, detail),
})

let server: Server
let url: string
let folder: string
let calls: Call[]
let answer: (call: Call) => Answer

beforeEach(async () => {
  calls = []
  answer = () => refuse('not-found')
  server = createServer(async (request, response) => {
    const call = {
      method: request.method ?? '',
      path: request.url ?? '',
      authorization: request.headers.authorization,
      body: await readBody(request),
    }
    calls.push(call)
    const { status, body, headers } = answer(call)
    response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(body === undefined ? '' : JSON.stringify(body))
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  folder = mkdtempSync(join(tmpdir(), 'gatehouse-cli-'))
})

afterEach(() => {
  server.closeAllConnections()
  server.close()
  rmSync(folder, { recursive: true, force: true })
})

async function readBody(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk)
  return chunks.length === 0 ? undefined : JSON.parse(Buffer.concat(chunks).toString('utf8'))
}

const gatehouse = (args: readonly string[], changes: Partial<Terminal> = {}) => {
  const env = { GATEHOUSE_COORDINATOR: url, GATEHOUSE_TOKEN: 'admin', GATEHOUSE_STATE: folder }
  return runGatehouse(args, { env, folder, columns: () => 80, ...changes })
}

describe('exit codes', () => {
  test.each([
    ['invalid-request', 2],
    ['missing-latencies', 2],
    ['not-found', 3],
    ['unauthorized', 4],
    ['forbidden', 4],
    ['conflict', 6],
    ['internal', 1],
  ] as const)('a %s problem ends with %i and its detail, never with a stack', async (code, exitCode) => {
    answer = () => refuse(code, 'the reason')
    const result = await gatehouse(['search', 'pause', SEARCH_ID])
    expect(result).toMatchObject({ code: exitCode, out: '' })
    expect(result.err).toBe('gatehouse: the reason\n')
  })

  test('fields that the coordinator found wrong are listed', async () => {
    answer = () => ({ status: 400, body: problemDocument('invalid-request', 'not valid', [{ path: 'label', message: 'too long' }]) })
    expect((await gatehouse(['search', 'token', 'create', SEARCH_ID, '--label', 'x'])).err).toContain('  label: too long')
  })

  test('a coordinator that is not there ends with 5 and says where it was looked for', async () => {
    server.close()
    const result = await gatehouse(['search', 'pause', SEARCH_ID])
    expect(result.code).toBe(5)
    expect(result.err).toContain(url)
    expect(result.err).toContain('ECONNREFUSED')
  })

  test('something that is no coordinator ends with 1 and says so', async () => {
    answer = () => ({ status: 200, body: '<html>' })
    const result = await gatehouse(['search', 'list'])
    expect(result.code).toBe(1)
    expect(result.err).toContain('Gatehouse coordinator')
  })

  test('an answer of another version ends with 8 and names the field and both versions; what it has more is ignored', async () => {
    answer = ({ path }) => ({ status: 200, body: path === '/health' ? { status: 'ok', version: '9.9.9' } : { phase: 'dreaming' } })
    const result = await gatehouse(['search', 'pause', SEARCH_ID])
    expect(result.code).toBe(8)
    for (const part of ['phase', '9.9.9', VERSION]) expect(result.err).toContain(part)
    answer = () => ({ status: 200, body: { phase: 'paused', mood: 'good' } })
    expect((await gatehouse(['search', 'pause', SEARCH_ID, '--json'])).out).toBe(`{"searchId":"${SEARCH_ID}","phase":"paused"}\n`)
  })

  test('a refusal with a code of a newer version counts as its status', async () => {
    answer = () => ({ status: 409, body: { ...problemDocument('conflict', 'not on Sundays'), code: 'sunday' } })
    expect(await gatehouse(['search', 'pause', SEARCH_ID])).toMatchObject({ code: 6, err: 'gatehouse: not on Sundays\n' })
  })

  test('help lists every exit code', async () => {
    const { code, out } = await gatehouse(['--help'])
    expect(code).toBe(0)
    for (const { code: number, meaning } of Object.values(exitCodes)) expect(out).toMatch(new RegExp(`^ +${number}  ${meaning}$`, 'm'))
  })
})

describe('flags are strict', () => {
  test.each([
    [['search', 'list', '--jsn'], /unknown flag --jsn; did you mean --json\?/],
    [['search', 'list', '--no-json'], /unknown flag --no-json/],
    [['search', 'list', '-x'], /unknown flag -x/],
    [['search', 'list', 'extra'], /unexpected argument "extra"/],
    [['search', 'status'], /Missing required positional argument: ID/],
    [['search', 'status', 'latest', '--token'], /--token needs a value/],
    [['search', 'status', 'latest', '--token', '--json'], /--token needs a value/],
    [['search', 'list', '--json=yes'], /--json takes no value/],
    [['search', 'create', '--seed', '1', '--seed', '2'], /--seed is given twice/],
    [['search', 'create', '--form', 'three'], /--form/],
    [['search', 'creat'], /unknown command "creat"; did you mean create\?/],
    [['--json', 'search', 'list'], /flags come after the command/],
    [['search'], /needs a command/],
    [['up', '--port', '99999'], /--port to be 0 to 65535/],
  ])('%j is refused before anything is sent', async (args, message) => {
    const result = await gatehouse(args)
    expect(result).toMatchObject({ code: 2, out: '' })
    expect(result.err).toMatch(message)
    expect(calls).toEqual([])
  })

  test('every command has a help text that names every flag', async () => {
    for (const command of [
      'up',
      'search create',
      'search watch',
      'derive',
      'search derive',
      'search token revoke',
      'table publish',
      'table show',
    ]) {
      const { code, out } = await gatehouse([...command.split(' '), '--help'])
      expect(code).toBe(0)
      expect(out).toContain(`Usage: gatehouse ${command}`)
      expect(out).toContain('--json')
    }
  })
})

describe('search create', () => {
  const flags = ['--space', 'fashion-mini', '--dataset', 'd', '--target-ms', '2', '--table', 'cpu']
  const created = {
    searchId: SEARCH_ID,
    agentToken: 'gha.secret',
    tokenId: 't0123456789ab',
    expectedLatencyMs: 2.5,
    tableVersion: 'd'.repeat(64),
  }

  test('sends valid settings and prints id, token, latency and the command for an agent', async () => {
    answer = () => ({ status: 201, body: created })
    const result = await gatehouse(['search', 'create', ...flags, '--set', 'training.steps=5', '--set', 'name=x'])
    expect(result.code).toBe(0)
    for (const part of [SEARCH_ID, '2.50 ms expected', `npm run worker-agent -- --coordinator ${url} --token gha.secret --data PATH`]) {
      expect(result.out).toContain(part)
    }
    expect(calls).toMatchObject([
      { method: 'POST', path: '/v1/searches', authorization: 'Bearer admin', body: { name: 'x', training: { steps: 5 } } },
    ])
  })

  test('--json prints one object and nothing else', async () => {
    answer = () => ({ status: 201, body: created })
    expect(JSON.parse((await gatehouse(['search', 'create', ...flags, '--json'])).out)).toMatchObject(created)
  })

  test('settings come from a file, and one that is not JSON is named', async () => {
    answer = () => ({ status: 201, body: created })
    writeFileSync(
      join(folder, 'search.json'),
      JSON.stringify({ space: 'fashion-mini', dataset: { name: 'f' }, latency: { targetMs: 1, table: { name: 't' } } }),
    )
    expect((await gatehouse(['search', 'create', '--config', 'search.json'])).code).toBe(0)
    writeFileSync(join(folder, 'search.json'), '{')
    const result = await gatehouse(['search', 'create', '--config', 'search.json'])
    expect(result).toMatchObject({ code: 2, err: expect.stringContaining('search.json') })
  })

  test('invalid settings are refused without a coordinator', async () => {
    server.close()
    expect(await gatehouse(['search', 'create', ...flags, '--batch', '0'])).toMatchObject({
      code: 2,
      err: expect.stringContaining('training.batchSize'),
    })
  })

  test('a table version may be abbreviated', async () => {
    const version = `abcd${'0'.repeat(60)}`
    const table = { name: 'cpu', version, device: 'd', runtime: 'r', batch: 1, entries: 3, publishedAtMs: 5 }
    answer = ({ method }) => (method === 'GET' ? { status: 200, body: { tables: [table] } } : { status: 201, body: created })
    await gatehouse(['search', 'create', ...flags.slice(0, -1), 'cpu@abcd'])
    expect(calls.at(-1)?.body).toMatchObject({ latency: { table: { name: 'cpu', version } } })
  })
})

describe('a search is named', () => {
  const others = [summary, { ...summary, searchId: 's0999999999zz', name: 'two', createdAtMs: summary.createdAtMs + 5 }]
  beforeEach(() => {
    answer = ({ path }) => {
      if (path.endsWith('/pause')) return { status: 200, body: { phase: 'paused' } }
      return { status: 200, body: { searches: path.includes('before') ? [] : others } }
    }
  })

  test.each([
    ['latest', 's0999999999zz'],
    ['s01', SEARCH_ID],
    [SEARCH_ID, SEARCH_ID],
  ])('by %s', async (name, id) => {
    expect((await gatehouse(['search', 'pause', name])).code).toBe(0)
    expect(calls.at(-1)?.path).toBe(`/v1/searches/${id}/pause`)
  })

  test('but not by a beginning that several have, or none', async () => {
    expect(await gatehouse(['search', 'derive', 's0'])).toMatchObject({ code: 2, err: expect.stringContaining('2 searches') })
    expect(await gatehouse(['search', 'derive', 'sx'])).toMatchObject({ code: 3 })
  })

  test('and lists longer than a page are read to their end', async () => {
    const pages = [[others[1]], [others[0]], []]
    answer = () => ({ status: 200, body: { searches: pages.shift() } })
    expect(JSON.parse((await gatehouse(['search', 'list', '--json'])).out)).toEqual([others[1], others[0]])
    expect(calls[1]?.path).toBe(`/v1/searches?before=${summary.createdAtMs + 5}`)
  })

  const unreadable = { id: 's0777777777zz', createdAtMs: summary.createdAtMs + 9, reason: 'the state cannot be read: mood: unknown field' }

  test('that cannot be read is listed as such, behind the others, with how to get rid of it', async () => {
    const pages = [{ searches: [others[1]], unreadable: [unreadable] }, { searches: [], unreadable: [{ ...unreadable, id: 's0111' }] }, {}]
    answer = ({ path }) => {
      if (!path.startsWith('/v1/searches')) return refuse('not-found')
      return { status: 200, body: { searches: [], unreadable: [], ...(path.includes('?') ? pages[1] : pages[0]) } }
    }
    const { code, out } = await gatehouse(['search', 'list'])
    expect(code).toBe(0)
    expect(out).toMatch(/s0999999999zz +two +searching/)
    expect(out).toMatch(/s0777777777zz .*the state cannot be read: mood: unknown field/)
    expect(out).toContain('s0111')
    expect(out).toContain('"gatehouse search delete ID --yes" deletes one')
    expect(JSON.parse((await gatehouse(['search', 'list', '--json'])).out)).toEqual([
      others[1],
      { searchId: unreadable.id, createdAtMs: unreadable.createdAtMs, unreadable: unreadable.reason },
      { searchId: 's0111', createdAtMs: unreadable.createdAtMs, unreadable: unreadable.reason },
    ])
  })

  test('by latest, also one that cannot be read: the coordinator says so', async () => {
    answer = ({ path }) =>
      path.endsWith('/stop')
        ? refuse('unreadable', unreadable.reason)
        : { status: 200, body: { searches: path.includes('before') ? [] : others, unreadable: [unreadable] } }
    const result = await gatehouse(['search', 'stop', 'latest'])
    expect(result).toMatchObject({ code: 6, err: `gatehouse: ${unreadable.reason}\n` })
    expect(calls.at(-1)?.path).toBe(`/v1/searches/${unreadable.id}/stop`)
  })

  test('and deleted only with --yes', async () => {
    answer = () => ({ status: 204 })
    expect((await gatehouse(['search', 'delete', SEARCH_ID])).code).toBe(2)
    expect(calls).toEqual([])
    expect((await gatehouse(['search', 'delete', SEARCH_ID, '--yes'])).code).toBe(0)
  })
})

describe('search watch', () => {
  const version = 'd'.repeat(64)
  const status = (phase: string) => ({
    ...summary,
    phase,
    startedAtMs: null,
    finishedAtMs: null,
    progress: 0.5,
    timeLeftMs: null,
    stepsPerSecond: null,
    imagesPerSecond: null,
    bytesPerStep: null,
    training: { loss: 0.5, accuracy: 0.5 },
    architecture: { loss: null, accuracy: null },
    validation: { loss: null, accuracy: null, atStep: null },
    steps: { done: 50, total: 100, unit: 'steps' },
    view: {
      kind: 'distribution',
      alpha: [],
      alphaVersion: 0,
      probabilities: [],
      entropy: { total: 1, mean: 1, perBlock: [], start: 1 },
      expectedLatencyMs: 2,
      weightSteps: { done: 50, total: 100 },
      architectureSteps: { done: 0, skippedBlocks: 0 },
    },
    targetLatencyMs: 2,
    constraint: { bound: 2, value: 1, isMet: true },
    best: [],
    current: { encoding: 'x:zero', path: [], blocks: [], latencyMs: 1, macs: 1, parameters: 1 },
    space: presets['fashion-mini'],
    blocks: [],
    agents: [],
    tasks: { created: 0, leased: 0, queued: 0, done: 0, stale: 0, expiredLeases: 0, duplicates: 0, failed: 0, lastFailure: null },
    latencyTable: { name: 'cpu', version, device: 'd', runtime: 'r', batch: 1 },
    config: { space: 'fashion-mini', dataset: { name: 'd' }, latency: { targetMs: 2, table: { name: 'cpu' } } },
  })
  const inTurn = (answers: Answer[]) => () => (answers.length > 1 ? answers.shift() : answers[0]) as Answer

  test('goes on through an outage, says so, and ends with the search', async () => {
    answer = inTurn([
      { status: 200, body: status('searching') },
      refuse('overloaded', 'busy'),
      refuse('internal', 'restarting'),
      { status: 200, body: status('finished') },
    ])
    const result = await gatehouse(['search', 'watch', SEARCH_ID, '--interval', '0.1', '--json'])
    expect(result.code).toBe(0)
    expect(JSON.parse(result.out)).toMatchObject({ phase: 'finished' })
    expect(result.err).toMatch(/searching {2}50\.0 %.*\nbusy; still trying\ncoordinator is back after 0 s\n.*finished/)
  })

  test('redraws its own lines in a terminal', async () => {
    answer = inTurn([
      { status: 200, body: status('searching') },
      { status: 200, body: status('finished') },
    ])
    const { out, code } = await gatehouse(['search', 'watch', SEARCH_ID, '--interval', '0.1'], { isInteractive: true })
    const [first = '', second = ''] = out.split('\r\x1b[0J').slice(1)
    const lines = first.split('\n')
    expect(lines.at(-1)).toBe(`\x1b[${lines.length - 1}A`)
    expect(second).toContain('finished')
    expect(code).toBe(0)
  })

  test('ends with 7 if the search was stopped, with 3 if it was deleted', async () => {
    answer = () => ({ status: 200, body: status('stopped') })
    expect((await gatehouse(['search', 'watch', SEARCH_ID])).code).toBe(7)
    answer = () => refuse('not-found')
    expect((await gatehouse(['search', 'watch', SEARCH_ID])).code).toBe(3)
  })

  test('ends with 130 on Ctrl-C', async () => {
    answer = () => ({ status: 200, body: status('searching') })
    const controller = new AbortController()
    setTimeout(() => controller.abort(new Error('interrupted')), 100)
    expect((await gatehouse(['search', 'watch', SEARCH_ID], { interrupted: controller.signal })).code).toBe(130)
  })
})

describe('the admin token', () => {
  test('of the state folder is used for a coordinator on this machine', async () => {
    writeFileSync(join(folder, 'admin-token'), 'kept\n')
    answer = () => ({ status: 200, body: { searches: [] } })
    await gatehouse(['search', 'list'], { env: { GATEHOUSE_COORDINATOR: url, GATEHOUSE_STATE: folder } })
    expect(calls[0]?.authorization).toBe('Bearer kept')
  })

  test('of the state folder goes to no other machine', async () => {
    writeFileSync(join(folder, 'admin-token'), 'kept\n')
    const result = await gatehouse(['search', 'list'], {
      env: { GATEHOUSE_COORDINATOR: 'https://gatehouse.example', GATEHOUSE_STATE: folder },
    })
    expect(result).toMatchObject({ code: 4, err: expect.stringContaining('--token') })
  })

  test('does not follow a redirect', async () => {
    answer = ({ path }) => (path === '/elsewhere' ? { status: 200, body: {} } : { status: 307, headers: { location: `${url}/elsewhere` } })
    expect((await gatehouse(['search', 'pause', SEARCH_ID])).code).not.toBe(0)
    expect(calls.map(({ path }) => path)).toEqual([`/v1/searches/${SEARCH_ID}/pause`])
  })
})

describe('the client', () => {
  test('tries a read again while the coordinator is busy', async () => {
    answer = () => (calls.length < 3 ? refuse('overloaded') : { status: 200, body: { status: 'ok', version: '1' } })
    await expect(createClient({ url }).health()).resolves.toEqual({ status: 'ok', version: '1' })
    expect(calls).toHaveLength(3)
  })

  test('does not try a write again: it may have been done', async () => {
    answer = () => refuse('overloaded')
    await expect(createClient({ url }).changePhase(SEARCH_ID, 'stop')).rejects.toMatchObject({ problem: 'overloaded', code: 'unreachable' })
    expect(calls).toHaveLength(1)
  })

  test('gives up on a coordinator that does not answer', async () => {
    server.removeAllListeners('request')
    await expect(createClient({ url, timeoutMs: 50, readAttempts: 1 }).health()).rejects.toMatchObject({
      problem: 'unreachable',
      message: expect.stringContaining('no answer within 50 ms'),
    })
  })

  test('ends a wait between attempts when interrupted', async () => {
    answer = () => refuse('overloaded')
    const controller = new AbortController()
    const health = createClient({ url, signal: controller.signal, random: () => 1 }).health()
    setTimeout(() => controller.abort(new Error('enough')), 30)
    await expect(health).rejects.toThrow('enough')
  })
})
