// One shard of a search's supernet weights: W ← W + s · Δ, a version per key, each task applied once. s is below 1 for what
// comes late (protocol/round-shares.ts). Δ may be of a part of a weight that networks read by parts. A weight's velocity is a tensor
// like any other here, zero until somebody pushes it.

import { DurableObject } from 'cloudflare:workers'
import { boxOf, createSpace, createWeightUse, isWhole, sliceBegin, visitRows, type WeightSpec } from '../../search-space/index.ts'
import {
  attempt,
  attemptLater,
  type ByteSource,
  type Caller,
  type ExportPage,
  invalidField,
  isVelocityKey,
  type RowPage,
  latenessScale,
  MAX_MAGNITUDE,
  MAX_RECEIVING_BYTES,
  MAX_WEIGHTS_BYTES,
  type Outcome,
  parseOptions,
  planShards,
  ProblemError,
  pushMetadataSchema,
  type PushResponse,
  type PushRight,
  readSafetensorsLayout,
  readTensor,
  SafetensorsError,
  type SafetensorsLayout,
  safetensorsParts,
  sourceOf,
  type Tensor,
  type TokenRecord,
  velocityKey,
  versionsSchema,
  weightDtypes,
  weightKeyOf,
} from '../../protocol/index.ts'
import { readStored } from '../../rules/stored/stored-form.ts'
import { readBody, streamParts } from './body-streams.ts'
import { weightsMigrations } from './migrations/weights.ts'
import { createPushSizes, type PushedSizes, type PushSizes } from './push-sizes.ts'
import { checkForm, endImport, readImport, shardTables, withSetup, writeImport } from './search-file.ts'
import { Stored } from './stored.ts'
import { exportPage, importRows } from './table-rows.ts'
import { createShardSnapshots, type ShardSnapshots } from './shard-snapshots.ts'
import { type ShardSetup, shardSetupSchema } from './stored-shard.ts'
import { createTokenTable, type TokenTable } from './tokens.ts'
import { createSegmentStore, type Segment, type SegmentStore, type Slot } from './weight-segments.ts'

type OpenShard = {
  readonly setup: ShardSetup
  readonly store: SegmentStore
  readonly tokens: TokenTable
  readonly sizes: PushSizes
  readonly snapshots: ShardSnapshots
  /** Options of each decision of the space. */
  readonly optionCounts: readonly number[]
  /** Keys of weights that paths of such options read. */
  readonly weightUse: ReturnType<typeof createWeightUse>
}

type Change = { readonly slot: Slot; readonly read: () => Tensor; readonly baseVersion: number }

function parseVersions(text: string): Record<string, number> {
  try {
    return versionsSchema.parse(JSON.parse(text))
  } catch {
    throw new ProblemError('invalid-request', 'expected baseVersions to be a JSON object of versions by key', [
      { path: '__metadata__.baseVersions', message: 'invalid' },
    ])
  }
}

function badTensor(key: string, message: string): ProblemError {
  return new ProblemError('bad-numbers', `tensor ${key}: ${message}`, [{ path: key, message }])
}

type Pushed = {
  readonly source: ByteSource
  readonly layout: SafetensorsLayout
  readonly baseVersions: Record<string, number>
}

/** The header of a push. Tensors are read one by one, since int8 takes four times the memory that it took on the wire. */
function openPush(bytes: Uint8Array): Pushed {
  try {
    const source = sourceOf(bytes)
    const layout = readSafetensorsLayout(source)
    const metadata = pushMetadataSchema.safeParse(layout.metadata)
    if (!metadata.success) {
      const field = metadata.error.issues[0]?.path[0] === 'members' ? 'members' : 'baseVersions'
      const message = field === 'members' ? 'expected a whole number from 1' : 'required'
      throw new ProblemError('invalid-request', `expected __metadata__.${field}`, [{ path: `__metadata__.${field}`, message }])
    }
    if (layout.tensors.size === 0)
      throw new ProblemError('invalid-request', 'expected at least one tensor', [{ path: 'body', message: 'no tensors' }])
    return { source, layout, baseVersions: parseVersions(metadata.data.baseVersions) }
  } catch (error) {
    if (error instanceof SafetensorsError)
      throw new ProblemError('invalid-request', error.message, [{ path: 'body', message: error.message }])
    throw error
  }
}

/** Throws ProblemError `bad-numbers` unless all of it can be added to weights. */
function checkNumbers(key: string, { values, scale }: Tensor): void {
  if (scale !== undefined && !(scale >= 0 && scale <= MAX_MAGNITUDE)) {
    throw badTensor(key, `its scale is ${scale}, expected a finite number, 0 or above`)
  }
  const index = values.findIndex((value) => !(Math.abs(value) <= MAX_MAGNITUDE))
  if (index !== -1) throw badTensor(key, `element ${index} is ${values[index]}, expected a finite number`)
}

