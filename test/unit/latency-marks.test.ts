// Figures that were predicted, from the settings of a search to what a person reads.

import { describe, expect, test } from 'vitest'

import { deriveArchitectures } from '../../gatehouse/derived-architecture.ts'
import { renderArchitecture } from '../../gatehouse/render-architecture.ts'
import { renderStatus } from '../../gatehouse/render-status.ts'
import { ProblemError, searchConfigSchema } from '../../protocol/index.ts'
import { createSetup, openSearch, type SearchSetup, searchSetupSchema, searchStatus, startSearch } from '../../rules/search/index.ts'
import { createMemoryStore } from '../../rules/search/memory-store.ts'
import { type LatencyTable, latencyTableSchema } from '../../latency-lut/table/table.ts'
import { createSpace } from '../../search-space/index.ts'
import { makeConfigInput, START_MS } from '../fixtures/searches.ts'

const space = createSpace('fashion-mini')
const operations = space.measurableOperations()
const missing = operations.map(({ latencyKey }) => latencyKey).filter((key) => key.includes('expand:6-kernel:5'))

function makeIncompleteTable(): LatencyTable {
  const entries = operations
    .filter(({ latencyKey }) => !missing.includes(latencyKey))
    .map(({ latencyKey, macs }) => [latencyKey, { meanMs: 1 + macs / 1e6, stdMs: 0.1, count: 10 }])
  return latencyTableSchema.parse({
    name: 'bench',
    device: { name: 'paper' },
    runtime: { name: 'pencil' },
    inputShape: [...space.input],
    entries: Object.fromEntries(entries),
  })
}

function makeSetup(wanted: 'refuse' | 'predict'): SearchSetup {
  const table = makeIncompleteTable()
  const input = makeConfigInput({ space: { preset: 'fashion-mini' }, targetMs: 20 })
  // An operation that the table lacks is the most probable one of every block.
  const initialAlpha = space.decisions.map(({ options }) => options.map(({ name }) => (name === 'mb6k5' ? 1 : 0)))
  const config = searchConfigSchema.parse({
    ...input,
    latency: { ...input.latency, missing: wanted },
    strategy: { name: 'proxyless-g', initialAlpha },
  })
  return createSetup('s000000000000', config, { ...table, version: 'f'.repeat(64) }, START_MS)
}

function statusOf(setup: SearchSetup) {
  const store = createMemoryStore()
  startSearch(() => store, setup)
  const search = openSearch(store)
  if (!search) throw new Error('no search')
  return searchStatus(search)
}

describe('predicted latencies', () => {
  const setup = makeSetup('predict')

  test('are kept with the search, which stays readable', () => {
    expect(searchSetupSchema.parse(JSON.parse(JSON.stringify(setup)))).toEqual(setup)
    const { predicted: _, ...older } = setup
    expect(searchSetupSchema.parse(older)).toEqual(older)
  })

  test('are the same whenever they are made', () => expect(makeSetup('predict')).toEqual(setup))

  test('are said to be predicted on the screen of a search', () => {
    const text = renderStatus(statusOf(setup), 100, START_MS).replaceAll(/\s+/g, ' ')
    expect(text).toMatch(new RegExp(`; ${missing.length} operations predicted \\(RMSE \\S+ ms, [\\d.]+ % off on average\\)`))
  })

  test('are said to be predicted beside the block of an architecture', () => {
    const status = statusOf(setup)
    const [architecture] = deriveArchitectures(status, makeIncompleteTable(), [status.current.path])
    expect(architecture).toMatchObject(status.current)
    const text = architecture === undefined ? '' : renderArchitecture(architecture, 100)
    expect(text).toContain(`by table bench@ffffffff; ${space.decisions.length} of ${space.decisions.length} blocks predicted, not measured`)
    expect(text.match(/# +predicted$/gm)).toHaveLength(space.decisions.length)
  })

  test('are not made unless the settings ask for them', () => {
    expect(() => makeSetup('refuse')).toThrow(ProblemError)
    expect(() => makeSetup('refuse')).toThrow(/lacks .* operations that space fashion-mini-custom needs .*latency\.missing/)
  })
})
