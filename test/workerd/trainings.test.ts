import { abortAllDurableObjects, evictDurableObject, runDurableObjectAlarm, runInDurableObject } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { describe, expect, it } from 'vitest'
import {
  createTrainingResponseSchema,
  downloadParts,
  filePartOf,
  PART_BYTES,
  printContentRange,
  trainingLeaseResponseSchema,
  type TrainingSpec,
  trainingStatusSchema,
  trainingSummarySchema,
  type TrainingUploadEnd,
  trainingUploadSchema,
  uploadParts,
} from '../../protocol/index.ts'
import {
  AGENT_A,
  AGENT_B,
  encodeTrainingCheckpoint,
  encodeTrainingResult,
  makeLeaseRequest,
  makeReports,
  makeResult,
  makeTrainingInput,
  makeTrainingSpec,
} from '../fixtures/trainings.ts'
import { call, createTestSearch, expectJson, expectProblem } from './api.ts'

const MIB = 1024 * 1024
const BINARY = 'application/octet-stream'

type TestTraining = { readonly trainingId: string; readonly agentToken: string; readonly path: string; readonly spec: TrainingSpec }

/** A lease of a minute, so that none ends by itself on a slow machine; tests about leases say otherwise. */
async function createTestTraining(options: Parameters<typeof makeTrainingInput>[0] = {}): Promise<TestTraining> {
  const named = { leaseMs: 60_000, ...options }
  const created = createTrainingResponseSchema
    .strict()
    .parse(await expectJson(call('POST', '/v1/trainings', { json: makeTrainingInput(named) }), 201))
  return { ...created, path: `/v1/trainings/${created.trainingId}`, spec: makeTrainingSpec(named) }
}

const post = ({ path, agentToken }: TestTraining, place: string, json: unknown) =>
  call('POST', `${path}/${place}`, { token: agentToken, json })
const askLease = async (training: TestTraining, agentId = AGENT_A) =>
  trainingLeaseResponseSchema.parse(await expectJson(post(training, 'lease', makeLeaseRequest(training.spec, agentId))))

async function takeLease(training: TestTraining, agentId = AGENT_A): Promise<string> {
  const answer = await askLease(training, agentId)
  if (answer.kind !== 'lease') throw new Error(`expected a lease, got ${answer.kind}`)
  return answer.leaseId
}

const put = ({ path, agentToken }: TestTraining, leaseId: string, body: BodyInit, type = BINARY) =>
  call('PUT', `${path}/checkpoint?leaseId=${leaseId}`, { token: agentToken, body, type })
const putStep = (training: TestTraining, leaseId: string, step: number) =>
  put(training, leaseId, encodeTrainingCheckpoint(training.spec, step))
const finish = ({ path, agentToken }: TestTraining, leaseId: string, body: BodyInit, type = BINARY) =>
  call('POST', `${path}/finish?leaseId=${leaseId}`, { token: agentToken, body, type })
const kindOf = async (response: Promise<Response>) => trainingUploadSchema.parse(await expectJson(response)).kind
const readStatus = async ({ path }: { path: string }) => trainingStatusSchema.strict().parse(await expectJson(call('GET', path)))
async function readBytes(training: TestTraining, what: 'checkpoint' | 'model', token = training.agentToken): Promise<Uint8Array> {
  const response = await call('GET', `${training.path}/${what}`, { token })
  expect(response.status).toBe(200)
  expect(response.headers.get('Content-Type')).toBe(BINARY)
  return new Uint8Array(await response.arrayBuffer())
}

const objectOf = ({ trainingId }: { trainingId: string }) => env.TRAINING.getByName(trainingId)
const query = <T extends Record<string, SqlStorageValue>>(training: { trainingId: string }, sql: string) =>
  runInDurableObject(objectOf(training), (_, { storage }) => storage.sql.exec<T>(sql).toArray())
const tablesOf = async (training: { trainingId: string }) =>
  (
    await query<{ name: string }>(training, "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE '\\_cf%' ESCAPE '\\'")
  ).map(({ name }) => name)

