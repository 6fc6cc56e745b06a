// A coordinator on this machine, with a small Worker of the real one's shape: bundled by wrangler, run by workerd.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, renameSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type LocalCoordinator, startLocalCoordinator } from '../../gatehouse/local-coordinator.ts'
import { identifyProcess } from '../../command-line/process-identity.ts'

const WORKER = `
import { DurableObject } from 'cloudflare:workers'
export class SearchObject extends DurableObject {
  async add(key) {
    const count = ((await this.ctx.storage.get(key)) ?? 0) + 1
    await this.ctx.storage.put(key, count)
    return count
  }
  async read(key) { return (await this.ctx.storage.get(key)) ?? 0 }
  async arm(ms) { await this.ctx.storage.setAlarm(Date.now() + ms) }
  async alarm() { await this.add('alarms') }
}
export default {
  async fetch(request, env) {
    const { pathname, searchParams } = new URL(request.url)
    const search = env.SEARCH.get(env.SEARCH.idFromName('one'))
    if (pathname === '/health') return Response.json({ status: 'ok' })
    const good = [env.ADMIN_TOKEN, env.ADMIN_TOKEN_PREVIOUS].map((token) => 'Bearer ' + token)
    if (!good.includes(request.headers.get('authorization'))) return new Response(null, { status: 401 })
    if (pathname === '/v1/add') return Response.json(await search.add('count'))
    if (pathname === '/v1/arm') return Response.json(await search.arm(Number(searchParams.get('ms'))) ?? null)
    if (pathname === '/v1/alarms') return Response.json(await search.read('alarms'))
    if (pathname === '/v1/put') return Response.json(await env.LATENCY_TABLES.put('key', 'value') ?? null)
    if (pathname === '/v1/get') return Response.json(await env.LATENCY_TABLES.get('key'))
    return new Response('not here', { status: 404 })
  },
}`

const WATCHED_START_MS = 15_000

let root: string
let configPath: string
let stateFolder: string

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'gatehouse-local-'))
  const config = readFileSync(new URL('../../wrangler.toml', import.meta.url), 'utf8')
  configPath = join(root, 'wrangler.toml')
  writeFileSync(configPath, config.replace('coordinator/index.ts', 'worker.js').replace('coordinator/dashboard', 'pages'))
  // The other objects that the configuration names are there and do nothing.
  const named = [...config.matchAll(/^class_name = "(\w+)"$/gm)].map(([, name]) => name).filter((name) => name !== 'SearchObject')
  writeFileSync(join(root, 'worker.js'), [WORKER, ...named.map((name) => `export class ${name} extends DurableObject {}`)].join('\n'))
  mkdirSync(join(root, 'pages'))
  writeFileSync(join(root, 'pages', 'index.html'), '<h1>status</h1>')
  writeFileSync(join(root, 'pages', '_headers'), '/*\n  X-Frame-Options: DENY\n')
  // The first start bundles; the others find the bundle.
  stateFolder = join(root, 'warm-up')
  await (await start()).stop()
}, 60_000)

afterAll(() => rmSync(root, { recursive: true, force: true }))

beforeEach(() => {
  stateFolder = mkdtempSync(join(root, 'state-'))
})

function start(port = 0): Promise<LocalCoordinator> {
  return startLocalCoordinator({ port, stateFolder, configPath })
}

async function ask(coordinator: { url: string; adminToken: string }, path: string): Promise<unknown> {
  const response = await fetch(`${coordinator.url}${path}`, { headers: { authorization: `Bearer ${coordinator.adminToken}` } })
  expect(response.status).toBe(200)
  return response.json()
}

/** Asks until the answer is as expected, for 10 s at most. */
async function until(answer: () => Promise<unknown> | unknown, expected: unknown): Promise<void> {
  for (let waitedMs = 0; ; waitedMs += 50) {
    const got = await Promise.resolve(answer()).catch((error: unknown) => error)
    if (got === expected) return
    if (waitedMs > 10_000) throw new Error(`expected ${String(expected)}, got ${String(got)}`)
    await delay(50)
  }
}

/** A coordinator in a process of its own, to be killed. */
async function startElsewhere(): Promise<{ url: string; adminToken: string; runtimePid: number; pid: number; kill(): Promise<void> }> {
  const module = fileURLToPath(new URL('../../gatehouse/local-coordinator.ts', import.meta.url))
  const program = `
    const { startLocalCoordinator } = await import(${JSON.stringify(module)})
    const { url, adminToken, runtimePid } = await startLocalCoordinator(${JSON.stringify({ port: 0, stateFolder, configPath })})
    console.log(JSON.stringify({ url, adminToken, runtimePid: runtimePid(), pid: process.pid }))`
  const child = spawn(process.execPath, ['--input-type=module', '--eval', program], { stdio: ['ignore', 'pipe', 'inherit'] })
  const exited = once(child, 'exit')
  const [line] = (await once(createInterface({ input: child.stdout }), 'line', { signal: AbortSignal.timeout(WATCHED_START_MS) })) as [
    string,
  ]
  return {
    ...JSON.parse(line),
    async kill() {
      child.kill('SIGKILL')
      await exited
    },
  }
}

