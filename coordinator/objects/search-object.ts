// One search: a thin shell that gives rules/search a SQL store, a clock, ids, and an alarm for leases.

import { DurableObject } from 'cloudflare:workers'
import type { LatencyTable } from '../../latency-lut/table/table.ts'
import {
  type Architecture,
  attempt,
  attemptLater,
  type Caller,
  createId,
  type Delivery,
  type ExportHead,
  type ExportPage,
  type FilePart,
  invalidField,
  type LeaseRef,
  type LeaseResponse,
  type LogEntry,
  type Metric,
  type Outcome,
  type Phase,
  type PushRight,
  planShards,
  ProblemError,
  type RowPage,
  type SearchForms,
  unwrap,
  type RebuildRequest,
  type Rebuilt,
  type RegisterRequest,
  type RegisterResponse,
  type ReleaseRequest,
  type RolledBack,
  type SearchConfig,
  type SearchStatus,
  type SearchSummary,
  type Snapshot,
  type SnapshotList,
  type SubmitRequest,
  type SubmitResponse,
  type TokenRecord,
  type TrainingUpload,
  type WebhookBody,
} from '../../protocol/index.ts'
import {
  abandonSnapshot,
  beginRollback,
  beginSnapshot,
  bindDataset,
  checkToken,
  commandSearch,
  completeSnapshot,
  countClipped,
  countRefusedPush,
  createSetup,
  currentArchitecture,
  dropUnusableSnapshots,
  endRollback,
  expireLeases,
  heartbeat,
  knownAgent,
  leaseTask,
  listSnapshots,
  nextExpiryMs,
  type OpenSearch,
  openSearch,
  pendingRollback,
  postponeSnapshot,
  pushRightOf,
  readTrialCheckpoint,
  rebuildAlpha,
  registerAgent,
  releaseLease,
  searchStatus,
  searchSummary,
  snapshotDueAtMs,
  stallsAtMs,
  startSearch,
  storeTrialCheckpoint,
  submitResult,
} from '../../rules/search/index.ts'
import { type Announcements, createAnnouncements, type Target, type Webhook } from './announcements.ts'
import { searchMigrations } from './migrations/search.ts'
import { weightsMigrations } from './migrations/weights.ts'
import { createSqlSearchStore } from './sql-search-store.ts'
import {
  checkForm,
  checkImported,
  checkStill,
  endImport,
  findImport,
  readImport,
  revisionOf,
  searchTables,
  withSetup,
  writeImport,
} from './search-file.ts'
import { refusalFor, Stored } from './stored.ts'
import { exportPage, importRows } from './table-rows.ts'
import { type DirectoryObject, directoryNames } from './directory-object.ts'
import { Sockets } from './sockets.ts'
import { createTokenTable, type TokenTable } from './tokens.ts'
import { addTokenToShards, createShards, destroyAllShards, destroyShards, finishShards, shardName, shardsOf } from './shards.ts'
import { createSecret, tell } from './webhooks.ts'
import type { WeightsObject } from './weights-object.ts'

const ID_BYTES = 12
/** In which the next lease may begin another phase. */
const idlePhases: ReadonlySet<string> = new Set(['waiting', 'stalled'] satisfies Phase[])
const targets: readonly Target[] = ['search', 'coordinator']
/** Between two attempts to tell the list of searches. */
const LIST_RETRY_MS = 60_000
/** Between two attempts to take the remaining shards back. */
const ROLLBACK_RETRY_MS = 5000
/** Of what is stored now: a snapshot of rows of another form is none that this version can go back to. */
const FORMS = { search: searchMigrations.length, shards: weightsMigrations.length }
/** An import that has not ended by then is given up: a day for a file of any size. */
const IMPORT_MS = 24 * 3_600_000

type Opened = { readonly search: OpenSearch; readonly tokens: TokenTable; readonly announcements: Announcements }

/** What it uses of the environment. */
type Bindings = {
  readonly WEIGHTS: DurableObjectNamespace<WeightsObject>
  readonly DIRECTORY: DurableObjectNamespace<DirectoryObject>
  /** Where the coordinator tells of all searches, and what it signs with. */
  readonly WEBHOOK_URL?: string
  readonly WEBHOOK_SECRET?: string
}

/** Null: the administrator's. */
function tokenIdOf(caller: Caller): string | null {
  return caller.kind === 'agent' ? caller.tokenId : null
}