function openStored(storage: DurableObjectStorage): OpenShard | null {
  const { sql } = storage
  const row = sql.exec<{ setup: string }>('SELECT setup FROM shard').toArray()[0]
  if (!row) return null
  const setup = readStored(shardSetupSchema, row.setup, 'the setup')
  const space = createSpace(setup.space)
  const { shardOf } = planShards(space, setup.shardBytes)
  const weights = space.weightSpecs.filter((spec) => shardOf.get(spec.key) === setup.shard)
  // Behind the weights, so that these stay in the segments that they have without.
  const velocities = weights.map(({ key, ...spec }): WeightSpec => {
    return { ...spec, key: velocityKey(key), initialiser: { kind: 'zeros' }, decay: false }
  })
  return {
    setup,
    store: createSegmentStore(sql, [weights, velocities], setup.seed),
    tokens: createTokenTable(sql),
    sizes: createPushSizes(sql),
    snapshots: createShardSnapshots(storage),
    optionCounts: space.decisions.map(({ options }) => options.length),
    weightUse: createWeightUse(space),
  }
}

class WeightsObject extends DurableObject<object> {
  readonly #stored = new Stored(this.ctx.storage, { name: 'shard', table: 'shard', migrations: weightsMigrations, open: openStored })
  /** Of pushes that are under way. */
  #receivingBytes = 0

