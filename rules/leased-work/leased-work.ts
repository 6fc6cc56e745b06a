// Work that one agent at a time has, and only for as long as it is heard of: the tasks of a search, and the one long piece of
// work that a training is. Who keeps it, and what else changes when a lease ends, is the owner's own; when a lease ends, who holds
// it and what counts as an attempt is the same for all.
//
//   free ── give ──► leased ── extend ──► leased ── the owner takes the result ──► gone
//    ▲                  │
//    └── end: released, failed, bad numbers, expired ──┘      after `maxAttempts` that count: spent, and handed out no more
//
// A lease whose time is over counts as ended at every call that looks at leases, whether an alarm has rung or not. Clocks jump: a lease that would
// last longer than one from now on was given before the clock was set back, and is shortened to that.

type Lease = { readonly leaseId: string; readonly agentId: string; readonly expiresAtMs: number }

/** How a lease came to its end without a result. */
type LeaseEnd = 'released' | 'failed' | 'bad-numbers' | 'expired'

/** An agent that stops has not tried; one that vanished may have died of the work. */
const countsAsAttempt = {
  released: false,
  failed: true,
  'bad-numbers': true,
  expired: true,
} as const satisfies Record<LeaseEnd, boolean>

/** A piece of work as far as leases go. `attempts`: leases of it that came to nothing. */
type Leasable = { readonly lease: Lease | null; readonly attempts: number }

/** A piece of work whose lease has just ended. */
type Ended<Item extends Leasable> = {
  /** Without its lease; attempts are counted. */
  readonly item: Item
  readonly lease: Lease
  readonly end: LeaseEnd
  /** What its agent said of it. */
  readonly message?: string | undefined
  /** It came to nothing as often as it may. */
  readonly isSpent: boolean
}

/** What the owner of leased work lends to these rules. */
type LeasedWork<Item extends Leasable> = {
  readonly leaseMs: number
  /** Null where work is never given up. */
  readonly maxAttempts: number | null
  transaction<T>(body: () => T): T
  /** When the lease of a piece of work ends whatever its agent says, so that one which has hung does not keep it; null: never. */
  endsAtMs(item: Held<Item>): number | null
  /** In the order in which it is to be handed out. */
  items(): readonly Item[]
  /** Stores a lease that is shorter than it was, since the clock was set back to now; called within a transaction. */
  shorten(item: Held<Item>, nowMs: number): void
  /** Stores what has become of work whose leases have ended; called within a transaction, with one of them at least. */
  end(ended: readonly Ended<Item>[], nowMs: number): void
}

type Held<Item extends Leasable> = Item & { readonly lease: NonNullable<Item['lease']> }

function isHeld<Item extends Leasable>(item: Item): item is Held<Item> {
  return item.lease !== null
}

function ended<Item extends Leasable>(work: LeasedWork<Item>, item: Held<Item>, end: LeaseEnd): Ended<Item> {
  const attempts = item.attempts + (countsAsAttempt[end] ? 1 : 0)
  const isSpent = countsAsAttempt[end] && work.maxAttempts !== null && attempts >= work.maxAttempts
  return { item: { ...item, lease: null, attempts }, lease: item.lease, end, isSpent }
}

/** Ends leases whose time is over; returns how many. */
function expire<Item extends Leasable>(work: LeasedWork<Item>, nowMs: number): number {
  const expiresAtMs = nowMs + work.leaseMs
  const ahead = work
    .items()
    .filter(isHeld)
    .filter(({ lease }) => lease.expiresAtMs > expiresAtMs)
  if (ahead.length > 0) {
    work.transaction(() => {
      for (const item of ahead) work.shorten({ ...item, lease: { ...item.lease, expiresAtMs } }, nowMs)
    })
  }
  return endAsExpired(work, ({ lease }) => lease.expiresAtMs <= nowMs, nowMs)
}

/** Ends the leases of an agent that has started anew, and does not know of them; returns how many. It may have died of the work. */
function expireOf<Item extends Leasable>(work: LeasedWork<Item>, agentId: string, nowMs: number): number {
  return endAsExpired(work, ({ lease }) => lease.agentId === agentId, nowMs)
}

function endAsExpired<Item extends Leasable>(work: LeasedWork<Item>, isOver: (item: Held<Item>) => boolean, nowMs: number): number {
  const over = work.items().filter(isHeld).filter(isOver)
  if (over.length === 0) return 0
  work.transaction(() =>
    work.end(
      over.map((item) => ended(work, item, 'expired')),
      nowMs,
    ),
  )
  return over.length
}

/** When the next lease ends, or null. */
function nextExpiry<Item extends Leasable>(work: LeasedWork<Item>): number | null {
  const times = work
    .items()
    .filter(isHeld)
    .map(({ lease }) => lease.expiresAtMs)
  return times.length > 0 ? Math.min(...times) : null
}

/** A lease from now on. */
function newLease({ leaseMs }: { readonly leaseMs: number }, leaseId: string, agentId: string, nowMs: number): Lease {
  return { leaseId, agentId, expiresAtMs: nowMs + leaseMs }
}

/** The work under a lease that has not ended, or null. Leases whose time is over are ended first. */
function findHeld<Item extends Leasable>(work: LeasedWork<Item>, leaseId: string, nowMs: number): Held<Item> | null {
  expire(work, nowMs)
  return (
    work
      .items()
      .filter(isHeld)
      .find(({ lease }) => lease.leaseId === leaseId) ?? null
  )
}

/** The same work with its lease extended; the owner stores it, with whatever else changes. */
function extended<Item extends Leasable>({ leaseMs, endsAtMs }: LeasedWork<Item>, item: Held<Item>, nowMs: number): Held<Item> {
  const expiresAtMs = Math.min(nowMs + leaseMs, endsAtMs(item) ?? Number.POSITIVE_INFINITY)
  return { ...item, lease: { ...item.lease, expiresAtMs } }
}

/** Ends a lease whose agent says so itself; called within a transaction. */
function giveBack<Item extends Leasable>(
  work: LeasedWork<Item>,
  item: Held<Item>,
  { end, message }: { readonly end: Exclude<LeaseEnd, 'expired'>; readonly message?: string | undefined },
  nowMs: number,
): void {
  work.end([{ ...ended(work, item, end), message }], nowMs)
}

export {
  type Ended,
  expire,
  expireOf,
  extended,
  findHeld,
  giveBack,
  type Held,
  type Leasable,
  type Lease,
  type LeasedWork,
  type LeaseEnd,
  newLease,
  nextExpiry,
}
