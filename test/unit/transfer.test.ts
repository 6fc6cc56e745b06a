import { createHash } from 'node:crypto'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { createClient } from '../../command-line/coordinator-client.ts'
import { transfer } from '../../command-line/transfer.ts'
import { encodeSafetensors } from '../../protocol/index.ts'
import { createCoordinatorClient } from '../../worker-agent/client/coordinator-client.ts'
import { createTrainingClient } from '../../worker-agent/client/training-client.ts'
import { openThrottledProxy, type ThrottledProxyOptions } from '../fixtures/throttled-proxy.ts'

// Bodies are larger than what the buffers of the sockets hold, so that the sender feels the line.
const MIB = 1024 * 1024
const SEARCH_TOKEN = `gha.s0123456789ab.t0123456789ab.${'x'.repeat(43)}`
const TRAINING_TOKEN = `gha.r0123456789ab.t0123456789ab.${'x'.repeat(43)}`
/** A busy machine stops for less than this. */
const STALL_MS = 2000

const closing: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close()
})

type Served = { readonly url: string; readonly port: number; readonly requests: IncomingMessage[] }

async function serve(answer: (request: IncomingMessage, response: ServerResponse) => void): Promise<Served> {
  const requests: IncomingMessage[] = []
  const server: Server = createServer((request, response) => {
    requests.push(request)
    answer(request, response)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  closing.push(async () => {
    server.closeAllConnections()
    await new Promise<void>((resolve) => server.close(() => resolve()))
  })
  const { port } = server.address() as AddressInfo
  return { url: `http://127.0.0.1:${port}`, port, requests }
}

async function through(options: ThrottledProxyOptions) {
  const proxy = await openThrottledProxy(options)
  closing.push(() => proxy.close())
  return proxy
}

function json(response: ServerResponse, value: unknown): void {
  response.setHeader('Content-Type', 'application/json')
  response.end(JSON.stringify(value))
}

/** Answers a body with the number of its bytes, so that the sender's answer is made of what arrived. */
function countBody(request: IncomingMessage, then: (bytes: number, hash: string) => void): void {
  let bytes = 0
  const hash = createHash('sha256')
  request.on('data', (chunk: Buffer) => {
    bytes += chunk.length
    hash.update(chunk)
  })
  request.on('end', () => then(bytes, hash.digest('hex')))
}

const weights = (floats: number) =>
  new Map([['w', { shape: [floats], values: Float32Array.from({ length: floats }, (_, i) => Math.sin(i)) }]])
const applied = { kind: 'applied', versions: { w: 1 }, scales: {} }

function searchClient(url: string, stallMs = STALL_MS) {
  const retries: string[] = []
  const client = createCoordinatorClient({
    coordinator: url,
    token: SEARCH_TOKEN,
    signal: new AbortController().signal,
    onRetry: (message) => retries.push(message),
    stallMs,
  })
  return { client, retries }
}

describe('a request', () => {
  it('whose upload takes longer than the limit, but moves, is answered at the first try, its length told beforehand', async () => {
    const arrived: { bytes: number; hash: string }[] = []
    const server = await serve((request, response) =>
      countBody(request, (bytes, hash) => {
        arrived.push({ bytes, hash })
        json(response, applied)
      }),
    )
    const floats = 5 * MIB
    const proxy = await through({ port: server.port, bytesPerSecond: 4 * MIB })
    const { client, retries } = searchClient(proxy.url)
    const startMs = performance.now()
    const answer = await client.push(0, { agentId: 'a0123456789ab', taskId: 1, members: 1 }, weights(floats), { w: 0 }, 'fp32')
    expect(answer).toEqual(applied)
    // The line needs 5 s for 20 MiB, more than twice the limit.
    expect(performance.now() - startMs).toBeGreaterThan(2 * STALL_MS)
    expect(retries).toEqual([])
    expect(server.requests).toHaveLength(1)
    const sent = encodeSafetensors({ metadata: { baseVersions: '{"w":0}' }, tensors: weights(floats) }, 'F32')
    expect(arrived).toEqual([{ bytes: sent.byteLength, hash: createHash('sha256').update(sent).digest('hex') }])
    expect(server.requests[0]?.headers['content-length']).toBe(String(sent.byteLength))
    expect(server.requests[0]?.headers['transfer-encoding']).toBeUndefined()
  })

  it('whose upload stalls is given up and tried again', async () => {
    let taken = 0
    const server = await serve((request, response) => {
      taken += 1
      // The first is not read: the sender's buffers fill up, and nothing moves any more.
      if (taken > 1) countBody(request, () => json(response, applied))
    })
    const { client, retries } = searchClient(server.url, 200)
    const answer = await client.push(0, { agentId: 'a0123456789ab', taskId: 1, members: 1 }, weights(4 * MIB), { w: 0 }, 'fp32')
    expect(answer).toEqual(applied)
    expect(retries.length).toBeGreaterThan(0)
    expect(retries[0]).toContain('no answer within 200 ms')
  })

  it('whose line goes dead in the middle is given up and tried again', async () => {
    const server = await serve((request, response) => countBody(request, () => json(response, applied)))
    const proxy = await through({ port: server.port, bytesPerSecond: 16 * MIB })
    const retries: string[] = []
    const client = createCoordinatorClient({
      coordinator: proxy.url,
      token: SEARCH_TOKEN,
      signal: new AbortController().signal,
      stallMs: 500,
      onRetry(message) {
        retries.push(message)
        proxy.resume()
      },
    })
    const pushed = client.push(0, { agentId: 'a0123456789ab', taskId: 1, members: 1 }, weights(2 * MIB), { w: 0 }, 'fp32')
    while (proxy.carried.toServer < MIB) await new Promise((resolve) => setTimeout(resolve, 5))
    proxy.pause()
    expect(await pushed).toEqual(applied)
    expect(retries.length).toBeGreaterThan(0)
  })

  it('whose answer takes longer than the limit, but moves, is read at the first try', async () => {
    const file = encodeSafetensors({ metadata: { versions: '{"w":3}' }, tensors: weights(4 * MIB) }, 'F32')
    const server = await serve((request, response) => countBody(request, () => response.end(file)))
    const proxy = await through({ port: server.port, bytesPerSecond: 4 * MIB })
    const { client, retries } = searchClient(proxy.url)
    const pulled = await client.pull(0, { w: 0 })
    expect(pulled.get('w')?.version).toBe(3)
    expect(pulled.get('w')?.values).toEqual(weights(4 * MIB).get('w')?.values)
    expect(retries).toEqual([])
    expect(server.requests).toHaveLength(1)
  })

  it('whose answer stops in the middle is given up and tried again', async () => {
    const file = encodeSafetensors({ metadata: { versions: '{"w":3}' }, tensors: weights(1000) }, 'F32')
    const server = await serve((request, response) => {
      const isFirst = server.requests.length === 1
      response.setHeader('Content-Length', file.byteLength)
      countBody(request, () => (isFirst ? response.write(file.subarray(0, 500)) : response.end(file)))
    })
    const { client, retries } = searchClient(server.url, 200)
    expect((await client.pull(0, { w: 0 })).get('w')?.values).toEqual(weights(1000).get('w')?.values)
    expect(retries.length).toBeGreaterThan(0)
  })

  it('that is refused before its body was read gives the refusal', async () => {
    const problem = {
      type: 'urn:gatehouse:problem:too-large',
      title: 't',
      status: 413,
      detail: 'expected less',
      code: 'too-large',
      errors: [],
    }
    const server = await serve((_, response) => {
      response.statusCode = 413
      json(response, problem)
    })
    const { client } = searchClient(server.url)
    const pushed = client.push(0, { agentId: 'a0123456789ab', taskId: 1, members: 1 }, weights(4 * MIB), { w: 0 }, 'fp32')
    await expect(pushed).rejects.toMatchObject({ code: 'too-large', status: 413 })
  })

  it('of this thread is not given up because this thread was busy', async () => {
    const server = await serve((request, response) => countBody(request, () => json(response, applied)))
    const { client, retries } = searchClient(server.url, 400)
    const pushed = client.push(0, { agentId: 'a0123456789ab', taskId: 1, members: 1 }, weights(1000), { w: 0 }, 'fp32')
    await new Promise((resolve) => setTimeout(resolve, 1))
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1500)
    expect(await pushed).toEqual(applied)
    expect(retries).toEqual([])
  })
})

describe('pulls and pushes of one agent', () => {
  it('are at most two at a time, the others in order, and their bytes are counted', async () => {
    const file = encodeSafetensors({ metadata: { versions: '{"w":3}' }, tensors: weights(1000) }, 'F32')
    const waiting: (() => void)[] = []
    const asked: string[] = []
    const server = await serve((request, response) => {
      asked.push(request.url?.split('/')[5] ?? '')
      countBody(request, () => waiting.push(() => (request.url?.includes('push') ? json(response, applied) : response.end(file))))
    })
    const { client } = searchClient(server.url, 60_000)
    const task = { agentId: 'a0123456789ab', taskId: 1, members: 1 }
    const all = Promise.all([
      client.pull(0, { w: 0 }),
      client.push(1, task, weights(1000), { w: 0 }, 'int8'),
      client.pull(2, { w: 0 }),
      client.push(3, task, weights(1000), { w: 0 }, 'fp32'),
    ])
    let most = 0
    for (let answered = 0; answered < 4; answered++) {
      while (waiting.length < Math.min(2, 4 - answered)) await new Promise((resolve) => setTimeout(resolve, 5))
      // Whatever else were on its way would be here soon after.
      await new Promise((resolve) => setTimeout(resolve, 50))
      most = Math.max(most, waiting.length)
      waiting.shift()?.()
    }
    await all
    expect(most).toBe(2)
    expect(asked.slice(0, 2).toSorted()).toEqual(['0', '1'])
    expect(asked.slice(2)).toEqual(['2', '3'])
    const sent = (['I8', 'F32'] as const).map(
      (dtype) => encodeSafetensors({ metadata: { baseVersions: '{"w":0}' }, tensors: weights(1000) }, dtype).byteLength,
    )
    expect(client.bytes).toEqual({ sent: (sent[0] ?? 0) + (sent[1] ?? 0), received: 2 * file.byteLength })
  })
})

describe('a part of a training’s checkpoint', () => {
  it('that takes longer than the limit, but moves, is stored at the first try', async () => {
    const server = await serve((request, response) =>
      countBody(request, (bytes) => json(response, { kind: 'stored', receivedBytes: bytes })),
    )
    const proxy = await through({ port: server.port, bytesPerSecond: 2 * MIB })
    const retries: string[] = []
    const client = createTrainingClient({
      coordinator: proxy.url,
      token: TRAINING_TOKEN,
      signal: new AbortController().signal,
      stallMs: 1500,
      onRetry: (message) => retries.push(message),
    })
    expect(await client.storeCheckpoint('l0123456789ab', new Uint8Array(8 * MIB))).toBe('stored')
    expect(retries).toEqual([])
    expect(server.requests).toHaveLength(1)
  })
})

describe('the client of the commands', () => {
  it('reads weights over a line that needs longer for them than its limit', async () => {
    const file = encodeSafetensors({ metadata: { versions: '{"w":3}' }, tensors: weights(2 * MIB) }, 'F32')
    const server = await serve((request, response) => countBody(request, () => response.end(file)))
    const proxy = await through({ port: server.port, bytesPerSecond: 2 * MIB })
    const client = createClient({ url: proxy.url, token: 'x', timeoutMs: 1500, readAttempts: 1 })
    expect((await client.pullWeights('s0123456789ab', 0, ['w'])).get('w')?.values.length).toBe(2 * MIB)
  })
})

describe('the throttled proxy of the tests', () => {
  it('carries each byte in order, no faster than its pace and no sooner than its delay', async () => {
    const body = Uint8Array.from({ length: MIB }, (_, i) => i % 251)
    const server = await serve((request, response) => countBody(request, (bytes, hash) => json(response, { bytes, hash })))
    const proxy = await through({ port: server.port, bytesPerSecond: MIB, delayMs: 100 })
    const startMs = performance.now()
    const response = await fetch(proxy.url, { method: 'POST', body })
    expect(await response.json()).toEqual({ bytes: MIB, hash: createHash('sha256').update(body).digest('hex') })
    // A second for the bytes, 100 ms there and 100 ms back; a tick may come a little early.
    expect(performance.now() - startMs).toBeGreaterThan(1150)
  })

  it('lets a sender hand over no more than the line and the buffers hold', async () => {
    const server = await serve(() => undefined)
    const proxy = await through({ port: server.port, bytesPerSecond: 1 })
    let sent = 0
    const abort = new AbortController()
    const sending = transfer({
      url: proxy.url,
      method: 'POST',
      headers: new Headers(),
      body: new Uint8Array(64 * MIB),
      signal: abort.signal,
      onSent: (bytes) => (sent += bytes),
    })
    await new Promise((resolve) => setTimeout(resolve, 1000))
    abort.abort(new Error('enough'))
    await expect(sending).rejects.toThrow('enough')
    expect(sent).toBeLessThan(32 * MIB)
  })

  it('ends a connection where either side does', async () => {
    const server = await serve((request) => request.socket.destroy())
    const proxy = await through({ port: server.port })
    await expect(fetch(proxy.url)).rejects.toThrow()
  })
})
