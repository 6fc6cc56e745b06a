// Who is told of a search's phase: the list of searches, and whoever set a webhook. What was noticed is stored before anybody is told, and
// everybody is told until they have heard, or have failed to for hours.

import type { Phase } from '../../protocol/index.ts'

/** Between attempts: this first, then twice as long each time. */
const FIRST_RETRY_MS = 1000
const MAX_RETRY_MS = 3_600_000
/** Then it is given up: after some ten hours. */
const MAX_ATTEMPTS = 20

/** Whose webhook: the one of this search, or the one of the coordinator. */
type Target = 'search' | 'coordinator'
type Announced = { readonly seq: number; readonly phase: string; readonly isListed: boolean }
type Webhook = { readonly url: string; readonly secret: string }
type Delivery = { readonly target: Target; readonly seq: number; readonly body: string; readonly attempts: number }
type DeliveryRow = { target: Target; seq: number; body: string; attempts: number; next_at_ms: number }

type Announcements = {
  last(): Announced | null
  /** Notes that a search is in another phase, and for each target what is to be said of it. */
  note(phase: Phase, nowMs: number, bodies: (seq: number) => ReadonlyMap<Target, string>): Announced
  setListed(isListed: boolean): void
  webhook(): Webhook | null
  setWebhook(webhook: Webhook | null): void
  /** The first that each target has not heard of, where it is time. */
  due(nowMs: number): Delivery[]
  nextAtMs(): number | null
  waiting(target: Target): number
  delivered(delivery: Delivery): void
  failed(delivery: Delivery, nowMs: number): void
}

/** In a search object whose tables are there. */
function createAnnouncements(storage: DurableObjectStorage): Announcements {
  const { sql } = storage
  const read = (): Announced | null => {
    const row = sql.exec<{ seq: number; phase: string; listed: number }>('SELECT seq, phase, listed FROM announced').toArray()[0]
    return row ? { seq: row.seq, phase: row.phase, isListed: row.listed === 1 } : null
  }
  let last = read()
  const write = ({ seq, phase, isListed }: Announced) =>
    sql.exec('INSERT OR REPLACE INTO announced (id, seq, phase, listed) VALUES (1, ?, ?, ?)', seq, phase, isListed ? 1 : 0)
  const remove = ({ target, seq }: Delivery) => sql.exec('DELETE FROM deliveries WHERE target = ? AND seq = ?', target, seq)
  const first = () =>
    sql.exec<DeliveryRow>('SELECT * FROM deliveries AS d WHERE seq = (SELECT MIN(seq) FROM deliveries WHERE target = d.target)').toArray()
  return {
    last: () => last,
    note(phase, nowMs, bodies) {
      const next = { seq: (last?.seq ?? 0) + 1, phase, isListed: false }
      storage.transactionSync(() => {
        write(next)
        for (const [target, body] of bodies(next.seq)) {
          const insert = 'INSERT INTO deliveries (target, seq, body, attempts, next_at_ms) VALUES (?, ?, ?, 0, ?)'
          sql.exec(insert, target, next.seq, body, nowMs)
        }
      })
      last = next
      return next
    },
    setListed(isListed) {
      if (!last || last.isListed === isListed) return
      last = { ...last, isListed }
      write(last)
    },
    webhook: () => sql.exec<Webhook>('SELECT url, secret FROM webhook').toArray()[0] ?? null,
    setWebhook(webhook) {
      storage.transactionSync(() => {
        sql.exec('DELETE FROM webhook')
        sql.exec("DELETE FROM deliveries WHERE target = 'search'")
        if (webhook) sql.exec('INSERT INTO webhook (id, url, secret) VALUES (1, ?, ?)', webhook.url, webhook.secret)
      })
    },
    due: (nowMs) => first().filter(({ next_at_ms }) => next_at_ms <= nowMs),
    nextAtMs() {
      const times = first().map(({ next_at_ms }) => next_at_ms)
      return times.length > 0 ? Math.min(...times) : null
    },
    waiting: (target) => sql.exec<{ count: number }>('SELECT COUNT(*) AS count FROM deliveries WHERE target = ?', target).one().count,
    delivered: remove,
    failed(delivery, nowMs) {
      const attempts = delivery.attempts + 1
      if (attempts >= MAX_ATTEMPTS) return void remove(delivery)
      const nextAtMs = nowMs + Math.min(MAX_RETRY_MS, FIRST_RETRY_MS * 2 ** delivery.attempts)
      const update = 'UPDATE deliveries SET attempts = ?, next_at_ms = ? WHERE target = ? AND seq = ?'
      sql.exec(update, attempts, nextAtMs, delivery.target, delivery.seq)
    },
  }
}

export { type Announcements, createAnnouncements, type Delivery, type Target, type Webhook }