  #answer<T>(caller: Caller, body: (shard: OpenShard) => T): Outcome<T> {
    return this.#stored.answer((shard) => {
      shard.tokens.check(caller)
      return body(shard)
    })
  }

  /** Creates the shard; the same setup again changes nothing. */
  create(setup: ShardSetup, token: TokenRecord): void {
    this.#stored.prepare()
    this.ctx.storage.sql.exec('INSERT OR IGNORE INTO shard (id, setup) VALUES (1, ?)', JSON.stringify(setup))
    this.#stored.open().tokens.add(token)
  }

  addToken(token: TokenRecord): Outcome<null> {
    return this.#stored.answer(({ tokens }) => {
      tokens.add(token)
      return null
    })
  }

  removeToken(tokenId: string): Outcome<null> {
    return this.#stored.answer(({ tokens }) => {
      tokens.remove(tokenId)
      return null
    })
  }

  /** The keys of which the caller holds another version, as safetensors. Pushes meanwhile do not change what is being sent. */
  pull(caller: Caller, held: Record<string, number>): Outcome<ReadableStream<Uint8Array>> {
    return this.#answer(caller, ({ setup, store }) => {
      const tensors = new Map<string, Tensor>()
      const versions: Record<string, number> = {}
      for (const [key, heldVersion] of Object.entries(held)) {
        const slot = store.slots.get(key)
        if (!slot)
          throw new ProblemError('invalid-request', `no weight ${key} on this shard`, [{ path: `held.${key}`, message: 'unknown key' }])
        const version = versionOf(store, slot)
        if (version === heldVersion) continue
        versions[key] = version
        const { values } = store.read(slot.segment)
        tensors.set(key, { shape: slot.spec.shape, values: values.subarray(slot.offset, slot.offset + slot.length) })
      }
      return streamParts(safetensorsParts({ metadata: { versions: JSON.stringify(versions) }, tensors }, weightDtypes[setup.encoding]))
    })
  }

  /**
   * Adds the differences of one task, unless that task has been added before, is none that the caller has a part in any more (`right` is
   * null), or was given to it before the shard was taken back. `bytes` is the length of the body where the sender has said it.
   */
  async push(
    caller: Caller,
    right: PushRight | null,
    body: ReadableStream<Uint8Array>,
    bytes: number | null,
  ): Promise<Outcome<PushResponse>> {
    return attemptLater(async () => {
      try {
        this.#stored.open().tokens.check(caller)
        const pushed = openPush(await this.#receive(body, bytes))
        // Opened again: it may have been deleted, or the token revoked, while the body was on its way.
        const shard = this.#stored.open()
        shard.tokens.check(caller)
        return this.#apply(shard, right, pushed)
      } catch (error) {
        await body.cancel().catch(() => undefined)
        throw error
      }
    })
  }

  /** Throws ProblemError `overloaded` where more pushes are under way than fit this object's memory. */
  async #receive(body: ReadableStream<Uint8Array>, bytes: number | null): Promise<Uint8Array> {
    const reservedBytes = bytes ?? MAX_WEIGHTS_BYTES
    if (this.#receivingBytes + reservedBytes > MAX_RECEIVING_BYTES)
      throw new ProblemError('overloaded', 'this shard is receiving other pushes')
    this.#receivingBytes += reservedBytes
    try {
      return await readBody(body, { expectedBytes: bytes, mostBytes: MAX_WEIGHTS_BYTES })
    } finally {
      this.#receivingBytes -= reservedBytes
    }
  }

  #apply(shard: OpenShard, right: PushRight | null, pushed: Pushed): PushResponse {
    const changes = checkChanges(shard.store, pushed)
    const { sql } = this.ctx.storage
    const isKnown = (taskId: number) => sql.exec('SELECT 1 FROM applied WHERE task_id = ?', taskId).toArray().length > 0
    if (right === null || (right.rollbacks ?? 0) !== shard.snapshots.rollbacks || isKnown(right.taskId)) {
      return { kind: 'duplicate', versions: currentVersions(shard.store, changes), scales: {} }
    }
    checkRight(shard, right, changes)
    const { updated, scales, pushed: sizes, clipped } = applyChanges(shard, changes, right.members)
    this.ctx.storage.transactionSync(() => {
      for (const [segment, content] of updated) shard.store.write(segment, content)
      const { taskId, agentId, leaseId } = right
      sql.exec(
        'INSERT INTO applied (task_id, size, velocity_size, after_snapshot, revision, agent_id, lease_id) VALUES (?, ?, ?, ?, ?, ?, ?)',
        taskId,
        sizes.weight,
        sizes.velocity,
        shard.snapshots.last(),
        shard.store.revision(),
        agentId,
        leaseId,
      )
    })
    shard.sizes.add(right.taskId, sizes)
    for (const [segment, content] of updated) shard.store.adopt(segment, content)
    return { kind: 'applied', versions: currentVersions(shard.store, changes), scales, ...(clipped > 0 && { clipped }) }
  }

  /** Keeps the weights as they are now under this number, beside the snapshots in `keep`. */
  takeSnapshot(number: number, keep: readonly number[]): Outcome<{ bytes: number }> {
    return this.#stored.answer(({ snapshots }) => ({ bytes: snapshots.take(number, keep) }))
  }

  /**
   * Takes the weights back to a snapshot, so that the shard was taken back `rollbacks` times; the same again changes nothing. From then on it
   * takes no push of a task that was given out before.
   */
  rollBack(number: number, rollbacks: number): Outcome<null> {
    return this.#stored.answer(({ store, snapshots }) => {
      if (snapshots.rollbacks >= rollbacks) return null
      this.ctx.storage.transactionSync(() => snapshots.restore(store, number, rollbacks))
      this.#stored.reopen()
      return null
    })
  }

  /** What an export begins and ends with: the form of the rows, and how often weights have changed. */
  exportHead(): Outcome<{ form: number; revision: number[] }> {
    return this.#stored.answer(({ store }) => {
      const versions = [...store.slots.values()].map((slot) => versionOf(store, slot))
      return { form: weightsMigrations.length, revision: versions }
    })
  }

  exportPage(cursor: string | null): Outcome<ExportPage> {
    return this.#stored.answer(({ setup }) => exportPage(this.ctx.storage.sql, setup.shard, shardTables, cursor))
  }

  beginImport(searchId: string, shard: number, form: number): Outcome<null> {
    return attempt(() => {
      checkForm(`shardForms[${shard}]`, form, weightsMigrations.length)
      this.#stored.prepare(form)
      writeImport(this.ctx.storage.sql, { searchId, createdAtMs: 0, shards: 1, setup: null })
      return null
    })
  }

  importRows(page: RowPage): Outcome<null> {
    return attempt(() => {
      const { storage } = this.ctx
      const { searchId } = readImport(storage.sql)
      storage.transactionSync(() => importRows(storage.sql, shardTables, page.table === 'shard' ? withSetup(page, { searchId }) : page))
      return null
    })
  }

  /** Makes the shard of what has come, if it is the one that its search says, with numbers for weights. */
  finishImport(expected: ShardSetup, token: TokenRecord): Outcome<null> {
    return attempt(() => {
      const { storage } = this.ctx
      readImport(storage.sql)
      const where = `shard ${expected.shard}`
      storage.transactionSync(() => {
        endImport(storage.sql)
        const { setup, store, tokens } = this.#stored.reopen()
        const isExpected = JSON.stringify(setup) === JSON.stringify(shardSetupSchema.parse(expected))
        if (!isExpected) throw invalidField(`${where}, setup`, 'it is that of another search')
        for (const { spec, segment, offset, length } of store.slots.values()) {
          const bad = store
            .read(segment)
            .values.subarray(offset, offset + length)
            .findIndex((value) => !(Math.abs(value) <= MAX_MAGNITUDE))
          if (bad !== -1) throw invalidField(`${where}, ${spec.key}`, `element ${bad} is no finite number`)
        }
        tokens.add(token)
      })
      return null
    })
  }

  /** Whether there was anything; also where it cannot be read. */
  async destroy(): Promise<boolean> {
    const existed = this.#stored.exists()
    await this.#stored.erase()
    return existed
  }
}

