// Proxies as networks of companies have them: commands as processes, a coordinator that only the proxy can find, and a proxy that writes
// down whom it was asked for.

import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { planProxy } from '../../command-line/proxy.ts'
import { encodeIdxImages, encodeIdxLabels } from '../../engine/datasets/index.ts'
import { problemDocument } from '../../protocol/index.ts'

const TOKEN = `gha.s0123456789ab.t0123456789ab.${'x'.repeat(43)}`

const main = (path: string) => fileURLToPath(new URL(`../../${path}`, import.meta.url))

const listen = async (server: Server) => {
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  return (server.address() as AddressInfo).port
}

let asked: string[]
let paths: string[]
let servers: Server[]
let coordinatorPort: number
let proxy: string

beforeEach(async () => {
  asked = []
  paths = []
  const coordinator = createServer((request, response) => {
    paths.push(request.url as string)
    response.writeHead(401, { 'Content-Type': 'application/problem+json' })
    response.end(JSON.stringify(problemDocument('unauthorized', 'this token is of nobody')))
  })
  coordinatorPort = await listen(coordinator)
  // Every name is this machine.
  const forwarding = createServer()
  forwarding.on('connect', (request, client, head) => {
    asked.push(request.url as string)
    const server = connect(coordinatorPort, '127.0.0.1', () => {
      client.write('HTTP/1.1 200 OK\r\n\r\n')
      server.write(head)
      server.pipe(client).pipe(server)
    })
    client.on('error', () => server.destroy())
    server.on('error', () => client.destroy())
  })
  proxy = `http://127.0.0.1:${await listen(forwarding)}`
  servers = [coordinator, forwarding]
})
afterEach(() => {
  for (const server of servers) {
    server.closeAllConnections()
    server.close()
  }
})

async function run(script: string, args: readonly string[], env: Record<string, string>): Promise<{ code: number | null; err: string }> {
  const inherited = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/proxy/i.test(name)))
  const child = spawn(process.execPath, [main(script), ...args], { env: { ...inherited, ...env }, stdio: ['ignore', 'ignore', 'pipe'] })
  let err = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => (err += text))
  const code = await new Promise<number | null>((done) => child.once('close', done))
  return { code, err }
}
const list = (url: string, env: Record<string, string>) =>
  run('gatehouse/main.ts', ['search', 'list', '--coordinator', url, '--token', 'x'], env)

describe.skipIf(process.platform === 'win32')('a proxy', () => {
  it.each(['HTTP_PROXY', 'http_proxy'])('in %s carries what gatehouse asks of a coordinator', async (name) => {
    const { code, err } = await list('http://coordinator.invalid:8787', { [name]: proxy })
    expect(err).toContain('this token is of nobody')
    expect(code).toBe(4)
    expect(err).not.toMatch(/experimental|undici/i)
    expect(new Set(asked)).toEqual(new Set(['coordinator.invalid:8787']))
    expect(paths[0]).toMatch(/^\/v1\/searches/)
  })

  it('carries what worker-agent asks', async () => {
    const data = mkdtempSync(join(tmpdir(), 'gatehouse-proxy-'))
    const labels = Uint8Array.of(0, 1, 0, 1)
    for (const name of ['train', 't10k']) {
      writeFileSync(join(data, `${name}-images-idx3-ubyte`), encodeIdxImages({ count: 4, shape: [2, 2, 1], images: new Uint8Array(16) }))
      writeFileSync(join(data, `${name}-labels-idx1-ubyte`), encodeIdxLabels(labels))
    }
    const args = ['--coordinator', 'http://coordinator.invalid:8787', '--token', TOKEN, '--data', data, '--cache', data, '--backend', 'cpu']
    const { code, err } = await run('worker-agent/cli/main.ts', args, { HTTP_PROXY: proxy })
    rmSync(data, { recursive: true })
    expect(err).toContain('this token is of nobody')
    expect(code).toBe(4)
    expect(new Set(asked)).toEqual(new Set(['coordinator.invalid:8787']))
  })

  it.each([
    ['a host of NO_PROXY', { NO_PROXY: 'localhost,127.0.0.1' }],
    ['this machine, without NO_PROXY', {}],
    ['anything where NO_PROXY is *', { NO_PROXY: '*' }],
  ])('is not asked for %s', async (_, more) => {
    const { code } = await list(`http://127.0.0.1:${coordinatorPort}`, { HTTP_PROXY: proxy, ...more })
    expect({ code, asked }).toEqual({ code: 4, asked: [] })
    expect(paths).not.toEqual([])
  })

  it.each(['socks5://127.0.0.1:1080', 'proxy.example.com:3128', 'nonsense'])('that is %s is refused with a word', async (value) => {
    const { code, err } = await list('http://coordinator.invalid:8787', { HTTPS_PROXY: value })
    expect(code).toBe(2)
    expect(err).toMatch(/^gatehouse: expected HTTPS_PROXY to be the address of an HTTP proxy such as [^\n]*\n$/)
  })
})

