import { setTimeout as sleep } from 'node:timers/promises'
import { http, HttpResponse } from 'msw'
import { setupServer } from 'msw/node'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { createHeartbeats } from '../../worker-agent/agent/heartbeats.ts'
import { type Granted, holdTrainingLease, LeaseLostError } from '../../worker-agent/agent/training-lease.ts'
import { createTrainingClient } from '../../worker-agent/client/training-client.ts'
import { resolveSpaceConfig } from '../../search-space/index.ts'
import { makeLeaseRequest, makeTrainingSpec, TRAINING_ID } from '../fixtures/trainings.ts'

// A coordinator whose moods the real one cannot be made to have.
const COORDINATOR = 'http://coordinator.test'
const TOKEN = `gha.${TRAINING_ID}.t0123456789ab.${'x'.repeat(43)}`
const at = (place: string) => `${COORDINATOR}/v1/trainings/${TRAINING_ID}/${place}`
const spec = makeTrainingSpec({ leaseMs: 1000 })
const BEAT_MS = spec.leaseMs / 3

const server = setupServer()
beforeAll(() => server.listen({ onUnhandledFrame: 'error' }))
afterEach(() => server.resetHandlers())
afterAll(() => server.close())

const granted = (leaseId: string, checkpointStep: number | null): Granted => ({
  kind: 'lease',
  leaseId,
  spec,
  space: resolveSpaceConfig(spec.space),
  checkpointStep,
})

function hold(checkpointStep: number | null) {
  const client = createTrainingClient({ coordinator: COORDINATOR, token: TOKEN, signal: new AbortController().signal })
  return {
    client,
    lease: holdTrainingLease(client, makeLeaseRequest(spec), granted('l00000000000a', checkpointStep), createHeartbeats(client.heartbeat)),
  }
}

/** Heartbeats under this lease are good; all others are lost. */
const onlyGood = (leaseId: string) =>
  http.post(at('heartbeat'), async ({ request }) => {
    const { leaseId: shown } = (await request.json()) as { leaseId: string }
    return HttpResponse.json({ kind: shown === leaseId ? 'extended' : 'lost' })
  })

describe('an agent that has lost its lease', () => {
  it('goes on under a new one where nobody has trained meanwhile, and delivers under that', async () => {
    let asked = 0
    server.use(
      onlyGood('l00000000000b'),
      http.post(at('lease'), () => {
        asked += 1
        return HttpResponse.json(granted('l00000000000b', 20))
      }),
    )
    const { lease } = hold(10)
    lease.saved(20)
    const used: string[] = []
    await lease.deliver(async (leaseId) => {
      used.push(leaseId)
      return leaseId === 'l00000000000b' ? 'stored' : 'lost'
    })
    await sleep(2 * BEAT_MS)
    lease.close()
    expect(used).toEqual(['l00000000000a', 'l00000000000b'])
    expect(asked).toBe(1)
    expect(lease.lost.aborted).toBe(false)
  })

  it.each([
    ['another agent has a checkpoint that is further', () => HttpResponse.json(granted('l00000000000b', 30))],
    ['another agent has the lease', () => HttpResponse.json({ kind: 'wait', retryAfterMs: 250 })],
    ['the training has ended', () => HttpResponse.json({ kind: 'ended', end: 'finished' })],
  ])('stops where %s', async (_, answer) => {
    server.use(onlyGood('none'), http.post(at('lease'), answer))
    const { lease } = hold(20)
    await expect(lease.deliver(async () => 'lost')).rejects.toThrow(LeaseLostError)
    expect(lease.lost.aborted).toBe(true)
    lease.close()
  })

  it('stops where the training was deleted, and does not where the coordinator is only away', async () => {
    server.use(http.post(at('heartbeat'), () => HttpResponse.error()))
    const { lease } = hold(20)
    await sleep(2 * BEAT_MS)
    expect(lease.lost.aborted).toBe(false)
    const problem = {
      type: 'urn:gatehouse:problem:not-found',
      title: 't',
      status: 404,
      detail: 'there is no such training',
      code: 'not-found',
      errors: [],
    }
    server.use(http.post(at('heartbeat'), () => HttpResponse.json(problem, { status: 404 })))
    await sleep(2 * BEAT_MS)
    expect(lease.lost.reason).toMatchObject({ name: 'CoordinatorError', code: 'not-found' })
    lease.close()
  })
})
