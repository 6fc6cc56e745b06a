// Trains the weights of a supernet as a user's machines would: by a coordinator and agents, each a process of its own, on this machine. What the
// weights come to with several agents is part of what the proof has to say.

import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { firstFailure, startCommand } from '../command-line/child-commands.ts'
import { type CoordinatorClient, createClient } from '../command-line/coordinator-client.ts'
import type { Terminal } from '../command-line/terminal.ts'
import { startLocalCoordinator } from '../gatehouse/local-coordinator.ts'
import { renderStatusLine } from '../gatehouse/render-status.ts'
import { readSearchWeights } from '../gatehouse/search-weights.ts'
import type { SearchConfig, SearchStatus, Tensor } from '../protocol/index.ts'
import type { Space } from '../search-space/index.ts'
import { macsTable } from '../simulation/macs-table.ts'

const STATUS_EVERY_MS = 10_000
const MS_PER_SECOND = 1000

type AgentsOptions = {
  readonly terminal: Terminal
  /** Of the coordinator's state; training goes on from it. */
  readonly folder: string
  readonly space: Space
  readonly config: SearchConfig
  readonly agents: number
  readonly data: string
  readonly cache: string
}

type AgentsSupernet = {
  readonly tensors: ReadonlyMap<string, Tensor>
  readonly images: number
  /** From the first task to the end of the search. */
  readonly seconds: number
}

/** The search of this coordinator, made if it is not there. The target is so far that what the table says does not matter. */
async function searchOf(client: CoordinatorClient, { space, config }: AgentsOptions): Promise<string> {
  const begun = (await client.listSearches()).members.find(({ name }) => name === config.name)
  if (begun) return begun.searchId
  const { name, version } = await client.publishTable(macsTable(space))
  const created = await client.createSearch({ ...config, latency: { ...config.latency, table: { name, version } } })
  return created.searchId
}

/** Throws the signal's reason, and what an agent ended with that ended before the search. */
async function untilEnd(
  { terminal }: AgentsOptions,
  status: () => Promise<SearchStatus>,
  agentsFailed: Promise<never>,
): Promise<SearchStatus> {
  for (;;) {
    const now = await status()
    terminal.note(renderStatusLine(now))
    if (now.phase === 'finished') return now
    await Promise.race([sleep(STATUS_EVERY_MS, undefined, { signal: terminal.interrupted }), agentsFailed])
  }
}

/** Trains to the end, or goes on to it. */
async function trainByAgents(options: AgentsOptions): Promise<AgentsSupernet> {
  const { terminal, folder, space, config, agents: count, data, cache } = options
  const coordinator = await startLocalCoordinator({ port: 0, stateFolder: join(folder, 'coordinator') })
  try {
    const client = createClient({ url: coordinator.url, token: coordinator.adminToken })
    const searchId = await searchOf(client, options)
    const { agentToken } = await client.createToken(searchId, 'proof')
    const env = { GATEHOUSE_COORDINATOR: coordinator.url, GATEHOUSE_AGENT_TOKEN: agentToken }
    const flags = ['--data', data, '--cache', cache, '--backend', 'wasm', '--concurrency', '1', '--quiet']
    const agents = Array.from({ length: count }, (_, i) =>
      startCommand('worker-agent/cli/main.ts', ['run', ...flags, '--name', `agent-${i + 1}`], { env, interrupted: terminal.interrupted }),
    )
    try {
      const status = await untilEnd(options, () => client.searchStatus(searchId), firstFailure(agents))
      await Promise.all(agents.map(({ result }) => result))
      const { tensors } = await readSearchWeights(client, searchId, space, status.config)
      const steps = status.agents.reduce((sum, agent) => sum + agent.steps, 0)
      const { startedAtMs, finishedAtMs } = status
      return {
        tensors,
        images: steps * config.training.batchSize,
        seconds: startedAtMs === null || finishedAtMs === null ? 0 : (finishedAtMs - startedAtMs) / MS_PER_SECOND,
      }
    } finally {
      for (const { child } of agents) child.kill('SIGTERM')
    }
  } finally {
    await coordinator.stop()
  }
}

export { trainByAgents }
