// An agent that looks up what others have trained, from registration to the end of its search. To the coordinator it is an agent as any.

import { createHash } from 'node:crypto'
import { planShards } from '../../protocol/index.ts'
import { createSpace, type Space, type SpaceConfig } from '../../search-space/index.ts'
import { recordedKinds } from '../../simulation/recorded-answers.ts'
import type { RecordedBenchmark } from '../../simulation/recorded-benchmark.ts'
import { createCoordinatorClient } from '../client/coordinator-client.ts'
import { openWakeUpSocket } from '../client/wake-up-socket.ts'
import { type AgentEvent, runAgent } from './agent.ts'
import { describeAgent, noteVersion, watchConnection } from './connection.ts'
import { startHeartbeatThread } from './heartbeats.ts'
import { type AgentSummary, createTally } from './tally.ts'
import { createRecordedTrainer } from './recorded-trainer.ts'
import { createWeightExchange } from './weight-exchange.ts'

type JoinRecordedOptions = {
  readonly coordinator: string
  readonly token: string
  /** That of this agent whenever it is started (agent-id.ts). */
  readonly agentId: string
  /** Shown in the status. */
  readonly name: string
  /** Opens the record of architectures of the search's space. */
  readonly open: (space: SpaceConfig) => RecordedBenchmark
  /** Recorded seconds that pass in one second; infinite: none are waited for. */
  readonly speed: number
  readonly stop: AbortSignal
  readonly onNote: (line: string) => void
  readonly onEvent: (event: AgentEvent) => void
}

/** The record's space is not that of the search. */
class RecordedSpaceError extends Error {
  override readonly name = 'RecordedSpaceError'
  readonly code = 'space-mismatch'
}

/** SHA-256 of everything that a search can be told: agents of one search have the same. */
function fingerprintOf(benchmark: RecordedBenchmark): string {
  const hash = createHash('sha256')
  for (const path of benchmark.paths()) hash.update(`${JSON.stringify([path, benchmark.read(path)])}\n`)
  return hash.digest('hex')
}

/** Throws RecordedSpaceError unless an architecture's numbers mean the same in both. */
function checkSpace(benchmark: RecordedBenchmark, searched: Space): void {
  const recorded = createSpace(benchmark.space)
  const decisionsOf = ({ decisions }: Space) => JSON.stringify(decisions.map(({ name, options }) => [name, options.map((o) => o.name)]))
  if (decisionsOf(recorded) === decisionsOf(searched)) return
  throw new RecordedSpaceError(
    `${benchmark.name} has architectures of space ${recorded.name}, and the search is over ${searched.name}, whose decisions or options are others`,
  )
}

const NO_WEIGHTS = {
  spec: (key: string): never => {
    throw new Error(`a record has no weight ${key}`)
  },
  read: (key: string): never => NO_WEIGHTS.spec(key),
  write: (key: string): never => NO_WEIGHTS.spec(key),
}

/** Throws CoordinatorError or RecordedSpaceError where the search cannot be joined, or is over for this agent. */
async function joinRecorded({
  coordinator,
  token,
  agentId,
  name,
  open,
  speed,
  stop,
  onNote,
  onEvent,
}: JoinRecordedOptions): Promise<AgentSummary> {
  const connection = watchConnection(stop, onNote)
  const client = createCoordinatorClient({ coordinator, token, signal: connection.signal, onRetry: connection.onRetry })
  await noteVersion(client, onNote)
  const searched = await client.readSpace()
  const space = createSpace(searched)
  const benchmark = open(searched)
  checkSpace(benchmark, space)
  const dataset = {
    name: benchmark.name,
    fingerprint: fingerprintOf(benchmark),
    shape: space.input,
    classes: space.classes,
    bits: await client.readBits(),
    train: { count: 1 },
  }
  const registration = await client.register({
    ...describeAgent(name, 'record', { name: 'recorded' }, dataset),
    agentId,
    kinds: { ...recordedKinds },
  })
  const { config, searchId } = registration
  onNote(`search   ${searchId}: ${config.name}, space ${space.name}; agent ${agentId}, recorded trainings of ${benchmark.citation}`)
  const tally = createTally()
  const plan = planShards(space, config.weights.shardBytes)
  const end = await runAgent({
    client,
    registration,
    trainer: createRecordedTrainer({ benchmark, config, speed, stop }),
    exchange: createWeightExchange({ client, agent: registration, encoding: config.weights.encoding, plan, weights: NO_WEIGHTS }),
    // Nothing is pulled for what is only looked up, and nothing pushed.
    sharedWork: { keysOf: () => [], shareOf: () => 1, isShared: () => false, membersOf: () => 1 },
    heartbeats: await startHeartbeatThread({ coordinator, token }),
    openWakeUps: (listener) =>
      openWakeUpSocket({ coordinator, token, base: `/v1/searches/${client.searchId}`, agentId: registration.agentId }, listener),
    stop,
    onEvent(event) {
      connection.reached()
      tally.count(event)
      onEvent(event)
    },
  })
  return tally.summary(agentId, end)
}

export { joinRecorded, RecordedSpaceError }
