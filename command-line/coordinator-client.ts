// The coordinator's API as typed calls. Answers are parsed with the protocol's schemas; refusals become errors that
// carry an exit code. Reads are tried again when the coordinator is away or busy; writes are not, since a lost answer
// does not say whether the write was done.

import * as z from 'zod'
import { type LatencyTable, latencyTableSchema, tableNameSchema, tableVersionSchema } from '../latency-lut/table/table.ts'
import {
  type AuditEntry,
  auditEntrySchema,
  createId,
  createProfileResponseSchema,
  createSearchResponseSchema,
  createTrainingResponseSchema,
  decodeSafetensors,
  downloadParts,
  type ExportHead,
  exportHeadSchema,
  type ExportPage,
  exportPageSchema,
  filePartOf,
  AnswerError,
  healthSchema,
  MAX_AUDIT_PAGE,
  metricSchema,
  parseAnswer,
  phaseSchema,
  printContentRange,
  type Problem,
  type ProblemCode,
  readProblem,
  type ProfileRequestInput,
  type ProfileStatus,
  profileStatusSchema,
  type RebuildRequest,
  type Rebuilt,
  rebuiltSchema,
  type RolledBack,
  rolledBackSchema,
  type RowPage,
  type SearchConfigInput,
  type SearchForms,
  searchIdSchema,
  type SearchStatus,
  searchStatusSchema,
  type SearchSummary,
  searchSummarySchema,
  type Snapshot,
  type SnapshotList,
  snapshotListSchema,
  snapshotSchema,
  type StoredObject,
  type TableSummary,
  tableSummarySchema,
  type Tensor,
  tokenIdSchema,
  type TrainingInput,
  type TrainingSpecInput,
  type TrainingStatus,
  trainingIdSchema,
  trainingPhaseSchema,
  trainingStatusSchema,
  type TrainingSummary,
  trainingSummarySchema,
  type TrainingUploadEnd,
  trainingUploadSchema,
  type Unreadable,
  unreadableField,
  type UnreadableTable,
  unreadableTablesField,
  uploadParts,
  VERSION,
} from '../protocol/index.ts'
import { CliError, type ExitReason } from './exit-codes.ts'
import type { Listed } from './listed.ts'
import { FIRST_RETRY_DELAY_MS, MAX_RETRY_DELAY_MS, READ_ATTEMPTS } from './limits.ts'
import { type Answer, transfer } from './transfer.ts'

const searchListSchema = z.object({ searches: z.array(searchSummarySchema), unreadable: unreadableField })
const trainingListSchema = z.object({ trainings: z.array(trainingSummarySchema), unreadable: unreadableField })
const boundDatasetSchema = z.object({ datasetFingerprint: z.string().nullable() })
const phaseAnswerSchema = z.object({ phase: phaseSchema })
const trainingPhaseAnswerSchema = z.object({ phase: trainingPhaseSchema })
const metricsSchema = z.object({ metrics: z.array(metricSchema) })
const tokenListSchema = z.object({ tokens: z.array(z.object({ tokenId: tokenIdSchema, label: z.string(), createdAtMs: z.int() })) })
const createdTokenSchema = z.object({ tokenId: tokenIdSchema, agentToken: z.string() })
const tableListSchema = z.object({ tables: z.array(tableSummarySchema), unreadable: unreadableTablesField })
const profileListSchema = z.object({ profiles: z.array(profileStatusSchema), unreadable: unreadableField })
const publishedTableSchema = z.object({ name: tableNameSchema, version: tableVersionSchema })
const webhookSetSchema = z.object({ secret: z.string() })
const webhookSchema = z.object({ url: z.string().nullable(), waiting: z.int() })
const importBegunSchema = z.object({ searchId: searchIdSchema })
const auditListSchema = z.object({ entries: z.array(auditEntrySchema) })
const deletedTableSchema = z.object({ name: tableNameSchema, versions: z.array(tableVersionSchema) })

