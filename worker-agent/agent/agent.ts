// The agent's loop: lease, pull, train, push, submit, until the search ends.
//
// The next lease and pull overlap with training, and so does the delivery of the last task. They start as late as they
// can and still be done in time, because weights that are pulled early are old when they are used.
//
//   task N    ──── train ──────────────────┐ adopt ┌──── train N + 1 ──────
//   network        deliver N − 1 ┄┄┄ lease and pull N + 1 ┘ deliver N ┄ refresh
//
// N + 1 is pulled after N − 1 was delivered, and N is delivered after N + 1 was pulled. Where other agents train at the same
// time, what they have pushed is pulled once more as soon as N is delivered, and adopted between two steps of N + 1.
//
// A task that comes to nothing never ends the loop: its weights are given up, its lease is given back, and the next one is
// leased, after a while if that happens again and again. Only a coordinator that wants nothing more from this agent does.

import { setTimeout as sleep } from 'node:timers/promises'
import {
  type LeaseRef,
  type LeaseResponse,
  type RegisterResponse,
  type SubmitResponse,
  type Task,
  type TaskResult,
  type Timing,
  trainsWeights,
} from '../../protocol/index.ts'
import type { CoordinatorClient, ReleaseReason } from '../client/coordinator-client.ts'
import { CoordinatorError } from '../client/requests.ts'
import type { OpenWakeUps } from '../client/wake-up-socket.ts'
import type { Heartbeats } from './heartbeats.ts'
import { createLeases, type HeldLease } from './leases.ts'
import { exchangeTime, isPrefetchDue } from './prefetch.ts'
import type { SharedWork } from './shared-work.ts'
import { type TaskTrainer, trainTask } from './train-task.ts'
import { checkpointsOf } from './trial-checkpoints.ts'
import { createTroubles, type Patience } from './troubles.ts'
import { createWaiting } from './waiting.ts'
import type { Differences, Pulled, WeightExchange } from './weight-exchange.ts'

/** On a stop, a delivery under way gets this long. */
const DELIVERY_GRACE_MS = 5000
/** Refusals after which no other task would go better. */
const endingCodes: ReadonlySet<CoordinatorError['code']> = new Set([
  'unauthorized',
  'forbidden',
  'not-found',
  'conflict',
  'dataset-mismatch',
  'version-mismatch',
  'unreadable',
  'unknown-answer',
  'bad-token',
])

type AgentEvent =
  | {
      readonly kind: 'task'
      readonly task: Task
      readonly result: TaskResult
      readonly outcome: SubmitResponse['kind']
      readonly trainMs: number
      readonly idleMs: number
    }
  /** The coordinator, or the agent itself, found numbers that cannot be stored. */
  | { readonly kind: 'refused'; readonly taskId: number; readonly message: string }
  /** The task could not be done or delivered, for any other reason. */
  | { readonly kind: 'failed'; readonly taskId: number; readonly message: string }
  /** The weights that the task trained on were given up meanwhile, because an earlier one was refused. */
  | { readonly kind: 'abandoned'; readonly taskId: number }
  | { readonly kind: 'waiting'; readonly reason: string; readonly waitMs: number }
  /** After tasks that came to nothing, `inARow` of them without a good one in between. */
  | { readonly kind: 'backing-off'; readonly inARow: number; readonly delayMs: number }
  | { readonly kind: 'lease-lost'; readonly taskId: number }

type AgentOptions = {
  readonly client: CoordinatorClient
  readonly registration: Pick<RegisterResponse, 'agentId'>
  readonly trainer: TaskTrainer
  readonly exchange: WeightExchange
  readonly sharedWork: SharedWork
  /** Closed at the end. */
  readonly heartbeats: Heartbeats<LeaseRef>
  /** Ends the loop between two steps; leases are given back. */
  readonly stop: AbortSignal
  readonly onEvent: (event: AgentEvent) => void
  readonly onNote?: (line: string) => void
  readonly patience?: Patience
  /** Without it the agent asks from time to time only. */
  readonly openWakeUps?: OpenWakeUps
}

