import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { LeaseRef, TrainingHeartbeat } from '../../protocol/index.ts'
import { createLeases } from '../../worker-agent/agent/leases.ts'
import { createHeartbeats, type Heartbeats, startHeartbeatThread } from '../../worker-agent/agent/heartbeats.ts'
import { createCoordinatorClient } from '../../worker-agent/client/coordinator-client.ts'
import { type HeartbeatServer, startHeartbeatServer } from '../fixtures/heartbeat-server.ts'

const TOKEN = `gha.s0123456789ab.t0123456789ab.${'x'.repeat(43)}`
const TRAINING_TOKEN = `gha.r0123456789ab.t0123456789ab.${'x'.repeat(43)}`
const LEASE_MS = 300
const BEATS_PER_LEASE = 3
/** Far more than any machine needs; a test that waits so long has failed. */
const PATIENCE_MS = 40_000
const ref = (leaseId = 'l0123456789ab', taskId = 1): LeaseRef => ({ agentId: 'a0123456789ab', taskId, leaseId })
const until = (condition: () => void) => vi.waitFor(condition, { timeout: PATIENCE_MS, interval: 20 })
const clientOf = (coordinator: string) => createCoordinatorClient({ coordinator, token: TOKEN, signal: new AbortController().signal })

let server: HeartbeatServer
let url: string
let opened: { close(): void }[]
beforeEach(async () => {
  server = startHeartbeatServer()
  url = `http://127.0.0.1:${await server.listen()}`
  opened = []
})
afterEach(async () => {
  for (const heartbeats of opened) heartbeats.close()
  await server.close()
})
function opens<H extends { close(): void }>(heartbeats: H): H {
  opened.push(heartbeats)
  return heartbeats
}

const implementations: [string, (coordinator: string) => Heartbeats<LeaseRef> | Promise<Heartbeats<LeaseRef>>][] = [
  ['from a thread of their own', (coordinator) => startHeartbeatThread({ coordinator, token: TOKEN })],
  ['from the thread that asks for them', (coordinator) => createHeartbeats(clientOf(coordinator).heartbeat)],
]

describe.each(implementations)('heartbeats %s', (_, start) => {
  it('come again and again while a lease is held, and no more once it is dropped', async () => {
    const heartbeats = opens(await start(url))
    heartbeats.hold(ref(), LEASE_MS, () => undefined)
    await until(() => expect(server.beats()).toBeGreaterThan(3))
    expect(await server.lastBeat()).toEqual({
      url: '/v1/searches/s0123456789ab/heartbeat',
      body: ref(),
      authorization: `Bearer ${TOKEN}`,
    })
    heartbeats.drop(ref())
    heartbeats.hold(ref('l00000000000b', 2), LEASE_MS, () => undefined)
    await until(async () => expect((await server.lastBeat()).body.leaseId).toBe('l00000000000b'))
    const seen = server.beats()
    await until(() => expect(server.beats()).toBeGreaterThan(seen + 3))
    expect((await server.lastBeat()).body.leaseId).toBe('l00000000000b')
  })

  it('end with a lease that is lost, which is said once', async () => {
    const heartbeats = opens(await start(url))
    const lost: string[] = []
    heartbeats.hold(ref('l00000000000a'), LEASE_MS, () => lost.push('a'))
    heartbeats.hold(ref('l00000000000b', 2), LEASE_MS, () => lost.push('b'))
    await server.lose('l00000000000a')
    await until(() => expect(lost).toEqual(['a']))
    const seen = server.beats()
    await until(() => expect(server.beats()).toBeGreaterThan(seen + 4))
    expect(lost).toEqual(['a'])
    expect((await server.lastBeat()).body.leaseId).toBe('l00000000000b')
  })

  it('say what the coordinator refuses for good, and go on', async () => {
    const heartbeats = opens(await start(url))
    const refusals: unknown[] = []
    heartbeats.hold(
      ref(),
      LEASE_MS,
      () => undefined,
      (error) => refusals.push(error),
    )
    await server.refuse({ type: 'urn', title: 't', status: 404, code: 'not-found', detail: 'there is no such search', errors: [] })
    await until(() => expect(refusals.length).toBeGreaterThan(1))
    expect(refusals[0]).toMatchObject({
      name: 'CoordinatorError',
      code: 'not-found',
      status: 404,
      message: 'there is no such search',
    })
  })

  it('outlast a coordinator that cannot be reached', async () => {
    // A port that was free a moment ago, and that nobody listens at.
    const probe = createServer()
    await new Promise<void>((resolve) => probe.listen(0, '127.0.0.1', resolve))
    const { port } = probe.address() as AddressInfo
    await new Promise((resolve) => probe.close(resolve))
    const heartbeats = opens(await start(`http://127.0.0.1:${port}`))
    heartbeats.hold(ref(), LEASE_MS, () => expect.unreachable('nobody said that it is lost'))
    await new Promise((resolve) => setTimeout(resolve, 2 * LEASE_MS))
    const later = startHeartbeatServer()
    opened.push(later)
    await later.listen(port)
    await until(() => expect(later.beats()).toBeGreaterThan(2))
  })
})

