import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { distributionOf, searchStatusSchema } from '../../protocol/index.ts'
import { latencyTableSchema } from '../../latency-lut/table/table.ts'
import { createSpace, parseArchitecture } from '../../search-space/index.ts'
import { hasBrowser, launchBrowser } from './dashboard-fixture.ts'
import {
  type Coordinator,
  freePort,
  NO_AUGMENTATION,
  type Process,
  startAgent,
  startCoordinator,
  startProcess,
  temporaryFolder,
  TINY_SPACE,
  writeTinyDataset,
} from './harness.ts'

const folder = temporaryFolder()
let coordinator: Coordinator

beforeAll(async () => {
  writeTinyDataset(folder.path)
  writeFileSync(join(folder.path, 'space.json'), JSON.stringify(TINY_SPACE))
  coordinator = await startCoordinator(join(folder.path, 'state'), await freePort())
})
afterAll(async () => {
  await coordinator.stop()
  folder.remove()
})

/** Runs a command to its end; the last line of its standard output is the result. */
async function command(
  script: string,
  args: readonly string[],
): Promise<{ code: number | NodeJS.Signals; result: string; output: string }> {
  const process: Process = startProcess(script, args, { GATEHOUSE_COORDINATOR: coordinator.url, GATEHOUSE_TOKEN: coordinator.token })
  const code = await process.ended
  return { code, result: process.result(), output: process.output() }
}

async function succeeds(script: string, args: readonly string[]): Promise<string> {
  const { code, result, output } = await command(script, args)
  expect(code, output).toBe(0)
  return result
}

const gatehouse = 'gatehouse/main.ts'
const latencyLut = 'latency-lut/profiler/cli/main.ts'

describe.skipIf(!hasBrowser)('a user with a terminal and a browser', () => {
  it('measures a table, publishes it, searches, watches in a browser and derives an architecture', async () => {
    const space = `@${join(folder.path, 'space.json')}`
    const table = join(folder.path, 'my-device.json')
    await succeeds(latencyLut, ['profile', '--space', space, '--name', 'my-device', '--out', table, '--budget', '2', '--json'])
    const measured = latencyTableSchema.parse(JSON.parse(readFileSync(table, 'utf8')))
    await succeeds(latencyLut, ['coverage', '--space', space, '--table', table])
    const { version } = JSON.parse(await succeeds(latencyLut, ['publish', table, '--json'])) as { version: string }
    await succeeds(latencyLut, ['pull', `my-device@${version}`, '--out', join(folder.path, 'pulled.json')])
    expect(JSON.parse(readFileSync(join(folder.path, 'pulled.json'), 'utf8'))).toEqual(measured)

    const config = join(folder.path, 'search.json')
    const targetMs = Object.values(measured.entries).reduce((sum, entry) => sum + entry.meanMs, 0) / 2
    writeFileSync(
      config,
      JSON.stringify({
        space: TINY_SPACE,
        dataset: { name: 'tiny' },
        latency: { targetMs, table: { name: 'my-device', version }, loss: { kind: 'add#abs' } },
        training: { steps: 600, batchSize: 16, augmentation: NO_AUGMENTATION },
      }),
    )
    const created = JSON.parse(await succeeds(gatehouse, ['search', 'create', '--config', config, '--set', 'seed=3', '--json'])) as {
      searchId: string
      agentToken: string
    }

    const browser = await launchBrowser()
    const page = await browser.newPage()
    await page.goto(`${coordinator.url}/#token=${coordinator.token}&search=${created.searchId}`)
    await page.waitForSelector(`#search[data-search-id="${created.searchId}"][data-phase="waiting"]`)
    const agent = startAgent(coordinator, created.agentToken, folder.path)
    const watched = await succeeds(gatehouse, ['search', 'watch', created.searchId, '--json'])
    expect(await agent.ended).toBe(0)
    const status = searchStatusSchema.parse(JSON.parse(watched))
    expect(status.phase).toBe('finished')
    expect(status.config.seed).toBe(3)

    // The page came along by itself.
    await page.waitForSelector('#search[data-phase="finished"]', { timeout: 30_000 })
    const shown = (field: string) => page.locator(`data[data-field="${field}"]`).first().getAttribute('value')
    expect(Number(await shown('steps.done'))).toBe(600)
    expect(Number(await shown('expectedLatencyMs'))).toBeCloseTo(distributionOf(status).expectedLatencyMs, 9)
    expect(Number(await shown('entropy.mean'))).toBeCloseTo(distributionOf(status).entropy.mean, 9)
    await browser.close()

    const derived = JSON.parse(await succeeds(gatehouse, ['search', 'derive', 'latest', '--json'])) as {
      encoding: string
      path: number[]
      latencyMs: number
    }
    expect(parseArchitecture(createSpace(TINY_SPACE), derived.encoding)).toEqual(derived.path)
    const own = JSON.parse(
      await succeeds(latencyLut, ['measure', '--space', space, '--architecture', derived.encoding, '--budget', '2', '--json']),
    ) as { meanMs: number }
    expect(own.meanMs).toBeGreaterThan(0)
    const trained = [
      'train',
      '--space',
      space,
      '--architecture',
      derived.encoding,
      '--data',
      folder.path,
      '--cache',
      join(folder.path, 'cache'),
      '--steps',
      '60',
      '--batch',
      '16',
      '--json',
    ]
    const { accuracy } = JSON.parse(await succeeds(gatehouse, trained)) as { accuracy: number }
    expect(accuracy).toBeGreaterThan(0.3)
  })

  it('is told which keys a table lacks, and no search comes of it', async () => {
    const before = await coordinator.client.listSearches()
    const create = [
      'search',
      'create',
      '--space',
      'fashion-mini',
      '--dataset',
      'd',
      '--target-ms',
      '5',
      '--table',
      'my-device',
      '--loss',
      'none',
    ]
    const { code, output } = await command(gatehouse, create)
    expect(code).toBe(2)
    expect(output).toContain('Conv-input:28x28x1-output:14x14x16')
    expect(await coordinator.client.listSearches()).toEqual(before)
  })
})