type AgentEnd = { readonly kind: 'finished'; readonly phase: 'finished' | 'stopped' } | { readonly kind: 'interrupted' }

/** A task whose lease is held, and what it needs. */
type Leased = { readonly task: Task; readonly lease: HeldLease }

type Prepared =
  | { readonly kind: 'no-task'; readonly answer: Exclude<LeaseResponse, { kind: 'task' }> }
  | ({ readonly kind: 'task'; readonly keys: readonly string[]; readonly pulled: Pulled } & Leased)
  | ({ readonly kind: 'unusable'; readonly error: unknown } & Leased)

/** A task that is trained and waits to be delivered. */
type Finished = Leased & {
  readonly keys: readonly string[]
  readonly result: TaskResult
  /** Null for work that leaves the weights alone. */
  readonly differences: Differences | null
  readonly timing: Timing
}

function isBadNumbers(error: unknown): boolean {
  return error instanceof CoordinatorError && error.code === 'bad-numbers'
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

/** What the coordinator hears of a task that could not be done. */
function failureOf(error: unknown): ReleaseReason {
  return { reason: 'failed', message: messageOf(error) }
}

/** Works until the search has ended or `stop` aborts. Throws CoordinatorError where the coordinator refuses for good. */
async function runAgent({
  client,
  registration,
  trainer,
  exchange,
  sharedWork,
  heartbeats,
  stop,
  onEvent,
  onNote = () => undefined,
  patience,
  openWakeUps,
}: AgentOptions): Promise<AgentEnd> {
  const { agentId } = registration
  const leases = createLeases(client, agentId, heartbeats)
  const troubles = createTroubles(patience)
  const waiting = createWaiting({ openWakeUps, stop })
  /** What is under way beside training. */
  const network: { delivery: Promise<void>; deliveries: number; prefetch: Promise<Prepared> | null } = {
    delivery: Promise.resolve(),
    deliveries: 0,
    prefetch: null,
  }
  /** Pulls that were answered and not adopted yet. */
  const arrived: Pulled[] = []
  let exchangeMs = Number.POSITIVE_INFINITY
  let lastEndMs = performance.now()
  /** Of the last weight task, from its end of training until it was delivered. */
  let deliveryMs: number | null = null
  /** Of the bytes of weights, what submits have told of so far. */
  const told = { sent: 0, received: 0 }
  /** How often the search had been taken back when the last task was leased; null before the first. */
  let rollbacks: number | null = null

  const endsAgent = (error: unknown) => stop.aborted || (error instanceof CoordinatorError && endingCodes.has(error.code))
  const pause = (delayMs: number) => {
    onEvent({ kind: 'backing-off', inARow: troubles.inARow, delayMs })
    return sleep(delayMs, undefined, { signal: stop })
  }

  const resetOptimiser = () => {
    trainer.resetOptimiser()
    exchange.discardVelocities()
  }
  /** Gives up what was learnt before the search was taken back: the coordinator takes nothing of it, the task under way included. */
  const followRollback = (task: Task): void => {
    const { rollbacks: now = 0 } = task
    if (rollbacks !== null && now !== rollbacks) {
      exchange.discardAll()
      trainer.resetOptimiser()
      onNote('the search was taken back to a snapshot: all weights are pulled anew')
    }
    rollbacks = now
  }
  const prepare = async (): Promise<Prepared> => {
    await network.delivery
    const startMs = performance.now()
    const answer = await client.lease(agentId)
    if (answer.kind !== 'task') return { kind: 'no-task', answer }
    const { task } = answer
    followRollback(task)
    const lease = leases.hold(task)
    try {
      trainer.prefetch(task.work)
      const keys = sharedWork.keysOf(task.work)
      const pulled = await exchange.pull(keys)
      exchangeMs = performance.now() - startMs
      return { kind: 'task', task, lease, keys, pulled }
    } catch (error) {
      if (endsAgent(error)) throw error
      return { kind: 'unusable', task, lease, error }
    }
  }
  const startPrefetch = (): Promise<Prepared> => {
    const prefetch = prepare()
    // Whoever awaits it gets the error; until then it must not count as unhandled.
    prefetch.catch(() => undefined)
    network.prefetch = prefetch
    return prefetch
  }

  /** Starts the prefetch as late as it can be and still be done when the task is. */
  const prefetchInTime = (stepsLeft: number, stepMs: number): void => {
    if (network.prefetch) return
    if (isPrefetchDue(stepsLeft, stepMs, exchangeMs)) startPrefetch()
  }

  /** Queues a job for the network; the next lease waits for it. */
  const enqueue = (job: () => Promise<void>): void => {
    network.deliveries += 1
    network.delivery = network.delivery.then(job).finally(() => {
      network.deliveries -= 1
    })
    network.delivery.catch(() => undefined)
  }
  const giveBack = async (lease: HeldLease, why: ReleaseReason = { reason: 'stopping' }): Promise<void> => {
    leases.drop(lease)
    // A lease that cannot be given back ends by itself.
    await client.release(lease.ref, why).catch(() => undefined)
  }

  const refuse = (taskId: number, message: string) => {
    resetOptimiser()
    troubles.refused()
    onEvent({ kind: 'refused', taskId, message })
  }
  const fail = (taskId: number, error: unknown) => {
    resetOptimiser()
    troubles.failed(taskId, performance.now())
    onEvent({ kind: 'failed', taskId, message: messageOf(error) })
  }
  /** Ends a task that counts neither as good nor as a refusal: the one before it was refused. */
  const abandon = ({ taskId }: Task) => {
    resetOptimiser()
    onEvent({ kind: 'abandoned', taskId })
  }
  /** Whether a finished task must not be delivered; then it is given up. */
  const isVoid = ({ task, lease, keys, differences }: Finished): boolean => {
    if (!differences || !exchange.isDropped(differences)) return false
    exchange.discard(keys, differences)
    abandon(task)
    enqueue(() => giveBack(lease))
    return true
  }

  const send = async ({ task, lease, keys, result, differences, timing }: Finished): Promise<SubmitResponse> => {
    if (differences) await exchange.push(differences)
    try {
      const { sent, received } = client.bytes
      const moved = { bytesSent: sent - told.sent, bytesReceived: received - told.received }
      Object.assign(told, { sent, received })
      return await client.submit({ ...lease.ref, result, timing: { ...timing, ...moved } })
    } catch (error) {
      // What was pushed is in the shards; whatever is wrong with this agent's numbers must not go on from here.
      exchange.discard(trainsWeights(task.work) || isBadNumbers(error) ? keys : [], differences ?? undefined)
      throw error
    }
  }
  const deliver = async (finished: Finished): Promise<void> => {
    if (isVoid(finished)) return
    const { task, lease, result, timing } = finished
    const startMs = performance.now()
    try {
      const { kind } = await send(finished)
      if (finished.differences) deliveryMs = performance.now() - startMs
      troubles.over(task.taskId)
      onEvent({ kind: 'task', task, result, outcome: kind, ...timing })
      leases.drop(lease)
    } catch (error) {
      if (endsAgent(error)) throw error
      if (isBadNumbers(error)) refuse(task.taskId, messageOf(error))
      else fail(task.taskId, error)
      // Bad numbers that the coordinator has refused are counted there already.
      await giveBack(lease, failureOf(error))
    }
  }
  const startDelivery = (finished: Finished | null): void => {
    if (finished) enqueue(() => deliver(finished))
  }

  /** The task if it is to be delivered; else it is over here and its weights are given up. */
  const attempt = async (prepared: Extract<Prepared, { kind: 'task' }>): Promise<Finished | null> => {
    const { task, lease, keys, pulled } = prepared
    const ended = await trainTask({
      task,
      keys,
      pulled,
      trainer,
      exchange,
      sharedWork,
      checkpoints: checkpointsOf(client, task, lease, onNote),
      stop,
      arrived,
      isDelivered: () => network.deliveries === 0,
      onStep: prefetchInTime,
    })
    if (ended.kind === 'finished') {
      const { result, differences, trainMs, peakBytes } = ended
      const endMs = performance.now()
      const known = exchangeTime(exchangeMs, deliveryMs)
      const idleMs = Math.max(0, endMs - lastEndMs - trainMs)
      const timing = { trainMs, idleMs, peakBytes, ...(known !== null && { exchangeMs: known }) }
      lastEndMs = endMs
      return { task, lease, keys, result, differences, timing }
    }
    stop.throwIfAborted()
    if (ended.kind === 'failed' && endsAgent(ended.error)) throw ended.error
    exchange.discard(keys)
    switch (ended.kind) {
      case 'tainted':
        enqueue(() => giveBack(lease))
        abandon(task)
        return null
      case 'not-finite': {
        const message = `training gave ${ended.what} that is not finite`
        enqueue(() => giveBack(lease, { reason: 'bad-numbers', message }))
        refuse(task.taskId, message)
        return null
      }
      case 'failed':
        enqueue(() => giveBack(lease, failureOf(ended.error)))
        fail(task.taskId, ended.error)
        return null
      default:
        return ended satisfies never
    }
  }

  const dropPrefetch = async (): Promise<void> => {
    const prepared = await network.prefetch
    network.prefetch = null
    if (prepared && prepared.kind !== 'no-task') await giveBack(prepared.lease)
  }

  const work = async (): Promise<AgentEnd> => {
    let finished: Finished | null = null
    for (;;) {
      const pauseMs = troubles.takePauseMs()
      // Nobody else should wait for a task that this agent only holds.
      if (pauseMs > 0) await dropPrefetch()
      if (!network.prefetch) {
        startDelivery(finished)
        finished = null
      }
      if (pauseMs > 0) {
        await network.delivery
        await pause(pauseMs)
      }
      const prepared: Prepared = await (network.prefetch ?? startPrefetch())
      network.prefetch = null
      if (finished && !isVoid(finished)) startDelivery(finished)
      finished = null
      switch (prepared.kind) {
        case 'no-task': {
          await network.delivery
          if (prepared.answer.kind === 'finished') return { kind: 'finished', phase: prepared.answer.phase }
          const { reason } = prepared.answer
          await waiting.wait(prepared.answer, (ms) => onEvent({ kind: 'waiting', reason, waitMs: ms }))
          break
        }
        case 'unusable':
          waiting.over()
          fail(prepared.task.taskId, prepared.error)
          enqueue(() => giveBack(prepared.lease, failureOf(prepared.error)))
          break
        case 'task': {
          waiting.over()
          const { task, lease } = prepared
          const restMs = troubles.restMs(task.taskId, performance.now())
          if (lease.isLost()) {
            onEvent({ kind: 'lease-lost', taskId: task.taskId })
          } else if (restMs > 0) {
            // It failed here a moment ago: somebody else may do better.
            await giveBack(lease)
            await pause(restMs)
          } else {
            finished = await attempt(prepared)
          }
          break
        }
        default:
          return prepared satisfies never
      }
    }
  }

  try {
    return await work()
  } catch (error) {
    if (!stop.aborted) throw error
    await Promise.race([network.delivery.catch(() => undefined), sleep(DELIVERY_GRACE_MS, undefined, { ref: false })])
    return { kind: 'interrupted' }
  } finally {
    waiting.over()
    await leases.close()
  }
}

export { type AgentEnd, type AgentEvent, runAgent }