describe('an agent whose thread is busy for three leases', () => {
  it('keeps its lease: heartbeats come all the while', async () => {
    const leases = createLeases(clientOf(url), 'a0123456789ab', opens(await startHeartbeatThread({ coordinator: url, token: TOKEN })))
    const work = { kind: 'evaluatePaths' as const, paths: [[0]], images: 1 }
    const lease = leases.hold({ taskId: 1, leaseId: 'l0123456789ab', leaseMs: LEASE_MS, work })
    // Nothing else of this thread runs until the heartbeats of three leases have come.
    expect(server.blockUntil(3 * BEATS_PER_LEASE, PATIENCE_MS)).toBe(true)
    expect(lease.isLost()).toBe(false)
    await server.lose('l0123456789ab')
    const seen = server.beats()
    expect(server.blockUntil(seen + 1, PATIENCE_MS)).toBe(true)
    await until(() => expect(lease.isLost()).toBe(true))
  })

  it('keeps that of a training, with what it reported last', async () => {
    const heartbeats = opens(await startHeartbeatThread<TrainingHeartbeat>({ coordinator: url, token: TRAINING_TOKEN }))
    heartbeats.hold({ leaseId: 'l0123456789ab' }, LEASE_MS, () => undefined)
    const progress = { step: 3, steps: 9, stepsPerEpoch: 3, loss: 1.5, imagesPerSecond: 10 }
    heartbeats.hold({ leaseId: 'l0123456789ab', progress }, LEASE_MS, () => undefined)
    expect(server.blockUntil(3 * BEATS_PER_LEASE, PATIENCE_MS)).toBe(true)
    expect(await server.lastBeat()).toMatchObject({
      url: '/v1/trainings/r0123456789ab/heartbeat',
      body: { leaseId: 'l0123456789ab', progress },
    })
  })
})

describe('the heartbeat thread', () => {
  it('does not keep its process alive', async () => {
    const module = new URL('../../worker-agent/agent/heartbeats.ts', import.meta.url).href
    const folder = mkdtempSync(join(tmpdir(), 'gatehouse-heartbeats-'))
    const script = join(folder, 'holder.mjs')
    writeFileSync(
      script,
      `import { startHeartbeatThread } from ${JSON.stringify(module)}
      const heartbeats = await startHeartbeatThread(${JSON.stringify({ coordinator: url, token: TOKEN })})
      heartbeats.hold(${JSON.stringify(ref())}, ${LEASE_MS}, () => undefined)
      process.stdin.on('end', () => console.log('over')).resume()`,
    )
    const child = spawn(process.execPath, [script], { stdio: ['pipe', 'pipe', 'inherit'] })
    opens({ close: () => void child.kill() })
    let out = ''
    child.stdout.on('data', (text: Buffer) => (out += text.toString()))
    const ended = new Promise((resolve) => child.once('close', resolve))
    await until(() => expect(server.beats()).toBeGreaterThan(1))
    child.stdin.end()
    const code = await ended
    rmSync(folder, { recursive: true })
    expect(out).toBe('over\n')
    expect(code).toBe(0)
  })
})
