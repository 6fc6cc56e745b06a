// The agent's loop: lease, pull, train, push, submit, until the search ends.
//
// The next lease and pull overlap with training, and so does the delivery of the last task. They start as late as they
// can and still be done in time, because weights that are pulled early are old when they are used.
//
//   task N    ──── train ──────────────────┐ adopt ┌──── train N + 1 ────
//   network        deliver N − 1 ┄┄┄ lease and pull N + 1 ┘ deliver N ┄┄┄
//
// Two rules keep the weights right: N + 1 is pulled after N − 1 was delivered, and N is delivered after N + 1 was pulled.
// So what was pulled contains everything up to N − 1 and nothing of N, whose differences are added here.

import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises'
import type {
  LeaseRef,
  LeaseResponse,
  RegisterResponse,
  SubmitResponse,
  Task,
  TaskResult,
  Timing,
} from '../../coordinator/protocol/index.ts'
import type { CoordinatorClient } from '../client/coordinator-client.ts'
import { CoordinatorError } from '../client/requests.ts'
import type { Trainer } from '../training/trainer.ts'
import type { Heartbeats } from './heartbeats.ts'
import { createLeases, type HeldLease } from './leases.ts'
import type { Differences, Pulled, WeightExchange } from './weight-exchange.ts'

/** The next lease and pull are started when the rest of the task takes this many times as long as they last took. */
const PREFETCH_MARGIN = 2
/** Plus one step, since the network is only served between steps. */
const PREFETCH_STEPS = 2
/** An agent whose numbers are refused this often in a row has a defect that waiting does not mend. */
const MAX_REFUSALS_IN_A_ROW = 5
/** On a stop, a delivery under way gets this long. */
const DELIVERY_GRACE_MS = 5000

type AgentEvent =
  | {
      readonly kind: 'task'
      readonly task: Task
      readonly result: TaskResult
      readonly outcome: SubmitResponse['kind']
      readonly trainMs: number
      readonly idleMs: number
    }
  | { readonly kind: 'refused'; readonly taskId: number; readonly message: string }
  | { readonly kind: 'waiting'; readonly reason: string }
  | { readonly kind: 'lease-lost'; readonly taskId: number }

type AgentOptions = {
  readonly client: CoordinatorClient
  readonly registration: RegisterResponse
  readonly trainer: Trainer
  readonly exchange: WeightExchange
  /** Closed at the end. */
  readonly heartbeats: Heartbeats<LeaseRef>
  /** Ends the loop between two steps; leases are given back. */
  readonly stop: AbortSignal
  readonly onEvent: (event: AgentEvent) => void
}

type AgentEnd = { readonly kind: 'finished'; readonly phase: 'finished' | 'stopped' } | { readonly kind: 'interrupted' }

type Prepared =
  | { readonly kind: 'no-task'; readonly answer: Exclude<LeaseResponse, { kind: 'task' }> }
  | { readonly kind: 'task'; readonly task: Task; readonly lease: HeldLease; readonly pulled: Pulled }

/** A task that is trained and waits to be delivered. */
type Finished = {
  readonly task: Task
  readonly lease: HeldLease
  readonly result: TaskResult
  /** Null for work that leaves the weights alone. */
  readonly differences: Differences | null
  readonly timing: Timing
}

/** The agent's numbers were refused again and again. */
class AgentError extends Error {
  override readonly name = 'AgentError'
  readonly code = 'numbers-refused'
}

/** Whether every number can be stored; JSON would turn the others into null. */
function hasFiniteNumbers(result: TaskResult, differences: Differences | null): boolean {
  const sound = (values: readonly number[] | Float32Array) => values.every((value) => Number.isFinite(value))
  const inResult =
    result.kind === 'trainWeights'
      ? sound([result.loss])
      : result.kind === 'evaluatePaths'
        ? sound(result.paths.map((path) => path.crossEntropy))
        : result.steps.every(
            (step) => sound([step.crossEntropy]) && step.gateGradients.every((gradients) => gradients === null || sound(gradients)),
          )
  return inResult && (differences === null || [...differences.values.values()].every(sound))
}

