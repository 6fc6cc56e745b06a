// What documentation says to start, ended as service managers and containers end it: SIGTERM to npm.

import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createClient } from '../../command-line/coordinator-client.ts'
import {
  freePort,
  killGroup,
  NO_AUGMENTATION,
  type Process,
  startCoordinator,
  temporaryFolder,
  tinySearch,
  tinyTable,
  waitFor,
  writeTinyDataset,
} from './harness.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
/** A poll of the parent, and what a command needs to put things in order. */
const END_MS = 10_000

let state: ReturnType<typeof temporaryFolder>
let data: ReturnType<typeof temporaryFolder>
let processes: Process[] = []
beforeEach(() => {
  state = temporaryFolder()
  data = temporaryFolder()
  processes = []
})
afterEach(() => {
  for (const process of processes) killGroup(process)
  state.remove()
  data.remove()
})

function npmRun(script: string, args: readonly string[], env: Record<string, string> = {}): Process {
  // This test may run below npm itself, whose variables are not those of the script.
  const inherited = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('npm_')))
  const child = spawn('npm', ['run', '--silent', script, '--', ...args], {
    cwd: root,
    env: { ...inherited, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text: string) => (output += text))
  // Pipes close when the last process that holds them has ended, which is not npm.
  const ended = new Promise<number | NodeJS.Signals>((done) => child.once('close', (code, signal) => done(signal ?? code ?? 1)))
  const started = { child, output: () => output, result: () => '', ended }
  processes.push(started)
  return started
}

describe.skipIf(process.platform === 'win32')('SIGTERM to npm', () => {
  it('ends `npm run gatehouse -- up`: the port is free, the state can be used again', async () => {
    const port = await freePort()
    const url = `http://127.0.0.1:${port}`
    const answers = async () => (await fetch(`${url}/health`).catch(() => null))?.ok === true
    const up = npmRun('gatehouse', ['up', '--port', String(port), '--state', state.path])
    await waitFor(answers, `the coordinator to answer, ${up.output()}`)
    up.child.kill('SIGTERM')
    await waitFor(async () => !(await answers()), 'the coordinator to end', END_MS)
    await up.ended
    expect(up.output()).toContain('coordinator stopped')
    const again = await startCoordinator(state.path, port)
    processes.push(again.process)
    await again.stop()
  })

  it('ends `npm run worker-agent`: its lease is given back', async () => {
    const coordinator = await startCoordinator(state.path, await freePort())
    processes.push(coordinator.process)
    writeTinyDataset(data.path)
    await coordinator.client.publishTable(tinyTable())
    const leaseMs = 600_000
    const { searchId, agentToken } = await coordinator.client.createSearch(
      tinySearch({
        training: { steps: 100_000, batchSize: 16, augmentation: NO_AUGMENTATION },
        tasks: { weightSteps: 200, architectureSteps: 4, leaseMs },
      }),
    )
    const agent = npmRun(
      'worker-agent',
      ['--data', data.path, '--cache', join(data.path, 'cache'), '--backend', 'wasm', '--concurrency', '1'],
      { GATEHOUSE_COORDINATOR: coordinator.url, GATEHOUSE_AGENT_TOKEN: agentToken },
    )
    const token = readFileSync(join(state.path, 'admin-token'), 'utf8').trim()
    const client = createClient({ url: coordinator.url, token })
    const tasks = async () => (await client.searchStatus(searchId)).tasks
    await waitFor(async () => (await tasks()).leased > 0, 'the agent to have a lease')
    agent.child.kill('SIGTERM')
    // A lease of ten minutes would not end by itself.
    await waitFor(async () => (await tasks()).leased === 0, `the lease to be given back; ${agent.output()}`, END_MS)
    await agent.ended
    const { done } = await tasks()
    await sleep(1000)
    expect((await tasks()).done).toBe(done)
  })
})
