// What the benches of searches by trials share: a small space for Fashion-MNIST, a table of its latencies on this machine, a coordinator and
// agents as processes of their own.

import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type RunningCommand, startCommand } from '../../command-line/child-commands.ts'
import { type CoordinatorClient, createClient } from '../../command-line/coordinator-client.ts'
import { startLocalCoordinator } from '../../gatehouse/local-coordinator.ts'
import { coverSpace, latencyBounds } from '../../latency-lut/table/coverage.ts'
import { type LatencyTable, latencyTableSchema } from '../../latency-lut/table/table.ts'
import type { SearchConfigInput } from '../../protocol/index.ts'
import { createSpace, type SpaceRef } from '../../search-space/index.ts'

/** Six blocks, four of which may be skipped: 86,436 networks of at most 3.1 million multiply-accumulates. */
const SPACE = {
  preset: 'fashion-mini',
  name: 'fashion-trials',
  stem: { width: 8, stride: 2 },
  stages: [
    { width: 8, cells: 2, stride: 1 },
    { width: 16, cells: 2, stride: 2 },
    { width: 24, cells: 2, stride: 1 },
  ],
  headWidth: 64,
} satisfies SpaceRef
const TABLE = 'trials'
/** Images of one measured run. */
const LATENCY_BATCH = 8
const PROFILE_SECONDS = 30
/** A killed agent's trial is handed out again after so long. */
const LEASE_MS = 15_000

type TrialSession = {
  readonly client: CoordinatorClient
  /** What architectures may take: so large a share of the way from the fastest to the slowest, milliseconds. */
  targetMs(share: number): number
  /** A search by trials of this length within a target. */
  config(options: { readonly seed: number; readonly targetMs: number; readonly strategy: SearchConfigInput['strategy'] }): SearchConfigInput
  /** An agent with one thread; `onNote` gets its lines. */
  startAgent(token: string, name: string): RunningCommand
  stop(): Promise<void>
}

/** Measures the table into `folder` unless it is there. */
async function readTable(folder: string): Promise<LatencyTable> {
  const path = join(folder, 'table.json')
  if (!existsSync(path)) {
    const spacePath = join(folder, 'space.json')
    writeFileSync(spacePath, JSON.stringify(SPACE))
    const measured = ['--space', `@${spacePath}`, '--batch', String(LATENCY_BATCH), '--budget', String(PROFILE_SECONDS)]
    await startCommand('latency-lut/profiler/cli/main.ts', ['profile', ...measured, '--name', TABLE, '--out', path, '--json']).result
  }
  return latencyTableSchema.parse(JSON.parse(readFileSync(path, 'utf8')))
}

/** @param folder where table, coordinator and data in binary form are kept */
async function openSession(folder: string, data: string): Promise<TrialSession> {
  const table = await readTable(folder)
  const covered = coverSpace(createSpace(SPACE), table)
  if (covered.kind === 'missing') throw new Error(`${join(folder, 'table.json')} is of another space: remove it`)
  const { leastMs, mostMs } = latencyBounds(covered.latency)
  const coordinator = await startLocalCoordinator({ port: 0, stateFolder: join(folder, 'coordinator') })
  const client = createClient({ url: coordinator.url, token: coordinator.adminToken })
  const { name, version } = await client.publishTable(table)
  return {
    client,
    targetMs: (share) => leastMs + share * (mostMs - leastMs),
    config: ({ seed, targetMs, strategy }) => ({
      name: `trials ${seed}`,
      space: SPACE,
      dataset: { name: 'fashion-mnist' },
      latency: { targetMs, table: { name, version } },
      seed,
      strategy,
      tasks: { leaseMs: LEASE_MS },
    }),
    startAgent: (token, agent) =>
      startCommand(
        'worker-agent/cli/main.ts',
        ['run', '--data', data, '--cache', join(folder, 'cache'), '--backend', 'wasm', '--concurrency', '1', '--name', agent],
        { env: { GATEHOUSE_COORDINATOR: coordinator.url, GATEHOUSE_AGENT_TOKEN: token } },
      ),
    stop: () => coordinator.stop(),
  }
}

export { openSession, SPACE, type TrialSession }
