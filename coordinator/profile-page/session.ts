// What has to outlive a reload or a closed tab: the profile's token, what was chosen to be measured, and batches that the
// coordinator has not acknowledged. All of it is forgotten when the tables are published.

import type { ProfileBackend, ProfileBatch } from '../../protocol/profiles.ts'

const SESSION_KEY = 'gatehouse.profile'
const PENDING_KEY = 'gatehouse.profile.pending'

type Session = {
  readonly profileId: string
  readonly token: string
  /** Set once measuring has begun. */
  readonly run?: { readonly backends: readonly ProfileBackend[]; readonly device: string }
}

/** Where storage is turned off or full, the page works on without it, but a reload ends the run. */
function write(key: string, value: unknown): void {
  try {
    localStorage.setItem(key, JSON.stringify(value))
  } catch {
    // Batches stay in memory.
  }
}

function read(key: string): unknown {
  try {
    return JSON.parse(localStorage.getItem(key) ?? 'null')
  } catch {
    return null
  }
}

function forget(): void {
  try {
    localStorage.removeItem(SESSION_KEY)
    localStorage.removeItem(PENDING_KEY)
  } catch {
    // There was none.
  }
}

const readSession = () => read(SESSION_KEY) as Session | null
const writeSession = (session: Session) => write(SESSION_KEY, session)

function readPending(profileId: string): ProfileBatch[] {
  const stored = read(PENDING_KEY) as { profileId: string; batches: ProfileBatch[] } | null
  return stored?.profileId === profileId ? stored.batches : []
}

const writePending = (profileId: string, batches: readonly ProfileBatch[]) => write(PENDING_KEY, { profileId, batches })

export { forget, readPending, readSession, type Session, writePending, writeSession }
