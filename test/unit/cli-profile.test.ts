// `gatehouse profile …` against an HTTP server that answers as a coordinator would.

import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { problemDocument, type ProfileStatus, profileStatusSchema } from '../../protocol/index.ts'
import { runGatehouse } from '../fixtures/command.ts'

const PROFILE_ID = 'p0123456789ab'
const CODE = 'K7QF9-M2X4T'
const created = { profileId: PROFILE_ID, code: CODE, url: `http://inside/profile/${CODE}`, expiresAtMs: Date.now() + 1_800_000 }
const table = { backend: 'wasm' as const, name: 'phone', version: 'a'.repeat(64) }

const makeStatus = (changes: Partial<ProfileStatus>): ProfileStatus =>
  profileStatusSchema.parse({
    profileId: PROFILE_ID,
    phase: 'waiting',
    request: { space: 'fashion-mini', name: 'phone' },
    space: 'fashion-mini',
    keys: 40,
    createdAtMs: 1,
    expiresAtMs: 2,
    backends: [],
    tables: [],
    ...changes,
  })

let server: Server
let url: string
let calls: string[]
/** Answers to reading the profile, the last one for ever; null is "no such profile". */
let states: (ProfileStatus | null)[]

beforeEach(async () => {
  calls = []
  states = [makeStatus({ phase: 'published', tables: [table] })]
  server = createServer((request, response) => {
    calls.push(`${request.method} ${request.url}`)
    const state = states.length > 1 ? states.shift() : states[0]
    const isRead = request.method === 'GET' && request.url?.startsWith('/v1/profiles/')
    const [status, body] =
      request.url === '/health'
        ? [404, {}]
        : request.method === 'POST'
          ? [201, created]
          : isRead && !state
            ? [404, problemDocument('not-found', 'there is no such profile')]
            : [200, isRead ? state : { profiles: [state] }]
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
})
afterEach(() => {
  server.closeAllConnections()
  server.close()
})

const profile = (args: readonly string[]) =>
  runGatehouse(['profile', ...args], { env: { GATEHOUSE_COORDINATOR: url, GATEHOUSE_TOKEN: 'admin' }, columns: () => 80 })

const LINK = ['link', '--space', 'fashion-mini', '--name', 'phone']

describe('profile link', () => {
  test('prints link, code and QR code, and ends when the table is published', async () => {
    const { code, out } = await profile(LINK)
    expect(code).toBe(0)
    expect(out).toContain(`link     ${url}/profile/${CODE}`)
    expect(out).toContain('only browsers on this machine reach this coordinator')
    expect(out.match(/[▀▄█]/g)?.length).toBeGreaterThan(100)
    expect(out).toContain(`published phone@${table.version}  (wasm)`)
  })

  test('--json keeps standard output to one JSON text', async () => {
    const { out, err } = await profile([...LINK, '--json', '--origin', 'https://gatehouse.example.com/'])
    expect(JSON.parse(out)).toEqual({ ...created, url: `https://gatehouse.example.com/profile/${CODE}`, tables: [table] })
    expect(err).toContain(CODE)
  })

  test('--no-wait asks for nothing after the link', async () => {
    const { code, out } = await profile([...LINK, '--no-wait', '--json'])
    expect(code).toBe(0)
    expect(JSON.parse(out)).toMatchObject({ profileId: PROFILE_ID, code: CODE })
    expect(calls.filter((call) => call === `GET /v1/profiles/${PROFILE_ID}`)).toEqual([])
  })

  test('ends with 3 if the profile is gone', async () => {
    states = [null]
    const { code, err } = await profile(LINK)
    expect(code).toBe(3)
    expect(err).toContain(`profile ${PROFILE_ID} is gone`)
  })

  test.each([
    [['--space', 'fashion-mini', '--name', 'Phone'], 'name: '],
    [['--space', 'nowhere', '--name', 'phone'], 'space: '],
    [['--space', '{"preset":', '--name', 'phone'], '--space'],
    [['--space', '{"preset":"fashion-mini","kernels":[]}', '--name', 'phone'], 'space.kernels: '],
    [['--space', 'fashion-mini', '--name', 'phone', '--backends', 'wasm,cuda'], 'backends[1]: '],
    [['--space', 'fashion-mini', '--name', 'phone', '--batch', '0'], 'batch: '],
    [['--space', 'fashion-mini', '--name', 'phone', '--budget', 'long'], 'budgetSeconds: '],
    [['--space', 'fashion-mini', '--name', 'phone', '--origin', 'here'], '--origin'],
  ])('ends with 2, the field named, and opens nothing: %j', async (args, named) => {
    const { code, err } = await profile(['link', ...args])
    expect(code).toBe(2)
    expect(err).toContain(named)
    expect(calls.filter((call) => call.startsWith('POST'))).toEqual([])
  })
})

describe('profile list and delete', () => {
  test('list shows what each is for, and delete names what it deleted', async () => {
    const { out } = await profile(['list'])
    expect(out).toMatch(/p0123456789ab +published +fashion-mini +phone/)
    expect(JSON.parse((await profile(['delete', PROFILE_ID, '--json'])).out)).toEqual({ deleted: PROFILE_ID })
    expect(calls.at(-1)).toBe(`DELETE /v1/profiles/${PROFILE_ID}`)
    expect((await profile(['delete', 'latest'])).code).toBe(2)
  })
})
