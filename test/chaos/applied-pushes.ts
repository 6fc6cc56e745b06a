// What a shard says of itself, read as an export is: the pushes that it has applied, and all its tensors with their versions.

import * as z from 'zod'
import { decodeSafetensors, exportPageSchema, type Tensor, velocityKey, versionsSchema } from '../../protocol/index.ts'

const appliedRowSchema = z
  .strictObject({
    task_id: z.int(),
    size: z.number().nullable(),
    velocity_size: z.number().nullable(),
    after_snapshot: z.int(),
    revision: z.int(),
    agent_id: z.string(),
    lease_id: z.string(),
  })
  .transform((row) => ({
    taskId: row.task_id,
    sizes: { weight: row.size, velocity: row.velocity_size },
    revision: row.revision,
    agentId: row.agent_id,
    leaseId: row.lease_id,
  }))
/** A push that a shard has applied. `revision`: versions of all its tensors afterwards, added up. */
type AppliedPush = z.infer<typeof appliedRowSchema>

type ShardState = {
  /** In the order in which they were applied. */
  readonly applied: readonly AppliedPush[]
  /** Velocities too. */
  readonly tensors: ReadonlyMap<string, Tensor>
  readonly versions: Readonly<Record<string, number>>
}

/** Asks the coordinator for a path below that of the search, as the administrator; with a body, it is sent. */
type Ask = (path: string, json?: unknown) => Promise<Response>

async function answerOf(ask: Ask, path: string, json?: unknown): Promise<Response> {
  const answer = await ask(path, json)
  if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`)
  return answer
}

async function readApplied(ask: Ask, shard: number): Promise<AppliedPush[]> {
  const applied: AppliedPush[] = []
  let cursor: string | null = null
  do {
    const query: string = cursor === null ? '' : `?cursor=${encodeURIComponent(cursor)}`
    const { page, next } = exportPageSchema.parse(await (await answerOf(ask, `/export/shards/${shard}${query}`)).json())
    if (page?.table === 'applied') applied.push(...page.rows.map((row) => appliedRowSchema.parse(row)))
    cursor = next
  } while (cursor !== null)
  return applied.toSorted((a, b) => a.revision - b.revision)
}

/** @param keys all weights of the shard */
async function readShard(ask: Ask, shard: number, keys: readonly string[]): Promise<ShardState> {
  const held = Object.fromEntries(keys.flatMap((key) => [key, velocityKey(key)]).map((key) => [key, -1]))
  const answer = await answerOf(ask, `/weights/${shard}/pull`, { held })
  const { tensors, metadata } = decodeSafetensors(new Uint8Array(await answer.arrayBuffer()))
  return { applied: await readApplied(ask, shard), tensors, versions: versionsSchema.parse(JSON.parse(metadata['versions'] ?? '{}')) }
}

export { type AppliedPush, type Ask, readShard, type ShardState }
