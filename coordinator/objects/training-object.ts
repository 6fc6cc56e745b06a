// One training from scratch: a thin shell that gives rules/training a SQL store, a clock, ids, and an alarm for the
// lease.

import { DurableObject } from 'cloudflare:workers'
import {
  attempt,
  type Caller,
  createId,
  type Delivery,
  type FilePart,
  type Outcome,
  ProblemError,
  type TokenRecord,
  type TrainingHeartbeat,
  type TrainingInput,
  type TrainingLeaseRequest,
  type TrainingLeaseResponse,
  type TrainingPhase,
  type TrainingRelease,
  type TrainingSpec,
  type TrainingStatus,
  type TrainingSummary,
  type TrainingUpload,
} from '../../protocol/index.ts'
import {
  commandTraining,
  createTrainingSetup,
  describeNetwork,
  expireLease,
  extendLease,
  finishTraining,
  leaseEndMs,
  leaseTraining,
  type OpenTraining,
  openTraining,
  readFilePart,
  releaseTraining,
  startTraining,
  storeCheckpoint,
  storeInput,
  trainingStatus,
  trainingSummary,
} from '../../rules/training/index.ts'
import { trainingMigrations } from './migrations/training.ts'
import { createSqlTrainingStore } from './sql-training-store.ts'
import { Sockets } from './sockets.ts'
import { Stored } from './stored.ts'
import { createTokenTable, type TokenTable } from './tokens.ts'

const ID_BYTES = 12

type Opened = { readonly training: OpenTraining; readonly tokens: TokenTable }

function openStored(storage: DurableObjectStorage): Opened | null {
  const store = createSqlTrainingStore(storage)
  const training = openTraining(store)
  if (!training) return null
  // Read now, so that a training can be read as a whole or not at all.
  store.readState()
  store.readReports()
  return { training, tokens: createTokenTable(storage.sql) }
}

class TrainingObject extends DurableObject<object> {
  readonly #stored = new Stored(this.ctx.storage, { name: 'training', table: 'training', migrations: trainingMigrations, open: openStored })
  readonly #sockets = new Sockets(this.ctx)
  /** When the alarm is set for; undefined until it has been asked for. */
  #alarmAtMs: number | null | undefined = undefined