function openStored(storage: DurableObjectStorage): Opened | null {
  const store = createSqlSearchStore(storage)
  const search = openSearch(store)
  // Read now, so that a search can be read as a whole or not at all.
  store.outstandingTasks()
  store.agents()
  store.trialFiles()
  dropUnusableSnapshots(store, FORMS)
  return search && { search, tokens: createTokenTable(storage.sql), announcements: createAnnouncements(storage) }
}

class SearchObject extends DurableObject<Bindings> {
  readonly #stored = new Stored(this.ctx.storage, { name: 'search', table: 'search', migrations: searchMigrations, open: openStored })
  readonly #sockets = new Sockets(this.ctx)
  /** When the alarm is set for; undefined until it has been asked for. */
  #alarmAtMs: number | null | undefined = undefined
  /** The snapshot that is being taken. */
  #snapshot: Promise<Snapshot> | null = null

  #answer<T>(caller: Caller, body: (search: OpenSearch) => T): Outcome<T> {
    return this.#stored.answer(({ search, tokens }) => {
      tokens.check(caller)
      return body(search)
    })
  }

  /** The same for an agent, which has to be one of the caller's token. */
  #answerAgent<T>(caller: Caller, agentId: string, body: (search: OpenSearch) => T): Outcome<T> {
    const outcome = this.#answer(caller, (search) => {
      checkToken(search, agentId, tokenIdOf(caller))
      return body(search)
    })
    if (outcome.ok) this.#sockets.changed()
    return outcome
  }

  /** For sockets only (sockets.ts): everything else is a method. */
  override fetch(request: Request): Response {
    return this.#sockets.accept(request, ({ caller, agentId }) =>
      agentId === null
        ? this.#answer(caller, () => null)
        : this.#answerAgent(caller, agentId, (search) => knownAgent(search.store, agentId)),
    )
  }

  override webSocketMessage(socket: WebSocket): void {
    this.#sockets.refuse(socket)
  }

  /** Sets the alarm only when it must ring earlier than it would: each setting is a row written. */
  async #armAlarm(): Promise<void> {
    const opened = this.#stored.findReadable()
    if (!opened) return
    const { search } = opened
    const nowMs = Date.now()
    const snapshotAtMs = this.#snapshot ? null : snapshotDueAtMs(search)
    const rollbackAtMs = pendingRollback(search) ? nowMs + ROLLBACK_RETRY_MS : null
    const times = [nextExpiryMs(search), stallsAtMs(search, nowMs), opened.announcements.nextAtMs(), snapshotAtMs, rollbackAtMs].filter(
      (time) => time !== null,
    )
    if (opened.announcements.last()?.isListed === false) times.push(Date.now() + LIST_RETRY_MS)
    if (times.length === 0) return
    const next = Math.min(...times)
    this.#alarmAtMs ??= await this.ctx.storage.getAlarm()
    if (this.#alarmAtMs !== null && this.#alarmAtMs <= next) return
    this.#alarmAtMs = next
    await this.ctx.storage.setAlarm(next)
  }

  #webhook({ announcements }: Opened, target: Target): Webhook | null {
    if (target === 'search') return announcements.webhook()
    const { WEBHOOK_URL: url = '', WEBHOOK_SECRET: secret = '' } = this.env
    return url === '' ? null : { url, secret }
  }

  #announcedPhase(): string | null {
    return this.#stored.findReadable()?.announcements.last()?.phase ?? null
  }

  /** Notes a phase that is new, and tells the list of searches of it; webhooks are told by the alarm, which is set. */
  async #announce(): Promise<void> {
    const opened = this.#stored.findReadable()
    if (!opened) return
    const { search, announcements } = opened
    this.#sockets.changed()
    const summary = searchSummary(search, Date.now())
    const { searchId, phase } = summary
    const before = announcements.last()
    if (before?.phase !== phase) {
      this.#sockets.wake('all')
      const atMs = Date.now()
      announcements.note(phase, atMs, (seq) => {
        const body = JSON.stringify({ kind: 'phase', seq, ...summary, before: before?.phase ?? null, atMs } satisfies WebhookBody)
        return new Map(targets.filter((target) => this.#webhook(opened, target)).map((target) => [target, body]))
      })
    }
    const { seq, isListed } = announcements.last() ?? { seq: 0, isListed: true }
    if (!isListed) await this.#tellList(announcements, searchId, summary, seq)
    await this.#armAlarm()
  }

  /** Where the list does not answer, the alarm tries again. */
  async #tellList(announcements: Announcements, searchId: string, summary: SearchSummary, seq: number): Promise<void> {
    const told = await this.env.DIRECTORY.getByName(directoryNames.searches)
      .describe(searchId, JSON.stringify(summary), seq)
      .catch(() => null)
    if (told?.ok && announcements.last()?.seq === seq) announcements.setListed(true)
  }

  async #tellWebhooks(opened: Opened): Promise<void> {
    const { announcements } = opened
    for (const delivery of announcements.due(Date.now())) {
      const webhook = this.#webhook(opened, delivery.target)
      const hasHeard = webhook === null || (await tell(webhook, delivery.body, Date.now()))
      if (hasHeard) announcements.delivered(delivery)
      else announcements.failed(delivery, Date.now())
    }
  }

  /** Whom to tell of phases of this search; the secret is shown this once. Null: nobody. */
  setWebhook(url: string | null): Outcome<{ secret: string }> {
    return this.#stored.answer(({ announcements }) => {
      const secret = createSecret()
      announcements.setWebhook(url === null ? null : { url, secret })
      return { secret }
    })
  }

  /** `waiting`: of what it has not heard yet. */
  webhook(): Outcome<{ url: string | null; waiting: number }> {
    return this.#stored.answer(({ announcements }) => {
      return { url: announcements.webhook()?.url ?? null, waiting: announcements.waiting('search') }
    })
  }

  /** Creates the search with its shards, all or nothing as far as a caller can see: it is listed only afterwards. */
  async create(
    searchId: string,
    config: SearchConfig,
    table: LatencyTable & { version: string },
    token: TokenRecord,
  ): Promise<Outcome<SearchStatus>> {
    const created = attempt(() => {
      const setup = createSetup(searchId, config, table, token.createdAtMs)
      startSearch(() => {
        this.#stored.prepare()
        return createSqlSearchStore(this.ctx.storage)
      }, setup)
      createTokenTable(this.ctx.storage.sql).add(token)
      return searchStatus(this.#stored.open().search, token.createdAtMs)
    })
    if (!created.ok) return created
    const { search } = this.#stored.open()
    try {
      await createShards(this.env.WEIGHTS, search, token)
    } catch (error) {
      // Nobody learns of this search, so nobody could delete it.
      await Promise.allSettled([destroyShards(this.env.WEIGHTS, search)])
      await this.#erase()
      throw error
    }
    await this.#announce()
    return created
  }

  checkToken(caller: Caller): Outcome<null> {
    return this.#answer(caller, () => null)
  }

  register(caller: Caller, request: RegisterRequest): Outcome<RegisterResponse> {
    return this.#answer(caller, (search) => {
      const freshId = createId('a', crypto.getRandomValues(new Uint8Array(ID_BYTES)))
      const { agentId } = registerAgent(search, request, freshId, Date.now(), tokenIdOf(caller))
      const { searchId, config, space } = search.setup
      return { agentId, searchId, config, space, shards: planShards(search.context.space, config.weights.shardBytes).count }
    })
  }

  /** With what it lets the agent push, for the Worker to sign. */
  async lease(caller: Caller, agentId: string): Promise<Outcome<{ answer: LeaseResponse; right: PushRight | null }>> {
    const leaseId = createId('l', crypto.getRandomValues(new Uint8Array(ID_BYTES)))
    // A task that is handed out before all shards have their part of a snapshot might be in some of them.
    await this.#snapshotsTaken()
    const outcome = this.#answerAgent(caller, agentId, (search) => {
      const answer = leaseTask(search, agentId, leaseId, Date.now())
      if (answer.kind !== 'task') return { answer, right: null }
      return { answer, right: pushRightOf(search, { agentId, taskId: answer.task.taskId }, tokenIdOf(caller)) }
    })
    // A lease changes the phase of a search that nobody worked on, or where the last task was given up in it.
    const isNews = outcome.ok && (outcome.value.answer.kind === 'finished' || idlePhases.has(this.#announcedPhase() ?? ''))
    if (isNews) await this.#announce()
    if (outcome.ok) this.#sockets.asked(agentId, outcome.value.answer.kind === 'task')
    await this.#armAlarm()
    return outcome
  }

  /** What an agent may push that does not show its right, since it is of an earlier version. */
  pushRight(caller: Caller, agentId: string, taskId: number): Outcome<PushRight | null> {
    return this.#answerAgent(caller, agentId, (search) => pushRightOf(search, { agentId, taskId }, tokenIdOf(caller)))
  }

  heartbeat(caller: Caller, ref: LeaseRef): Outcome<{ kind: 'extended' | 'lost' }> {
    return this.#answerAgent(caller, ref.agentId, (search) => heartbeat(search, ref, Date.now()))
  }

  async release(caller: Caller, request: ReleaseRequest): Promise<Outcome<{ kind: 'released' | 'lost' }>> {
    const outcome = this.#answerAgent(caller, request.agentId, (search) => releaseLease(search, request, Date.now()))
    // One task too many may have been given up.
    if (outcome.ok && request.reason !== 'stopping') await this.#announce()
    if (outcome.ok) this.#sockets.wake('one')
    return outcome
  }

  async submit(caller: Caller, request: SubmitRequest): Promise<Outcome<SubmitResponse>> {
    const outcome = this.#answerAgent(caller, request.agentId, (search) => submitResult(search, request, Date.now()))
    if (!outcome.ok && outcome.refusal.code === 'bad-numbers') this.countRefusedPush(request.agentId)
    if (outcome.ok) {
      await this.#announce()
      this.#sockets.wake('one')
    }
    return outcome
  }

  storeCheckpoint(caller: Caller, ref: LeaseRef, delivery: Delivery): Outcome<TrainingUpload> {
    return this.#answerAgent(caller, ref.agentId, (search) => storeTrialCheckpoint(search, ref, delivery, Date.now()))
  }

  readCheckpoint(caller: Caller, taskId: number, begin: number): Outcome<FilePart> {
    return this.#answer(caller, (search) => readTrialCheckpoint(search, taskId, begin))
  }

  /** A push of weights or a result with bad numbers was refused: counted against its agent. */
  countRefusedPush(agentId: string): void {
    const opened = this.#stored.findReadable()
    if (opened) countRefusedPush(opened.search, agentId, Date.now())
  }

  /** A push of a task was far larger than usual, and clipped: counted against its agent. */
  countClipped(agentId: string, taskId: number): void {
    const opened = this.#stored.findReadable()
    if (opened) countClipped(opened.search, agentId, taskId)
  }

  async command(caller: Caller, command: 'pause' | 'resume' | 'stop'): Promise<Outcome<Phase>> {
    const outcome = this.#answer(caller, (search) => commandSearch(search, command, Date.now()))
    if (outcome.ok) await this.#announce()
    return outcome
  }

  bindDataset(fingerprint: string | null): Outcome<{ datasetFingerprint: string | null }> {
    return this.#stored.answer(({ search }) => bindDataset(search, fingerprint))
  }

  /** What an export begins and ends with. Refuses `conflict` while the search may change by itself. */
  exportHead(): Promise<Outcome<ExportHead>> {
    return attemptLater(async () => {
      const { search } = this.#stored.open()
      checkStill(search)
      const { store, setup } = search
      const heads = await Promise.all(shardsOf(this.env.WEIGHTS, search).map(async (shard) => unwrap(await shard.exportHead())))
      return {
        searchId: setup.searchId,
        name: setup.config.name,
        form: searchMigrations.length,
        shardForms: heads.map(({ form }) => form),
        revision: await revisionOf([store.readState(), store.outstandingTasks(), heads]),
      }
    })
  }

  exportPage(cursor: string | null): Outcome<ExportPage> {
    return this.#stored.answer(() => exportPage(this.ctx.storage.sql, 'search', searchTables, cursor))
  }

  /** Makes room for a search of a file, and for its shards. What is not ended in time is deleted. */
  async beginImport(searchId: string, createdAtMs: number, { form, shardForms }: SearchForms): Promise<Outcome<null>> {
    const begun = await attemptLater(async () => {
      checkForm('form', form, searchMigrations.length)
      this.#stored.prepare(form)
      writeImport(this.ctx.storage.sql, { searchId, createdAtMs, shards: shardForms.length, setup: null })
      await this.ctx.storage.setAlarm(createdAtMs + IMPORT_MS)
      const shards = shardForms.map((_, shard) => this.env.WEIGHTS.getByName(shardName(searchId, shard)))
      const outcomes = await Promise.all(shards.map((stub, shard) => stub.beginImport(searchId, shard, shardForms[shard] ?? 0)))
      for (const outcome of outcomes) unwrap(outcome)
      return null
    })
    if (!begun.ok) await this.#abandonImport(searchId)
    return begun
  }

  importRows(page: RowPage): Outcome<null> {
    return attempt(() => {
      const { sql } = this.ctx.storage
      const known = readImport(sql)
      if (page.table === 'search') {
        // Kept apart: with a setup this would be a search already.
        const [row] = withSetup(page, { searchId: known.searchId, createdAtMs: known.createdAtMs }).rows
        writeImport(sql, { ...known, setup: String(row?.['setup']) })
      } else {
        this.ctx.storage.transactionSync(() => importRows(sql, searchTables, page))
      }
      return null
    })
  }

  /** Makes a search of what has come, if it is whole; otherwise nothing of it remains, and the refusal says what is wrong. */
  async finishImport(token: TokenRecord): Promise<Outcome<SearchStatus>> {
    const { storage } = this.ctx
    const found = attempt(() => readImport(storage.sql))
    if (!found.ok) return found
    const known = found.value
    const finished = await attemptLater(async () => {
      if (known.setup === null) throw invalidField('search', 'the setup is missing')
      const { setup } = known
      try {
        storage.transactionSync(() => {
          endImport(storage.sql)
          if (storage.sql.exec('SELECT 1 FROM state').toArray().length !== 1) throw invalidField('state', 'the state is missing')
          storage.sql.exec('INSERT INTO search (id, setup) VALUES (1, ?)', setup)
          const { search, tokens } = this.#stored.reopen()
          const { count } = planShards(search.context.space, search.setup.config.weights.shardBytes)
          if (count !== known.shards) throw invalidField('shardForms', `expected ${count} shards, got ${known.shards}`)
          checkImported(search)
          tokens.add(token)
        })
      } catch (error) {
        throw refusalFor(error)
      }
      const { search } = this.#stored.open()
      for (const outcome of await finishShards(this.env.WEIGHTS, search, token)) unwrap(outcome)
      return searchStatus(search)
    })
    if (finished.ok) await this.#announce()
    else await this.#abandonImport(known.searchId)
    return finished
  }

  async #abandonImport(searchId: string): Promise<void> {
    this.#stored.close()
    await destroyAllShards(this.env.WEIGHTS, searchId)
    await this.#erase()
    unwrap(await this.env.DIRECTORY.getByName(directoryNames.searches).remove(searchId))
  }

  /** Takes one now. Refuses `conflict` while another one is being taken, or the search is being taken back. */
  takeSnapshot(): Promise<Outcome<Snapshot>> {
    return attemptLater(async () => {
      if (this.#snapshot) throw new ProblemError('conflict', 'a snapshot of this search is being taken already')
      return this.#takeSnapshot(this.#stored.open().search)
    })
  }

  async #takeSnapshot(search: OpenSearch): Promise<Snapshot> {
    const { number, keep } = beginSnapshot(search, FORMS, Date.now())
    this.#snapshot = this.#snapshotShards(search, number, keep).finally(() => {
      this.#snapshot = null
    })
    return this.#snapshot
  }

  /** Waits while a snapshot is being taken; where none is, the caller goes on at once. */
  async #snapshotsTaken(): Promise<void> {
    while (this.#snapshot) await this.#snapshot.catch(() => undefined)
  }

  async #snapshotShards(search: OpenSearch, number: number, keep: readonly number[]): Promise<Snapshot> {
    try {
      const taken = await Promise.all(shardsOf(this.env.WEIGHTS, search).map((shard) => shard.takeSnapshot(number, keep)))
      const bytes = taken.map(unwrap).reduce((sum, shard) => sum + shard.bytes, 0)
      return completeSnapshot(search, number, bytes)
    } catch (error) {
      // What shards have of it goes with the next one.
      if (this.#stored.find()) abandonSnapshot(search, number)
      throw error
    }
  }

  snapshots(caller: Caller): Outcome<SnapshotList> {
    return this.#answer(caller, (search) => ({ snapshots: listSnapshots(search), rollbacks: search.store.readState().rollbacks ?? [] }))
  }

  /**
   * Takes the search back to a snapshot and leaves it paused. From the moment that this is stored it goes on to its end, whatever is cut off: the
   * alarm sees to it.
   */
  rollBack(number: number): Promise<Outcome<RolledBack>> {
    return attemptLater(async () => {
      // Otherwise shards could come back with a snapshot of after that.
      await this.#snapshotsTaken()
      const { search } = this.#stored.open()
      const rollback = beginRollback(search, number, Date.now())
      await this.#armAlarm()
      const isComplete = await this.#rollBackShards(search)
      await this.#announce()
      return { ...rollback, isComplete }
    })
  }

  /** Whether all shards are back; those that did not answer are asked again by the alarm. */
  async #rollBackShards(search: OpenSearch): Promise<boolean> {
    const rollback = pendingRollback(search)
    if (!rollback) return true
    const { snapshot, number } = rollback
    const outcomes = await Promise.allSettled(shardsOf(this.env.WEIGHTS, search).map((shard) => shard.rollBack(snapshot, number)))
    const areBack = outcomes.every((outcome) => outcome.status === 'fulfilled' && outcome.value.ok)
    // It may have been deleted, or taken further back, meanwhile.
    if (areBack && this.#stored.find() && pendingRollback(search)?.number === number) endRollback(search)
    return areBack
  }

  rebuildAlpha(request: RebuildRequest): Outcome<Rebuilt> {
    return this.#stored.answer(({ search }) => rebuildAlpha(search, request))
  }

  status(caller: Caller): Outcome<SearchStatus> {
    return this.#answer(caller, (search) => ({ ...searchStatus(search, Date.now()), sockets: this.#sockets.counts() }))
  }

  /** Asked for where the list does not know it: the list is told again. */
  async summary(): Promise<Outcome<SearchSummary>> {
    const outcome = this.#stored.answer(({ search, announcements }) => {
      announcements.setListed(false)
      return searchSummary(search, Date.now())
    })
    if (outcome.ok) await this.#announce()
    return outcome
  }

  architecture(caller: Caller): Outcome<Architecture> {
    return this.#answer(caller, currentArchitecture)
  }

  log(caller: Caller, after: number, limit: number): Outcome<LogEntry[]> {
    return this.#answer(caller, ({ store }) => [...store.readLog(after, limit)])
  }

  metrics(caller: Caller, after: number, limit: number): Outcome<Metric[]> {
    return this.#answer(caller, ({ store }) => [...store.readMetrics(after, limit)])
  }

  /** A token is good once every shard knows it. */
  async addToken(token: TokenRecord): Promise<Outcome<null>> {
    const added = this.#stored.answer(({ search, tokens }) => {
      tokens.add(token)
      return search
    })
    if (!added.ok) return added
    return addTokenToShards(this.env.WEIGHTS, added.value, token)
  }

  /** A token is revoked once every shard has forgotten it; shards first, so that a revocation cut short can be repeated. */
  async removeToken(tokenId: string): Promise<Outcome<null>> {
    const known = this.#stored.answer(({ search, tokens }) => {
      if (!tokens.has(tokenId)) throw new ProblemError('not-found', `no token ${tokenId} in this search`)
      return search
    })
    if (!known.ok) return known
    const outcomes = await Promise.all(shardsOf(this.env.WEIGHTS, known.value).map((shard) => shard.removeToken(tokenId)))
    this.#stored.findReadable()?.tokens.remove(tokenId)
    this.#sockets.revoke(tokenId)
    return outcomes.find((outcome) => !outcome.ok) ?? { ok: true, value: null }
  }

  listTokens(): Outcome<{ tokenId: string; label: string; createdAtMs: number }[]> {
    return this.#stored.answer(({ tokens }) => tokens.list())
  }

  /** Also where it cannot be read. Shards first, so that a deletion cut short can be repeated. */
  async destroy(searchId: string): Promise<Outcome<null>> {
    const opened = this.#stored.answer(({ search }) => search)
    if (opened.ok) await destroyShards(this.env.WEIGHTS, opened.value)
    else if (this.#stored.exists()) await destroyAllShards(this.env.WEIGHTS, searchId)
    else return opened
    await this.#erase()
    return { ok: true, value: null }
  }

  async #erase(): Promise<void> {
    await this.#stored.erase()
    this.#sockets.closeAll()
    this.#alarmAtMs = undefined
  }

  override async alarm(): Promise<void> {
    this.#alarmAtMs = null
    const unfinished = findImport(this.ctx.storage.sql)
    if (unfinished) return this.#abandonImport(unfinished.searchId)
    const opened = this.#stored.findReadable()
    if (!opened) return
    const { search } = opened
    expireLeases(search, Date.now())
    await this.#rollBackShards(search)
    const dueAtMs = snapshotDueAtMs(search)
    if (dueAtMs !== null && dueAtMs <= Date.now() && !this.#snapshot) {
      await this.#takeSnapshot(search).catch(() => {
        if (this.#stored.find()) postponeSnapshot(search, Date.now())
      })
    }
    await this.#announce()
    this.#sockets.wake('one')
    await this.#tellWebhooks(opened)
    await this.#armAlarm()
  }
}

export { SearchObject }
