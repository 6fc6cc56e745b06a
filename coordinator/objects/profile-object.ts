// One profile in a browser: what is to be measured, who may send timings, the timings as they come, and the tables made
// of them. It deletes itself when its time is over. docs/storage.md lists the tables.

import { DurableObject } from 'cloudflare:workers'
import * as z from 'zod'
import { coverSpace } from '../../latency-lut/table/coverage.ts'
import { entriesOf, MIN_ROUNDS, type Rounds } from '../../latency-lut/table/rounds.ts'
import { type LatencyTable, latencyTableSchema } from '../../latency-lut/table/table.ts'
import { createSpace, type Space, SpaceError } from '../../search-space/index.ts'
import {
  attempt,
  MAX_PROFILE_SAMPLES,
  type Outcome,
  PROFILE_CODE_MS,
  PROFILE_KEPT_MS,
  PROFILE_SESSION_MS,
  ProblemError,
  type ProfileBackend,
  profileBackendNames,
  profileBackendSchema,
  type ProfileBatch,
  type ProfileBatchResponse,
  type ProfileCaller,
  type ProfileConditions,
  type ProfileRequest,
  type ProfileStatus,
  type ProfileTable,
  profileTableName,
  unwrap,
} from '../../protocol/index.ts'
import { readStored } from '../../rules/stored/stored-form.ts'
import { directoryNames, type DirectoryObject } from './directory-object.ts'
import { profileMigrations } from './migrations/profile.ts'
import { Stored } from './stored.ts'
import { type ProfileRecord, profileRecordSchema, storedConditionsSchema, storedTimingsSchema } from './stored-profile.ts'

/** Of a device's name in a table. */
const MAX_DEVICE_LENGTH = 200
/** Between two looks at a profile that cannot be read. */
const UNREADABLE_MS = 24 * 3_600_000

type Opened = { readonly record: ProfileRecord; readonly space: Space; readonly keys: readonly string[] }
type BackendRow = { backend: string; rounds: number; last_batch: number; spent_ms: number; at_ms: number }

