// `gatehouse derive` against a server that answers with the status of a real search.

import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { openSearch, searchStatus, startSearch } from '../../rules/search/index.ts'
import { createMemoryStore } from '../../rules/search/memory-store.ts'
import { distributionOf } from '../../protocol/index.ts'
import { pathLatencyMs } from '../../latency-lut/table/coverage.ts'
import { architectureCosts, createSpace, fixedNetworkSchema, fromNetConfig, parseArchitecture } from '../../search-space/index.ts'
import { makeSetup, makeTable } from '../fixtures/searches.ts'
import { runGatehouse } from '../fixtures/command.ts'

// Kernels and expansions to choose from, strides, a head; alphas that differ from block to block.
const initialAlpha = [
  [0.1, 0.9, 0.4, 0.2, 2],
  [1.5, 0.2, 0.3, 0.1, 0.6],
  [0.3, 0.1, 1.2, 0.8, 1],
]
const setup = makeSetup({ kernels: [3, 5], expansions: [2, 4], headWidth: 16, strategy: { initialAlpha } })
const space = createSpace(setup.space)
const table = makeTable(space)
function statusOf(of: typeof setup) {
  const store = createMemoryStore()
  startSearch(() => store, of)
  const search = openSearch(store)
  if (!search) throw new Error('no search')
  return searchStatus(search)
}
const status = statusOf(setup)

