// Hostile and mistaken requests: each gets the right problem document and changes nothing that can be seen.

import { exports } from 'cloudflare:workers'
import { beforeAll, describe, expect, it } from 'vitest'
import { encodeSafetensors, type ProblemCode, type Task } from '../../protocol/index.ts'
import { makeConfigInput, makeRegistration } from '../fixtures/searches.ts'
import {
  ADMIN_TOKEN,
  call,
  callPush,
  createTestSearch,
  encodePush,
  expectProblem,
  leaseTask,
  leaseUntil,
  observe,
  registerTestAgent,
  submission,
  submitTask,
  type TestSearch,
} from './api.ts'

const STEM = 'stem/conv/conv.filter'
const KIB = 1024
const MIB = KIB * KIB

type Scene = { search: TestSearch; other: TestSearch; agentId: string; task: Task; gates: Task }
type Refusal = {
  title: string
  send: (scene: Scene) => Promise<Response>
  status: number
  code: ProblemCode
  /** Of the fields in the problem document, in any order. */
  paths?: string[]
  /** Whether it is counted against the agent: bad numbers are. */
  counted?: boolean
}

/** A POST as an agent of the search. */
const post = ({ search }: Scene, path: string, json: unknown) => call('POST', `${search.path}/${path}`, { token: search.agentToken, json })
const raw = ({ search }: Scene, path: string, body: string, type = 'application/json') =>
  call('POST', `${search.path}/${path}`, { token: search.agentToken, body, type })
const create = (changes: object) => call('POST', '/v1/searches', { json: { ...makeConfigInput(), ...changes } })
const pushBytes = (scene: Scene, body: BodyInit, taskId: number | string = 1) => callPush(scene.search, scene.agentId, taskId, body)
/** A submission whose numbers are written as this text. */
const submitText = (scene: Scene, loss: string) =>
  raw(
    scene,
    'results',
    JSON.stringify(
      submission(scene.search, scene.agentId, scene.task, { kind: 'trainWeights', loss: 12345, correct: 1, images: 2 }),
    ).replace('12345', loss),
  )
const submitGates = (scene: Scene, change: (gates: (number[] | null)[]) => unknown) => {
  const request = submission(scene.search, scene.agentId, scene.gates)
  const result = structuredClone(request.result) as Extract<typeof request.result, { kind: 'gateGradients' }>
  const steps = result.steps as unknown as { gateGradients: unknown }[]
  steps[0]!.gateGradients = change(result.steps[0]!.gateGradients)
  return post(scene, 'results', { ...request, result })
}
const tensorFile = (shape: number[], values: number[], baseVersions = `{"${STEM}":0}`) =>
  encodeSafetensors({ metadata: { baseVersions }, tensors: new Map([[STEM, { shape, values: Float32Array.from(values) }]]) }, 'F32')
/** A body that comes in pieces, without its length. */
const stream = (bytes: number) => {
  let left = bytes
  return new ReadableStream<Uint8Array>({
    pull(controller) {
      const size = Math.min(left, 256 * KIB)
      left -= size
      if (size > 0) controller.enqueue(new Uint8Array(size).fill(0x20))
      else controller.close()
    },
  })
}