describe('a training', () => {
  it('goes from its creation to a network that can be fetched, and is listed as it goes', async () => {
    const training = await createTestTraining({ name: 'whole' })
    const listed = async () => {
      const { trainings } = (await expectJson(call('GET', '/v1/trainings'))) as { trainings: unknown[] }
      return trainings.map((summary) => trainingSummarySchema.strict().parse(summary)).find(({ name }) => name === 'whole')
    }
    expect(await listed()).toMatchObject({ trainingId: training.trainingId, phase: 'waiting', epoch: 0, accuracy: null })
    const answer = await askLease(training)
    expect(answer).toMatchObject({ kind: 'lease', checkpointStep: null, spec: training.spec, space: { name: 'tiny' } })
    const leaseId = await takeLease(training)
    expect((await askLease(training, AGENT_B)).kind).toBe('wait')
    expect(await kindOf(putStep(training, leaseId, 10))).toBe('stored')
    const progress = { step: 13, steps: 20, stepsPerEpoch: 10, loss: 0.5, imagesPerSecond: null }
    expect(await expectJson(post(training, 'heartbeat', { leaseId, progress }))).toEqual({ kind: 'extended' })
    expect(await readStatus(training)).toMatchObject({ phase: 'training', progress, loss: 2, checkpoint: { step: 10 } })
    expect(await expectJson(post(training, 'release', { leaseId }))).toEqual({ kind: 'released' })

    const next = await takeLease(training, AGENT_B)
    expect(await readBytes(training, 'checkpoint')).toEqual(encodeTrainingCheckpoint(training.spec, 10))
    await putStep(training, next, 20)
    const model = encodeTrainingResult(training.spec, makeResult(20))
    expect(await kindOf(finish(training, next, model))).toBe('stored')
    expect(await readBytes(training, 'model', 'admin-token-of-the-tests-0123456789')).toEqual(model)
    expect(await listed()).toMatchObject({ phase: 'finished', epoch: 2, accuracy: 0.51 })
    expect(await askLease(training)).toEqual({ kind: 'ended', end: 'finished' })
    expect((await readStatus(training)).reports).toEqual(makeReports(20))
  })

  it('takes deliveries again, and late ones, for what they are', async () => {
    const training = await createTestTraining()
    const leaseId = await takeLease(training)
    expect(await kindOf(putStep(training, leaseId, 10))).toBe('stored')
    expect(await kindOf(putStep(training, leaseId, 10))).toBe('duplicate')
    await expectProblem(putStep(training, leaseId, 9), 409, 'conflict')
    expect(await kindOf(putStep(training, 'l000000000000', 20))).toBe('lost')
    expect(await expectJson(post(training, 'heartbeat', { leaseId: 'l000000000000' }))).toEqual({ kind: 'lost' })
    expect(await expectJson(post(training, 'release', { leaseId: 'l000000000000' }))).toEqual({ kind: 'lost' })
    const model = encodeTrainingResult(training.spec, makeResult(10))
    expect(await kindOf(finish(training, 'l000000000000', model))).toBe('lost')
    expect(await kindOf(finish(training, leaseId, model))).toBe('stored')
    expect(await kindOf(finish(training, leaseId, model))).toBe('duplicate')
    expect(await kindOf(putStep(training, leaseId, 20))).toBe('lost')
    expect((await readStatus(training)).duplicates).toBe(1)
  })

  it('refuses what does not fit, with the field named, and is as it was', async () => {
    const training = await createTestTraining()
    const other = await createTestTraining()
    const search = await createTestSearch()
    const leaseId = await takeLease(training)
    await putStep(training, leaseId, 10)
    const before = await readStatus(training)
    const { path, agentToken, spec } = training
    const whole = encodeTrainingCheckpoint(spec, 20)
    const lease = makeLeaseRequest(spec)
    const create = (changes: object) => call('POST', '/v1/trainings', { json: { ...makeTrainingInput(), ...changes } })
    const cases: [Promise<Response>, number, string, string?][] = [
      [put(training, leaseId, 'not a checkpoint'), 400, 'invalid-request', 'body'],
      [put(training, leaseId, encodeTrainingCheckpoint({ ...spec, seed: 4 }, 20)), 409, 'conflict', '__metadata__.state.identity.seed'],
      [put(training, 'x', whole), 400, 'invalid-request', 'leaseId'],
      [call('PUT', `${path}/checkpoint`, { token: agentToken, body: whole, type: BINARY }), 400, 'invalid-request', 'leaseId'],
      [put(training, leaseId, whole, 'application/json'), 415, 'unsupported-media-type'],
      [put(training, leaseId, new Uint8Array(31 * MIB)), 413, 'too-large'],
      [finish(training, leaseId, new Uint8Array(31 * MIB)), 413, 'too-large'],
      [finish(training, leaseId, encodeTrainingResult(spec, makeResult(20))), 409, 'conflict', '__metadata__.result.steps'],
      [finish(training, leaseId, encodeTrainingResult(spec, makeResult(10), Number.NaN)), 422, 'bad-numbers'],
      [post(training, 'lease', { ...lease, agentId: 'me' }), 400, 'invalid-request', 'agentId'],
      [
        post(training, 'lease', makeLeaseRequest(spec, AGENT_B, { fingerprint: 'b'.repeat(64) })),
        409,
        'dataset-mismatch',
        'dataset.fingerprint',
      ],
      [
        post(training, 'heartbeat', { leaseId, progress: { step: 1, steps: 2, stepsPerEpoch: 1, loss: null, imagesPerSecond: 1 } }),
        400,
        'invalid-request',
        'progress.loss',
      ],
      [create({ recipe: { epochs: 0 } }), 400, 'invalid-request', 'recipe.epochs'],
      [create({ recipe: { epoch: 3 } }), 400, 'invalid-request', 'recipe.epoch'],
      [create({ architecture: 'tiny:mb2k3' }), 400, 'invalid-request', 'architecture'],
      [create({ space: 'no-such-space' }), 400, 'invalid-request'],
      [call('GET', path, { token: null }), 401, 'unauthorized'],
      [call('GET', path, { token: `${agentToken.slice(0, -43)}${'A'.repeat(43)}` }), 401, 'unauthorized'],
      [call('GET', path, { token: other.agentToken }), 403, 'forbidden'],
      [call('GET', path, { token: search.agentToken }), 403, 'forbidden'],
      [call('PUT', `${path}/checkpoint?leaseId=${leaseId}`, { token: other.agentToken, body: whole, type: BINARY }), 403, 'forbidden'],
      [call('GET', search.path, { token: agentToken }), 403, 'forbidden'],
      [call('GET', '/v1/trainings', { token: agentToken }), 403, 'forbidden'],
      [call('POST', '/v1/trainings', { token: agentToken, json: makeTrainingInput() }), 403, 'forbidden'],
      [call('DELETE', path, { token: agentToken }), 403, 'forbidden'],
      [call('PUT', `${path}/inputs/initial`, { token: agentToken, body: whole, type: BINARY }), 403, 'forbidden'],
      [call('PUT', `${path}/inputs/initial`, { body: whole, type: BINARY }), 409, 'conflict', 'input'],
      [call('PUT', `${path}/inputs/other`, { body: whole, type: BINARY }), 400, 'invalid-request', 'input'],
      [call('GET', `${path}/inputs/teacher`, { token: agentToken }), 404, 'not-found'],
      [call('GET', `${path}/model`), 404, 'not-found'],
      [call('PUT', `${path}/model`, { body: whole, type: BINARY }), 405, 'method-not-allowed'],
      [call('GET', '/v1/trainings/x'), 400, 'invalid-request', 'trainingId'],
      [call('GET', `${other.path}/checkpoint`), 404, 'not-found'],
    ]
    for (const [response, status, code, field] of cases) {
      const problem = await expectProblem(response, status, code)
      if (field !== undefined) expect(problem.errors.map((error) => error.path)).toContain(field)
    }
    expect(await readStatus(training)).toEqual(before)
    expect(await readBytes(training, 'checkpoint')).toEqual(encodeTrainingCheckpoint(spec, 10))
  })

  it.each([
    ['an eviction', (training: TestTraining) => evictDurableObject(objectOf(training))],
    ['a crash of every object', () => abortAllDurableObjects()],
  ])('has everything that was acknowledged after %s', async (_, restart) => {
    // Weights and velocities of the classifier alone are 2.56 MB: several rows.
    const training = await createTestTraining({ classes: 40_000 })
    const leaseId = await takeLease(training)
    for (const step of [10, 20]) await putStep(training, leaseId, step)
    const before = await readStatus(training)
    await restart(training)
    expect(await readStatus(training)).toEqual(before)
    const [found, wanted] = [await readBytes(training, 'checkpoint'), encodeTrainingCheckpoint(training.spec, 20)]
    expect(found.length === wanted.length && found.every((byte, i) => byte === wanted[i])).toBe(true)
    expect(await kindOf(putStep(training, leaseId, 20))).toBe('duplicate')
    await finish(training, leaseId, encodeTrainingResult(training.spec, makeResult(20)))
    await restart(training)
    expect((await readStatus(training)).phase).toBe('finished')
    expect((await readBytes(training, 'model')).length).toBe(encodeTrainingResult(training.spec, makeResult(20)).length)
  })

  it('of a large network is sent in parts, and fetched in parts or as a whole', async () => {
    // Weights and velocities of the classifier alone are 12.8 MB.
    const training = await createTestTraining({ classes: 100_000, headWidth: 16 })
    const leaseId = await takeLease(training)
    const file = encodeTrainingCheckpoint(training.spec, 10)
    expect(file.length).toBeGreaterThan(PART_BYTES)
    const { path, agentToken: token } = training
    const put = (body: Uint8Array<ArrayBuffer>, range: string, upload = 'u000000000001') =>
      call('PUT', `${path}/checkpoint?leaseId=${leaseId}&upload=${upload}`, {
        token,
        body,
        type: BINARY,
        headers: { 'Content-Range': range },
      })
    const first = file.slice(0, PART_BYTES)
    for (const range of ['bytes 0-8388607', 'bytes 5-2/9', `bytes 0-7/${file.length}`, `bytes 1-${PART_BYTES}/${file.length}`]) {
      const problem = await expectProblem(put(first, range), 400, 'invalid-request')
      expect(problem.errors.map((error) => error.path)).toEqual(['Content-Range'])
    }
    await expectProblem(put(first, `bytes 0-${PART_BYTES - 1}/${file.length}`, 'x'), 400, 'invalid-request')
    const answer = await uploadParts<TrainingUploadEnd>(file, async (bytes, part) =>
      trainingUploadSchema.parse(await expectJson(put(bytes, printContentRange(part)))),
    )
    expect(answer.kind).toBe('stored')

    const isFile = (bytes: Uint8Array) => bytes.length === file.length && bytes.every((byte, i) => byte === file[i])
    expect(isFile(await readBytes(training, 'checkpoint'))).toBe(true)
    const ranges: string[] = []
    const read = async (begin: number) => {
      const response = await call('GET', `${path}/checkpoint`, { token, headers: { Range: `bytes=${begin}-` } })
      ranges.push(`${response.status} ${response.headers.get('Content-Range')}`)
      return filePartOf(response.status, response.headers, new Uint8Array(await response.arrayBuffer()))
    }
    expect(isFile(await downloadParts(read))).toBe(true)
    expect(ranges).toEqual([`206 bytes 0-${PART_BYTES - 1}/${file.length}`, `206 bytes ${PART_BYTES}-${file.length - 1}/${file.length}`])
    const beyond = call('GET', `${path}/checkpoint`, { token, headers: { Range: `bytes=${file.length}-` } })
    expect((await expectProblem(beyond, 400, 'invalid-request')).errors.map((error) => error.path)).toEqual(['Range'])
  })

  it('keeps one checkpoint, in rows of at most a mebibyte, and after its end the network as well', async () => {
    const training = await createTestTraining({ classes: 40_000 })
    const leaseId = await takeLease(training)
    const sizes = async () =>
      (await query<{ bytes: number }>(training, 'SELECT length(data) AS bytes FROM chunks')).map(({ bytes }) => bytes)
    for (const step of [10, 20, 30]) {
      await putStep(training, leaseId, step)
      const rows = await sizes()
      expect(rows.reduce((sum, bytes) => sum + bytes, 0)).toBe(encodeTrainingCheckpoint(training.spec, step).length)
      expect(rows.length).toBeGreaterThan(2)
      expect(Math.max(...rows)).toBe(MIB)
    }
    const model = encodeTrainingResult(training.spec, makeResult(30))
    await finish(training, leaseId, model)
    const kept = encodeTrainingCheckpoint(training.spec, 30).length + model.length
    expect((await sizes()).reduce((sum, bytes) => sum + bytes, 0)).toBe(kept)
  })

  it('is paused, resumed and stopped by the administrator, and keeps its checkpoint', async () => {
    const training = await createTestTraining()
    const { path, agentToken, trainingId } = training
    const leaseId = await takeLease(training)
    await putStep(training, leaseId, 10)
    const command = (name: string) => call('POST', `${path}/${name}`)
    await expectProblem(call('POST', `${path}/stop`, { token: agentToken }), 403, 'forbidden')
    await expectProblem(call('POST', '/v1/trainings/r00madeupid00/pause'), 404, 'not-found')
    expect(await expectJson(command('pause'))).toEqual({ phase: 'paused' })
    expect(await askLease(training, AGENT_B)).toMatchObject({ kind: 'wait' })
    expect(await expectJson(post(training, 'release', { leaseId, reason: 'failed', message: 'out of memory' }))).toEqual({
      kind: 'released',
    })
    await evictDurableObject(objectOf({ trainingId }))
    expect(await askLease(training, AGENT_B)).toMatchObject({ kind: 'wait', reason: 'paused' })
    expect((await readStatus(training)).faults).toMatchObject([{ name: AGENT_A, kind: 'failed', message: 'out of memory', step: 10 }])
    expect(await expectJson(command('resume'))).toEqual({ phase: 'waiting' })
    const next = await takeLease(training, AGENT_B)
    expect(await expectJson(command('stop'))).toEqual({ phase: 'stopped' })
    expect(await kindOf(putStep(training, next, 20))).toBe('lost')
    await expectProblem(command('pause'), 409, 'conflict')
    expect(await readBytes(training, 'checkpoint')).toEqual(encodeTrainingCheckpoint(training.spec, 10))
  })

  it('has tokens of its own to give and to revoke; its leases are shown to the administrator alone', async () => {
    const training = await createTestTraining()
    const { path } = training
    const leaseId = await takeLease(training)
    const made = (await expectJson(call('POST', `${path}/tokens`, { json: { label: 'lab' } }), 201)) as {
      tokenId: string
      agentToken: string
    }
    const shown = await expectJson(call('GET', path, { token: made.agentToken }))
    expect(JSON.stringify(shown)).not.toContain(leaseId)
    expect(JSON.stringify(await readStatus(training))).toContain(leaseId)
    const { tokens } = (await expectJson(call('GET', `${path}/tokens`))) as { tokens: { label: string }[] }
    expect(tokens.map(({ label }) => label).toSorted()).toEqual(['first', 'lab'])
    expect((await call('DELETE', `${path}/tokens/${made.tokenId}`)).status).toBe(204)
    await expectProblem(call('GET', path, { token: made.agentToken }), 401, 'unauthorized')
    await expectProblem(call('DELETE', `${path}/tokens/${made.tokenId}`), 404, 'not-found')
    await expectProblem(call('GET', `${path}/tokens`, { token: training.agentToken }), 403, 'forbidden')
    expect((await call('GET', path, { token: training.agentToken })).status).toBe(200)
  })

  it('that lost its agent is free again when the alarm rings', async () => {
    const training = await createTestTraining({ leaseMs: 1000 })
    await takeLease(training)
    const due = await runInDurableObject(objectOf(training), (_, { storage }) => storage.getAlarm())
    expect(due).toBeLessThanOrEqual(Date.now() + 1000)
    await evictDurableObject(objectOf(training))
    await new Promise((resolve) => setTimeout(resolve, (due as number) - Date.now() + 20))
    // The real alarm may or may not have rung by itself.
    await runDurableObjectAlarm(objectOf(training))
    expect(await readStatus(training)).toMatchObject({ phase: 'waiting', expiredLeases: 1, trainers: [{ end: 'expired' }] })
    expect((await askLease(training, AGENT_B)).kind).toBe('lease')
  })

  it('uses no storage under ids that were made up, holds no token, and leaves nothing when it is deleted', async () => {
    const made = { trainingId: 'r00madeupid00' }
    await expectProblem(call('GET', `/v1/trainings/${made.trainingId}`), 404, 'not-found')
    await expectProblem(
      call('POST', `/v1/trainings/${made.trainingId}/heartbeat`, {
        token: `gha.${made.trainingId}.t000000000000.${'x'.repeat(43)}`,
        json: { leaseId: 'l000000000000' },
      }),
      404,
      'not-found',
    )
    expect(await tablesOf(made)).toEqual([])

    const training = await createTestTraining()
    const leaseId = await takeLease(training)
    await putStep(training, leaseId, 10)
    const secret = training.agentToken.split('.')[3] as string
    for (const table of await tablesOf(training)) {
      expect(JSON.stringify(await query(training, `SELECT * FROM ${table}`))).not.toContain(secret)
    }
    expect((await call('DELETE', training.path)).status).toBe(204)
    expect(await tablesOf(training)).toEqual([])
    expect(await runInDurableObject(objectOf(training), (_, { storage }) => storage.getAlarm())).toBeNull()
    await expectProblem(putStep(training, leaseId, 20), 404, 'not-found')
    await expectProblem(call('DELETE', training.path), 404, 'not-found')
    const { trainings } = (await expectJson(call('GET', '/v1/trainings'))) as { trainings: { trainingId: string }[] }
    expect(trainings.map(({ trainingId }) => trainingId)).not.toContain(training.trainingId)
  })
})