const decoder = new TextDecoder()
const ID_BYTES = 12
const HEALTH_PATH = '/health'

type PhaseChange = 'pause' | 'resume' | 'stop'
/**
 * Refusals by the coordinator, and three more: no answer at all, an answer that is not the coordinator's, and one of a form that this
 * version does not know.
 */
type ClientErrorCode = ProblemCode | 'unreachable' | 'unexpected-answer' | 'unknown-answer'

const exitReasons = {
  'invalid-request': 'usage',
  unauthorized: 'unauthorized',
  forbidden: 'unauthorized',
  'not-found': 'notFound',
  'method-not-allowed': 'failure',
  conflict: 'conflict',
  'dataset-mismatch': 'conflict',
  'version-mismatch': 'version',
  unreadable: 'conflict',
  'too-large': 'usage',
  'unsupported-media-type': 'failure',
  'missing-latencies': 'usage',
  'bad-numbers': 'usage',
  'too-many-refusals': 'unauthorized',
  overloaded: 'unreachable',
  internal: 'failure',
  unreachable: 'unreachable',
  'unexpected-answer': 'failure',
  'unknown-answer': 'version',
} as const satisfies Record<ClientErrorCode, ExitReason>

/** A call that did not succeed. `problem` says which refusal it was; `code` gives the exit code. */
class ClientError extends CliError {
  readonly problem: ClientErrorCode

  constructor(problem: ClientErrorCode, message: string, errors: Problem['errors'] = []) {
    super(exitReasons[problem], message, errors)
    this.problem = problem
  }

  /** Whether the same call may succeed a little later. */
  get isTemporary(): boolean {
    return this.problem === 'unreachable' || this.problem === 'overloaded'
  }
}

type ClientOptions = {
  /** Origin of the coordinator, for example `http://127.0.0.1:8787`. */
  readonly url: string
  /** Admin token; without one only `health` is answered. */
  readonly token?: string | undefined
  /** Milliseconds without a byte moving until a request counts as failed. Default 30 s. */
  readonly timeoutMs?: number
  /** How often a read is tried in all. Default 4. */
  readonly readAttempts?: number
  /** Ends requests and waits between attempts. */
  readonly signal?: AbortSignal
  /** Uniform in [0, 1), for the jitter. */
  readonly random?: () => number
}

