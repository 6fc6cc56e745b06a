// npm run bench:coordinator -- --json
//
// Overhead of the coordinator: lease + submit cycles against the built Worker in workerd on loopback, without a
// development proxy, by 1, 8 and 64 simulated agents; and the share of their time that real agents spend not training in
// the demo's search. A simulated agent does what an agent does but train: it leases, answers at once, and leases again.

import { mkdtempSync, rmSync } from 'node:fs'
import { cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { createClient } from '../command-line/coordinator-client.ts'
import { startLocalCoordinator } from '../gatehouse/local-coordinator.ts'
import { PROTOCOL, taskKinds } from '../protocol/index.ts'
import { createSpace } from '../search-space/index.ts'
import { createCoordinatorClient } from '../worker-agent/client/coordinator-client.ts'
import { agentIdleShare } from './agent-idle-share.ts'
import { blankAnswer } from './blank-answer.ts'

const AGENT_COUNTS = [1, 8, 64]
const WARMUP_MS = 1000
const MEASURE_MS = 5000
const BATCH = 64
const MANY_STEPS = 10_000_000

type Row = { count: number; cyclesPerSecond: number; p50Ms: number; p99Ms: number }

const space = createSpace('fashion-mini')

function percentile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN
}

async function measureCycles(url: string, adminToken: string, count: number): Promise<Row> {
  const admin = createClient({ url, token: adminToken })
  const { searchId, agentToken } = await admin.createSearch({
    space: 'fashion-mini',
    dataset: { name: 'none' },
    latency: { targetMs: 5, table: { name: 'bench' }, loss: { kind: 'add#linear' } },
    training: { steps: MANY_STEPS },
    strategy: { name: 'proxyless-g', warmupSteps: 0 },
  })
  const stop = new AbortController()
  const client = createCoordinatorClient({ coordinator: url, token: agentToken, signal: stop.signal })
  const times: number[] = []
  let measuring = false
  const agent = async (index: number) => {
    const dataset = {
      name: 'none',
      fingerprint: '0'.repeat(64),
      shape: [28, 28, 1] as [number, number, number],
      classes: 10,
      trainImages: 1000,
    }
    const about = { name: `simulated ${index}`, device: 'none', backend: 'none', dataset }
    const { agentId } = await client.register({ ...about, protocol: PROTOCOL, kinds: { ...taskKinds } })
    while (!stop.signal.aborted) {
      const startMs = performance.now()
      const leased = await client.lease(agentId)
      if (leased.kind === 'wait') {
        await new Promise((done) => setTimeout(done, leased.retryAfterMs))
        continue
      }
      if (leased.kind === 'finished') throw new Error('the search is over before it was measured')
      const { taskId, leaseId, work } = leased.task
      const { kind } = await client.submit({
        agentId,
        taskId,
        leaseId,
        result: blankAnswer(work, space, BATCH),
        timing: { trainMs: 1, idleMs: 0 },
      })
      if (kind === 'duplicate') throw new Error(`task ${taskId} was handed out twice`)
      if (measuring) times.push(performance.now() - startMs)
    }
  }
  const agents = Array.from({ length: count }, (_, index) => agent(index))
  await new Promise((done) => setTimeout(done, WARMUP_MS))
  measuring = true
  const startMs = performance.now()
  await new Promise((done) => setTimeout(done, MEASURE_MS))
  measuring = false
  const seconds = (performance.now() - startMs) / 1000
  stop.abort()
  for (const end of await Promise.allSettled(agents)) {
    // The requests that were under way end with the abort; anything else is a failure of what is measured.
    if (end.status === 'rejected' && (end.reason as Error).name !== 'AbortError') throw end.reason
  }
  await admin.deleteSearch(searchId)
  times.sort((a, b) => a - b)
  return { count, cyclesPerSecond: times.length / seconds, p50Ms: percentile(times, 0.5), p99Ms: percentile(times, 0.99) }
}

const asJson = process.argv.includes('--json')
const note = (text: string) => void process.stderr.write(`${text}\n`)
const folder = mkdtempSync(join(tmpdir(), 'gatehouse-bench-'))
const coordinator = await startLocalCoordinator({ port: 0, stateFolder: folder })
const agents: Row[] = []
let idle: number
try {
  const admin = createClient({ url: coordinator.url, token: coordinator.adminToken })
  const entries = Object.fromEntries(
    space.measurableOperations().map(({ latencyKey, macs }) => [latencyKey, { meanMs: 0.1 + macs / 1e6, stdMs: 0, count: 1 }]),
  )
  await admin.publishTable({
    name: 'bench',
    device: { name: 'none' },
    runtime: { name: 'none' },
    batch: 1,
    inputShape: [28, 28, 1],
    fixedMs: 0,
    entries,
  })
  for (const count of AGENT_COUNTS) {
    const row = await measureCycles(coordinator.url, coordinator.adminToken, count)
    note(
      `${String(count).padStart(3)} agents  ${row.cyclesPerSecond.toFixed(0).padStart(6)} cycles/s  p50 ${row.p50Ms.toFixed(2)} ms  p99 ${row.p99Ms.toFixed(2)} ms`,
    )
    agents.push(row)
  }
  idle = await agentIdleShare(coordinator, note)
} finally {
  await coordinator.stop()
  rmSync(folder, { recursive: true, force: true })
}
note(`agents of the demo's search spend ${(idle * 100).toFixed(2)} % of their time not training`)
if (asJson)
  console.log(
    JSON.stringify({
      agents,
      agentIdleShare: idle,
      machine: { cpu: cpus()[0]?.model.trim(), cores: cpus().length, node: process.version },
    }),
  )
