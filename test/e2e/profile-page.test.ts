// A browser becomes a measured device: from the link to published tables, and to a search that uses one.

import type { Browser, BrowserContext, Page } from 'playwright-core'
import { chromium } from 'playwright-core'
import { encode } from 'uqr'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { ProfileRequestInput, ProfileStatus } from '../../protocol/index.ts'
import { coverSpace } from '../../latency-lut/table/coverage.ts'
import { createSpace } from '../../search-space/index.ts'
import { browserPath, hasBrowser } from './dashboard-fixture.ts'
import {
  type Coordinator,
  freePort,
  killGroup,
  startCoordinator,
  startProcess,
  temporaryFolder,
  TINY_SPACE,
  tinySearch,
  waitFor,
} from './harness.ts'

const PHONE = { width: 360, height: 740 }
/** Compiling shaders on a processor that other tests use too. */
const RUN_MS = 60_000
/** Rounds of a quarter of a second, so that the budget decides when measuring ends, and not the medians' precision. */
const SLOW: Pick<ProfileRequestInput, 'space' | 'batch' | 'backends'> = { space: 'fashion-mini', batch: 32, backends: ['wasm'] }

let browser: Browser
let folder: { path: string; remove: () => void }
let port: number
let coordinator: Coordinator
let context: BrowserContext
let page: Page
let complaints: string[]

beforeAll(async () => {
  if (!hasBrowser) return
  // WebGL and WebGPU on Chromium's renderer for machines without a graphics card.
  const graphics = ['--use-angle=swiftshader', '--enable-unsafe-swiftshader', '--ignore-gpu-blocklist', '--enable-unsafe-webgpu']
  browser = await chromium.launch({
    executablePath: browserPath,
    args: ['--no-sandbox', '--disable-quic', '--no-first-run', '--disable-background-networking', ...graphics],
  })
  folder = temporaryFolder()
  port = await freePort()
  coordinator = await startCoordinator(folder.path, port)
})
afterAll(async () => {
  await browser?.close()
  await coordinator?.stop()
  folder?.remove()
})

beforeEach(async () => {
  if (!hasBrowser) return
  context = await browser.newContext({ viewport: PHONE })
  page = await newPage()
})
afterEach(() => context?.close())

async function newPage(): Promise<Page> {
  const next = await context.newPage()
  next.setDefaultTimeout(RUN_MS)
  complaints = []
  next.on('pageerror', (error) => complaints.push(error.message))
  next.on('console', (message) => message.type() === 'error' && complaints.push(message.text()))
  return next
}

const createProfile = (request: Partial<ProfileRequestInput> & { name: string }) =>
  coordinator.client.createProfile({ space: TINY_SPACE, budgetSeconds: 2, ...request })

const shown = (view: string) => page.waitForSelector(`#${view}-view:not([hidden])`)

async function start(url: string): Promise<void> {
  await page.goto(url)
  await shown('setup')
  await page.fill('#device-name', 'Phone of the test')
  await page.click('#start')
}

async function expectTable(status: ProfileStatus, backend: string): Promise<void> {
  const space = createSpace(status.request.space)
  const published = status.tables.find((each) => each.backend === backend)
  const table = await coordinator.client.readTable(published?.name ?? 'none', published?.version)
  expect(coverSpace(space, table).kind).toBe('covered')
  expect(table.device.name).toMatch(/^Phone of the test/)
  expect(table.runtime).toMatchObject({ name: `tfjs-${backend}`, version: '4.22.0', browser: expect.stringMatching(/Chrom/) as string })
  for (const { meanMs, count } of Object.values(table.entries)) {
    expect(meanMs).toBeGreaterThan(0)
    expect(meanMs).toBeLessThan(1000)
    expect(count).toBeGreaterThan(1)
  }
}

