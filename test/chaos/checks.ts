// What must hold of a search whatever has died: every acknowledged result is in the log once, of an agent that was given the task, alpha is
// what the log comes to, and weights are what was pushed.

import { isDeepStrictEqual } from 'node:util'
import {
  distributionOf,
  leaseResponseSchema,
  type LogEntry,
  outcomeOf,
  pushResponseSchema,
  pushRightSchema,
  type SearchStatus,
  submitResponseSchema,
} from '../../protocol/index.ts'
import type { StrategyContext } from '../../strategies/index.ts'
import { proxylessGradient } from '../../strategies/proxyless-gradient.ts'
import type { Ask } from './applied-pushes.ts'
import { createReplica, type Replica, type SentPush } from './replica.ts'
import type { Exchange, Watcher } from './witness.ts'

/** Something was lost, or counted twice, or is stuck. */
class BrokenPromiseError extends Error {
  override readonly name = 'BrokenPromiseError'
}

type Holder = { readonly taskId: number; readonly agentId: string }

type SearchWatch = Watcher & {
  readonly replica: Replica
  /** Ids of tasks whose results were acknowledged as applied, or as stale. */
  readonly acknowledged: ReadonlySet<number>
  /** To whom which task was given, by lease. */
  readonly holders: ReadonlyMap<string, Holder>
}

const PUSH = /^\/v1\/searches\/([^/]+)\/weights\/(\d+)\/push\?/
const LEASE = /^\/v1\/searches\/([^/]+)\/lease$/
const RESULTS = /^\/v1\/searches\/([^/]+)\/results$/
const OK = 200

function watchSearch(searchId: string, context: StrategyContext): SearchWatch {
  const { space, config } = context
  const replica = createReplica(space, { seed: config.seed, shardBytes: config.weights.shardBytes })
  const acknowledged = new Set<number>()
  const holders = new Map<string, Holder>()
  const isTo = (route: RegExp, path: string) => route.exec(path)?.[1] === searchId
  const pushOf = ({ path, headers, body }: Exchange): SentPush | null => {
    const shown = headers['push-right']
    if (!isTo(PUSH, path) || typeof shown !== 'string') return null
    const right = pushRightSchema.parse(JSON.parse(Buffer.from(shown.split('.')[0] ?? '', 'base64url').toString()))
    return { shard: Number(PUSH.exec(path)?.[2]), right, bytes: body }
  }
  return {
    replica,
    acknowledged,
    holders,
    sent(exchange) {
      const push = pushOf(exchange)
      if (push) replica.sent(push)
    },
    answered(exchange, answer) {
      if (answer.status !== OK) return
      const { path, body } = exchange
      const push = pushOf(exchange)
      if (push) replica.answered(push, pushResponseSchema.parse(JSON.parse(answer.body.toString())))
      if (isTo(LEASE, path)) {
        const leased = leaseResponseSchema.parse(JSON.parse(answer.body.toString()))
        const { agentId } = JSON.parse(body.toString()) as { agentId: string }
        if (leased.kind === 'task') holders.set(leased.task.leaseId, { taskId: leased.task.taskId, agentId })
      }
      if (!isTo(RESULTS, path)) return
      const { taskId } = JSON.parse(body.toString()) as { taskId: number }
      const { kind } = submitResponseSchema.parse(JSON.parse(answer.body.toString()))
      if (kind === 'duplicate') return
      if (acknowledged.has(taskId)) throw new BrokenPromiseError(`the result of task ${taskId} was accepted twice`)
      acknowledged.add(taskId)
    },
  }
}

/** Throws BrokenPromiseError. `before` is the log as it was seen last. */
function checkLog(log: readonly LogEntry[], before: readonly LogEntry[], { acknowledged, holders }: SearchWatch): void {
  if (!isDeepStrictEqual(log.slice(0, before.length), before)) throw new BrokenPromiseError('what was in the log has changed')
  for (const [i, { seq }] of log.entries()) if (seq !== i + 1) throw new BrokenPromiseError(`entry ${i + 1} of the log has number ${seq}`)
  const logged = new Set(log.map(({ taskId }) => taskId))
  if (logged.size !== log.length) throw new BrokenPromiseError('the log has a task twice')
  const given = new Set([...holders.values()].map(({ taskId, agentId }) => `${taskId} ${agentId}`))
  for (const { taskId, agentId } of log) {
    if (!given.has(`${taskId} ${agentId}`))
      throw new BrokenPromiseError(`task ${taskId} has a result of agent ${agentId}, which was not given it`)
  }
  const lost = [...acknowledged].filter((taskId) => !logged.has(taskId))
  if (lost.length > 0) throw new BrokenPromiseError(`acknowledged and not in the log: tasks ${lost.join(', ')}`)
}

/** The last bits of Math.exp are each engine's own, and the coordinator's is not the one that runs here. */
const ALPHA_TOLERANCE = 1e-12

/** Throws BrokenPromiseError unless alpha is what the log comes to: the last result missing or counted twice moves it by far more. */
function checkAlpha(status: SearchStatus, log: readonly LogEntry[], context: StrategyContext): void {
  let replayed = proxylessGradient.init(context)
  for (const entry of log) replayed = proxylessGradient.absorb(replayed, entry, outcomeOf(entry), context).state
  for (const [block, row] of distributionOf(status).alpha.entries()) {
    for (const [operation, value] of row.entries()) {
      const expected = replayed.alpha[block]?.[operation] as number
      if (Math.abs(value - expected) <= ALPHA_TOLERANCE) continue
      throw new BrokenPromiseError(`alpha[${block}][${operation}] is ${value}, and its log comes to ${expected}`)
    }
  }
}

/**
 * Throws BrokenPromiseError unless the log comes to alpha to the last bit in the coordinator's own engine: it rebuilds alpha from its log without
 * results that there are none of, which it refuses where it is another.
 */
async function checkOwnReplay(ask: Ask): Promise<void> {
  const answer = await ask('/rebuild-alpha', { from: Number.MAX_SAFE_INTEGER })
  if (!answer.ok) throw new BrokenPromiseError(`alpha is not rebuilt from its log: ${answer.status} ${await answer.text()}`)
}

/** Throws BrokenPromiseError where a finished search has left something. */
function checkEnd(status: SearchStatus): void {
  const { created, done, stale, failed, leased, queued } = status.tasks
  if (leased + queued > 0 || done + stale + failed !== created) {
    throw new BrokenPromiseError(`of ${created} tasks ${done} are done, ${stale} stale, ${failed} failed, ${leased + queued} out`)
  }
}

export { BrokenPromiseError, checkAlpha, checkEnd, checkLog, checkOwnReplay, type SearchWatch, watchSearch }