type CoordinatorClient = {
  readonly url: string
  health(): Promise<z.infer<typeof healthSchema>>
  /** All searches, newest first. */
  listSearches(): Promise<Listed<SearchSummary>>
  createSearch(config: SearchConfigInput): Promise<z.infer<typeof createSearchResponseSchema>>
  searchStatus(searchId: string): Promise<SearchStatus>
  deleteSearch(searchId: string): Promise<void>
  /** Binds a search to data, or to those of the agent that registers next. */
  bindDataset(searchId: string, fingerprint: string | null): Promise<string | null>
  changePhase(searchId: string, change: PhaseChange): Promise<z.infer<typeof phaseSchema>>
  /** Tells `url` when the search comes into another phase; the secret that this is signed with. */
  setWebhook(searchId: string, url: string): Promise<string>
  removeWebhook(searchId: string): Promise<void>
  readWebhook(searchId: string): Promise<z.infer<typeof webhookSchema>>
  snapshots(searchId: string): Promise<SnapshotList>
  takeSnapshot(searchId: string): Promise<Snapshot>
  /** Takes a search back to the snapshot with this number, paused. */
  rollBack(searchId: string, snapshot: number): Promise<RolledBack>
  /** Rebuilds alpha without some results. */
  rebuildAlpha(searchId: string, request: RebuildRequest): Promise<Rebuilt>
  exportHead(searchId: string): Promise<ExportHead>
  /** Rows of the search or of one of its shards; `cursor` is what the page before named as next. */
  exportPage(searchId: string, object: StoredObject, cursor: string | null): Promise<ExportPage>
  beginImport(forms: SearchForms): Promise<string>
  importPage(searchId: string, page: RowPage): Promise<void>
  finishImport(searchId: string): Promise<z.infer<typeof createSearchResponseSchema>>
  /** Metrics with `seq` above `after`, oldest first. */
  metrics(searchId: string, range?: { after?: number; limit?: number }): Promise<z.infer<typeof metricSchema>[]>
  /** Of these weights of one shard, those that tasks have changed. */
  pullWeights(searchId: string, shard: number, keys: readonly string[]): Promise<ReadonlyMap<string, Tensor>>
  /** Tokens of agents, of a search or a training. */
  listTokens(ownerId: string): Promise<z.infer<typeof tokenListSchema>['tokens']>
  createToken(ownerId: string, label: string): Promise<z.infer<typeof createdTokenSchema>>
  revokeToken(ownerId: string, tokenId: string): Promise<void>
  listTables(): Promise<{ readonly tables: TableSummary[]; readonly unreadable: UnreadableTable[] }>
  publishTable(table: LatencyTable): Promise<z.infer<typeof publishedTableSchema>>
  /** A table; the version published last if none is named. */
  readTable(name: string, version?: string): Promise<LatencyTable>
  /** Deletes a version of a table, or all of them. */
  deleteTable(name: string, version?: string): Promise<z.infer<typeof deletedTableSchema>>
  /** The last `limit` things that were done with the admin token, newest first. */
  audit(limit: number): Promise<AuditEntry[]>
  createProfile(request: ProfileRequestInput): Promise<z.infer<typeof createProfileResponseSchema>>
  profileStatus(profileId: string): Promise<ProfileStatus>
  /** The profiles opened last, newest first. */
  listProfiles(): Promise<Listed<ProfileStatus>>
  deleteProfile(profileId: string): Promise<void>
  /** All trainings, newest first. */
  listTrainings(): Promise<Listed<TrainingSummary>>
  createTraining(spec: TrainingSpecInput): Promise<z.infer<typeof createTrainingResponseSchema>>
  /** Delivers a file that a training was created with. */
  storeTrainingInput(trainingId: string, input: TrainingInput, bytes: Uint8Array<ArrayBuffer>): Promise<void>
  trainingStatus(trainingId: string): Promise<TrainingStatus>
  changeTrainingPhase(trainingId: string, change: PhaseChange): Promise<z.infer<typeof trainingPhaseSchema>>
  deleteTraining(trainingId: string): Promise<void>
  /** The trained network: a safetensors file. */
  trainingModel(trainingId: string): Promise<Uint8Array>
}

type Call = {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE'
  readonly path: string
  /** Bytes are sent as they are, anything else as JSON. */
  readonly body?: unknown
  readonly headers?: Readonly<Record<string, string>>
}

