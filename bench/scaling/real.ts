// The same search by real processes on this machine: a coordinator, and agents that reach it over loopback, or over a line of
// 10 Mbit/s that takes 100 ms each way.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startCommand } from '../../command-line/child-commands.ts'
import { createClient } from '../../command-line/coordinator-client.ts'
import { startLocalCoordinator } from '../../gatehouse/local-coordinator.ts'
import { macsTable } from '../../simulation/macs-table.ts'
import { createSpace } from '../../search-space/index.ts'
import { openThrottledProxy } from '../../test/fixtures/throttled-proxy.ts'
import { DATASET, far, searchConfig, SPACE } from './virtual-search.ts'

type RealCase = { readonly agents: number; readonly threads: number; readonly line: 'loopback' | 'far' }
type RealResult = RealCase & {
  /** From the first lease to the end. */
  readonly seconds: number
  readonly accuracy: number
  readonly bytesPerStep: number | null
  /** Share of the agents' time not spent training. */
  readonly idleShare: number
}

/** `steps`: effective steps, the same for every case. */
async function runReal({ agents, threads, line }: RealCase, steps: number, seed: number): Promise<RealResult> {
  const folder = mkdtempSync(join(tmpdir(), 'gatehouse-bench-'))
  const coordinator = await startLocalCoordinator({ port: 0, stateFolder: folder })
  try {
    const client = createClient({ url: coordinator.url, token: coordinator.adminToken })
    const table = await client.publishTable(macsTable(createSpace({ preset: SPACE })))
    const config = searchConfig({ agents: 1, variant: line === 'far' ? 'delayed' : 'same', seed, steps })
    const created = await client.createSearch({
      ...config,
      latency: { ...config.latency, table: { name: table.name, version: table.version } },
    })
    const proxy = line === 'far' ? await openThrottledProxy({ port: Number(new URL(coordinator.url).port), ...far }) : null
    const env = { GATEHOUSE_COORDINATOR: proxy?.url ?? coordinator.url, GATEHOUSE_AGENT_TOKEN: created.agentToken }
    const args = ['--data', DATASET, '--backend', 'wasm', '--concurrency', String(threads), '--quiet']
    const commands = Array.from({ length: agents }, (_, i) =>
      startCommand('worker-agent/cli/main.ts', [...args, '--name', `bench-${i}`], { env }),
    )
    try {
      await Promise.all(commands.map((command) => command.result))
    } finally {
      for (const { child } of commands) child.kill('SIGTERM')
      await proxy?.close()
    }
    const status = await client.searchStatus(created.searchId)
    const idle = status.agents.map((agent) => agent.idleShare ?? 0)
    return {
      agents,
      threads,
      line,
      bytesPerStep: status.bytesPerStep,
      seconds: ((status.finishedAtMs ?? 0) - (status.startedAtMs ?? 0)) / 1000,
      accuracy: status.validation.accuracy ?? 0,
      idleShare: idle.reduce((sum, value) => sum + value, 0) / idle.length,
    }
  } finally {
    await coordinator.stop()
    rmSync(folder, { recursive: true, force: true })
  }
}

export { type RealCase, type RealResult, runReal }
