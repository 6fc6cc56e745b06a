// What the routes need of the outside world. index.ts connects these to Durable Objects and KV.

import type { LatencyTable } from '../../latency-lut/table/table.ts'
import type {
  Architecture,
  AuditEntry,
  Caller,
  Delivery,
  ExportHead,
  ExportPage,
  FilePart,
  LeaseRef,
  LeaseResponse,
  LogEntry,
  Metric,
  Outcome,
  Phase,
  ProfileBackend,
  ProfileBatch,
  ProfileBatchResponse,
  ProfileCaller,
  ProfileRequest,
  ProfileStatus,
  ProfileTable,
  PushResponse,
  PushRight,
  RebuildRequest,
  Rebuilt,
  RegisterRequest,
  RegisterResponse,
  ReleaseRequest,
  RolledBack,
  RowPage,
  SearchConfig,
  SearchForms,
  SearchStatus,
  SearchSummary,
  Snapshot,
  SnapshotList,
  SubmitRequest,
  SubmitResponse,
  TableSummary,
  TokenRecord,
  TrainingHeartbeat,
  TrainingInput,
  TrainingLeaseRequest,
  TrainingLeaseResponse,
  TrainingPhase,
  TrainingRelease,
  TrainingSpec,
  TrainingStatus,
  TrainingSummary,
  TrainingUpload,
  UnreadableTable,
} from '../../protocol/index.ts'

import type { RequestLog } from './request-log-setting.ts'
import type { RefusalsPort } from './refusals.ts'
import type { Signer } from './signatures.ts'

type VersionedTable = LatencyTable & { version: string }
type TokenSummary = { tokenId: string; label: string; createdAtMs: number }

type TokensPort = {
  addToken(token: TokenRecord): Promise<Outcome<null>>
  removeToken(tokenId: string): Promise<Outcome<null>>
  listTokens(): Promise<Outcome<TokenSummary[]>>
}

type SearchPort = TokensPort & {
  create(searchId: string, config: SearchConfig, table: VersionedTable, token: TokenRecord): Promise<Outcome<SearchStatus>>
  /** Refuses `unauthorized` unless the token is good. */
  checkToken(caller: Caller): Promise<Outcome<null>>
  register(caller: Caller, request: RegisterRequest): Promise<Outcome<RegisterResponse>>
  lease(caller: Caller, agentId: string): Promise<Outcome<{ readonly answer: LeaseResponse; readonly right: PushRight | null }>>
  pushRight(caller: Caller, agentId: string, taskId: number): Promise<Outcome<PushRight | null>>
  heartbeat(caller: Caller, ref: LeaseRef): Promise<Outcome<{ kind: 'extended' | 'lost' }>>
  release(caller: Caller, request: ReleaseRequest): Promise<Outcome<{ kind: 'released' | 'lost' }>>
  submit(caller: Caller, request: SubmitRequest): Promise<Outcome<SubmitResponse>>
  /** Of a trial. */
  storeCheckpoint(caller: Caller, ref: LeaseRef, delivery: Delivery): Promise<Outcome<TrainingUpload>>
  readCheckpoint(caller: Caller, taskId: number, begin: number): Promise<Outcome<FilePart>>
  countRefusedPush(agentId: string): Promise<void>
  countClipped(agentId: string, taskId: number): Promise<void>
  command(caller: Caller, command: 'pause' | 'resume' | 'stop'): Promise<Outcome<Phase>>
  bindDataset(fingerprint: string | null): Promise<Outcome<{ datasetFingerprint: string | null }>>
  exportHead(): Promise<Outcome<ExportHead>>
  exportPage(cursor: string | null): Promise<Outcome<ExportPage>>
  beginImport(searchId: string, createdAtMs: number, forms: SearchForms): Promise<Outcome<null>>
  importRows(page: RowPage): Promise<Outcome<null>>
  finishImport(token: TokenRecord): Promise<Outcome<SearchStatus>>
  status(caller: Caller): Promise<Outcome<SearchStatus>>
  summary(): Promise<Outcome<SearchSummary>>
  rebuildAlpha(request: RebuildRequest): Promise<Outcome<Rebuilt>>
  takeSnapshot(): Promise<Outcome<Snapshot>>
  snapshots(caller: Caller): Promise<Outcome<SnapshotList>>
  /** By the snapshot's number. */
  rollBack(snapshot: number): Promise<Outcome<RolledBack>>
  /** Null: nobody is told. */
  setWebhook(url: string | null): Promise<Outcome<{ secret: string }>>
  webhook(): Promise<Outcome<{ url: string | null; waiting: number }>>
  architecture(caller: Caller): Promise<Outcome<Architecture>>
  log(caller: Caller, after: number, limit: number): Promise<Outcome<LogEntry[]>>
  metrics(caller: Caller, after: number, limit: number): Promise<Outcome<Metric[]>>
  destroy(searchId: string): Promise<Outcome<null>>
}

type ShardPort = {
  exportPage(cursor: string | null): Promise<Outcome<ExportPage>>
  importRows(page: RowPage): Promise<Outcome<null>>
  pull(caller: Caller, held: Record<string, number>): Promise<Outcome<ReadableStream<Uint8Array>>>
  /** `right`: null for a task that the caller has no part in any more. `bytes`: length of the body, if it is known. */
  push(caller: Caller, right: PushRight | null, body: ReadableStream<Uint8Array>, bytes: number | null): Promise<Outcome<PushResponse>>
}

