import { http, HttpResponse } from 'msw'
import { setupServer } from 'msw/node'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { createCoordinatorClient } from '../../worker-agent/client/coordinator-client.ts'
import { CoordinatorError } from '../../worker-agent/client/requests.ts'

// A coordinator that misbehaves, which the real one cannot be made to do.
const COORDINATOR = 'http://coordinator.test'
const SEARCH = 's0123456789ab'
const TOKEN = `gha.${SEARCH}.t0123456789ab.${'x'.repeat(43)}`
const AGENT = 'a0123456789ab'
const LEASE_URL = `${COORDINATOR}/v1/searches/${SEARCH}/lease`
const PULL_URL = `${COORDINATOR}/v1/searches/${SEARCH}/weights/0/pull`

const server = setupServer()
beforeAll(() => server.listen({ onUnhandledFrame: 'error' }))
afterEach(() => server.resetHandlers())
afterAll(() => server.close())

const problem = (code: string, status: number, detail: string) =>
  HttpResponse.json({ type: `urn:gatehouse:problem:${code}`, title: 't', status, detail, code, errors: [] }, { status })
const waiting = { kind: 'wait', reason: 'all-handed-out', retryAfterMs: 250 }

function client(signal = new AbortController().signal) {
  const retries: string[] = []
  return {
    retries,
    ...createCoordinatorClient({ coordinator: `${COORDINATOR}/`, token: TOKEN, signal, onRetry: (message) => retries.push(message) }),
  }
}

/** Answers each request with the next of these, the last one for ever. */
function answers(url: string, list: readonly (() => Response)[]): () => number {
  let asked = 0
  server.use(http.post(url, () => (list[Math.min(asked++, list.length - 1)] as () => Response)()))
  return () => asked
}

describe('the agent’s client', () => {
  it('waits out a coordinator that answers 500, 503, half a JSON or not at all', async () => {
    const asked = answers(LEASE_URL, [
      () => problem('internal', 500, 'broken'),
      () => problem('overloaded', 503, 'busy'),
      () => new HttpResponse('{"kind":"wa', { headers: { 'Content-Type': 'application/json' } }),
      () => HttpResponse.error(),
      () => HttpResponse.json(waiting),
    ])
    const { lease, retries } = client()
    expect(await lease(AGENT)).toEqual(waiting)
    expect(asked()).toBe(5)
    expect(retries).toHaveLength(4)
    expect(retries[0]).toContain('broken')
  })

  it('reads the space of a search before it registers, a fixed network like any other', async () => {
    const network = {
      name: 'mine',
      input: [8, 8, 1],
      classes: 3,
      stem: { width: 8, stride: 2 },
      blocks: ['zero', { expansion: 2, kernel: 3, stride: 1, width: 8 }],
      headWidth: null,
      batchNormEpsilon: 1e-3,
    }
    server.use(http.get(`${COORDINATOR}/v1/searches/${SEARCH}`, () => HttpResponse.json({ searchId: SEARCH, space: network })))
    expect(await client().readSpace()).toEqual(network)
  })

  it('reads the bits of the images of a search, which are 8 where nothing says so', async () => {
    const status = (dataset: object) => () => HttpResponse.json({ searchId: SEARCH, config: { name: 'one', dataset } })
    for (const [dataset, bits] of [
      [{ name: 'heights', bits: 16 }, 16],
      [{ name: 'photos' }, 8],
    ] as const) {
      server.use(http.get(`${COORDINATOR}/v1/searches/${SEARCH}`, status(dataset)))
      expect(await client().readBits()).toBe(bits)
    }
  })

  it('gives up at once on a refusal that will not pass, with its code and detail', async () => {
    const asked = answers(LEASE_URL, [() => problem('unauthorized', 401, 'this token is revoked')])
    await expect(client().lease(AGENT)).rejects.toMatchObject({
      name: 'CoordinatorError',
      code: 'unauthorized',
      status: 401,
      message: 'this token is revoked',
    })
    expect(asked()).toBe(1)
  })

  it('names an answer that comes from something else than a coordinator', async () => {
    answers(LEASE_URL, [() => new HttpResponse('<html>captive portal</html>', { status: 404 })])
    await expect(client().lease(AGENT)).rejects.toMatchObject({ code: 'bad-answer', message: expect.stringContaining('captive portal') })
  })

  it('asks again when weights arrive cut off', async () => {
    const { encodeSafetensors } = await import('../../protocol/index.ts')
    const whole = encodeSafetensors(
      { metadata: { versions: '{"k":3}' }, tensors: new Map([['k', { shape: [2], values: Float32Array.of(1, 2) }]]) },
      'F32',
    )
    answers(PULL_URL, [() => new HttpResponse(whole.slice(0, -3)), () => new HttpResponse(whole)])
    const pulled = await client().pull(0, { k: 0 })
    expect([...(pulled.get('k')?.values ?? [])]).toEqual([1, 2])
    expect(pulled.get('k')?.version).toBe(3)
  })

  it('stops waiting when it is told to', async () => {
    answers(LEASE_URL, [() => HttpResponse.error()])
    const stop = new AbortController()
    const leased = client(stop.signal).lease(AGENT)
    setTimeout(() => stop.abort(new Error('enough')), 100)
    await expect(leased).rejects.toThrow()
  })

  it('refuses a token that is no agent token before it sends anything', () => {
    expect(() => createCoordinatorClient({ coordinator: COORDINATOR, token: 'secret', signal: new AbortController().signal })).toThrow(
      CoordinatorError,
    )
  })
})
