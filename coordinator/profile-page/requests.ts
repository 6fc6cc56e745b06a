// Requests to the coordinator. What may pass is tried again without end, slower and slower, and at once when the device
// says that it is connected again.

import type { ProfileBackend, ProfileBatch, ProfileStatus } from '../../protocol/profiles.ts'
import { FIRST_RETRY_MS, LAST_RETRY_MS, REQUEST_TIMEOUT_MS, RETRY_JITTER } from './limits.ts'

/** A refusal that trying again does not change. `status` is that of HTTP. */
class RefusedError extends Error {
  override readonly name = 'RefusedError'
  readonly status: number
  constructor(status: number, detail: string) {
    super(detail)
    this.status = status
  }
}

type Connection = 'live' | 'lost'

type Requests = {
  open(code: string): Promise<{ profileId: string; token: string; status: ProfileStatus }>
  status(): Promise<ProfileStatus>
  rounds(backend: ProfileBackend): Promise<number[][]>
  addBatch(batch: ProfileBatch): Promise<void>
  finish(): Promise<ProfileStatus>
}

async function exchange(path: string, token: string, method: 'GET' | 'POST', body?: unknown): Promise<unknown> {
  const content = body === undefined ? {} : { body: JSON.stringify(body) }
  const response = await fetch(path, {
    ...content,
    method,
    headers: {
      authorization: `Bearer ${token}`,
      accept: 'application/json',
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    },
    cache: 'no-store',
    credentials: 'omit',
    signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
  })
  const answer = (await response.json()) as { detail?: unknown }
  if (response.ok) return answer
  const detail = typeof answer.detail === 'string' ? answer.detail : `the coordinator answered with status ${response.status}`
  if (response.status === 429 || response.status >= 500) throw new Error(detail)
  throw new RefusedError(response.status, detail)
}

/** Until the time is over or the device says that it is connected again. */
function wait(durationMs: number): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer)
      removeEventListener('online', done)
      resolve()
    }
    const timer = setTimeout(done, durationMs)
    addEventListener('online', done)
  })
}

/** Calls throw RefusedError, and nothing else. `session` is read at every call. */
function createRequests(session: () => { profileId: string; token: string }, onConnection: (connection: Connection) => void): Requests {
  async function persist(path: string, token: string, method: 'GET' | 'POST', body?: unknown): Promise<unknown> {
    for (let failures = 0; ; failures++) {
      try {
        const answer = await exchange(path, token, method, body)
        onConnection('live')
        return answer
      } catch (error) {
        if (error instanceof RefusedError) throw error
        onConnection('lost')
        const delayMs = Math.min(LAST_RETRY_MS, FIRST_RETRY_MS * 2 ** Math.min(failures, 10))
        await wait(delayMs * (1 - RETRY_JITTER * Math.random()))
      }
    }
  }
  const own = (path: string, method: 'GET' | 'POST', body?: unknown) => {
    const { profileId, token } = session()
    return persist(`/v1/profiles/${profileId}${path}`, token, method, body)
  }
  return {
    open: async (code) => (await persist('/v1/profile-sessions', code, 'POST')) as Awaited<ReturnType<Requests['open']>>,
    status: async () => (await own('', 'GET')) as ProfileStatus,
    rounds: async (backend) => ((await own(`/rounds/${backend}`, 'GET')) as { rounds: number[][] }).rounds,
    async addBatch(batch) {
      await own('/batches', 'POST', batch)
    },
    finish: async () => (await own('/finish', 'POST')) as ProfileStatus,
  }
}

export { createRequests, RefusedError, type Requests }