type ProfilePort = {
  create(profileId: string, request: ProfileRequest, codeHash: Uint8Array): Promise<Outcome<ProfileStatus>>
  /** Refuses `unauthorized` unless the token is good. */
  checkToken(caller: ProfileCaller): Promise<Outcome<null>>
  open(codeHash: Uint8Array, tokenHash: Uint8Array): Promise<Outcome<ProfileStatus>>
  status(caller: ProfileCaller): Promise<Outcome<ProfileStatus>>
  addBatch(caller: ProfileCaller, batch: ProfileBatch): Promise<Outcome<ProfileBatchResponse>>
  rounds(caller: ProfileCaller, backend: ProfileBackend): Promise<Outcome<number[][]>>
  tables(caller: ProfileCaller): Promise<Outcome<{ backend: ProfileBackend; table: LatencyTable }[]>>
  published(tables: ProfileTable[]): Promise<Outcome<ProfileStatus>>
  destroy(): Promise<boolean>
}

type TrainingPort = TokensPort & {
  create(trainingId: string, spec: TrainingSpec, token: TokenRecord): Promise<Outcome<{ parameters: number; checkpointBytes: number }>>
  /** Refuses `unauthorized` unless the token is good. */
  checkToken(caller: Caller): Promise<Outcome<null>>
  lease(caller: Caller, request: TrainingLeaseRequest): Promise<Outcome<TrainingLeaseResponse>>
  heartbeat(caller: Caller, heartbeat: TrainingHeartbeat): Promise<Outcome<{ kind: 'extended' | 'lost' }>>
  release(caller: Caller, request: TrainingRelease): Promise<Outcome<{ kind: 'released' | 'lost' }>>
  storeCheckpoint(caller: Caller, leaseId: string, delivery: Delivery): Promise<Outcome<TrainingUpload>>
  finish(caller: Caller, leaseId: string, delivery: Delivery): Promise<Outcome<TrainingUpload>>
  storeInput(input: TrainingInput, delivery: Delivery): Promise<Outcome<TrainingUpload>>
  readFile(caller: Caller, what: 'checkpoint' | 'model' | TrainingInput, begin: number): Promise<Outcome<FilePart>>
  status(caller: Caller): Promise<Outcome<TrainingStatus>>
  command(command: 'pause' | 'resume' | 'stop'): Promise<Outcome<TrainingPhase>>
  summary(): Promise<Outcome<TrainingSummary>>
  destroy(): Promise<Outcome<null>>
}

/** Ids by the time that they were made at. */
type DirectoryPort = {
  add(id: string, createdAtMs: number): Promise<Outcome<null>>
  remove(id: string): Promise<Outcome<null>>
  /** Of the list of searches: the coordinator's key. */
  signingKey(): Promise<Outcome<Uint8Array>>
  /** `summary`: JSON, where the member has told the list of itself. */
  list(
    beforeMs: number,
    limit: number,
  ): Promise<Outcome<{ readonly id: string; readonly createdAtMs: number; readonly summary: string | null }[]>>
  /** What the member told is forgotten: it is asked again. */
  forget(id: string): Promise<Outcome<null>>
}

/** What was done with the admin token. */
type AuditPort = {
  addAction(entry: Omit<AuditEntry, 'seq'>): Promise<Outcome<null>>
  actions(before: number, limit: number): Promise<Outcome<AuditEntry[]>>
}

type TablesPort = {
  publish(table: LatencyTable, version: string, nowMs: number): Promise<void>
  read(name: string, version?: string): Promise<VersionedTable | null>
  remove(name: string, version?: string): Promise<string[]>
  list(): Promise<{ readonly tables: TableSummary[]; readonly unreadable: UnreadableTable[] }>
}

/** Opens a socket for wake-ups: an answer with status 101. `agentId`: of the agent that waits for work; null: for the status. */
type SocketPort = (opener: { readonly caller: Caller; readonly agentId: string | null }) => Promise<Outcome<Response>>

type Ports = {
  /** Those that are good: the present one, and the one before it while it is replaced. */
  readonly adminTokens: readonly string[]
  /** Signs under the coordinator's key. */
  signer(): Promise<Signer>
  readonly refusals: RefusalsPort
  search(searchId: string): SearchPort
  shard(searchId: string, shard: number): ShardPort
  profile(profileId: string): ProfilePort
  training(trainingId: string): TrainingPort
  searchSocket(searchId: string): SocketPort
  trainingSocket(trainingId: string): SocketPort
  readonly searches: DirectoryPort
  readonly profiles: DirectoryPort
  readonly trainings: DirectoryPort
  readonly tables: TablesPort
  readonly audit: AuditPort
  readonly requestLog: RequestLog
}

export type {
  AuditPort,
  DirectoryPort,
  Ports,
  ProfilePort,
  SearchPort,
  ShardPort,
  SocketPort,
  TablesPort,
  TokensPort,
  TrainingPort,
  VersionedTable,
}