const tokens: Refusal[] = [
  { title: 'no token', send: ({ search }) => call('GET', search.path, { token: null }), status: 401, code: 'unauthorized' },
  { title: 'an empty token', send: ({ search }) => call('GET', search.path, { token: '' }), status: 401, code: 'unauthorized' },
  {
    title: 'a wrong admin token',
    send: ({ search }) => call('GET', search.path, { token: `${ADMIN_TOKEN}x` }),
    status: 401,
    code: 'unauthorized',
  },
  {
    title: 'a token in another scheme',
    send: ({ search }) =>
      exports.default.fetch(new Request(`http://gatehouse${search.path}`, { headers: { Authorization: `Basic ${btoa(ADMIN_TOKEN)}` } })),
    status: 401,
    code: 'unauthorized',
  },
  {
    title: 'an agent token with another secret',
    send: ({ search, agentId }) =>
      call('POST', `${search.path}/lease`, { token: `${search.agentToken.slice(0, -43)}${'A'.repeat(43)}`, json: { agentId } }),
    status: 401,
    code: 'unauthorized',
  },
  {
    title: 'an agent token with another id',
    send: ({ search, agentId }) =>
      call('POST', `${search.path}/lease`, { token: search.agentToken.replace(search.tokenId, 't000000000000'), json: { agentId } }),
    status: 401,
    code: 'unauthorized',
  },
  {
    title: 'such a token at a shard',
    send: ({ search }) =>
      call('POST', `${search.path}/weights/0/pull`, { token: `${search.agentToken.slice(0, -43)}${'A'.repeat(43)}`, json: { held: {} } }),
    status: 401,
    code: 'unauthorized',
  },
  { title: 'no token where there is nothing', send: () => call('GET', '/v1/nothing', { token: null }), status: 401, code: 'unauthorized' },
  {
    title: 'the agent token of another search',
    send: ({ search, other, agentId }) => call('POST', `${search.path}/lease`, { token: other.agentToken, json: { agentId } }),
    status: 403,
    code: 'forbidden',
  },
  {
    title: 'the agent token of another search, to read',
    send: ({ search, other }) => call('GET', search.path, { token: other.agentToken }),
    status: 403,
    code: 'forbidden',
  },
  {
    title: 'the agent token of another search, at a shard',
    send: ({ search, other, agentId }) => callPush(search, agentId, 1, encodePush(search, { [STEM]: 0 }, 1), { token: other.agentToken }),
    status: 403,
    code: 'forbidden',
  },
  {
    title: 'an agent token, to pause',
    send: ({ search }) => call('POST', `${search.path}/pause`, { token: search.agentToken }),
    status: 403,
    code: 'forbidden',
  },
  {
    title: 'an agent token, to stop',
    send: ({ search }) => call('POST', `${search.path}/stop`, { token: search.agentToken }),
    status: 403,
    code: 'forbidden',
  },
  {
    title: 'an agent token, to delete',
    send: ({ search }) => call('DELETE', search.path, { token: search.agentToken }),
    status: 403,
    code: 'forbidden',
  },
  {
    title: 'an agent token, to list searches',
    send: ({ search }) => call('GET', '/v1/searches', { token: search.agentToken }),
    status: 403,
    code: 'forbidden',
  },
  {
    title: 'an agent token, to create a search, whatever the body',
    send: ({ search }) => call('POST', '/v1/searches', { token: search.agentToken, body: '{', type: 'application/json' }),
    status: 403,
    code: 'forbidden',
  },
  { title: 'an agent token, to issue another', send: (scene) => post(scene, 'tokens', { label: 'x' }), status: 403, code: 'forbidden' },
  {
    title: 'an agent token, to revoke',
    send: ({ search }) => call('DELETE', `${search.path}/tokens/${search.tokenId}`, { token: search.agentToken }),
    status: 403,
    code: 'forbidden',
  },
  {
    title: 'an agent token, to publish a table',
    send: ({ search }) => call('POST', '/v1/latency-tables', { token: search.agentToken, json: {} }),
    status: 403,
    code: 'forbidden',
  },
]

