// The status page in Chromium, against a stand-in whose answers obey the protocol's schemas.

import type { Browser, BrowserContextOptions, Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { distributionOf, type SearchStatus } from '../../protocol/index.ts'
import {
  ADMIN_TOKEN,
  AGENT_TOKEN,
  type DashboardFixture,
  hasBrowser,
  HOSTILE_NAME,
  launchBrowser,
  SEARCH_ID,
  startDashboardFixture,
} from './dashboard-fixture.ts'

const PHONE = { width: 390, height: 844 }
/** Beyond a poll and its first retries. */
const UPDATE_MS = 10_000

let browser: Browser
let fixture: DashboardFixture
let page: Page
let complaints: string[]

beforeAll(async () => {
  if (!hasBrowser) return
  browser = await launchBrowser()
})
afterAll(() => browser?.close())

beforeEach(async () => {
  if (!hasBrowser) return
  fixture = await startDashboardFixture()
  fixture.search.advance(120)
  page = await newPage()
})
afterEach(async () => {
  if (!hasBrowser) return
  await page.context().close()
  await fixture.close()
})

/** A page that collects what its console complains about; `complaints` is emptied. */
async function newPage(options: BrowserContextOptions = {}): Promise<Page> {
  const context = await browser.newContext(options)
  const next = await context.newPage()
  next.setDefaultTimeout(UPDATE_MS)
  complaints = []
  next.on('console', (message) => message.type() !== 'log' && complaints.push(message.text()))
  next.on('pageerror', (error) => complaints.push(error.message))
  return next
}

/** Chromium itself writes a line for every failed request; the page must add none of its own. */
const ownComplaints = () => complaints.filter((text) => !text.startsWith('Failed to load resource'))

async function openSearch(token = ADMIN_TOKEN): Promise<void> {
  await page.goto(`${fixture.url}#token=${token}&search=${SEARCH_ID}`)
  await waitForState('live')
}

const waitForState = (state: string) => page.waitForSelector(`#connection[data-state="${state}"]`, { timeout: UPDATE_MS })

/** Exact values and shown texts of all figures, by field. */
const readFields = () =>
  page.$$eval('#search [data-field]', (elements) =>
    Object.fromEntries(
      elements.map((element) => [
        element.getAttribute('data-field') ?? '',
        { value: element.getAttribute('value'), text: element.textContent ?? '' },
      ]),
    ),
  )

const valueAt = (status: SearchStatus, field: string): unknown =>
  field.split('.').reduce<unknown>((inner, name) => (inner as Record<string, unknown>)[name], status)

async function expectFiguresOf(status: SearchStatus): Promise<void> {
  const fields = await readFields()
  const figures = Object.entries(fields).filter(([field, { value }]) => value !== null && field !== 'elapsedMs')
  expect(figures.length).toBeGreaterThan(30)
  expect(Object.fromEntries(figures.map(([field, { value }]) => [field, value]))).toEqual(
    Object.fromEntries(figures.map(([field]) => [field, String(valueAt(status, field) ?? '')])),
  )
}

describe.skipIf(!hasBrowser)('one search', () => {
  it('shows the figures that the coordinator served', async () => {
    await openSearch()
    const status = fixture.lastStatus()
    await expectFiguresOf(status)
    const fields = await readFields()
    expect(fields['name']?.text).toBe(status.name)
    expect(fields['phase']?.text).toBe('searching')
    expect(fields['steps.done']?.text).toBe('2,400')
    expect(fields['progress']?.text).toBe('24.0 %')
    expect(fields['targetLatencyMs']?.text).toBe('80.0 ms')
    expect(fields['timeLeftMs']?.text).toBe('12 min')
    expect(fields['training.loss']?.text).toBe(status.training.loss?.toFixed(3))
    expect(fields['current.encoding']?.text).toBe(status.current.encoding)
    expect(fields['latencyTable.version']?.text).toBe(status.latencyTable.version.slice(0, 10))
    expect(JSON.parse((await page.textContent('#config')) ?? '')).toEqual(status.config)
    expect(JSON.parse((await page.textContent('#space')) ?? '')).toEqual(status.space)
    expect(complaints).toEqual([])
  })

  it('warns of what will spoil the result', async () => {
    await openSearch()
    expect(await page.locator('#warnings li').allTextContents()).toEqual(['the probabilities are still nearly even'])
  })

  it('shows the probability of every operation of every block, and marks the most probable', async () => {
    await openSearch()
    const status = fixture.lastStatus()
    const shown = await page.$$eval('#blocks tbody tr', (rows) =>
      rows.map((row) => ({
        name: row.getAttribute('data-block'),
        operations: Object.fromEntries(
          [...row.querySelectorAll('[data-operation]')].map((cell) => [
            cell.getAttribute('data-operation'),
            Number(cell.getAttribute('data-probability')),
          ]),
        ),
        best: [...row.querySelectorAll('.best')].map((cell) => `${cell.getAttribute('data-operation')} ${cell.textContent}`),
      })),
    )
    expect(shown).toEqual(
      status.blocks.map((block, b) => {
        const best = status.current.path[b] ?? 0
        const probability = distributionOf(status).probabilities[b]?.[best] ?? 0
        return {
          name: block.name,
          operations: Object.fromEntries(block.operations.map((name, o) => [name, distributionOf(status).probabilities[b]?.[o]])),
          best: [`${block.operations[best]} ${Math.round(probability * 100)}, most probable`],
        }
      }),
    )
  })

  it('shows how bounds are kept, and the fronts of what was evaluated, only where there are any', async () => {
    await openSearch()
    expect(await page.isVisible('#fronts')).toBe(false)
    fixture.search.showCosts({
      bounds: [
        { cost: 'latencyMs', atMost: 80, value: 81, isMet: false },
        { cost: 'macs', atMost: 3e6, value: 2_950_000, isMet: true },
        { cost: 'recorded:<i>x</i>', atMost: 3, value: 4, isMet: false },
      ],
      fronts: [
        {
          cost: 'macs',
          points: [
            { encoding: 'x:a', path: [0], value: 1e6, score: 0.5 },
            { encoding: '<b>x</b>:b', path: [1], value: 2e6, score: 0.75 },
          ],
        },
      ],
    })
    await page.waitForSelector('#front-rows tr', { timeout: UPDATE_MS })
    expect(await page.$$eval('#bounds li', (items) => items.map(({ textContent }) => textContent))).toEqual([
      'multiply-accumulates 2.95M, at most 3M: kept',
      'recorded:<i>x</i> 4.00, at most 3.00: not kept',
    ])
    expect(await page.$$eval('#front-rows tr', (rows) => rows.map((row) => [...row.children].map((cell) => cell.textContent)))).toEqual([
      ['multiply-accumulates', '1M', '50.0 %', 'x:a'],
      ['multiply-accumulates', '2M', '75.0 %', '<b>x</b>:b'],
    ])
    expect(complaints).toEqual([])
  })

  it('shows what the search can be taken back to, and that it was, and then draws what counts anew', async () => {
    await openSearch()
    for (const name of ['snapshots', 'rollbacks']) expect(await page.isVisible(`[data-optional="${name}"]`)).toBe(false)
    const whole = () => fixture.requests.filter((request) => request.includes('/metrics?after=0&')).length
    expect(whole()).toBe(1)
    fixture.search.showPast({
      snapshots: [1, 2].map((number) => ({ number, atMs: 0, steps: 1000 * number, results: 10, bytes: 1 })),
      rollbacks: [{ number: 1, snapshot: 2, atMs: 0, steps: 2000, results: 5 }],
    })
    await page.waitForSelector('[data-optional="rollbacks"]:not([hidden])', { timeout: UPDATE_MS })
    expect(await page.textContent('[data-field="snapshots"]')).toBe('1 at 1,000, 2 at 2,000 steps')
    expect(await page.textContent('[data-field="rollbacks"]')).toContain('last: to snapshot 2,')
    await expect.poll(whole, { timeout: UPDATE_MS }).toBe(2)
    expect(complaints).toEqual([])
  })

  it('says which agent is set aside, and why', async () => {
    fixture.search.setAside('attic')
    await openSearch()
    const row = 'tr[data-agent-id="a000000000000"]'
    expect(await page.textContent(`${row} [data-agent-field="name"]`)).toBe('attic (set aside)')
    expect(await page.getAttribute(row, 'title')).toContain('numbers of 7 tasks far larger than usual')
    expect(await page.textContent('tr[data-agent-id="a000000000001"] [data-agent-field="name"]')).toBe('laptop-lena')
  })

  it('shows candidates where the strategy has no distribution, and says so of a view that it does not know', async () => {
    const candidate = { path: [0], latencyMs: 70, macs: 3_000_000, parameters: 55_000, score: 0.5, meetsConstraint: true }
    const candidates = [
      { ...candidate, encoding: 'x:a', score: 0.75, latencyMs: 90, meetsConstraint: false },
      { ...candidate, encoding: '<b>x</b>:b', parent: 'x:a' },
    ]
    const rungs = [
      { epochs: 1, scored: 12, failed: 1, promoted: 4, bestScore: 0.5 },
      { epochs: 3, scored: 4, failed: 0, promoted: 0, bestScore: 0.75 },
    ]
    const predictions = { fits: 2, examples: 12, agreement: 0.9 }
    fixture.search.show({ kind: 'ranking', score: 'accuracy', scored: 12, candidates, rungs, predictions })
    await openSearch()
    const shown = () =>
      page.$$eval('[data-view]', (elements) =>
        elements.filter((element) => element.checkVisibility()).map((element) => element.getAttribute('data-view')),
      )
    expect(await shown()).toEqual(['population ranking'])
    expect(await page.textContent('#candidates-title')).toBe('Ranking')
    expect(await page.textContent('#candidates-note')).toBe('12 candidates have a score')
    const rows = () => page.$$eval('#candidate-rows tr', (found) => found.map((row) => [...row.children].map((cell) => cell.textContent)))
    expect(await rows()).toEqual([
      ['x:a', '0.750', '90.0 ms (beyond a bound)', '3M', '55K'],
      ['<b>x</b>:b', '0.500', '70.0 ms', '3M', '55K'],
    ])
    expect(await page.$$eval('#candidates-facts dd', (facts) => facts.map((fact) => fact.textContent))).toEqual([
      '12 trained, 4 went on, 1 failed, best 0.500',
      '4 trained, best 0.750',
      '2 fits, the last on 12 results, 90.0 % of pairs foretold in their order',
    ])
    expect(await page.textContent('#search')).not.toContain('NaN')
    fixture.search.show({ kind: 'population', score: 'accuracy', generation: 3, candidates: candidates.slice(1) })
    await expect.poll(() => page.textContent('#candidates-note'), { timeout: UPDATE_MS }).toBe('generation 3')
    expect(await rows()).toHaveLength(1)
    fixture.search.show({ kind: 'landscape' })
    await expect.poll(shown, { timeout: UPDATE_MS }).toEqual(['unknown'])
    expect(await page.textContent('#unknown-view')).toBe('landscape')
  })

  it('says how many samples are in effect where the strategy weighs samples, and nothing of them where it does not', async () => {
    await openSearch()
    const rows = () =>
      page.$$eval('[data-optional]', (elements) =>
        elements.filter((element) => element.checkVisibility()).map((element) => element.textContent.replaceAll(/\s+/g, ' ').trim()),
      )
    expect(await rows()).toEqual([])
    fixture.search.show({ ...distributionOf(fixture.lastStatus()), effectiveSamples: 3.25, effectiveWeightSamples: 1.5 })
    await expect.poll(rows, { timeout: UPDATE_MS }).toEqual(['samples in effect 3.25', 'paths in effect 1.50'])
  })

  it('draws the history over weight steps, with the target, and describes it in words', async () => {
    await openSearch()
    await page.waitForSelector('#chart-loss .line.training')
    const target = await page.getAttribute('#chart-latency .reference', 'data-reference')
    expect(Number(target)).toBe(fixture.lastStatus().targetLatencyMs)
    const drawing = page.getByRole('img', { name: 'Loss' })
    expect(await drawing.count()).toBe(1)
    expect(await page.textContent('#chart-loss-desc')).toMatch(/^training: from [\d.]+ at step 20 to [\d.]+ at step 2400, lowest/)
    expect(await page.textContent('#chart-latency-desc')).toContain('Line at target 80.0 ms. end of warm-up at step 1020.')
  })

  it('asks for new metrics only, and for all of a long history', async () => {
    await fixture.close()
    fixture = await startDashboardFixture({ steps: 40_000 })
    fixture.search.advance(1500)
    const held = fixture.search.metrics(0, Infinity).length
    expect(held).toBeGreaterThan(2000)
    await openSearch()
    expect(await page.textContent('#chart-loss-desc')).toContain('at step 30000')
    const asked = () =>
      fixture.requests.filter((request) => request.includes('/metrics')).map((request) => request.slice(request.indexOf('?')))
    expect(asked()).toEqual(['?after=0&limit=1000', '?after=1000&limit=1000', '?after=2000&limit=1000'])
    await expect.poll(asked, { timeout: UPDATE_MS }).toContain(`?after=${held}&limit=1000`)
  })

  it('updates by itself, and stops asking once the search has ended', async () => {
    await openSearch()
    fixture.search.advance(40)
    await page.waitForSelector('data[data-field="steps.done"][value="3200"]')
    await expectFiguresOf(fixture.lastStatus())
    expect((await readFields())['steps.done']?.text).toBe('3,200')
    await expect.poll(() => page.textContent('#chart-loss-desc'), { timeout: UPDATE_MS }).toContain('at step 3200')
    fixture.search.advance(1000)
    await waitForState('ended')
    await expectFiguresOf(fixture.lastStatus())
    expect(await page.getAttribute('#search', 'data-phase')).toBe('finished')
    expect(await page.textContent('#chart-loss-desc')).toContain('at step 10000')
    expect(await page.isVisible('#controls')).toBe(false)
    const asked = fixture.requests.length
    await page.waitForTimeout(3000)
    expect(fixture.requests.length).toBe(asked)
    expect(complaints).toEqual([])
  })

  it('shows a search to which no agent has come', async () => {
    await fixture.close()
    fixture = await startDashboardFixture({ space: 'fashion-mini' })
    await openSearch()
    await expectFiguresOf(fixture.lastStatus())
    expect((await readFields())['training.loss']?.text).toBe('–')
    expect(await page.textContent('#chart-loss')).toContain('nothing yet')
    expect(await page.isVisible('#time-left')).toBe(false)
    expect(complaints).toEqual([])
  })

  it('shows markup in the name of an agent as text', async () => {
    await openSearch()
    const names = await page.$$eval('[data-agent-field="name"]', (elements) => elements.map((element) => element.textContent))
    expect(names).toEqual(fixture.lastStatus().agents.map((agent) => agent.name))
    expect(names).toContain(HOSTILE_NAME)
    expect(await page.evaluate(() => 'hacked' in window)).toBe(false)
    expect(await page.$$eval('#agent-rows img, #agent-rows b', (elements) => elements.length)).toBe(0)
  })

  it('shows what each agent did', async () => {
    await openSearch()
    const rows = await page.$$eval('#agent-rows tr', (elements) =>
      elements.map((row) =>
        Object.fromEntries(
          [...row.querySelectorAll('data[data-agent-field]:not([data-agent-field="lastSeenAtMs"])')].map((cell) => [
            cell.getAttribute('data-agent-field'),
            cell.getAttribute('value'),
          ]),
        ),
      ),
    )
    expect(rows).toEqual(
      fixture.lastStatus().agents.map((agent) => ({
        imagesPerSecond: String(agent.imagesPerSecond ?? ''),
        idleShare: String(agent.idleShare ?? ''),
        tasksDone: String(agent.tasksDone),
        refusedPushes: String(agent.refusedPushes),
        duplicates: String(agent.duplicates),
        bytesPerStep: String(agent.bytesPerStep ?? ''),
        bytesSent: String(agent.bytesSent),
        bytesReceived: String(agent.bytesReceived),
      })),
    )
    expect(await page.textContent('tr[data-agent-id="a000000000003"] [data-agent-field="lastSeenAtMs"]')).toBe('7 min ago')
    expect(await page.$$eval('#agent-rows tr.gone', (gone) => gone.map((row) => row.getAttribute('data-agent-id')))).toEqual([
      'a000000000003',
    ])
  })
})

describe.skipIf(!hasBrowser)('the connection', () => {
  it.each([
    ['cut', 'the coordinator does not answer'],
    ['overloaded', 'the search has too many requests at once'],
  ] as const)('says that it is lost when it is %s, keeps the last figures, and recovers', async (mode, reason) => {
    await openSearch()
    const before = fixture.lastStatus()
    fixture.setMode(mode)
    await waitForState('lost')
    expect(await page.textContent('#connection')).toBe('Connection lost, retrying')
    expect(await page.textContent('#connection-note')).toContain(reason)
    await expectFiguresOf(before)
    fixture.search.advance(10)
    // Whether it could be clicked, without a click.
    await page.click('#retry', { trial: true })
    fixture.setMode('up')
    // The page may have found the connection again by itself by now, and then the button is gone.
    await page.$eval('#retry', (button) => (button as HTMLButtonElement).click())
    await waitForState('live')
    await page.waitForSelector('data[data-field="steps.done"][value="2600"]')
    expect(ownComplaints()).toEqual([])
  })

  it('asks nothing while nothing changes, and sees a change at once', async () => {
    await openSearch()
    await expect.poll(() => fixture.sockets.size).toBe(1)
    // Once when the socket has opened, and once more at the end of the time in which it says nothing new.
    await page.waitForTimeout(5000)
    const asked = fixture.requests.length
    const seen = 'tr[data-agent-id="a000000000001"] [data-agent-field="lastSeenAtMs"]'
    const before = await page.textContent(seen)
    await page.waitForTimeout(4500)
    expect(fixture.requests.length).toBe(asked)
    expect(await page.textContent(seen)).not.toBe(before)
    fixture.search.setPhase('paused')
    await page.waitForSelector('#search[data-phase="paused"]', { timeout: 1500 })
    expect(complaints).toEqual([])
  })

  it('asks from time to time where there are no sockets', async () => {
    fixture.refuseSockets()
    await openSearch()
    fixture.search.setPhase('paused')
    await page.waitForSelector('#search[data-phase="paused"]', { timeout: UPDATE_MS })
    const asked = fixture.requests.length
    await page.waitForTimeout(3000)
    expect(fixture.requests.length).toBeGreaterThan(asked)
    expect(fixture.sockets.size).toBe(0)
  })

  it('rests while the tab is hidden', async () => {
    await openSearch()
    const hide = (hidden: boolean) =>
      page.evaluate((value) => {
        Object.defineProperty(document, 'hidden', { value, configurable: true })
        document.dispatchEvent(new Event('visibilitychange'))
      }, hidden)
    await hide(true)
    await waitForState('hidden')
    const asked = fixture.requests.length
    await page.waitForTimeout(3000)
    expect(fixture.requests.length).toBe(asked)
    await hide(false)
    await waitForState('live')
  })
})

describe.skipIf(!hasBrowser)('tokens', () => {
  it('asks for a token, and shows why a wrong one is refused', async () => {
    await page.goto(fixture.url)
    await page.fill('#token', 'wrong')
    await page.click('#sign-in-form button')
    await page.waitForSelector('#sign-in-error:not(:empty)')
    expect(await page.textContent('#sign-in-error')).toBe('this token is not known here; ask for another')
    expect(await page.evaluate(() => sessionStorage.length)).toBe(0)
    await page.fill('#token', ADMIN_TOKEN)
    await page.click('#sign-in-form button')
    await waitForState('live')
    await page.waitForSelector(`#search[data-search-id="${SEARCH_ID}"]`)
    expect(ownComplaints()).toEqual([])
  })

  it('takes the token out of the address, keeps it for this tab only, and forgets it when asked', async () => {
    await openSearch()
    expect(page.url()).toBe(`${fixture.url}#search=${SEARCH_ID}`)
    expect(await page.evaluate(() => localStorage.length + document.cookie.length)).toBe(0)
    await page.reload()
    await waitForState('live')
    await page.click('#sign-out')
    expect(await page.isVisible('#sign-in')).toBe(true)
    expect(await page.isVisible('#search')).toBe(false)
    expect(await page.evaluate(() => sessionStorage.length)).toBe(0)
  })

  it('shows its search to an agent token, without the buttons that it may not press', async () => {
    await openSearch(AGENT_TOKEN)
    await expectFiguresOf(fixture.lastStatus())
    for (const selector of ['#controls', '#all-searches']) expect(await page.isVisible(selector)).toBe(false)
    await page.goto(`${fixture.url}`)
    await page.waitForSelector('#sign-in-error:not(:empty)')
    expect(await page.textContent('#sign-in-error')).toContain('give the id of that search')
  })

  it('says that a search does not exist', async () => {
    await page.goto(`${fixture.url}#token=${ADMIN_TOKEN}&search=s000000000000`)
    await waitForState('refused')
    expect(await page.textContent('#notice')).toBe('there is no search s000000000000')
  })
})

describe.skipIf(!hasBrowser)('an admin', () => {
  it('sees searches that the coordinator cannot read, with the reason, and none of them opens by itself', async () => {
    fixture.addUnreadable({ id: 's0unreadable0', createdAtMs: 1_700_000_000_000, reason: 'the state: <b>mood</b> is an unknown field' })
    await page.goto(`${fixture.url}#token=${ADMIN_TOKEN}`)
    await page.waitForSelector('#search-list', { state: 'visible' })
    const cells = await page.$$eval('#unreadable-rows tr', (rows) => rows.map((row) => [...row.children].map((cell) => cell.textContent)))
    expect(cells).toEqual([
      ['the state: <b>mood</b> is an unknown field', 'cannot be read', '', expect.stringContaining('2023'), 's0unreadable0'],
    ])
    expect(await page.$$eval('#search-rows tr', (rows) => rows.length)).toBe(1)
    expect(complaints).toEqual([])
  })

  it('sees all searches and goes to one and back', async () => {
    fixture.addSummary({ searchId: 's0000000000zz', name: 'another', phase: 'finished' })
    await page.goto(`${fixture.url}#token=${ADMIN_TOKEN}`)
    await page.waitForSelector('#search-rows tr')
    expect(await page.$$eval('#search-rows tr', (rows) => rows.map((row) => row.getAttribute('data-search-id')))).toEqual([
      SEARCH_ID,
      's0000000000zz',
    ])
    await page.click(`#search-rows tr[data-search-id="${SEARCH_ID}"] a`)
    await page.waitForSelector(`#search[data-search-id="${SEARCH_ID}"]`)
    await page.goBack()
    await page.waitForSelector('#search-list', { state: 'visible' })
    await page.goForward()
    await page.waitForSelector('#search', { state: 'visible' })
    await page.click('#all-searches')
    await page.waitForSelector('#search-list', { state: 'visible' })
    expect(complaints).toEqual([])
  })

  it('pauses, resumes and, after a question, stops a search', async () => {
    await openSearch()
    await page.click('#pause')
    await page.waitForSelector('#search[data-phase="paused"]')
    expect(await page.isVisible('#pause')).toBe(false)
    await page.click('#resume')
    await page.waitForSelector('#search[data-phase="searching"]')
    await page.click('#stop')
    await page.keyboard.press('Escape')
    await page.click('#stop')
    await page.click('#stop-dialog button[value="cancel"]')
    expect(fixture.requests.some((request) => request.includes('/stop'))).toBe(false)
    await page.click('#stop')
    await page.click('#stop-confirm')
    await waitForState('ended')
    expect(await page.getAttribute('#search', 'data-phase')).toBe('stopped')
    expect(complaints).toEqual([])
  })

  it('is told why a button did nothing', async () => {
    await openSearch()
    fixture.setMode('overloaded')
    await page.click('#pause')
    await page.waitForSelector('#notice', { state: 'visible' })
    expect(await page.textContent('#notice')).toBe('Could not pause the search: the search has too many requests at once')
  })
})

describe.skipIf(!hasBrowser)('on a phone', () => {
  it.each(['light', 'dark'] as const)('fits the width (%s)', async (colorScheme) => {
    await page.context().close()
    page = await newPage({ viewport: PHONE, colorScheme })
    const overflow = () => page.evaluate(() => document.documentElement.scrollWidth - innerWidth)
    await page.goto(fixture.url)
    await page.waitForSelector('#sign-in', { state: 'visible' })
    expect(await overflow()).toBe(0)
    await openSearch()
    await page.click('#search summary')
    expect(await overflow()).toBe(0)
    expect(complaints).toEqual([])
  })
})

it('lets nothing inline or foreign run', async () => {
  const response = await page.goto(fixture.url)
  const headers = response?.headers() ?? {}
  expect(headers['content-security-policy']).toContain("default-src 'self'")
  expect(headers['content-security-policy']).toContain("frame-ancestors 'none'")
  expect(headers['x-content-type-options']).toBe('nosniff')
  expect(headers['referrer-policy']).toBe('no-referrer')
})