describe.skipIf(!hasBrowser)('the measuring page', () => {
  it('leads from a link to tables of WebAssembly and WebGL, and to a search that uses one', async () => {
    const flags = ['--space', JSON.stringify(TINY_SPACE), '--name', 'two', '--backends', 'webgl,wasm', '--budget', '2', '--json']
    const environment = { GATEHOUSE_COORDINATOR: coordinator.url, GATEHOUSE_STATE: folder.path }
    const command = startProcess('gatehouse/main.ts', ['profile', 'link', ...flags], environment)
    const printed = () => /^link +(\S+)$/m.exec(command.output())?.[1]
    await waitFor(async () => printed() !== undefined, 'the link')
    await start(printed() as string)
    expect(page.url()).not.toContain('#')
    // Isolated, so that its clock is fine enough for single operations.
    expect(await page.evaluate('crossOriginIsolated')).toBe(true)
    await shown('result')
    expect(await page.$$eval('#result-tables code', (elements) => elements.map((element) => element.textContent))).toEqual([
      '--table two-webgl',
      '--table two-wasm',
    ])
    expect(await command.ended).toBe(0)
    const result = JSON.parse(command.result()) as { profileId: string; tables: unknown }
    const status = await coordinator.client.profileStatus(result.profileId)
    expect(status.phase).toBe('published')
    expect(result.tables).toEqual(status.tables)
    for (const backend of ['webgl', 'wasm']) await expectTable(status, backend)
    const keys = createSpace(TINY_SPACE).measurableOperations().length
    expect(await page.$$eval('#medians tr', (rows) => rows.length)).toBe(keys)
    // Nothing is wider than a small phone.
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(PHONE.width)
    expect(await page.evaluate('localStorage.length')).toBe(0)
    expect(complaints).toEqual([])

    const search = await coordinator.client.createSearch(
      tinySearch({ latency: { targetMs: 1, table: { name: 'two-wasm' }, loss: { kind: 'add#abs' } } }),
    )
    expect(search.tableVersion).toBe(status.tables.find(({ backend }) => backend === 'wasm')?.version)
    expect(search.expectedLatencyMs).toBeGreaterThan(0)
  })

  it('measures WebGPU where the browser has it', async () => {
    const { profileId, url } = await createProfile({ name: 'gpu', backends: ['webgpu'] })
    await page.goto(url)
    await shown('setup')
    // Software adapters differ from Chromium to Chromium: without one the page has to say so.
    if (await page.isDisabled('#start')) return expect(await page.textContent('#setup-hints')).toContain('None of the backends')
    await page.fill('#device-name', 'Phone of the test')
    await page.click('#start')
    await shown('result')
    await expectTable(await coordinator.client.profileStatus(profileId), 'webgpu')
  })

  it('measures on while the connection is cut, keeps what it has through a reload, and goes on where it was', async () => {
    const { profileId, url } = await createProfile({ ...SLOW, name: 'cut', budgetSeconds: 5 })
    const storedRounds = async () => (await coordinator.client.profileStatus(profileId)).backends[0]?.rounds ?? 0
    await start(url)
    await waitFor(async () => (await storedRounds()) > 0, 'the first rounds', RUN_MS)
    await context.setOffline(true)
    await page.waitForSelector('#connection[data-state="lost"]')
    const before = await storedRounds()
    const shownRounds = async () => Number(await page.textContent('#run-rounds'))
    await waitFor(async () => (await shownRounds()) > before, 'more rounds than were sent', RUN_MS)
    expect(await storedRounds()).toBe(before)
    // Another page of the same browser, as after a crash: what was not sent is still there.
    const waiting = (await page.evaluate("JSON.parse(localStorage.getItem('gatehouse.profile.pending')).batches.length")) as number
    expect(waiting).toBeGreaterThan(0)
    await page.close()
    await context.setOffline(false)
    page = await newPage()
    await page.goto(url)
    await shown('result')
    const status = await coordinator.client.profileStatus(profileId)
    expect(status.backends[0]?.rounds).toBeGreaterThan(before)
    // Batches without gaps: none was lost, none counted twice.
    expect(status.backends[0]?.nextBatch).toBeGreaterThan(waiting)
    await expectTable(status, 'wasm')
    // The code was used up, which Chromium writes a line about; the session that this browser kept was not.
    expect(complaints.filter((text) => !text.startsWith('Failed to load resource'))).toEqual([])
  })

  it('outlives a coordinator that is killed and comes back', async () => {
    const { profileId, url } = await createProfile({ ...SLOW, name: 'killed', budgetSeconds: 3 })
    await start(url)
    await waitFor(
      async () => ((await coordinator.client.profileStatus(profileId)).backends[0]?.rounds ?? 0) > 0,
      'the first rounds',
      RUN_MS,
    )
    killGroup(coordinator.process)
    await coordinator.process.ended
    await page.waitForSelector('#connection[data-state="lost"]')
    coordinator = await startCoordinator(folder.path, port)
    await shown('result')
    await expectTable(await coordinator.client.profileStatus(profileId), 'wasm')
  })

  it('is where the link and the QR code of the status page lead', async () => {
    await page.goto(`${coordinator.url}/#token=${coordinator.token}`)
    // A tab that begins with the only search there is goes straight to it.
    await page.waitForSelector('#all-searches:not([hidden]), #search-list:not([hidden])')
    if (await page.isVisible('#all-searches')) await page.click('#all-searches')
    await page.click('#profile-device summary')
    await page.fill('#profile-name', 'from-status-page')
    await page.click('#profile-form button')
    await page.waitForSelector('#profile-link:not([hidden])')
    const link = (await page.getAttribute('#profile-url', 'href')) ?? ''
    // Squares of the drawing against those of the encoder, read back from its path.
    const path = (await page.getAttribute('#profile-qr path', 'd')) ?? ''
    const dark = [...path.matchAll(/M(\d+) (\d+)h1v1h-1z/g)].map(([, x, y]) => `${x},${y}`)
    const expected = encode(link, { ecc: 'M', border: 3 }).data.flatMap((row, y) => row.flatMap((on, x) => (on ? [`${x},${y}`] : [])))
    expect(dark).toEqual(expected)
    expect(await page.textContent('#profile-state')).toContain('Waiting for a device')
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(PHONE.width)
    await page.goto(link)
    await shown('setup')
    expect(await page.textContent('#setup-name')).toBe('from-status-page')
    expect(complaints).toEqual([])
  })

  it('asks for a code, and says what is wrong with one', async () => {
    await page.goto(`${coordinator.url}/profile/`)
    await shown('code')
    await page.fill('#code', 'short')
    await page.click('#code-form button')
    expect(await page.textContent('#code-error')).toContain('ten letters')
    await page.fill('#code', 'AAAAA-AAAAA')
    await page.click('#code-form button')
    await waitFor(async () => (await page.textContent('#code-error'))?.includes('wrong, used') === true, 'the refusal')
    const { code } = await createProfile({ name: 'typed' })
    await page.fill('#code', code.toLowerCase())
    await page.click('#code-form button')
    await shown('setup')
    expect(await page.textContent('#setup-name')).toBe('typed')
  })
})