const bodies: Refusal[] = [
  { title: 'malformed JSON', send: (scene) => raw(scene, 'lease', '{"agentId": '), status: 400, code: 'invalid-request', paths: ['body'] },
  { title: 'an empty body', send: (scene) => raw(scene, 'lease', ''), status: 400, code: 'invalid-request', paths: ['body'] },
  { title: 'JSON that is no object', send: (scene) => raw(scene, 'lease', '[1]'), status: 400, code: 'invalid-request', paths: [''] },
  { title: 'JSON that is null', send: (scene) => raw(scene, 'results', 'null'), status: 400, code: 'invalid-request', paths: [''] },
  { title: 'deep JSON', send: (scene) => raw(scene, 'lease', '['.repeat(60_000)), status: 400, code: 'invalid-request', paths: ['body'] },
  {
    title: 'bytes that are no UTF-8',
    send: ({ search }) =>
      call('POST', `${search.path}/lease`, { token: search.agentToken, body: Uint8Array.of(0xff, 0xfe, 0x00), type: 'application/json' }),
    status: 400,
    code: 'invalid-request',
    paths: ['body'],
  },
  {
    title: 'another content type',
    send: (scene) => raw(scene, 'lease', JSON.stringify({ agentId: scene.agentId }), 'text/plain'),
    status: 415,
    code: 'unsupported-media-type',
  },
  {
    title: 'a form',
    send: (scene) => raw(scene, 'lease', `agentId=${scene.agentId}`, 'application/x-www-form-urlencoded'),
    status: 415,
    code: 'unsupported-media-type',
  },
  {
    title: 'no body at all',
    send: ({ search }) => call('POST', `${search.path}/lease`, { token: search.agentToken }),
    status: 400,
    code: 'invalid-request',
    paths: ['agentId'],
  },
  {
    title: 'weights as JSON',
    send: ({ search, agentId }) => callPush(search, agentId, 1, '{}', { type: 'application/json' }),
    status: 415,
    code: 'unsupported-media-type',
  },
  {
    title: 'unknown fields, one and another',
    send: (scene) => post(scene, 'lease', { agentId: scene.agentId, speed: 1, colour: 2 }),
    status: 400,
    code: 'invalid-request',
    paths: ['speed', 'colour'],
  },
  { title: 'a missing field', send: (scene) => post(scene, 'lease', {}), status: 400, code: 'invalid-request', paths: ['agentId'] },
  {
    title: 'a field of another type',
    send: (scene) => post(scene, 'lease', { agentId: 7 }),
    status: 400,
    code: 'invalid-request',
    paths: ['agentId'],
  },
  {
    title: 'an unknown field deep in a configuration',
    send: () => create({ training: { augmentation: { cutout: 1 } } }),
    status: 400,
    code: 'invalid-request',
    paths: ['training.augmentation.cutout'],
  },
  {
    title: 'three wrong fields in a configuration',
    send: () => create({ seed: -1, name: '', training: { steps: 0 } }),
    status: 400,
    code: 'invalid-request',
    paths: ['name', 'seed', 'training.steps'],
  },
  {
    title: 'a registration without data',
    send: (scene) => post(scene, 'agents', { name: 'x', device: 'y', backend: 'z' }),
    status: 400,
    code: 'invalid-request',
    paths: ['dataset'],
  },
  {
    title: 'a registration with data of another shape',
    send: (scene) => post(scene, 'agents', makeRegistration(scene.search.space, { shape: [9, 9, 1] })),
    status: 409,
    code: 'dataset-mismatch',
    paths: ['dataset.shape'],
  },
  {
    title: 'a name of kilobytes',
    send: (scene) => post(scene, 'agents', { ...makeRegistration(scene.search.space), name: 'x'.repeat(60 * KIB) }),
    status: 400,
    code: 'invalid-request',
    paths: ['name'],
  },
  {
    title: 'a JSON body that is too large',
    send: (scene) => post(scene, 'lease', { agentId: 'x'.repeat(4 * MIB) }),
    status: 413,
    code: 'too-large',
  },
  {
    title: 'a JSON body that is too large and does not say so',
    send: ({ search }) =>
      call('POST', `${search.path}/lease`, { token: search.agentToken, body: stream(5 * MIB), type: 'application/json' }),
    status: 413,
    code: 'too-large',
  },
  { title: 'weights that are too large', send: (scene) => pushBytes(scene, new Uint8Array(30 * MIB + 1)), status: 413, code: 'too-large' },
  {
    title: 'weights that are too large and do not say so',
    send: (scene) => pushBytes(scene, stream(31 * MIB)),
    status: 413,
    code: 'too-large',
  },
]