/** Works until the search has ended or `stop` aborts. Throws CoordinatorError where the coordinator refuses for good. */
async function runAgent({ client, registration, trainer, exchange, heartbeats, stop, onEvent }: AgentOptions): Promise<AgentEnd> {
  const { agentId } = registration
  const leases = createLeases(client, agentId, heartbeats)
  /** What is under way beside training. */
  const network: { delivery: Promise<void>; prefetch: Promise<Prepared> | null } = { delivery: Promise.resolve(), prefetch: null }
  let exchangeMs = Number.POSITIVE_INFINITY
  let refusalsInARow = 0
  let lastEndMs = performance.now()
  /** Of the bytes of weights, what submits have told of so far. */
  const told = { sent: 0, received: 0 }

  const prepare = async (): Promise<Prepared> => {
    await network.delivery
    const startMs = performance.now()
    const answer = await client.lease(agentId)
    if (answer.kind !== 'task') return { kind: 'no-task', answer }
    const lease = leases.hold(answer.task)
    trainer.prefetch(answer.task.work)
    const pulled = await exchange.pull(trainer.keysOf(answer.task.work))
    exchangeMs = performance.now() - startMs
    return { kind: 'task', task: answer.task, lease, pulled }
  }
  const startPrefetch = (): Promise<Prepared> => {
    const prefetch = prepare()
    // Whoever awaits it gets the error; until then it must not count as unhandled.
    prefetch.catch(() => undefined)
    network.prefetch = prefetch
    return prefetch
  }

  const refuse = (taskId: number, error: CoordinatorError, keys: Iterable<string>) => {
    exchange.discard(keys)
    trainer.resetOptimiser()
    refusalsInARow += 1
    onEvent({ kind: 'refused', taskId, message: error.message })
    if (refusalsInARow >= MAX_REFUSALS_IN_A_ROW) {
      throw new AgentError(
        `the coordinator refused this agent's numbers ${refusalsInARow} times in a row, lastly: ${error.message}. Lower training.learningRate, or check the device with \`worker-agent --backend cpu\`.`,
      )
    }
  }

  const deliver = async ({ task, lease, result, differences, timing }: Finished): Promise<void> => {
    try {
      if (!hasFiniteNumbers(result, differences)) throw new CoordinatorError('bad-numbers', 0, 'training gave numbers that are not finite')
      if (differences) await exchange.push(task.taskId, differences)
      const { sent, received } = client.bytes
      const moved = { bytesSent: sent - told.sent, bytesReceived: received - told.received }
      Object.assign(told, { sent, received })
      const { kind } = await client.submit({ ...lease.ref, result, timing: { ...timing, ...moved } })
      refusalsInARow = 0
      onEvent({ kind: 'task', task, result, outcome: kind, ...timing })
      leases.drop(lease)
    } catch (error) {
      if (!(error instanceof CoordinatorError) || error.code !== 'bad-numbers') throw error
      leases.drop(lease)
      const reason = error.status === 0 ? 'bad-numbers' : 'stopping'
      await client.release(lease.ref, reason).catch(() => undefined)
      refuse(task.taskId, error, differences?.values.keys() ?? trainer.keysOf(task.work))
    }
  }

  const startDelivery = (finished: Finished | null): void => {
    if (!finished) return
    network.delivery = network.delivery.then(() => deliver(finished))
    network.delivery.catch(() => undefined)
  }

  const train = async (task: Task, lease: HeldLease): Promise<Finished> => {
    const startMs = performance.now()
    let turnsMs = 0
    let total = 0
    const changed = task.work.kind === 'trainWeights' ? trainer.keysOf(task.work) : null
    if (changed) await exchange.begin(changed)
    const { result, peakBytes } = await trainer.run(task.work, async (stepsLeft) => {
      stop.throwIfAborted()
      total = Math.max(total, stepsLeft)
      const done = total - stepsLeft
      const stepMs = done > 0 ? (performance.now() - startMs) / done : Number.POSITIVE_INFINITY
      if (
        !network.prefetch &&
        (stepsLeft <= PREFETCH_STEPS || stepsLeft * stepMs <= PREFETCH_MARGIN * exchangeMs + PREFETCH_STEPS * stepMs)
      )
        startPrefetch()
      // Training occupies this thread; the network, timers and signals get their turn here.
      const turnMs = performance.now()
      await nextTurn()
      turnsMs += performance.now() - turnMs
    })
    const differences = changed ? await exchange.differences(changed) : null
    const endMs = performance.now()
    const trainMs = endMs - startMs - turnsMs
    const idleMs = Math.max(0, endMs - lastEndMs - trainMs)
    lastEndMs = endMs
    return { task, lease, result, differences, timing: { trainMs, idleMs, peakBytes } }
  }

  const work = async (): Promise<AgentEnd> => {
    let finished: Finished | null = null
    for (;;) {
      if (!network.prefetch) {
        startDelivery(finished)
        finished = null
      }
      const prepared: Prepared = await (network.prefetch ?? startPrefetch())
      network.prefetch = null
      if (prepared.kind === 'task') await exchange.adopt(prepared.pulled, finished?.differences ?? null)
      startDelivery(finished)
      finished = null
      if (prepared.kind === 'no-task') {
        await network.delivery
        if (prepared.answer.kind === 'finished') return { kind: 'finished', phase: prepared.answer.phase }
        onEvent({ kind: 'waiting', reason: prepared.answer.reason })
        await sleep(prepared.answer.retryAfterMs, undefined, { signal: stop })
      } else if (prepared.lease.isLost()) {
        onEvent({ kind: 'lease-lost', taskId: prepared.task.taskId })
      } else {
        finished = await train(prepared.task, prepared.lease)
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
    await leases.close()
  }
}

export { AgentError, type AgentEnd, type AgentEvent, runAgent }
