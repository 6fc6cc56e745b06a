// One agent from registration to the end of its search: picks the parts and passes them to each other.

import { planShards } from '../../coordinator/protocol/index.ts'
import { createSpace, weightOwners } from '../../search-space/index.ts'
import type { Backend } from '../backends/backends.ts'
import { createCoordinatorClient } from '../client/coordinator-client.ts'
import { type Dataset, describeBroken, openBatchSource } from '../datasets/index.ts'
import type { Accumulate } from '../training/micro-batches.ts'
import { createTrainer } from '../training/trainer.ts'
import { type AgentEvent, runAgent } from './agent.ts'
import { describeAgent, watchConnection } from './connection.ts'
import { startHeartbeatThread } from './heartbeats.ts'
import { createWeightExchange } from './weight-exchange.ts'

type JoinOptions = {
  readonly coordinator: string
  readonly token: string
  /** Shown in the status. */
  readonly name: string
  readonly device: string
  readonly backend: Backend
  readonly dataset: Dataset
  readonly accumulate: Accumulate
  /** Ends the agent between two steps; its lease is given back. */
  readonly stop: AbortSignal
  readonly onNote: (line: string) => void
  readonly onEvent: (event: AgentEvent) => void
}

type AgentSummary = {
  readonly agentId: string
  readonly end: 'finished' | 'stopped' | 'interrupted'
  tasks: number
  duplicates: number
  stale: number
  refused: number
  /** Training images, repeats included. */
  images: number
  trainMs: number
  idleMs: number
}

function count(summary: Omit<AgentSummary, 'agentId' | 'end'>, event: AgentEvent): void {
  if (event.kind === 'refused') summary.refused += 1
  if (event.kind !== 'task') return
  summary.tasks += 1
  summary.duplicates += event.outcome === 'duplicate' ? 1 : 0
  summary.stale += event.outcome === 'stale' ? 1 : 0
  summary.trainMs += event.trainMs
  summary.idleMs += event.idleMs
  summary.images += event.result.kind === 'trainWeights' ? event.result.images : 0
}

/** Throws CoordinatorError or TrainerError where the search cannot be joined, or is over for this agent. */
async function joinSearch(options: JoinOptions): Promise<AgentSummary> {
  const { coordinator, token, name, device, backend, dataset, accumulate, stop, onNote, onEvent } = options
  const connection = watchConnection(stop, onNote)
  const client = createCoordinatorClient({ coordinator, token, signal: connection.signal, onRetry: connection.onRetry })
  const registration = await client.register(describeAgent(name, device, backend, dataset))
  const { config, searchId, agentId } = registration
  const space = createSpace(registration.space)
  onNote(`search   ${searchId}: ${config.name}, space ${space.name}; agent ${agentId}`)
  const source = await openBatchSource(dataset)
  const trainer = createTrainer({ backend, dataset, source, space, config, accumulate, onNote })
  const plan = planShards(space, config.weights.shardBytes)
  const exchange = createWeightExchange({ client, agent: registration, encoding: config.weights.encoding, plan, weights: trainer.weights })
  const tally = { tasks: 0, duplicates: 0, stale: 0, refused: 0, images: 0, trainMs: 0, idleMs: 0 }
  const end = await runAgent({
    client,
    registration,
    trainer,
    exchange,
    owners: weightOwners(space),
    heartbeats: await startHeartbeatThread({ coordinator, token }),
    stop,
    onEvent: (event) => {
      connection.reached()
      count(tally, event)
      onEvent(event)
    },
  })
  const broken = trainer.brokenFiles()
  if (broken.length > 0) onNote(`data     ${describeBroken(broken)}`)
  return { agentId, end: end.kind === 'finished' ? end.phase : 'interrupted', ...tally }
}

export { type AgentSummary, joinSearch }