const results: Refusal[] = [
  ...['NaN', 'Infinity', '-Infinity'].map((loss): Refusal => ({
    title: `a result of ${loss}, which is no JSON`,
    send: (scene) => submitText(scene, loss),
    status: 400,
    code: 'invalid-request',
    paths: ['body'],
  })),
  ...['1e999', '-1e999', '1e21', '"1"', 'null', 'true'].map((loss): Refusal => ({
    title: `a result of ${loss}`,
    send: (scene) => submitText(scene, loss),
    status: 400,
    code: 'invalid-request',
    paths: ['result.loss'],
  })),
  {
    title: 'a gate gradient of 1e999',
    send: (scene) => submitGates(scene, (gates) => gates.map(() => [1e300, 0])),
    status: 400,
    code: 'invalid-request',
    paths: ['result.steps[0].gateGradients[0][0]', 'result.steps[0].gateGradients[1][0]', 'result.steps[0].gateGradients[2][0]'],
  },
  {
    title: 'gate gradients as text',
    send: (scene) => submitGates(scene, () => 'all zero'),
    status: 400,
    code: 'invalid-request',
    paths: ['result.steps[0].gateGradients'],
  },
  {
    title: 'gate gradients of too few blocks',
    send: (scene) => submitGates(scene, (gates) => gates.slice(1)),
    status: 422,
    code: 'bad-numbers',
    paths: ['result.steps[0].gateGradients'],
    counted: true,
  },
  {
    title: 'gate gradients of too many gates',
    send: (scene) => submitGates(scene, (gates) => gates.map(() => [0, 0, 0, 0])),
    status: 422,
    code: 'bad-numbers',
    paths: ['result.steps[0].gateGradients[0]'],
    counted: true,
  },
  {
    title: 'a result of another kind of task',
    send: (scene) =>
      post(
        scene,
        'results',
        submission(scene.search, scene.agentId, scene.task, { kind: 'evaluatePaths', paths: [{ crossEntropy: 1, correct: 0, images: 1 }] }),
      ),
    status: 422,
    code: 'bad-numbers',
    paths: ['result.kind'],
    counted: true,
  },
  {
    title: 'more images right than seen',
    send: (scene) =>
      post(scene, 'results', submission(scene.search, scene.agentId, scene.task, { kind: 'trainWeights', loss: 1, correct: 3, images: 2 })),
    status: 400,
    code: 'invalid-request',
    paths: ['result.correct'],
  },
  {
    title: 'time that runs backwards',
    send: (scene) => post(scene, 'results', { ...submission(scene.search, scene.agentId, scene.task), timing: { trainMs: -1, idleMs: 0 } }),
    status: 400,
    code: 'invalid-request',
    paths: ['timing.trainMs'],
  },
  {
    title: 'a task that was never created',
    send: (scene) => post(scene, 'results', { ...submission(scene.search, scene.agentId, scene.task), taskId: 1000 }),
    status: 404,
    code: 'not-found',
    paths: ['taskId'],
  },
  {
    title: 'a task number of 0',
    send: (scene) => post(scene, 'results', { ...submission(scene.search, scene.agentId, scene.task), taskId: 0 }),
    status: 400,
    code: 'invalid-request',
    paths: ['taskId'],
  },
  {
    title: 'an agent that never registered',
    send: (scene) => post(scene, 'results', submission(scene.search, 'a00000stranger'.slice(0, 13), scene.task)),
    status: 404,
    code: 'not-found',
    paths: ['agentId'],
  },
  {
    title: 'a lease for an agent that never registered',
    send: (scene) => post(scene, 'lease', { agentId: 'a000000000000' }),
    status: 404,
    code: 'not-found',
    paths: ['agentId'],
  },
  {
    title: 'a heartbeat of an agent that never registered',
    send: (scene) => post(scene, 'heartbeat', { agentId: 'a000000000000', taskId: 1, leaseId: 'l000000000000' }),
    status: 404,
    code: 'not-found',
    paths: ['agentId'],
  },
]