describe('a local coordinator', () => {
  test('answers by the Worker and serves the status page with its headers', async () => {
    const coordinator = await start()
    expect(await ask(coordinator, '/v1/add')).toBe(1)
    const page = await fetch(coordinator.url)
    expect(await page.text()).toContain('<h1>status</h1>')
    expect(page.headers.get('x-frame-options')).toBe('DENY')
    expect((await fetch(`${coordinator.url}/v1/add`)).status).toBe(401)
    await coordinator.stop()
    await expect(fetch(coordinator.url)).rejects.toThrow()
  })

  test('keeps objects, KV, alarms and its token when it is stopped and started', async () => {
    const first = await start()
    expect(await ask(first, '/v1/add')).toBe(1)
    await ask(first, '/v1/put')
    await ask(first, '/v1/arm?ms=300')
    await first.stop()
    await first.stop()
    const second = await start()
    expect(second.adminToken).toBe(first.adminToken)
    expect(await ask(second, '/v1/add')).toBe(2)
    expect(await ask(second, '/v1/get')).toBe('value')
    await until(() => ask(second, '/v1/alarms'), 1)
    await second.stop()
  })

  test('comes back at the same address when its runtime is killed, with everything it had acknowledged', async () => {
    const coordinator = await start()
    await ask(coordinator, '/v1/add')
    const killed = coordinator.runtimePid() as number
    process.kill(killed, 'SIGKILL')
    await until(() => coordinator.runtimePid() !== killed && ask(coordinator, '/v1/add'), 2)
    await coordinator.stop()
  })

  test('leaves no runtime behind when it is killed itself, and its state can be used at once', async () => {
    const first = await startElsewhere()
    expect(await ask(first, '/v1/add')).toBe(1)
    await first.kill()
    const second = await start()
    expect(await ask(second, '/v1/add')).toBe(2)
    await second.stop()
    await until(() => identifyProcess(first.runtimePid), null)
  })

  test('leaves no runtime behind when it is killed and nobody starts another', async () => {
    const { kill, runtimePid } = await startElsewhere()
    expect(identifyProcess(runtimePid)).not.toBeNull()
    await kill()
    await until(() => identifyProcess(runtimePid), null)
  })

  test('makes a token of 256 bits that only its owner can read', async () => {
    const coordinator = await start()
    expect(coordinator.adminToken).toMatch(/^[\w-]{43}$/)
    const { mode } = statSync(join(stateFolder, 'admin-token'))
    expect(mode & 0o777).toBe(0o600)
    await coordinator.stop()
  })

  test('takes the token before its own, where it is kept', async () => {
    const coordinator = await start()
    await coordinator.stop()
    renameSync(join(stateFolder, 'admin-token'), join(stateFolder, 'admin-token-previous'))
    const { url, adminToken, stop } = await start()
    expect(adminToken).not.toBe(coordinator.adminToken)
    expect(await ask({ url, adminToken }, '/v1/add')).toBe(1)
    expect(await ask({ url, adminToken: coordinator.adminToken }, '/v1/add')).toBe(2)
    await stop()
  })

  test('refuses a state folder that another one uses, and names that one', async () => {
    const coordinator = await start()
    await expect(start()).rejects.toMatchObject({ code: 'conflict', message: expect.stringContaining(coordinator.url) })
    expect(await ask(coordinator, '/v1/add')).toBe(1)
    await coordinator.stop()
    expect(existsSync(join(stateFolder, 'lock'))).toBe(false)
  })

  test('takes over a lock whose process has ended, even if its number is used again', async () => {
    const lock = { holder: { pid: process.pid, startedAt: 'another-boot/1' }, runtime: null, url: null }
    writeFileSync(join(stateFolder, 'lock'), JSON.stringify(lock))
    await (await start()).stop()
    writeFileSync(join(stateFolder, 'lock'), '{"cut off')
    await (await start()).stop()
  })

  test('refuses a port in use and gives the state folder back', async () => {
    const other = createServer().listen(0, '127.0.0.1')
    await once(other, 'listening')
    const { port } = other.address() as AddressInfo
    await expect(start(port)).rejects.toMatchObject({ code: 'conflict', message: expect.stringContaining(`port ${port}`) })
    other.close()
    expect(existsSync(join(stateFolder, 'lock'))).toBe(false)
  })
})