describe('what is done about the variables', () => {
  const node = { version: '22.21.0', canRestart: true }
  it('this machine joins the exceptions, and nothing else changes', () => {
    expect(planProxy({ HTTPS_PROXY: 'http://p:1', NO_PROXY: 'a.example', PATH: '/bin' }, node)).toEqual({
      kind: 'restart',
      env: {
        HTTPS_PROXY: 'http://p:1',
        NO_PROXY: 'a.example',
        PATH: '/bin',
        NODE_USE_ENV_PROXY: '1',
        no_proxy: 'a.example,localhost,127.0.0.1,[::1]',
      },
    })
  })
  it('ALL_PROXY stands for those that are not set, which Node would not find', () => {
    const planned = (env: Record<string, string>) => planProxy(env, node)
    expect(planned({ ALL_PROXY: 'http://p:1' })).toMatchObject({
      kind: 'restart',
      env: { http_proxy: 'http://p:1', https_proxy: 'http://p:1' },
    })
    const both = planned({ all_proxy: 'http://p:1', HTTPS_PROXY: 'http://q:2' })
    expect(both).toMatchObject({ env: { http_proxy: 'http://p:1', HTTPS_PROXY: 'http://q:2' } })
    expect(both.kind === 'restart' && both.env).not.toHaveProperty('https_proxy')
    expect(planned({ ALL_PROXY: 'http://p:1', NODE_USE_ENV_PROXY: '1' })).toMatchObject({ env: { http_proxy: 'http://p:1' } })
    // As it begins again.
    const again = planned({ ALL_PROXY: 'http://p:1' })
    expect(again.kind === 'restart' && planned(again.env)).toEqual({ kind: 'none' })
    expect(() => planned({ ALL_PROXY: 'socks5h://p:1080' })).toThrow(/^expected ALL_PROXY to be the address of an HTTP proxy/)
    expect(planned({ ALL_PROXY: 'socks5h://p:1080', NO_PROXY: '*' })).toEqual({ kind: 'none' })
  })
  it('a person who has decided is left alone', () => {
    for (const value of ['0', '1'])
      expect(planProxy({ HTTP_PROXY: 'http://p:1', NODE_USE_ENV_PROXY: value }, node)).toEqual({ kind: 'none' })
    expect(planProxy({ HTTP_PROXY: '' }, node)).toEqual({ kind: 'none' })
  })
  it('a Node that knows no proxies, or cannot begin again, is a reason to say so', () => {
    const env = { HTTP_PROXY: 'http://p:1' }
    expect(() => planProxy(env, { ...node, version: '22.20.3' })).toThrow(/HTTP_PROXY is set, .* with Node 22\.20\.3: use 22\.21 or newer/)
    expect(() => planProxy(env, { ...node, canRestart: false })).toThrow(/set NODE_USE_ENV_PROXY=1 too/)
  })
})