const weights: Refusal[] = [
  {
    title: 'NaN in weights',
    send: (scene) =>
      pushBytes(
        scene,
        encodePush(scene.search, { [STEM]: 0 }, (i) => (i === 5 ? Number.NaN : 0)),
      ),
    status: 422,
    code: 'bad-numbers',
    paths: [STEM],
    counted: true,
  },
  {
    title: 'infinity in weights',
    send: (scene) => pushBytes(scene, encodePush(scene.search, { [STEM]: 0 }, Number.POSITIVE_INFINITY)),
    status: 422,
    code: 'bad-numbers',
    paths: [STEM],
    counted: true,
  },
  {
    title: 'NaN in bf16 weights',
    send: (scene) => pushBytes(scene, encodePush(scene.search, { [STEM]: 0 }, Number.NaN, 'BF16')),
    status: 422,
    code: 'bad-numbers',
    paths: [STEM],
    counted: true,
  },
  {
    title: 'weights beyond every bound',
    send: (scene) => pushBytes(scene, encodePush(scene.search, { [STEM]: 0 }, -3e38)),
    status: 422,
    code: 'bad-numbers',
    paths: [STEM],
    counted: true,
  },
  {
    title: 'weights of another shape',
    send: (scene) => pushBytes(scene, tensorFile([72], Array(72).fill(0))),
    status: 422,
    code: 'bad-numbers',
    paths: [STEM],
    counted: true,
  },
  {
    title: 'weights of another size',
    send: (scene) => pushBytes(scene, tensorFile([3, 3, 1, 9], Array(81).fill(0))),
    status: 422,
    code: 'bad-numbers',
    paths: [STEM],
    counted: true,
  },
  {
    title: 'weights that the space does not have',
    send: (scene) => pushBytes(scene, encodePush(scene.search, { 'stem/conv/other.filter': 0 }, 0)),
    status: 422,
    code: 'bad-numbers',
    paths: ['stem/conv/other.filter'],
    counted: true,
  },
  {
    title: 'a base version from the future',
    send: (scene) => pushBytes(scene, encodePush(scene.search, { [STEM]: 1 }, 0)),
    status: 400,
    code: 'invalid-request',
    paths: [`__metadata__.baseVersions.${STEM}`],
  },
  {
    title: 'a base version of -1',
    send: (scene) => pushBytes(scene, encodePush(scene.search, { [STEM]: -1 }, 0)),
    status: 400,
    code: 'invalid-request',
    paths: [`__metadata__.baseVersions.${STEM}`],
  },
  {
    title: 'no base version for a key',
    send: (scene) => pushBytes(scene, tensorFile([3, 3, 1, 8], Array(72).fill(0), '{}')),
    status: 400,
    code: 'invalid-request',
    paths: [`__metadata__.baseVersions.${STEM}`],
  },
  {
    title: 'base versions that are no JSON',
    send: (scene) => pushBytes(scene, tensorFile([3, 3, 1, 8], Array(72).fill(0), '{')),
    status: 400,
    code: 'invalid-request',
    paths: ['__metadata__.baseVersions'],
  },
  {
    title: 'base versions that are no versions',
    send: (scene) => pushBytes(scene, tensorFile([3, 3, 1, 8], Array(72).fill(0), `{"${STEM}":0.5}`)),
    status: 400,
    code: 'invalid-request',
    paths: ['__metadata__.baseVersions'],
  },
  {
    title: 'no base versions at all',
    send: (scene) => pushBytes(scene, encodeSafetensors({ metadata: {}, tensors: new Map() }, 'F32')),
    status: 400,
    code: 'invalid-request',
    paths: ['__metadata__.baseVersions'],
  },
  {
    title: 'truncated safetensors',
    send: (scene) => pushBytes(scene, encodePush(scene.search, { [STEM]: 0 }, 0).slice(0, -4)),
    status: 400,
    code: 'invalid-request',
    paths: ['body'],
  },
  {
    title: 'safetensors with bytes left over',
    send: (scene) => pushBytes(scene, Uint8Array.of(...encodePush(scene.search, { [STEM]: 0 }, 0), 0)),
    status: 400,
    code: 'invalid-request',
    paths: ['body'],
  },
  { title: 'an empty push', send: (scene) => pushBytes(scene, new Uint8Array(0)), status: 400, code: 'invalid-request', paths: ['body'] },
  {
    title: 'noise',
    send: (scene) => pushBytes(scene, crypto.getRandomValues(new Uint8Array(4096))),
    status: 400,
    code: 'invalid-request',
    paths: ['body'],
  },
  ...['0', '-1', '1.5', 'one', '', '1e400', '9007199254740993'].map((taskId): Refusal => ({
    title: `a push of task "${taskId}"`,
    send: (scene) => pushBytes(scene, encodePush(scene.search, { [STEM]: 0 }, 1), taskId),
    status: 400,
    code: 'invalid-request',
    paths: ['taskId'],
  })),
  {
    title: 'a push of no task',
    send: ({ search, agentId }) =>
      call('POST', `${search.path}/weights/0/push?agentId=${agentId}`, {
        token: search.agentToken,
        body: encodePush(search, { [STEM]: 0 }, 1),
        type: 'application/octet-stream',
      }),
    status: 400,
    code: 'invalid-request',
    paths: ['taskId'],
  },
  {
    title: 'a push of no agent',
    send: ({ search }) => callPush(search, 'somebody', 1, encodePush(search, { [STEM]: 0 }, 1)),
    status: 400,
    code: 'invalid-request',
    paths: ['agentId'],
  },
  {
    title: 'a shard that the search does not have',
    send: ({ search, agentId }) => callPush(search, agentId, 1, encodePush(search, { [STEM]: 0 }, 1), { shard: 9 }),
    status: 404,
    code: 'not-found',
  },
  {
    title: 'a shard that is no number',
    send: ({ search }) => call('POST', `${search.path}/weights/first/pull`, { token: search.agentToken, json: { held: {} } }),
    status: 400,
    code: 'invalid-request',
    paths: ['shard'],
  },
  {
    title: 'a pull of keys that the shard does not have',
    send: (scene) => post(scene, 'weights/0/pull', { held: { 'a/b/c': 0 } }),
    status: 400,
    code: 'invalid-request',
    paths: ['held.a/b/c'],
  },
  {
    title: 'a pull with versions that are none',
    send: (scene) => post(scene, 'weights/0/pull', { held: { [STEM]: 0.5 } }),
    status: 400,
    code: 'invalid-request',
    paths: [`held.${STEM}`],
  },
]