  #answer<T>(caller: Caller, body: (training: OpenTraining) => T): Outcome<T> {
    return this.#stored.answer(({ training, tokens }) => {
      tokens.check(caller)
      return body(training)
    })
  }

  /** Tells who looks at the status; and who waits, where the training may be had now, or has ended. */
  #tell<T>(outcome: Outcome<T>, isFree = false): Outcome<T> {
    if (!outcome.ok) return outcome
    this.#sockets.changed()
    if (isFree) this.#sockets.wake('all')
    return outcome
  }

  /** For sockets only (sockets.ts): everything else is a method. */
  override fetch(request: Request): Response {
    return this.#sockets.accept(request, ({ caller }) => this.checkToken(caller))
  }

  override webSocketMessage(socket: WebSocket): void {
    this.#sockets.refuse(socket)
  }

  /** Sets the alarm only when it must ring earlier than it would: each setting is a row written. */
  async #armAlarm(): Promise<void> {
    const opened = this.#stored.findReadable()
    const next = opened ? leaseEndMs(opened.training) : null
    if (next === null) return
    this.#alarmAtMs ??= await this.ctx.storage.getAlarm()
    if (this.#alarmAtMs !== null && this.#alarmAtMs <= next) return
    this.#alarmAtMs = next
    await this.ctx.storage.setAlarm(next)
  }

  create(trainingId: string, spec: TrainingSpec, token: TokenRecord): Outcome<{ parameters: number; checkpointBytes: number }> {
    return attempt(() => {
      const setup = createTrainingSetup(trainingId, spec, token.createdAtMs)
      startTraining(() => {
        this.#stored.prepare()
        return createSqlTrainingStore(this.ctx.storage)
      }, setup)
      createTokenTable(this.ctx.storage.sql).add(token)
      const { parameters, checkpointBytes } = describeNetwork(setup)
      return { parameters, checkpointBytes }
    })
  }

  checkToken(caller: Caller): Outcome<null> {
    return this.#answer(caller, () => null)
  }

  async lease(caller: Caller, request: TrainingLeaseRequest): Promise<Outcome<TrainingLeaseResponse>> {
    const leaseId = createId('l', crypto.getRandomValues(new Uint8Array(ID_BYTES)))
    const outcome = this.#answer(caller, (training) => leaseTraining(training, request, leaseId, Date.now()))
    await this.#armAlarm()
    return this.#tell(outcome, outcome.ok && outcome.value.kind === 'ended')
  }

  heartbeat(caller: Caller, heartbeat: TrainingHeartbeat): Outcome<{ kind: 'extended' | 'lost' }> {
    return this.#tell(this.#answer(caller, (training) => extendLease(training, heartbeat, Date.now())))
  }

  release(caller: Caller, request: TrainingRelease): Outcome<{ kind: 'released' | 'lost' }> {
    const outcome = this.#answer(caller, (training) => releaseTraining(training, request, Date.now()))
    return this.#tell(outcome, true)
  }

  storeCheckpoint(caller: Caller, leaseId: string, delivery: Delivery): Outcome<TrainingUpload> {
    return this.#tell(this.#answer(caller, (training) => storeCheckpoint(training, leaseId, delivery, Date.now())))
  }

  finish(caller: Caller, leaseId: string, delivery: Delivery): Outcome<TrainingUpload> {
    const outcome = this.#answer(caller, (training) => finishTraining(training, leaseId, delivery, Date.now()))
    return this.#tell(outcome, outcome.ok && outcome.value.kind === 'stored')
  }

  storeInput(input: TrainingInput, delivery: Delivery): Outcome<TrainingUpload> {
    const outcome = this.#stored.answer(({ training }) => storeInput(training, input, delivery))
    return this.#tell(outcome, outcome.ok && outcome.value.kind === 'stored')
  }

  readFile(caller: Caller, what: 'checkpoint' | 'model' | TrainingInput, begin: number): Outcome<FilePart> {
    return this.#answer(caller, (training) => readFilePart(training, what, begin))
  }

  status(caller: Caller): Outcome<TrainingStatus> {
    return this.#answer(caller, (training) => trainingStatus(training, caller.kind === 'admin'))
  }

  command(command: 'pause' | 'resume' | 'stop'): Outcome<TrainingPhase> {
    const outcome = this.#stored.answer(({ training }) => commandTraining(training, command, Date.now()))
    return this.#tell(outcome, true)
  }

  addToken(token: TokenRecord): Outcome<null> {
    return this.#stored.answer(({ tokens }) => {
      tokens.add(token)
      return null
    })
  }

  removeToken(tokenId: string): Outcome<null> {
    return this.#stored.answer(({ tokens }) => {
      if (!tokens.has(tokenId)) throw new ProblemError('not-found', `no token ${tokenId} in this training`)
      tokens.remove(tokenId)
      this.#sockets.revoke(tokenId)
      return null
    })
  }

  listTokens(): Outcome<{ tokenId: string; label: string; createdAtMs: number }[]> {
    return this.#stored.answer(({ tokens }) => tokens.list())
  }

  summary(): Outcome<TrainingSummary> {
    return this.#stored.answer(({ training }) => trainingSummary(training))
  }

  /** Also where it cannot be read. */
  async destroy(): Promise<Outcome<null>> {
    const opened = this.#stored.answer(() => null)
    if (!opened.ok && !this.#stored.exists()) return opened
    await this.#stored.erase()
    this.#sockets.closeAll()
    this.#alarmAtMs = undefined
    return { ok: true, value: null }
  }

  override async alarm(): Promise<void> {
    this.#alarmAtMs = null
    const opened = this.#stored.findReadable()
    if (!opened) return
    expireLease(opened.training, Date.now())
    this.#sockets.changed()
    this.#sockets.wake('all')
    await this.#armAlarm()
  }
}

export { TrainingObject }