const toHex = (bytes: Uint8Array) => [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('')

/** Whether a hash is the stored one, in a time that does not depend on where they differ. */
function isSame(stored: string | null, hash: Uint8Array): boolean {
  const encoder = new TextEncoder()
  return stored !== null && crypto.subtle.timingSafeEqual(encoder.encode(stored), encoder.encode(toHex(hash)))
}

function openSpace(request: ProfileRequest): Space {
  try {
    return createSpace(request.space)
  } catch (error) {
    if (error instanceof SpaceError)
      throw new ProblemError('invalid-request', error.message, [{ path: `space.${error.field}`, message: error.message }])
    if (error instanceof z.core.$ZodError) {
      const [issue] = error.issues
      const path = ['space', ...(issue?.path ?? [])].join('.')
      throw new ProblemError('invalid-request', `${path}: ${issue?.message}`, [{ path, message: issue?.message ?? 'invalid' }])
    }
    throw error
  }
}

/** What it uses of the environment. */
type Bindings = { readonly DIRECTORY: DurableObjectNamespace<DirectoryObject> }

function withRecord(record: ProfileRecord, opened?: Opened): Opened {
  const space = opened?.space ?? openSpace(record.request)
  return { record, space, keys: opened?.keys ?? space.measurableOperations().map(({ latencyKey }) => latencyKey) }
}

function openStored({ sql }: DurableObjectStorage): Opened | null {
  const row = sql.exec<{ json: string }>('SELECT json FROM profile').toArray()[0]
  return row ? withRecord(readStored(profileRecordSchema, row.json, 'the profile')) : null
}

class ProfileObject extends DurableObject<Bindings> {
  readonly #stored = new Stored(this.ctx.storage, { name: 'profile', table: 'profile', migrations: profileMigrations, open: openStored })

  #open(): Opened {
    const opened = this.#stored.open()
    // The alarm deletes it; until it has rung, its time is over all the same.
    if (opened.record.expiresAtMs <= Date.now()) throw new ProblemError('not-found', 'there is no such profile')
    return opened
  }

  #check(caller: ProfileCaller): Opened {
    const opened = this.#open()
    if (caller.kind === 'profile' && !isSame(opened.record.tokenHash, caller.hash))
      throw new ProblemError('unauthorized', 'this token is not, or no longer, good for this profile: another browser took it over')
    return opened
  }

  async #write(record: ProfileRecord): Promise<void> {
    const before = this.#stored.find() ?? undefined
    const moved = before?.record.expiresAtMs !== record.expiresAtMs
    this.ctx.storage.sql.exec('INSERT OR REPLACE INTO profile (id, json) VALUES (1, ?)', JSON.stringify(record))
    this.#stored.keep(withRecord(record, before))
    if (moved) await this.ctx.storage.setAlarm(record.expiresAtMs)
  }

  async create(profileId: string, request: ProfileRequest, codeHash: Uint8Array): Promise<Outcome<ProfileStatus>> {
    const created = attempt(() => {
      if (this.#stored.exists()) throw new ProblemError('conflict', 'this code was drawn before; open another profile')
      openSpace(request)
    })
    if (!created.ok) return created
    const createdAtMs = Date.now()
    this.#stored.prepare()
    await this.#write({
      profileId,
      request,
      codeHash: toHex(codeHash),
      tokenHash: null,
      createdAtMs,
      expiresAtMs: createdAtMs + PROFILE_CODE_MS,
      tables: [],
    })
    return { ok: true, value: this.#status() }
  }

  /**
   * A browser shows the code. It may do so again, for example when the link was opened in a camera's own browser first: the
   * last token counts. Once there are timings the code is worthless.
   */
  async open(codeHash: Uint8Array, tokenHash: Uint8Array): Promise<Outcome<ProfileStatus>> {
    const allowed = attempt(() => {
      const opened = this.#stored.find()
      const isOver = !opened || opened.record.expiresAtMs <= Date.now() || !isSame(opened.record.codeHash, codeHash)
      // One answer for wrong, used and expired: a guess learns nothing.
      if (isOver) throw new ProblemError('unauthorized', 'this code is wrong, used, or more than half an hour old; ask for a new link')
      return opened.record
    })
    if (!allowed.ok) return allowed
    const record = allowed.value
    const expiresAtMs = record.tokenHash === null ? Date.now() + PROFILE_SESSION_MS : record.expiresAtMs
    await this.#write({ ...record, tokenHash: toHex(tokenHash), expiresAtMs })
    return { ok: true, value: this.#status() }
  }

  status(caller: ProfileCaller): Outcome<ProfileStatus> {
    return attempt(() => {
      this.#check(caller)
      return this.#status()
    })
  }

  async addBatch(caller: ProfileCaller, batch: ProfileBatch): Promise<Outcome<ProfileBatchResponse>> {
    const outcome = attempt((): ProfileBatchResponse => {
      const { record } = this.#check(caller)
      this.#checkBatch(batch)
      const { sql } = this.ctx.storage
      const known = sql.exec('SELECT 1 FROM batches WHERE backend = ? AND batch = ?', batch.backend, batch.batch).toArray().length > 0
      if (known) return { kind: 'duplicate', rounds: this.#backend(batch.backend)?.rounds ?? 0 }
      if (record.tables.length > 0) throw new ProblemError('conflict', 'the tables of this profile are published: it takes no more timings')
      this.#checkRoom(batch)
      sql.exec(
        'INSERT INTO batches (backend, batch, rounds, spent_ms, at_ms, conditions, timings) VALUES (?, ?, ?, ?, ?, ?, ?)',
        batch.backend,
        batch.batch,
        batch.rounds.length,
        batch.spentMs,
        Date.now(),
        JSON.stringify(batch.conditions),
        JSON.stringify(batch.rounds),
      )
      return { kind: 'stored', rounds: this.#backend(batch.backend)?.rounds ?? 0 }
    })
    const record = outcome.ok ? this.#stored.find()?.record : undefined
    if (record && record.codeHash !== null) await this.#write({ ...record, codeHash: null })
    return outcome
  }

  /** Throws ProblemError `conflict` for a backend that was not asked for, `bad-numbers` for a round of another size. */
  #checkBatch({ backend, rounds }: ProfileBatch): void {
    const { record, keys } = this.#open()
    const { backends } = record.request
    const other = this.#backends().find((row) => row.backend !== backend)
    if (Array.isArray(backends) && !backends.includes(backend))
      throw new ProblemError('conflict', `this profile is for ${backends.join(' and ')}, not for ${backend}`, [
        { path: 'backend', message: 'not asked for' },
      ])
    if (backends === 'auto' && other)
      throw new ProblemError('conflict', `this profile is for one backend, and has timings of ${other.backend} already`, [
        { path: 'backend', message: 'another one was measured' },
      ])
    const wrong = rounds.findIndex((round) => round.length !== keys.length)
    if (wrong === -1) return
    const message = `expected ${keys.length} timings, one per operation of the space, got ${rounds[wrong]?.length}`
    throw new ProblemError('bad-numbers', `rounds[${wrong}]: ${message}`, [{ path: `rounds[${wrong}]`, message }])
  }

  #checkRoom({ backend, rounds }: ProfileBatch): void {
    const { keys } = this.#open()
    const stored = this.#backend(backend)?.rounds ?? 0
    const most = Math.floor(MAX_PROFILE_SAMPLES / keys.length)
    if (stored + rounds.length <= most) return
    const message = `expected at most ${most} rounds of one backend; ${stored} are stored`
    throw new ProblemError('conflict', message, [{ path: 'rounds', message }])
  }

  checkToken(caller: ProfileCaller): Outcome<null> {
    return attempt(() => {
      this.#check(caller)
      return null
    })
  }

  /** All rounds of a backend in the order of their batches: a page that was reloaded goes on from them. */
  rounds(caller: ProfileCaller, backend: ProfileBackend): Outcome<number[][]> {
    return attempt(() => {
      this.#check(caller)
      return this.#rounds(backend)
    })
  }

  #rounds(backend: string): number[][] {
    return this.ctx.storage.sql
      .exec<{ batch: number; timings: string }>('SELECT batch, timings FROM batches WHERE backend = ? ORDER BY batch', backend)
      .toArray()
      .flatMap(({ batch, timings }) => readStored(storedTimingsSchema, timings, `batch ${batch} of ${backend}`))
  }

  #backends(): BackendRow[] {
    const rows = this.ctx.storage.sql
      .exec<BackendRow>(
        'SELECT backend, SUM(rounds) AS rounds, MAX(batch) AS last_batch, SUM(spent_ms) AS spent_ms, MAX(at_ms) AS at_ms FROM batches GROUP BY backend',
      )
      .toArray()
    return profileBackendNames.flatMap((name) => rows.filter(({ backend }) => backend === name))
  }

  #backend(name: string): BackendRow | undefined {
    return this.#backends().find(({ backend }) => backend === name)
  }

  /** Those of the last batch; throttled if the device was in at least half of its rounds, which is when medians move. */
  #conditions({ backend, rounds, last_batch }: BackendRow): ProfileConditions {
    const { sql } = this.ctx.storage
    const query = 'SELECT conditions FROM batches WHERE backend = ? AND batch = ?'
    const last = sql.exec<{ conditions: string }>(query, backend, last_batch).one()
    const slow = "SELECT TOTAL(rounds) AS rounds FROM batches WHERE backend = ? AND json_extract(conditions, '$.throttled')"
    const throttled = 2 * sql.exec<{ rounds: number }>(slow, backend).one().rounds >= rounds
    return { ...readStored(storedConditionsSchema, last.conditions, `batch ${last_batch} of ${backend}`), throttled }
  }

  #status(): ProfileStatus {
    const { record, space, keys } = this.#open()
    const { profileId, request, tokenHash, createdAtMs, expiresAtMs, tables } = record
    const backends = this.#backends().map((row) => ({
      backend: profileBackendSchema.parse(row.backend),
      rounds: row.rounds,
      nextBatch: row.last_batch + 1,
      spentMs: row.spent_ms,
      lastAtMs: row.at_ms,
      conditions: this.#conditions(row),
    }))
    const measured = backends.length > 0 ? 'measuring' : 'open'
    const phase = tables.length > 0 ? 'published' : tokenHash === null ? 'waiting' : measured
    return { profileId, phase, request, space: space.name, keys: keys.length, createdAtMs, expiresAtMs, backends, tables }
  }

  /**
   * The tables of all backends with enough rounds, each checked to cover the space. The same timings give the same tables,
   * so that a publication that was cut short can be repeated.
   */
  tables(caller: ProfileCaller): Outcome<{ backend: ProfileBackend; table: LatencyTable }[]> {
    return attempt(() => {
      const { record, space, keys } = this.#check(caller)
      const ready = this.#backends().filter(({ rounds }) => rounds >= MIN_ROUNDS)
      if (ready.length === 0)
        throw new ProblemError('conflict', `no backend has the ${MIN_ROUNDS} rounds of timings that a table needs: let it measure on`)
      return ready.map((row) => {
        const backend = profileBackendSchema.parse(row.backend)
        const table = makeTable(record.request, space, keys, backend, this.#rounds(backend), this.#conditions(row), row.at_ms)
        return { backend, table }
      })
    })
  }

  /** The tables are in KV: the profile ends, and is kept for a while to be looked at. */
  async published(tables: ProfileTable[]): Promise<Outcome<ProfileStatus>> {
    const outcome = attempt(() => this.#open().record)
    if (!outcome.ok) return outcome
    if (outcome.value.tables.length === 0)
      await this.#write({ ...outcome.value, codeHash: null, tables, expiresAtMs: Date.now() + PROFILE_KEPT_MS })
    return { ok: true, value: this.#status() }
  }

  /** False where there was none; also where it cannot be read. */
  async destroy(): Promise<boolean> {
    if (!this.#stored.exists()) return false
    await this.#stored.erase()
    return true
  }

  override async alarm(): Promise<void> {
    if (!this.#stored.exists()) return
    const opened = this.#stored.findReadable()
    // One that cannot be read is looked at again later: a version that can read it may be deployed meanwhile.
    if (!opened) return this.ctx.storage.setAlarm(Date.now() + UNREADABLE_MS)
    // Set again where an alarm rings for a time that has been moved since.
    if (opened.record.expiresAtMs > Date.now()) return this.ctx.storage.setAlarm(opened.record.expiresAtMs)
    unwrap(await this.env.DIRECTORY.getByName(directoryNames.profiles).remove(opened.record.profileId))
    await this.destroy()
  }
}

function makeTable(
  request: ProfileRequest,
  space: Space,
  keys: readonly string[],
  backend: ProfileBackend,
  rounds: Rounds,
  conditions: ProfileConditions,
  measuredAtMs: number,
): LatencyTable {
  const { os, browser, runtimeVersion, threads } = conditions
  const device = [conditions.device, conditions.adapter, conditions.throttled ? 'throttled' : undefined]
  const entries = entriesOf(rounds, keys.length)
  const table = latencyTableSchema.parse({
    name: profileTableName(request, backend),
    device: {
      name: device
        .filter((part) => part !== undefined)
        .join(', ')
        .slice(0, MAX_DEVICE_LENGTH),
      os,
    },
    runtime: { name: `tfjs-${backend}`, version: runtimeVersion, threads, browser },
    batch: request.batch,
    inputShape: space.input,
    measuredAt: new Date(measuredAtMs).toISOString(),
    fixedMs: 0,
    entries: Object.fromEntries(keys.map((key, index) => [key, entries[index]])),
  })
  const coverage = coverSpace(space, table)
  if (coverage.kind === 'missing')
    throw new ProblemError('missing-latencies', `space ${space.name} lists no such operations as measurable: ${coverage.keys.join(', ')}`)
  return table
}

export { ProfileObject }