const places: Refusal[] = [
  { title: 'a path that there is not', send: () => call('GET', '/v1/nothing'), status: 404, code: 'not-found' },
  { title: 'a path outside the API', send: () => call('POST', '/nothing', { token: null }), status: 404, code: 'not-found' },
  { title: 'a search that there is not', send: () => call('GET', '/v1/searches/s000000000000'), status: 404, code: 'not-found' },
  {
    title: 'a search id that is none',
    send: () => call('GET', '/v1/searches/latest'),
    status: 400,
    code: 'invalid-request',
    paths: ['searchId'],
  },
  {
    title: 'a path that cannot be decoded',
    send: () => call('GET', '/v1/searches/%ff'),
    status: 400,
    code: 'invalid-request',
    paths: ['searchId'],
  },
  {
    title: 'a token that there is not',
    send: ({ search }) => call('DELETE', `${search.path}/tokens/t000000000000`),
    status: 404,
    code: 'not-found',
  },
  { title: 'a table that there is not', send: () => call('GET', '/v1/latency-tables/s000000000000'), status: 404, code: 'not-found' },
  {
    title: 'a page of 0 entries',
    send: ({ search }) => call('GET', `${search.path}/log?limit=0`),
    status: 400,
    code: 'invalid-request',
    paths: ['limit'],
  },
  {
    title: 'a page that starts nowhere',
    send: ({ search }) => call('GET', `${search.path}/metrics?after=x&limit=9999`),
    status: 400,
    code: 'invalid-request',
    paths: ['after', 'limit'],
  },
  {
    title: 'a page asked for twice',
    send: ({ search }) => call('GET', `${search.path}/log?after=1&after=2`),
    status: 400,
    code: 'invalid-request',
    paths: ['after'],
  },
  {
    title: 'a list before an impossible time',
    send: () => call('GET', '/v1/searches?before=-1'),
    status: 400,
    code: 'invalid-request',
    paths: ['before'],
  },
]

