// Agents that wait, as processes, and the page in Chromium, woken by sockets of a real coordinator.

import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { type CountingProxy, openCountingProxy } from '../fixtures/counting-proxy.ts'
import { hasBrowser, launchBrowser } from './dashboard-fixture.ts'
import {
  type Coordinator,
  freePort,
  killGroup,
  NO_AUGMENTATION,
  type Process,
  startAgent,
  startCoordinator,
  temporaryFolder,
  tinySearch,
  tinyTable,
  waitFor,
  writeTinyDataset,
} from './harness.ts'

const AGENTS = 2
/** Far below the minutes after which one without a socket asks, and above what a busy machine takes for a request. */
const SOON_MS = 20_000

/** In which one without a socket asks again and again. */
const REST_MS = 4000

const folder = temporaryFolder()
let port: number
let coordinator: Coordinator
let processes: Process[] = []
let proxies: CountingProxy[] = []

beforeAll(async () => {
  writeTinyDataset(folder.path)
  port = await freePort()
  coordinator = await startCoordinator(join(folder.path, 'state'), port)
  await coordinator.client.publishTable(tinyTable())
})
afterEach(async () => {
  for (const process of processes) killGroup(process)
  for (const proxy of proxies) await proxy.close()
  processes = []
  proxies = []
})
afterAll(async () => {
  await coordinator.stop()
  folder.remove()
})

async function openProxy(options: { refusesSockets?: boolean } = {}): Promise<CountingProxy> {
  const proxy = await openCountingProxy({ port, ...options })
  proxies.push(proxy)
  return proxy
}

const tokenOf = new Map<string, string>()

/** A paused search far from its end. */
async function pausedSearch(): Promise<string> {
  const training = { steps: 100_000, batchSize: 16, augmentation: NO_AUGMENTATION }
  const { searchId, agentToken } = await coordinator.client.createSearch(tinySearch({ training }))
  tokenOf.set(searchId, agentToken)
  await coordinator.client.changePhase(searchId, 'pause')
  return searchId
}

function agentsOf(searchId: string, url: string, count = AGENTS): Process[] {
  const started = Array.from({ length: count }, () => startAgent({ url }, tokenOf.get(searchId) ?? '', folder.path))
  processes.push(...started)
  return started
}

const asks = ({ requests }: CountingProxy) => requests.filter((request) => request === 'POST /lease').length
const socketsOf = async (searchId: string) => (await coordinator.client.searchStatus(searchId)).sockets

describe('agents that wait', () => {
  it('go on as soon as their search does, without having asked in between, also when the coordinator was killed meanwhile', async () => {
    const searchId = await pausedSearch()
    const proxy = await openProxy()
    const agents = agentsOf(searchId, proxy.url)
    await waitFor(async () => (await socketsOf(searchId))?.agents === AGENTS, 'sockets of all agents')
    // Each has asked once, and once more when its socket had opened.
    await waitFor(async () => asks(proxy) === 2 * AGENTS, 'all agents to rest')
    await sleep(REST_MS)
    expect(asks(proxy)).toBe(2 * AGENTS)
    expect(proxy.requests.filter((request) => request === 'GET /wake-ups')).toHaveLength(AGENTS)

    killGroup(coordinator.process)
    await coordinator.process.ended
    coordinator = await startCoordinator(join(folder.path, 'state'), port)
    await waitFor(async () => (await socketsOf(searchId))?.agents === AGENTS, 'sockets of all agents anew')
    await waitFor(async () => proxy.sockets() === AGENTS, 'no sockets but those')

    const asked = asks(proxy)
    await coordinator.client.changePhase(searchId, 'resume')
    const done = async () => (await coordinator.client.searchStatus(searchId)).agents.filter(({ tasksDone }) => tasksDone > 0).length
    await waitFor(async () => (await done()) === AGENTS, 'results of all agents', SOON_MS)
    expect(asks(proxy)).toBeGreaterThan(asked)
    // One at work has no socket.
    expect((await socketsOf(searchId))?.agents).toBeLessThan(AGENTS)
    for (const { child } of agents) child.kill('SIGTERM')
    for (const { ended } of agents) expect(await ended).toBe(130)
  })

  it('ask from time to time where a proxy refuses sockets', async () => {
    const searchId = await pausedSearch()
    const proxy = await openProxy({ refusesSockets: true })
    const [agent] = agentsOf(searchId, proxy.url, 1)
    await waitFor(async () => asks(proxy) >= 4, 'four requests')
    expect(proxy.requests).toContain('GET /wake-ups')
    expect(proxy.sockets()).toBe(0)
    await coordinator.client.changePhase(searchId, 'stop')
    expect(await agent?.ended).toBe(0)
  })
})

describe.skipIf(!hasBrowser)('the page', () => {
  it('shows another phase without having asked in between', async () => {
    const searchId = await pausedSearch()
    const proxy = await openProxy()
    const browser = await launchBrowser()
    try {
      const page = await browser.newPage()
      const complaints: string[] = []
      page.on('console', (message) => complaints.push(message.text()))
      await page.goto(`${proxy.url}/#token=${coordinator.token}&search=${searchId}`)
      await page.waitForSelector('#search[data-phase="paused"]')
      await waitFor(async () => proxy.sockets() === 1, 'a socket of the page')
      await page.waitForTimeout(5000)
      const asked = proxy.requests.length
      await page.waitForTimeout(3000)
      expect(proxy.requests.length).toBe(asked)
      await coordinator.client.changePhase(searchId, 'stop')
      await page.waitForSelector('#search[data-phase="stopped"]', { timeout: SOON_MS })
      expect(complaints).toEqual([])
    } finally {
      await browser.close()
    }
  })
})
