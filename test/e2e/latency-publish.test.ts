import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { latencyTableSchema } from '../../latency-lut/table/table.ts'
import { createSpace } from '../../search-space/index.ts'
import { type Coordinator, freePort, startCoordinator, startProcess, temporaryFolder, TINY_SPACE } from './harness.ts'

const folder = temporaryFolder()
const state = join(folder.path, 'state')
let coordinator: Coordinator

beforeAll(async () => {
  coordinator = await startCoordinator(state, await freePort())
})
afterAll(async () => {
  await coordinator.stop()
  folder.remove()
})

test('latency-lut publishes to the coordinator of this machine with the token in its state folder', async () => {
  const space = createSpace(TINY_SPACE)
  const table = latencyTableSchema.parse({
    name: 'made-up',
    device: { name: 'paper' },
    runtime: { name: 'pencil' },
    inputShape: space.input,
    entries: Object.fromEntries(space.measurableOperations().map(({ latencyKey }) => [latencyKey, { meanMs: 1, stdMs: 0, count: 1 }])),
    correction: { offsetMs: 0.5, factor: 2, networks: 9 },
  })
  const file = join(folder.path, 'table.json')
  writeFileSync(file, JSON.stringify(table))
  const publish = startProcess('latency-lut/profiler/cli/main.ts', ['publish', file, '--json'], {
    GATEHOUSE_COORDINATOR: coordinator.url,
    GATEHOUSE_STATE: state,
  })
  expect(await publish.ended, publish.output()).toBe(0)
  const { name, version } = JSON.parse(publish.result()) as { name: string; version: string }
  expect(await coordinator.client.readTable(name, version)).toEqual(table)
})