/** What the server knows. */
let served: { status: typeof status; table: typeof table }
let server: Server
beforeEach(async () => {
  served = { status, table }
  server = createServer((request, response) => {
    const answers: Record<string, unknown> = {
      [`/v1/searches/${status.searchId}`]: served.status,
      [`/v1/latency-tables/bench/${status.latencyTable.version}`]: served.table,
    }
    const body = answers[request.url ?? '']
    response.writeHead(body === undefined ? 404 : 200, { 'content-type': 'application/json' }).end(JSON.stringify(body ?? {}))
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
})
afterEach(() => {
  server.closeAllConnections()
  server.close()
})

const gatehouse = (...args: readonly string[]) => {
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return runGatehouse(args, { env: { GATEHOUSE_COORDINATOR: url, GATEHOUSE_TOKEN: 'admin' }, columns: () => 110, rows: () => 40 })
}

type Document = {
  encoding: string
  path: number[]
  probability: number
  latencyMs: number
  macs: number
  parameters: number
  network: unknown
  blocks: { operation: string; latencyMs: number; macs: number; probability: number }[]
  fixedParts: { part: string; latencyMs: number; macs: number }[]
}
const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0)

describe('gatehouse derive', () => {
  test.each([[['derive']], [['search', 'derive']]])(
    'as %j is what the coordinator derives, with costs and latency of every part',
    async (command) => {
      const { code, out } = await gatehouse(...command, status.searchId, '--json')
      expect(code).toBe(0)
      const found = JSON.parse(out) as Document
      expect(found).toMatchObject(status.current)
      expect(parseArchitecture(space, found.encoding)).toEqual(found.path)
      const parts = [...found.fixedParts, ...found.blocks]
      expect(sum(parts.map(({ macs }) => macs))).toBe(found.macs)
      expect(sum(parts.map(({ latencyMs }) => latencyMs))).toBeCloseTo(found.latencyMs, 9)
      expect(found.fixedParts.map(({ part }) => part)).toEqual(['stem', 'head', 'classifier'])
      expect(found.probability).toBeCloseTo(
        found.blocks.reduce((product, { probability }) => product * probability, 1),
        12,
      )
    },
  )

  test('gives a network that is a space of its own, with the same costs', async () => {
    const { out } = await gatehouse('derive', status.searchId, '--json')
    const found = JSON.parse(out) as Document
    const network = fixedNetworkSchema.parse(found.network)
    const costs = architectureCosts(
      createSpace(network),
      network.blocks.map(() => 0),
    )
    expect(costs).toEqual({ macs: found.macs, parameters: found.parameters })
  })

  test('--samples gives the most probable architectures, each once, the most probable first', async () => {
    const { out } = await gatehouse('derive', status.searchId, '--samples', '7', '--json')
    const { architectures } = JSON.parse(out) as { architectures: Document[] }
    const all = distributionOf(status)
      .probabilities.reduce<number[]>((products, block) => products.flatMap((product) => block.map((p) => product * p)), [1])
      .sort((a, b) => b - a)
    expect(architectures).toHaveLength(7)
    for (const [index, { probability }] of architectures.entries()) expect(probability).toBeCloseTo(all[index] ?? Number.NaN, 12)
    expect(new Set(architectures.map(({ encoding }) => encoding)).size).toBe(7)
    expect(architectures[0]).toMatchObject(status.current)
    for (const { path, latencyMs } of architectures) expect(latencyMs).toBeCloseTo(pathLatencyMs(setup.latency, path), 9)
  })

  test('draws identities as what they are, and refuses a net.config of one that projects', async () => {
    const identities = makeSetup({
      space: { preset: 'nas-bench-macro', input: [16, 16, 3] },
      targetMs: 100,
      strategy: { initialAlpha: Array.from({ length: 8 }, () => [1, 0, 0]) },
    })
    served = { status: statusOf(identities), table: makeTable(createSpace(identities.space)) }
    const { out } = await gatehouse('derive', status.searchId)
    expect(out).toContain(`nas-bench-macro-custom:${Array.from({ length: 8 }, () => 'identity').join()}`)
    expect(out).toMatch(/stage1\.1 +identity 1x1 \/2 +8x8x64 .*ms +#+\n/)
    expect(out).toMatch(/stage1\.2 +skipped +8x8x64 +0 .*0\.0000 ms +\|\n/)
    const refused = await gatehouse('derive', status.searchId, '--net-config')
    expect(refused).toMatchObject({ code: 2, out: '' })
    expect(refused.err).toContain('a net.config has no form for the identity of block1, which projects 16×16×32 to 8×8×64 (blocks[0])')
  })

  test('draws the network from image to classes', async () => {
    const { out } = await gatehouse('derive', status.searchId)
    expect(out).toContain(`by table bench@${'f'.repeat(8)}`)
    const lines = out.trimEnd().split('\n').slice(-7)
    expect(lines.map((line) => line.split(/ {2,}/)[0])).toEqual(['input', 'stem', 'stage1.1', 'stage1.2', 'stage1.3', 'head', 'classifier'])
    expect(lines[0]).toContain('8x8x1')
    expect(lines[1]).toMatch(/conv 3x3 \/2 +4x4x8 .*ms +#+$/)
    expect(lines[2]).toMatch(/skipped +4x4x8 +0 .*0\.0000 ms +\|$/)
    expect(lines[3]).toMatch(/MBConv2 3x3 \+ +4x4x8 .*%.*ms +#+$/)
    expect(lines[4]).toMatch(/MBConv4 3x3 \+/)
    // Bars are as long as latencies, the slowest 20.
    const drawn = lines.map((line) => ({ ms: Number(/([\d.]+) ms/.exec(line)?.[1] ?? 0), bar: /#*$/.exec(line)?.[0].length ?? 0 }))
    const slowestMs = Math.max(...drawn.map(({ ms }) => ms))
    for (const { ms, bar } of drawn) expect(bar).toBe(Math.round((20 * ms) / slowestMs))
  })

  test('--net-config prints the published format of the same network', async () => {
    const [text, document] = [
      await gatehouse('derive', status.searchId, '--net-config'),
      await gatehouse('derive', status.searchId, '--json'),
    ]
    const { network } = JSON.parse(document.out) as Document
    expect(fromNetConfig(JSON.parse(text.out), { name: 'tiny-fixed', height: 8, width: 8 })).toEqual(network)
    expect((await gatehouse('derive', status.searchId, '--net-config', '--samples', '2')).code).toBe(2)
  })

  test.each(['0', '1001', 'many', '2.5'])('refuses --samples %s', async (text) => {
    expect(await gatehouse('derive', status.searchId, '--samples', text)).toMatchObject({
      code: 2,
      err: expect.stringContaining(`expected --samples to be a whole number from 1 to 1000, got "${text}"`),
    })
  })
})
