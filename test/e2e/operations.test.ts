// What is done with a coordinator beside searching, by the commands of people, over HTTP.

import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { freePort, startCoordinator, startProcess, type Coordinator, temporaryFolder, tinySearch, tinyTable } from './harness.ts'

const folder = temporaryFolder()
let coordinator: Coordinator

beforeAll(async () => {
  coordinator = await startCoordinator(join(folder.path, 'state'), await freePort())
  await coordinator.client.publishTable(tinyTable())
})
afterAll(async () => {
  await coordinator.stop()
  folder.remove()
})

/** The JSON that a command prints; throws what it says where it fails. */
async function gatehouse(...args: string[]): Promise<unknown> {
  const command = startProcess('gatehouse/main.ts', [...args, '--json'], {
    GATEHOUSE_COORDINATOR: coordinator.url,
    GATEHOUSE_TOKEN: coordinator.token,
  })
  if ((await command.ended) !== 0) throw new Error(command.output())
  return JSON.parse(command.result())
}

describe('a search as a file', () => {
  it('is exported and imported by commands, and a damaged one creates nothing', async () => {
    const { searchId } = await coordinator.client.createSearch(tinySearch())
    await coordinator.client.changePhase(searchId, 'pause')
    const file = join(folder.path, 'search.jsonl')
    expect(await gatehouse('search', 'export', searchId, '--out', file)).toMatchObject({ searchId, file })
    const imported = (await gatehouse('search', 'import', file)) as { searchId: string; name: string }
    expect(imported).toMatchObject({ name: 'test' })
    const [before, after] = await Promise.all([searchId, imported.searchId].map((id) => coordinator.client.searchStatus(id)))
    expect({ ...after, searchId, createdAtMs: before?.createdAtMs }).toEqual(before)

    const listed = (await coordinator.client.listSearches()).members.length
    writeFileSync(file, readFileSync(file, 'utf8').replace('paused', 'raused'))
    await expect(gatehouse('search', 'import', file)).rejects.toThrow(/sha256/)
    expect((await coordinator.client.listSearches()).members).toHaveLength(listed)
  })
})