describe('a request that is refused changes nothing and says why', () => {
  let scene: Scene
  beforeAll(async () => {
    const search = await createTestSearch({ steps: 40, zero: false, strategy: { warmupSteps: 0 } })
    const other = await createTestSearch()
    const agentId = await registerTestAgent(search)
    await submitTask(search, agentId, await leaseTask(search, agentId))
    const gates = await leaseUntil(search, agentId, 'gateGradients')
    const task = await leaseUntil(search, agentId, 'trainWeights')
    scene = { search, other, agentId, task, gates }
  })

  it.each([...tokens, ...bodies, ...results, ...weights, ...places])(
    '$title: $status',
    async ({ send, status, code, paths, counted = false }) => {
      const before = await observe(scene.search)
      const problem = await expectProblem(send(scene), status, code)
      if (paths) expect(new Set(problem.errors.map((error) => error.path))).toEqual(new Set(paths))
      const after = await observe(scene.search)
      const agent = before.status.agents[0]
      if (counted && agent) {
        agent.refusedPushes += 1
        agent.lastSeenAtMs = after.status.agents[0]?.lastSeenAtMs ?? 0
      }
      expect(after).toEqual(before)
    },
  )

  it.each([
    ['GET', '/lease', 'POST'],
    ['DELETE', '/results', 'POST'],
    ['PUT', '', 'GET, DELETE'],
    ['PATCH', '/tokens', 'GET, POST'],
    ['POST', '/log', 'GET'],
    ['GET', '/weights/0/push', 'POST'],
  ])('%s of …%s: 405, and Allow says what is offered', async (method, path, allow) => {
    const before = await observe(scene.search)
    const response = await call(method, `${scene.search.path}${path}`)
    expect(response.headers.get('Allow')).toBe(allow)
    const problem = await expectProblem(response, 405, 'method-not-allowed')
    expect(problem.detail).toContain(allow)
    expect(await observe(scene.search)).toEqual(before)
  })

  it('the last mistake still lets the agent deliver', async () => {
    expect(await submitTask(scene.search, scene.agentId, scene.gates)).toEqual({ kind: 'accepted' })
    expect(await submitTask(scene.search, scene.agentId, scene.task)).toEqual({ kind: 'accepted' })
  })

  it('a revoked token is refused everywhere', async () => {
    const search = await createTestSearch()
    const agentId = await registerTestAgent(search)
    const task = await leaseTask(search, agentId)
    expect((await call('DELETE', `${search.path}/tokens/${search.tokenId}`)).status).toBe(204)
    const { token, ...rest } = { token: search.agentToken, ...search }
    for (const request of [
      () => call('GET', rest.path, { token }),
      () => call('POST', `${rest.path}/lease`, { token, json: { agentId } }),
      () => call('POST', `${rest.path}/results`, { token, json: submission(search, agentId, task) }),
      () => call('POST', `${rest.path}/agents`, { token, json: makeRegistration(search.space) }),
      () => call('POST', `${rest.path}/weights/0/pull`, { token, json: { held: {} } }),
      () => callPush(search, agentId, task.taskId, encodePush(search, { [STEM]: 0 }, 1)),
    ]) {
      await expectProblem(request(), 401, 'unauthorized')
    }
  })
})
