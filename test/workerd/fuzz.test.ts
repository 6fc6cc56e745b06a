// Requests to every route, right, nearly right and hostile: nothing fails, every refusal is a problem document that is written down in the
// OpenAPI document, and what is refused has changed nothing. `npm run fuzz -- --requests N --seed S` sends more.

import { exports } from 'cloudflare:workers'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { problemSchema } from '../../protocol/index.ts'
import { arbitraryRequest, documentSchema, type FuzzRequest } from '../fuzz/requests.ts'
import { differences, makeScene, requestOf, type Scene, storedOf, withoutRefusals } from '../fuzz/scene.ts'
import { fuzzSettings } from '../fuzz/settings.ts'
import { call, expectJson } from './api.ts'

/** In one scene, one after the other. */
const REQUESTS_IN_A_ROW = 60
const REFUSED = 400
const FAILED = 500
const PROBLEM_TYPE = 'application/problem+json'

const { requests, seed } = fuzzSettings
const summary = { requests: 0, refused: 0, serverErrors: 0, changedByRefused: 0, statuses: {} as Record<string, number> }

/** Sends one request and looks at what became of it. Throws what is wrong with it. */
async function send(scene: Scene, request: FuzzRequest, before: Record<string, string>): Promise<Record<string, string>> {
  const { operation } = request
  const response: Response = await exports.default.fetch(requestOf(scene, request))
  const text = await response.text()
  const { status } = response
  const what = `${operation.method} ${operation.path} as ${request.sender}: ${status} ${text.slice(0, 300)}`
  summary.requests += 1
  summary.statuses[status] = (summary.statuses[status] ?? 0) + 1
  if (status >= FAILED) summary.serverErrors += 1
  expect(status, what).toBeLessThan(FAILED)
  const after = await storedOf(scene)
  if (status < REFUSED) return after
  summary.refused += 1
  expect(response.headers.get('Content-Type'), what).toBe(PROBLEM_TYPE)
  const problem = problemSchema.strict().parse(JSON.parse(text))
  expect(problem.status, what).toBe(status)
  const isDocumented = String(status) in operation.responses || problem.code === 'method-not-allowed' || problem.code === 'not-found'
  expect(isDocumented, `${what}: not documented`).toBe(true)
  const changed = problem.code === 'bad-numbers' ? differences(withoutRefusals(before), withoutRefusals(after)) : differences(before, after)
  if (changed.length > 0) summary.changedByRefused += 1
  expect(changed, what).toEqual([])
  return after
}

it('nothing fails, and what is refused is a problem document and changes nothing', { timeout: 240_000 + 200 * requests }, async () => {
  const document = documentSchema.parse(await expectJson(call('GET', '/openapi.json', { token: null })))
  const sequences = fc.array(arbitraryRequest(document), { minLength: 1, maxLength: REQUESTS_IN_A_ROW, size: 'max' })
  const runs = Math.max(1, Math.ceil((2 * requests) / REQUESTS_IN_A_ROW))
  try {
    await fc.assert(
      fc.asyncProperty(sequences, async (sequence) => {
        if (summary.requests >= requests) return
        const scene = await makeScene()
        let stored = await storedOf(scene)
        for (const request of sequence) stored = await send(scene, request, stored)
      }),
      { numRuns: 2 * runs, seed, endOnFailure: false },
    )
  } finally {
    console.log(`fuzz ${JSON.stringify({ ...summary, seed })}`)
  }
  expect(summary.requests).toBeGreaterThanOrEqual(requests)
  expect(summary.refused).toBeGreaterThan(requests / 4)
  expect(summary.requests - summary.refused).toBeGreaterThan(requests / 20)
})