/** Calls throw ClientError; an abort of `signal` throws its reason. */
function createClient(options: ClientOptions): CoordinatorClient {
  const { token, timeoutMs, readAttempts = READ_ATTEMPTS, signal, random = Math.random } = options
  const url = options.url.replace(/\/+$/, '')

  async function attempt<T>(call: Call, schema: z.ZodType<T> | null): Promise<T> {
    const { body } = await exchange(call)
    if (schema === null) return undefined as T
    try {
      return parseAnswer(schema, parseJson(decoder.decode(body)))
    } catch (error) {
      if (!(error instanceof AnswerError)) throw error
      const version = call.path === HEALTH_PATH ? null : await attempt({ method: 'GET', path: HEALTH_PATH }, healthSchema).catch(() => null)
      const where = `${url} (${version ? `version ${version.version}` : 'version not known'})`
      throw new ClientError(
        version ? 'unknown-answer' : 'unexpected-answer',
        `${where} answered ${call.method} ${call.path} in a form that this version, ${VERSION}, does not know: ${error.message}. ` +
          'Check that it is a Gatehouse coordinator of the same version.',
      )
    }
  }

  /** A successful answer. */
  async function exchange(call: Call): Promise<Answer> {
    const headers = new Headers({ ...call.headers, accept: 'application/json, application/octet-stream' })
    if (token !== undefined) headers.set('authorization', `Bearer ${token}`)
    const isBytes = call.body instanceof Uint8Array
    if (call.body !== undefined) headers.set('content-type', isBytes ? 'application/octet-stream' : 'application/json')
    let answer: Answer
    try {
      answer = await transfer({
        url: `${url}${call.path}`,
        method: call.method,
        headers,
        body: bodyOf(call.body),
        // A coordinator never redirects; whoever does shall not get the token.
        redirect: 'error',
        stallMs: timeoutMs,
        signal,
      })
    } catch (error) {
      if (signal?.aborted) throw signal.reason
      throw new ClientError('unreachable', `cannot reach the coordinator at ${url}: ${causeOf(error)}`)
    }
    if (answer.ok) return answer
    throw refusal(call, answer.status, decoder.decode(answer.body))
  }

  function refusal(call: Call, status: number, text: string): ClientError {
    const problem = readProblem(parseJson(text))
    if (problem) return new ClientError(problem.code, problem.detail, problem.errors)
    const busy = status === 502 || status === 503 || status === 504 || status === 429
    return new ClientError(
      busy ? 'overloaded' : 'unexpected-answer',
      `${url} answered ${call.method} ${call.path} with status ${status} and no problem document. Check that it is a Gatehouse coordinator.`,
    )
  }

  const read = <T>(path: string, schema: z.ZodType<T>): Promise<T> => repeat(() => attempt({ method: 'GET', path }, schema))

  async function repeat<T>(once: () => Promise<T>): Promise<T> {
    for (let tried = 1; ; tried++) {
      try {
        return await once()
      } catch (error) {
        if (!(error instanceof ClientError) || !error.isTemporary || tried >= readAttempts) throw error
      }
      const delayMs = Math.min(MAX_RETRY_DELAY_MS, FIRST_RETRY_DELAY_MS * 2 ** (tried - 1))
      await pause(delayMs * (0.5 + 0.5 * random()), signal)
    }
  }

  /** Everything, newest first. The coordinator answers in pages of its own size; an empty one, or one without news, is the last. */
  async function listAll<T extends { createdAtMs: number }>(
    page: (query: string) => Promise<{ members: T[]; unreadable?: Unreadable[] | undefined }>,
    idOf: (entry: T) => string,
  ): Promise<Listed<T>> {
    const found = new Map<string, T>()
    const unreadable = new Map<string, Unreadable>()
    let query = ''
    for (;;) {
      const answer = await page(query)
      const fresh = answer.members.filter((entry) => !found.has(idOf(entry)))
      const freshUnreadable = (answer.unreadable ?? []).filter(({ id }) => !unreadable.has(id))
      const times = [...fresh, ...freshUnreadable].map(({ createdAtMs }) => createdAtMs)
      if (times.length === 0) break
      for (const entry of fresh) found.set(idOf(entry), entry)
      for (const entry of freshUnreadable) unreadable.set(entry.id, entry)
      query = `?before=${Math.min(...times)}`
    }
    return {
      members: [...found.values()].toSorted((a, b) => b.createdAtMs - a.createdAtMs || idOf(b).localeCompare(idOf(a))),
      unreadable: [...unreadable.values()].toSorted((a, b) => b.createdAtMs - a.createdAtMs),
    }
  }

  const training = (trainingId: string) => `/v1/trainings/${encodeURIComponent(trainingId)}`
  const search = (searchId: string) => `/v1/searches/${encodeURIComponent(searchId)}`
  const tokens = (ownerId: string) => `${trainingIdSchema.safeParse(ownerId).success ? training(ownerId) : search(ownerId)}/tokens`
  const latencyTable = (name: string, version?: string) =>
    `/v1/latency-tables/${[name, version]
      .filter((part) => part !== undefined)
      .map(encodeURIComponent)
      .join('/')}`
  const post = <T>(path: string, schema: z.ZodType<T>, body?: unknown) => attempt({ method: 'POST', path, body }, schema)
  const remove = (path: string) => attempt<void>({ method: 'DELETE', path }, null)

  return {
    url,
    health: () => read(HEALTH_PATH, healthSchema),
    listSearches: () =>
      listAll(
        async (query) => {
          const { searches, unreadable } = await read(`/v1/searches${query}`, searchListSchema)
          return { members: searches, unreadable }
        },
        ({ searchId }) => searchId,
      ),
    createSearch: (config) => post('/v1/searches', createSearchResponseSchema, config),
    searchStatus: (searchId) => read(search(searchId), searchStatusSchema),
    deleteSearch: (searchId) => remove(search(searchId)),
    bindDataset: async (searchId, fingerprint) =>
      (await attempt({ method: 'PUT', path: `${search(searchId)}/dataset`, body: { fingerprint } }, boundDatasetSchema)).datasetFingerprint,
    changePhase: async (searchId, change) => (await post(`${search(searchId)}/${change}`, phaseAnswerSchema)).phase,
    setWebhook: async (searchId, webhookUrl) =>
      (await attempt({ method: 'PUT', path: `${search(searchId)}/webhook`, body: { url: webhookUrl } }, webhookSetSchema)).secret,
    removeWebhook: (searchId) => remove(`${search(searchId)}/webhook`),
    readWebhook: (searchId) => read(`${search(searchId)}/webhook`, webhookSchema),
    snapshots: (searchId) => read(`${search(searchId)}/snapshots`, snapshotListSchema),
    takeSnapshot: (searchId) => post(`${search(searchId)}/snapshots`, snapshotSchema),
    rollBack: (searchId, snapshot) => post(`${search(searchId)}/snapshots/${snapshot}/rollback`, rolledBackSchema),
    rebuildAlpha: (searchId, request) => post(`${search(searchId)}/rebuild-alpha`, rebuiltSchema, request),
    exportHead: (searchId) => read(`${search(searchId)}/export`, exportHeadSchema),
    exportPage: (searchId, object, cursor) => {
      const query = cursor === null ? '' : `?cursor=${encodeURIComponent(cursor)}`
      return read(`${search(searchId)}/export/${object === 'search' ? object : `shards/${object}`}${query}`, exportPageSchema)
    },
    beginImport: async (forms) => (await post('/v1/search-imports', importBegunSchema, forms)).searchId,
    // Rows that have come already are stored again: this write may be repeated.
    importPage: (searchId, page) =>
      repeat(() => attempt<void>({ method: 'PUT', path: `/v1/search-imports/${encodeURIComponent(searchId)}/rows`, body: page }, null)),
    finishImport: (searchId) => post(`/v1/search-imports/${encodeURIComponent(searchId)}/finish`, createSearchResponseSchema),
    metrics: async (searchId, range = {}) => {
      const query = new URLSearchParams(Object.entries(range).map(([key, value]): [string, string] => [key, String(value)]))
      return (await read(`${search(searchId)}/metrics?${query}`, metricsSchema)).metrics
    },
    pullWeights: (searchId, shard, keys) =>
      repeat(async () => {
        const held = Object.fromEntries(keys.map((key) => [key, 0]))
        const { body } = await exchange({ method: 'POST', path: `${search(searchId)}/weights/${shard}/pull`, body: { held } })
        return decodeSafetensors(body).tensors
      }),
    listTokens: async (ownerId) => (await read(tokens(ownerId), tokenListSchema)).tokens,
    createToken: (ownerId, label) => post(tokens(ownerId), createdTokenSchema, { label }),
    revokeToken: (ownerId, tokenId) => remove(`${tokens(ownerId)}/${encodeURIComponent(tokenId)}`),
    async listTables() {
      const { tables, unreadable = [] } = await read('/v1/latency-tables', tableListSchema)
      return { tables, unreadable }
    },
    publishTable: (table) => post('/v1/latency-tables', publishedTableSchema, table),
    readTable: (name, version) => read(latencyTable(name, version), latencyTableSchema),
    deleteTable: (name, version) => attempt({ method: 'DELETE', path: latencyTable(name, version) }, deletedTableSchema),
    async audit(limit) {
      const found: AuditEntry[] = []
      for (;;) {
        const last = found.at(-1)
        const query = `limit=${Math.min(MAX_AUDIT_PAGE, limit - found.length)}${last ? `&before=${last.seq}` : ''}`
        const { entries } = await read(`/v1/audit?${query}`, auditListSchema)
        found.push(...entries)
        if (entries.length === 0 || found.length >= limit) return found
      }
    },
    createProfile: (request) => post('/v1/profiles', createProfileResponseSchema, request),
    profileStatus: (profileId) => read(`/v1/profiles/${encodeURIComponent(profileId)}`, profileStatusSchema),
    async listProfiles() {
      const { profiles, unreadable = [] } = await read('/v1/profiles', profileListSchema)
      return { members: profiles, unreadable }
    },
    deleteProfile: (profileId) => remove(`/v1/profiles/${encodeURIComponent(profileId)}`),
    listTrainings: () =>
      listAll(
        async (query) => {
          const { trainings, unreadable } = await read(`/v1/trainings${query}`, trainingListSchema)
          return { members: trainings, unreadable }
        },
        ({ trainingId }) => trainingId,
      ),
    createTraining: (spec) => post('/v1/trainings', createTrainingResponseSchema, spec),
    async storeTrainingInput(trainingId, input, bytes) {
      const upload = createId('u', crypto.getRandomValues(new Uint8Array(ID_BYTES)))
      await uploadParts<TrainingUploadEnd>(bytes, (body, part) =>
        repeat(() =>
          attempt(
            {
              method: 'PUT',
              path: `${training(trainingId)}/inputs/${input}?upload=${upload}`,
              body,
              headers: { 'content-range': printContentRange(part) },
            },
            trainingUploadSchema,
          ),
        ),
      )
    },
    trainingStatus: (trainingId) => read(training(trainingId), trainingStatusSchema),
    changeTrainingPhase: async (trainingId, change) => (await post(`${training(trainingId)}/${change}`, trainingPhaseAnswerSchema)).phase,
    deleteTraining: (trainingId) => remove(training(trainingId)),
    trainingModel: (trainingId) =>
      downloadParts((begin) =>
        repeat(async () => {
          const { status, headers, body } = await exchange({
            method: 'GET',
            path: `${training(trainingId)}/model`,
            headers: { range: `bytes=${begin}-` },
          })
          return filePartOf(status, headers, body)
        }),
      ),
  }
}

function bodyOf(body: unknown): string | Uint8Array<ArrayBuffer> | undefined {
  if (body === undefined) return undefined
  return body instanceof Uint8Array ? (body as Uint8Array<ArrayBuffer>) : JSON.stringify(body)
}

/** Undefined for what is not JSON, which no schema accepts. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** What Node's fetch hides behind "fetch failed". */
function causeOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const cause = error.cause
  if (cause instanceof AggregateError && cause.errors.length > 0) return String(cause.errors[0]?.message)
  return cause instanceof Error ? cause.message || error.message : error.message
}

/** Waits. An abort ends the wait by throwing the signal's reason. */
function pause(delayMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted()
    const stop = () => {
      clearTimeout(timer)
      reject(signal?.reason)
    }
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', stop)
      resolve()
    }, delayMs)
    signal?.addEventListener('abort', stop, { once: true })
  })
}

export { ClientError, type ClientErrorCode, type ClientOptions, type CoordinatorClient, createClient, pause, type PhaseChange }
