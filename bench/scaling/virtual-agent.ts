// An agent on the virtual clock: trainer, exchange and tasks are those of worker-agent/, in the order of events of agent.ts, with
// sleeps in place of the time that steps and requests take. Its numbers are real, its seconds are not.

import type { StepWork, Task, TaskResult, TaskWork } from '../../protocol/index.ts'
import { exchangeTime, isPrefetchDue } from '../../worker-agent/agent/prefetch.ts'
import { createSharedWork, localState } from '../../worker-agent/agent/shared-work.ts'
import { type TaskTrainer, trainTask } from '../../worker-agent/agent/train-task.ts'
import { createWeightExchange, type Differences, type Pulled } from '../../worker-agent/agent/weight-exchange.ts'
import type { CoordinatorClient } from '../../worker-agent/client/coordinator-client.ts'
import type { Dataset } from '../../engine/datasets/index.ts'
import type { Trainer } from '../../engine/training/trainer.ts'
import { planShards, PROTOCOL, taskKinds } from '../../protocol/index.ts'
import type { VirtualCoordinator } from './virtual-coordinator.ts'
import type { VirtualClock } from './virtual-clock.ts'

/** Steps of the other kinds, as multiples of a weight step on this space (bench:train-step); of an evaluation, each mini-batch. */
const STEP_FACTORS = { trainWeights: 1, gateGradients: 2.2, evaluatePaths: 0.4 } as const
type TimedWork = Extract<StepWork, { kind: keyof typeof STEP_FACTORS }>

/** These searches have one supernet of single paths, and no trials. */
function stepsOnly(work: TaskWork): TimedWork {
  if (work.kind in STEP_FACTORS) return work as TimedWork
  throw new Error(`expected a task of proxyless-g, got ${work.kind}`)
}

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

type Finished = { task: Task; result: TaskResult; differences: Differences | null; trainMs: number; idleMs: number }

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
    protocol: PROTOCOL,
    kinds: { ...taskKinds },
    dataset: {
      name: dataset.name,
      fingerprint: dataset.fingerprint,
      shape: [...space.input] as [number, number, number],
      classes: space.classes,
      trainImages: dataset.train.count,
    },
  })
  const plan = planShards(space, config.weights.shardBytes)
  const exchange = createWeightExchange({
    client,
    agent: { agentId },
    encoding: config.weights.encoding,
    plan,
    weights: localState(trainer),
  })
  const sharedWork = createSharedWork(space, plan, trainer)
  const totals = { trainMs: 0, idleMs: 0 }
  let delivery: Promise<void> = Promise.resolve()
  let deliveries = 0
  const arrived: Pulled[] = []
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
    const pulled = await exchange.pull(sharedWork.keysOf(answer.task.work))
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
    const known = exchangeTime(exchangeMs, deliveryMs)
    const timing = { trainMs, idleMs, ...(known !== null && { exchangeMs: known }) }
    await client.submit({ agentId, taskId: task.taskId, leaseId: task.leaseId, result, timing })
    if (differences) deliveryMs = clock.nowMs() - startMs
  }
  const startDelivery = (finished: Finished | null) => {
    if (!finished) return
    const before = delivery
    deliveries += 1
    delivery = before
      .then(() => deliver(finished))
      .finally(() => {
        deliveries -= 1
      })
  }

  const train = async (task: Task, pulled: Pulled): Promise<Finished> => {
    const startMs = clock.nowMs()
    const ownStepMs = stepMs * STEP_FACTORS[stepsOnly(task.work).kind]
    const onTheClock: TaskTrainer = {
      ...trainer,
      run: (work, betweenSteps) =>
        trainer.run(stepsOnly(work), async (stepsLeft) => {
          await clock.interrupt(ownStepMs)
          await betweenSteps(stepsLeft)
        }),
    }
    const ended = await clock.compute(() =>
      trainTask({
        task,
        keys: sharedWork.keysOf(task.work),
        pulled,
        trainer: onTheClock,
        exchange,
        sharedWork,
        stop: new AbortController().signal,
        arrived,
        isDelivered: () => deliveries === 0,
        // Called when the step's time is over on the clock.
        onStep: (stepsLeft) => {
          if (!prefetch && isPrefetchDue(stepsLeft - 1, ownStepMs, exchangeMs)) void startPrefetch()
        },
      }),
    )
    if (ended.kind !== 'finished') throw ended.kind === 'failed' ? ended.error : new Error(`task ${task.taskId} is ${ended.kind}`)
    const { result, differences } = ended
    const endMs = clock.nowMs()
    const idleMs = Math.max(0, startMs - lastEndMs)
    totals.trainMs += endMs - startMs
    totals.idleMs += idleMs
    lastEndMs = endMs
    return { task, result, differences, trainMs: endMs - startMs, idleMs }
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
    startDelivery(finished)
    finished = null
    if (prepared.kind === 'task') finished = await train(prepared.task, prepared.pulled)
    else {
      await delivery
      if (prepared.answer.kind === 'finished') return totals
      await clock.sleep(prepared.answer.retryAfterMs)
    }
  }
}

export { runVirtualAgent, type VirtualAgentTotals }
