// An agent on the virtual clock: the trainer, the exchange and the order of events of worker-agent/agent/agent.ts, with
// sleeps in place of the time that steps and requests take. Its numbers are real, its seconds are not.

import type { Task, TaskResult } from '../../coordinator/protocol/index.ts'
import { isShared, membersOf, shareOf } from '../../worker-agent/agent/shared-work.ts'
import { createWeightExchange, type Differences } from '../../worker-agent/agent/weight-exchange.ts'
import type { CoordinatorClient } from '../../worker-agent/client/coordinator-client.ts'
import type { Dataset } from '../../worker-agent/datasets/index.ts'
import type { Trainer } from '../../worker-agent/training/trainer.ts'
import { planShards } from '../../coordinator/protocol/index.ts'
import { weightOwners } from '../../search-space/index.ts'
import type { VirtualCoordinator } from './virtual-coordinator.ts'
import type { VirtualClock } from './virtual-clock.ts'

/** As agent.ts has them. */
const PREFETCH_MARGIN = 2
const PREFETCH_STEPS = 2
/** Steps of the other kinds, as multiples of a weight step on this space (bench:train-step); of an evaluation, each mini-batch. */
const STEP_FACTORS = { trainWeights: 1, gateGradients: 2.2, evaluatePaths: 0.4 } as const

type VirtualAgentOptions = {
  readonly name: string
  readonly clock: VirtualClock
  readonly coordinator: VirtualCoordinator
  readonly client: CoordinatorClient
  readonly trainer: Trainer
  readonly dataset: Dataset
  /** One weight step, milliseconds. */
  readonly stepMs: number
  /** From this time on it is gone, without a word. */
  readonly diesAtMs: number
}

type VirtualAgentTotals = { trainMs: number; idleMs: number }

type Finished = { task: Task; result: TaskResult; differences: Differences | null; trainMs: number; idleMs: number; endMs: number }

/** Works until the search has ended, or the agent dies. */
async function runVirtualAgent(options: VirtualAgentOptions): Promise<VirtualAgentTotals> {
  const { name, clock, coordinator, client, trainer, dataset, stepMs, diesAtMs } = options
  const { space, search } = coordinator
  const { config } = search.setup
  const { agentId } = await client.register({
    name,
    device: 'virtual',
    backend: 'wasm',
    lanes: 1,
    dataset: {
      name: dataset.name,
      fingerprint: dataset.fingerprint,
      shape: [...space.input] as [number, number, number],
      classes: space.classes,
      trainImages: dataset.train.count,
    },
  })
  const exchange = createWeightExchange({
    client,
    agent: { agentId },
    encoding: config.weights.encoding,
    plan: planShards(space, config.weights.shardBytes),
    weights: trainer.weights,
  })
  const owners = weightOwners(space)
  const totals = { trainMs: 0, idleMs: 0 }
  let delivery: Promise<void> = Promise.resolve()
  let prefetch: Promise<Prepared> | null = null
  let exchangeMs = Number.POSITIVE_INFINITY
  let lastEndMs = clock.nowMs()
  let deliveryMs: number | null = null
  const isDead = () => clock.nowMs() >= diesAtMs

  type Prepared = Awaited<ReturnType<typeof prepare>>
  const prepare = async () => {
    await delivery
    const startMs = clock.nowMs()
    const answer = await client.lease(agentId)
    if (answer.kind !== 'task') return { kind: 'no-task' as const, answer }
    const pulled = await exchange.pull(trainer.keysOf(answer.task.work))
    exchangeMs = clock.nowMs() - startMs
    return { kind: 'task' as const, task: answer.task, pulled }
  }
  const startPrefetch = () => {
    prefetch = prepare()
    return prefetch
  }

  const deliver = async ({ task, result, differences, trainMs, idleMs }: Finished) => {
    if (isDead()) return
    const startMs = clock.nowMs()
    if (differences) await exchange.push(differences)
    if (isDead()) return
    const timing = { trainMs, idleMs, ...(deliveryMs !== null && Number.isFinite(exchangeMs) && { exchangeMs: exchangeMs + deliveryMs }) }
    await client.submit({ agentId, taskId: task.taskId, leaseId: task.leaseId, result, timing })
    if (differences) deliveryMs = clock.nowMs() - startMs
  }
  const startDelivery = (finished: Finished | null) => {
    if (!finished) return
    const before = delivery
    delivery = before.then(() => deliver(finished))
  }

  const train = async (task: Task): Promise<Finished> => {
    const { work } = task
    const startMs = clock.nowMs()
    const keys = trainer.keysOf(work)
    const isTraining = work.kind === 'trainWeights'
    if (isTraining) await clock.compute(() => exchange.begin(keys))
    let pulled: Awaited<ReturnType<typeof exchange.pull>> | null = null
    let refreshes = 0
    let total = 0
    const refresh = () => {
      refreshes += 1
      const delivered = delivery
      void delivered.then(async () => {
        pulled = await exchange.pull(keys)
      })
    }
    const step = async (stepsLeft: number) => {
      total = Math.max(total, stepsLeft)
      const done = total - stepsLeft
      if (isShared(work) && (refreshes === 0 || (refreshes === 1 && done * 2 >= total))) refresh()
      await clock.interrupt(stepMs * STEP_FACTORS[work.kind])
      if (pulled) {
        const arrived = pulled
        pulled = null
        await exchange.adopt(arrived)
      }
      const left = (stepsLeft - 1) * stepMs * STEP_FACTORS[work.kind]
      if (!prefetch && left <= PREFETCH_MARGIN * exchangeMs + PREFETCH_STEPS * stepMs) void startPrefetch()
    }
    const { result } = await clock.compute(() => trainer.run(work, step))
    const made = isTraining
      ? await exchange.finish({ taskId: task.taskId, members: membersOf(work) }, keys, (key) => shareOf(work, owners.get(key)))
      : null
    if (made && made.kind !== 'made') throw new Error(`task ${task.taskId} is ${made.kind}`)
    const differences = made?.differences ?? null
    const endMs = clock.nowMs()
    const idleMs = Math.max(0, startMs - lastEndMs)
    totals.trainMs += endMs - startMs
    totals.idleMs += idleMs
    lastEndMs = endMs
    return { task, result, differences, trainMs: endMs - startMs, idleMs, endMs }
  }

  let finished: Finished | null = null
  for (;;) {
    if (isDead()) return totals
    if (!prefetch) {
      startDelivery(finished)
      finished = null
    }
    const prepared: Prepared = await (prefetch ?? startPrefetch())
    prefetch = null
    if (prepared.kind === 'task') {
      const { pulled } = prepared
      await clock.compute(() => exchange.adopt(pulled))
    }
    startDelivery(finished)
    finished = null
    if (prepared.kind === 'task') finished = await train(prepared.task)
    else {
      await delivery
      if (prepared.answer.kind === 'finished') return totals
      await clock.sleep(prepared.answer.retryAfterMs)
    }
  }
}

export { runVirtualAgent, type VirtualAgentTotals }
