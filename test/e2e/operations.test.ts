// What is done with a coordinator beside searching, by the commands of people, over HTTP.

import { createHmac } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { freePort, startCoordinator, startProcess, type Coordinator, temporaryFolder, tinySearch, tinyTable, waitFor } from './harness.ts'
import { webhookBodySchema } from '../../protocol/index.ts'

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

describe('a webhook', () => {
  it('is told of each phase in order, signed, until it has heard', async () => {
    const heard: { signature: string; body: string; answered: number }[] = []
    const server = createServer(async (request, response) => {
      const chunks: Buffer[] = []
      for await (const chunk of request) chunks.push(chunk as Buffer)
      // The first one has to be sent again.
      const answered = heard.length === 0 ? 500 : 204
      heard.push({ signature: String(request.headers['gatehouse-signature']), body: Buffer.concat(chunks).toString(), answered })
      response.writeHead(answered).end()
    }).listen(0, '127.0.0.1')
    await once(server, 'listening')
    try {
      const { searchId } = await coordinator.client.createSearch(tinySearch())
      const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`
      const { secret } = (await gatehouse('search', 'webhook', searchId, '--url', url)) as { secret: string }
      await coordinator.client.changePhase(searchId, 'pause')
      await coordinator.client.changePhase(searchId, 'stop')
      await waitFor(async () => heard.length >= 3, 'three calls of the webhook')
      const bodies = heard.map(({ body }) => webhookBodySchema.parse(JSON.parse(body)))
      expect(bodies.map(({ seq, before, phase }) => [seq, before, phase])).toEqual([
        [2, 'waiting', 'paused'],
        [2, 'waiting', 'paused'],
        [3, 'paused', 'stopped'],
      ])
      for (const body of bodies) expect(body).toMatchObject({ kind: 'phase', searchId, name: 'test' })
      for (const { signature, body } of heard) {
        const [, atMs = '', sha256] = /^t=(\d+),sha256=([0-9a-f]{64})$/.exec(signature) ?? []
        expect(sha256).toBe(createHmac('sha256', secret).update(`${atMs}.${body}`).digest('hex'))
        expect(Math.abs(Date.now() - Number(atMs))).toBeLessThan(60_000)
      }
      await waitFor(async () => (await coordinator.client.readWebhook(searchId)).waiting === 0, 'nothing to be left')
      expect(await gatehouse('search', 'webhook', searchId, '--remove')).toEqual({ searchId, url: null, waiting: 0 })
    } finally {
      server.close()
    }
  })
})