/** Throws ProblemError where a tensor cannot be added, or is none of this shard. */
function checkChanges(store: SegmentStore, { source, layout, baseVersions }: Pushed): Change[] {
  return [...layout.tensors].map(([key, tensor]) => {
    const slot = store.slots.get(key)
    if (!slot) throw badTensor(key, 'not a weight of this shard')
    const { shape, sliced } = slot.spec
    if (!isWhole(shape, tensor.shape) && !(sliced && sliceBegin(shape, tensor.shape))) {
      throw badTensor(key, `expected shape ${shape.join('×')}${sliced ? ' or a part of it' : ''}, got ${tensor.shape.join('×')}`)
    }
    const read = () => readTensor(source, tensor)
    checkNumbers(key, read())
    const version = versionOf(store, slot)
    const baseVersion = baseVersions[key]
    if (baseVersion === undefined || baseVersion < 0 || baseVersion > version) {
      const message = `expected a base version from 0 to ${version}, got ${baseVersion}`
      throw new ProblemError('invalid-request', `tensor ${key}: ${message}`, [{ path: `__metadata__.baseVersions.${key}`, message }])
    }
    return { slot, read, baseVersion }
  })
}

/** Throws ProblemError `bad-numbers` where a tensor is none that the task has trained. */
function checkRight({ optionCounts, weightUse }: OpenShard, right: PushRight, changes: readonly Change[]): void {
  const trained = weightUse(parseOptions(optionCounts, right.options))
  for (const { slot } of changes) {
    const { key } = slot.spec
    if (!trained.has(weightKeyOf(key))) throw badTensor(key, `not a weight that task ${right.taskId} trains`)
    if (isVelocityKey(key) && !right.velocities) throw badTensor(key, `task ${right.taskId} pushes no velocities`)
  }
}

function versionOf(store: SegmentStore, slot: Slot): number {
  return store.read(slot.segment).versions[slot.position] ?? 0
}

function currentVersions(store: SegmentStore, changes: readonly Change[]): Record<string, number> {
  return Object.fromEntries(changes.map(({ slot }) => [slot.spec.key, versionOf(store, slot)]))
}

/** New contents of the segments that change; differences far larger than usual are clipped. Throws ProblemError `bad-numbers` if a weight would overflow. */
function applyChanges(
  { setup, store, sizes }: OpenShard,
  changes: readonly Change[],
  members: number,
): { updated: Map<number, Segment>; scales: Record<string, number>; pushed: PushedSizes; clipped: number } {
  const updated = new Map<number, { values: Float32Array<ArrayBuffer>; versions: number[] }>()
  const scales: Record<string, number> = {}
  const pushed: PushedSizes = { weight: null, velocity: null }
  let clipped = 0
  for (const { slot, read, baseVersion } of changes) {
    const { values, shape } = read()
    let segment = updated.get(slot.segment)
    if (!segment) {
      const before = store.read(slot.segment)
      segment = { values: before.values.slice(), versions: [...before.versions] }
      updated.set(slot.segment, segment)
    }
    const version = segment.versions[slot.position] ?? 0
    const tensor = segment.values.subarray(slot.offset, slot.offset + slot.length)
    const clip = sizes.clip(slot.spec.key, values, tensor, pushed)
    if (clip < 1) clipped += 1
    const scale = clip * (setup.staleness === 'none' ? 1 : latenessScale(version - baseVersion, members))
    if (scale !== 1) scales[slot.spec.key] = scale
    let i = 0
    visitRows(slot.spec.shape, boxOf(slot.spec.shape, shape), (from, length) => {
      for (let at = from; at < from + length; at++, i++) {
        const sum = (tensor[at] as number) + scale * (values[i] as number)
        if (!(Math.abs(sum) <= MAX_MAGNITUDE)) throw badTensor(slot.spec.key, `element ${at} would become ${sum}`)
        tensor[at] = sum
      }
    })
    segment.versions[slot.position] = version + 1
  }
  return { updated, scales, pushed, clipped }
}

export { WeightsObject }
