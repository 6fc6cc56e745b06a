// One agent from registration to the end of its search: picks the parts and passes them to each other.

import { planShards, type RegisterResponse } from '../../protocol/index.ts'
import { createSpace } from '../../search-space/index.ts'
import { type Backend, runsInThread } from '../../engine/backends/backend.ts'
import { createCoordinatorClient } from '../client/coordinator-client.ts'
import { openWakeUpSocket } from '../client/wake-up-socket.ts'
import { bitsOf, type Dataset, describeBroken, openBatchSource } from '../../engine/datasets/index.ts'
import type { Accumulate } from '../../engine/training/micro-batches.ts'
import { createThreadsTrainer } from '../../engine/training/lanes/threads-trainer.ts'
import { createTrainer, type Trainer } from '../../engine/training/trainer.ts'
import { withTrials } from '../../engine/training/trials-trainer.ts'
import { type AgentEvent, runAgent } from './agent.ts'
import { describeAgent, noteVersion, watchConnection } from './connection.ts'
import { startHeartbeatThread } from './heartbeats.ts'
import { createSharedWork, localState } from './shared-work.ts'
import { type AgentSummary, createTally } from './tally.ts'
import { createWeightExchange } from './weight-exchange.ts'

type JoinOptions = {
  readonly coordinator: string
  readonly token: string
  /** That of this agent whenever it is started (agent-id.ts). */
  readonly agentId: string
  /** Shown in the status. */
  readonly name: string
  readonly device: string
  readonly backend: Backend
  /** Of a backend that a thread opens anew. */
  readonly allowSoftwareAdapter: boolean
  /** Paths that are trained side by side, one in each thread. */
  readonly threads: number
  readonly dataset: Dataset
  readonly accumulate: Accumulate
  /** Ends the agent between two steps; its lease is given back. */
  readonly stop: AbortSignal
  readonly onNote: (line: string) => void
  readonly onEvent: (event: AgentEvent) => void
}

/**
 * A backend that computes on this machine's cores does so in threads, also in a single one, so that the network, heartbeats and
 * signals never wait for a step. One that drives a device stays in this thread as long as it has no others beside it: native
 * addons may not bear to be loaded in a thread.
 */
function trainsInThreads({ backend, threads }: Pick<JoinOptions, 'backend' | 'threads'>): boolean {
  return threads > 1 || runsInThread(backend)
}

async function openTrainer(options: JoinOptions, { config, space }: RegisterResponse): Promise<Trainer> {
  const { backend, dataset, accumulate, onNote } = options
  if (trainsInThreads(options)) return createThreadsTrainer({ ...options, space, config })
  const source = await openBatchSource(dataset)
  return createTrainer({ backend, dataset, source, space: createSpace(space), config, accumulate, onNote })
}

/** Throws CoordinatorError, TrainerError or LaneThreadError where the search cannot be joined, or is over for this agent. */
async function joinSearch(options: JoinOptions): Promise<AgentSummary> {
  const { coordinator, token, name, device, backend, threads, dataset, accumulate, stop, onNote, onEvent } = options
  const connection = watchConnection(stop, onNote)
  const client = createCoordinatorClient({ coordinator, token, signal: connection.signal, onRetry: connection.onRetry })
  await noteVersion(client, onNote)
  const registration = await client.register({
    ...describeAgent(name, device, backend, { ...dataset, bits: bitsOf(dataset) }, threads),
    agentId: options.agentId,
  })
  const { config, searchId, agentId } = registration
  const space = createSpace(registration.space)
  onNote(`search   ${searchId}: ${config.name}, space ${space.name}; agent ${agentId}`)
  const trainer = withTrials(await openTrainer(options, registration), { backend, dataset, space, config, accumulate, threads, onNote })
  const plan = planShards(space, config.weights.shardBytes)
  const weights = localState(trainer)
  const exchange = createWeightExchange({ client, agent: registration, encoding: config.weights.encoding, plan, weights })
  const tally = createTally()
  const end = await runAgent({
    client,
    registration,
    trainer,
    exchange,
    sharedWork: createSharedWork(space, plan, trainer),
    heartbeats: await startHeartbeatThread({ coordinator, token }),
    openWakeUps: (listener) =>
      openWakeUpSocket({ coordinator, token, base: `/v1/searches/${searchId}`, agentId: registration.agentId }, listener),
    stop,
    onNote,
    onEvent: (event) => {
      connection.reached()
      tally.count(event)
      onEvent(event)
    },
  }).finally(() => trainer.close())
  const broken = trainer.brokenFiles()
  if (broken.length > 0) onNote(`data     ${describeBroken(broken)}`)
  return tally.summary(agentId, end)
}

export { joinSearch }
