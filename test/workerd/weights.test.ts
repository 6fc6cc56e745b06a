import { evictDurableObject } from 'cloudflare:test'
import { describe, expect, it } from 'vitest'
import { decodeSafetensors, encodeSafetensors, exportPageSchema, velocityKey } from '../../protocol/index.ts'
import { fromBfloat16, roundToBfloat16, roundToInt8, toBfloat16 } from '../../protocol/rounding.ts'
import { elementCount, initialWeights } from '../../search-space/index.ts'
import { SLICED_SPACE } from '../fixtures/sliced-space.ts'
import {
  call,
  callPush,
  createTestSearch,
  encodePush,
  expectJson,
  expectProblem,
  keysOf,
  pullShard,
  push,
  readStatus,
  registerTestAgent,
  shardObject,
  type TestSearch,
} from './api.ts'

const STEM = 'stem/conv/conv.filter'
const BIAS = 'classifier/conv/linear.bias'

const start = (search: TestSearch, key: string) => {
  const spec = search.space.weightSpecs.find((candidate) => candidate.key === key)
  if (!spec) throw new Error(`expected a weight ${key}`)
  return initialWeights(spec, search.config.seed)
}

async function weightsOf(search: TestSearch, key: string, shard = 0): Promise<Float32Array> {
  const values = (await pullShard(search, shard, { [key]: -1 })).values.get(key)
  if (!values) throw new Error(`expected ${key} in the answer`)
  return values
}

/** What float32 makes of w + s·d, one rounding. */
const added = (weights: Float32Array, delta: (i: number) => number, scale = 1) =>
  weights.map((w, i) => Math.fround(w + scale * Math.fround(delta(i))))

describe('a pull', () => {
  it('gives version 0 as every agent computes it, so that nothing need be sent', async () => {
    const search = await createTestSearch()
    const { values, versions } = await pullShard(search, 0)
    expect([...values.keys()].toSorted()).toEqual(keysOf(search, 0).toSorted())
    for (const [key, weights] of values) expect(weights).toEqual(start(search, key))
    expect(new Set(Object.values(versions))).toEqual(new Set([0]))
    const held = await pullShard(search, 0, versions)
    expect(held.values.size).toBe(0)
    expect(held.bytes).toBeLessThan(100)
  })

  it('gives only what has changed since the versions held', async () => {
    const search = await createTestSearch()
    const agentId = await registerTestAgent(search)
    await push(search, agentId, 1, encodePush(search, { [STEM]: 0 }, 0.5))
    const changed = await pullShard(search, 0, { [STEM]: 0, [BIAS]: 0 })
    expect(changed.versions).toEqual({ [STEM]: 1 })
    expect([...changed.values.keys()]).toEqual([STEM])
    expect((await pullShard(search, 0, { [STEM]: 1, [BIAS]: 0 })).values.size).toBe(0)
  })

  it('gives each shard its own keys, together every key once', async () => {
    const search = await createTestSearch({ weights: { shardBytes: 2048 } })
    const seen: string[] = []
    for (let shard = 0; shard < search.shards; shard++) seen.push(...(await pullShard(search, shard)).values.keys())
    expect(search.shards).toBeGreaterThan(2)
    expect(seen.toSorted()).toEqual(search.space.weightSpecs.map((spec) => spec.key).toSorted())
  })

  it('in bf16 has half the bytes and the nearest values; the coordinator keeps float32', async () => {
    const search = await createTestSearch({ weights: { encoding: 'bf16' } })
    const agentId = await registerTestAgent(search)
    const tiny = () => 2 ** -14
    // Too small to be seen in bf16 beside the weight, yet 64 of them are not lost.
    for (let taskId = 1; taskId <= 64; taskId++)
      await push(search, agentId, taskId, encodePush(search, { [STEM]: taskId - 1 }, tiny, 'BF16'))
    let wanted = start(search, STEM)
    for (let i = 0; i < 64; i++) wanted = added(wanted, tiny)
    expect(await weightsOf(search, STEM)).toEqual(fromBfloat16(toBfloat16(wanted)))
    const full = await createTestSearch({ weights: { encoding: 'fp32' } })
    const bytes = async (of: TestSearch) => (await pullShard(of, 0, { 'stage1.1/mb3k3/expand.filter': -1 })).bytes
    expect((await bytes(full)) - (await bytes(search))).toBeGreaterThan(8 * 24 * 2 - 40)
  })
})

describe('a velocity', () => {
  const VELOCITY = velocityKey(STEM)
  const shape = (search: TestSearch) => search.space.weightSpecs.find(({ key }) => key === STEM)?.shape ?? []

  it('is zero at first, and pushed and pulled beside its weight', async () => {
    const search = await createTestSearch()
    const agentId = await registerTestAgent(search)
    const count = elementCount(shape(search))
    expect(await weightsOf(search, VELOCITY)).toEqual(new Float32Array(count))
    const values = Float32Array.from({ length: count }, (_, i) => i / 8)
    const tensors = new Map([
      [STEM, { shape: shape(search), values: new Float32Array(count).fill(0.5) }],
      [VELOCITY, { shape: shape(search), values }],
    ])
    const metadata = { baseVersions: JSON.stringify({ [STEM]: 0, [VELOCITY]: 0 }) }
    const answer = await push(search, agentId, 1, encodeSafetensors({ metadata, tensors }, 'F32'))
    expect(answer).toEqual({ kind: 'applied', versions: { [STEM]: 1, [VELOCITY]: 1 }, scales: {} })
    expect(await weightsOf(search, VELOCITY)).toEqual(values)
    expect(await weightsOf(search, STEM)).toEqual(added(start(search, STEM), () => 0.5))
  })
})

describe('under int8', () => {
  it('differences are added as their sender knows that they arrive, and weights are pulled as bf16', async () => {
    const search = await createTestSearch({ weights: { encoding: 'int8' } })
    const agentId = await registerTestAgent(search)
    const delta = (i: number) => Math.sin(i) / 3
    const pushed = encodePush(search, { [STEM]: 0 }, delta, 'I8')
    expect((await push(search, agentId, 1, pushed)).kind).toBe('applied')
    const kept = roundToInt8(Float32Array.from(start(search, STEM), (_, i) => delta(i)))
    const wanted = added(start(search, STEM), (i) => kept[i] as number)
    expect(await weightsOf(search, STEM)).toEqual(roundToBfloat16(wanted))
  })

  it.each([
    [Number.NaN, 'its scale is NaN'],
    [-1, 'its scale is -1'],
    [Number.POSITIVE_INFINITY, 'its scale is Infinity'],
    [1e30, 'its scale is 1.0000000150474662e+30'],
  ])('a scale of %d is refused, and its tensor named', async (scale, message) => {
    const search = await createTestSearch({ weights: { encoding: 'int8' } })
    const agentId = await registerTestAgent(search)
    // All values are 0, so nothing but the scale is wrong.
    const bytes = encodePush(search, { [STEM]: 0 }, 0, 'I8')
    const headerBytes = Number(new DataView(bytes.buffer).getBigUint64(0, true))
    new DataView(bytes.buffer).setFloat32(8 + headerBytes, scale, true)
    const problem = await expectProblem(callPush(search, agentId, 1, bytes), 422, 'bad-numbers')
    expect(problem.errors).toEqual([{ path: STEM, message: `${message}, expected a finite number, 0 or above` }])
    expect(await weightsOf(search, STEM)).toEqual(roundToBfloat16(start(search, STEM)))
  })

  it('a file that claims more than the shard has is refused before it is unpacked', async () => {
    const search = await createTestSearch({ weights: { encoding: 'int8' } })
    const agentId = await registerTestAgent(search)
    const tensors = new Map([[STEM, { shape: [20 * 1024 * 1024], values: new Float32Array(20 * 1024 * 1024) }]])
    const bytes = encodeSafetensors({ metadata: { baseVersions: `{"${STEM}":0}` }, tensors }, 'I8')
    const problem = await expectProblem(callPush(search, agentId, 1, bytes), 422, 'bad-numbers')
    expect(problem.errors[0]?.message).toContain('expected shape')
  })
})

describe('bodies on their way', () => {
  /** A body without a length that is sent when it is told to be. */
  function heldBack(bytes: Uint8Array) {
    let release: () => void = () => undefined
    const released = new Promise<void>((resolve) => (release = resolve))
    const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>()
    const writer = writable.getWriter()
    /** Somebody has begun to read. */
    const begun = writer.write(bytes.slice(0, 100))
    const written = (async () => {
      await begun
      await released
      await writer.write(bytes.slice(100))
      await writer.close()
    })()
    return { body: readable, begun, send: () => (release(), written) }
  }

  it('go to the shard in pieces, and no more of them at a time than it has memory for', async () => {
    const search = await createTestSearch()
    const agentId = await registerTestAgent(search)
    const first = heldBack(encodePush(search, { [STEM]: 0 }, 1))
    const second = heldBack(encodePush(search, { [BIAS]: 0 }, 1))
    const pushes = [callPush(search, agentId, 1, first.body)]
    await first.begun
    pushes.push(callPush(search, agentId, 2, second.body))
    await second.begun
    // The two of unknown length count as the largest there may be: there is no room for another.
    const refused = callPush(search, agentId, 3, heldBack(encodePush(search, { [BIAS]: 0 }, 1)).body)
    expect((await expectProblem(refused, 503, 'overloaded')).detail).toContain('receiving other pushes')
    await first.send()
    await second.send()
    expect((await Promise.all(pushes)).map(({ status }) => status)).toEqual([200, 200])
    // And then there is room again.
    expect((await push(search, agentId, 3, encodePush(search, { [STEM]: 1 }, 1))).kind).toBe('applied')
  })

  it('of a pull are what the weights were when it was asked for, though a push comes in between', async () => {
    const search = await createTestSearch()
    const agentId = await registerTestAgent(search)
    const held = Object.fromEntries(keysOf(search, 0).map((key) => [key, -1]))
    const response = await call('POST', `${search.path}/weights/0/pull`, { token: search.agentToken, json: { held } })
    await push(search, agentId, 1, encodePush(search, { [STEM]: 0, [BIAS]: 0 }, 1))
    const { tensors } = decodeSafetensors(new Uint8Array(await response.arrayBuffer()))
    for (const key of [STEM, BIAS]) expect(tensors.get(key)?.values).toEqual(start(search, key))
  })
})

describe('a push of a part', () => {
  const KEY = 'row1.1/project.filter'
  const createSliced = (encoding: 'fp32' | 'int8' = 'fp32') =>
    createTestSearch({ space: SLICED_SPACE, strategy: { name: 'fp-nas' }, weights: { encoding } })
  const encodePart = (shape: readonly number[], version: number, value: number, dtype: 'F32' | 'I8' = 'F32', key = KEY) => {
    const tensors = new Map([[key, { shape, values: new Float32Array(elementCount(shape)).fill(value) }]])
    return encodeSafetensors({ metadata: { baseVersions: JSON.stringify({ [key]: version }) }, tensors }, dtype)
  }
  /** The first 8 of 16 channels going in and the first 8 of 12 coming out. */
  const part = [1, 1, 8, 8]
  const moved = (weights: Float32Array, by: number) =>
    weights.map((weight, i) => (i < 8 * 12 && i % 12 < 8 ? Math.fround(weight + Math.fround(by)) : weight))

  it.each(['fp32', 'int8'] as const)(
    'moves that part of a weight which networks read by parts, once for each task, in %s',
    async (encoding) => {
      const search = await createSliced(encoding)
      const agentId = await registerTestAgent(search)
      const dtype = encoding === 'fp32' ? 'F32' : 'I8'
      const delta = encoding === 'fp32' ? 0.1 : (roundToInt8(Float32Array.of(0.1))[0] as number)
      expect(await push(search, agentId, 1, encodePart(part, 0, 0.1, dtype))).toEqual({
        kind: 'applied',
        versions: { [KEY]: 1 },
        scales: {},
      })
      expect((await push(search, agentId, 1, encodePart(part, 0, 0.1, dtype))).kind).toBe('duplicate')
      const seen = encoding === 'fp32' ? (values: Float32Array) => values : roundToBfloat16
      expect(await weightsOf(search, KEY)).toEqual(seen(moved(start(search, KEY), delta)))
      // The whole, by a task that trains all of it, is a part as well.
      const shape = [1, 1, 16, 12]
      expect((await push(search, agentId, 2, encodePart(shape, 1, 0.1, dtype))).versions).toEqual({ [KEY]: 2 })
      expect(await weightsOf(search, KEY)).toEqual(seen(added(moved(start(search, KEY), delta), () => delta)))
    },
  )

  it.each([
    ['larger than the weight', KEY, [1, 1, 8, 13], 'expected shape 1×1×16×12 or a part of it, got 1×1×8×13'],
    ['of another rank', KEY, [8, 8], 'expected shape 1×1×16×12 or a part of it, got 8×8'],
    ['of a weight that all networks read whole', 'stem/conv.filter', [1, 1, 1, 8], 'expected shape 3×3×1×8, got 1×1×1×8'],
  ])('that is %s is refused and changes nothing', async (_, key, shape, message) => {
    const search = await createSliced()
    const agentId = await registerTestAgent(search)
    const problem = await expectProblem(callPush(search, agentId, 1, encodePart(shape, 0, 1, 'F32', key)), 422, 'bad-numbers')
    expect(problem.errors).toEqual([{ path: key, message }])
    expect(await weightsOf(search, key)).toEqual(start(search, key))
  })
})

describe('a push', () => {
  it('adds differences to the weights, in float32, and raises the version', async () => {
    const search = await createTestSearch()
    const agentId = await registerTestAgent(search)
    const delta = (i: number) => Math.sin(i) / 3
    expect(await push(search, agentId, 1, encodePush(search, { [STEM]: 0, [BIAS]: 0 }, delta))).toEqual({
      kind: 'applied',
      versions: { [STEM]: 1, [BIAS]: 1 },
      scales: {},
    })
    for (const key of [STEM, BIAS]) expect(await weightsOf(search, key)).toEqual(added(start(search, key), delta))
    // Untouched ones stay at their start.
    expect(await weightsOf(search, 'stage1.1/mb2k3/expand.filter')).toEqual(start(search, 'stage1.1/mb2k3/expand.filter'))
  })

  it('of one agent alone is added whole, push after push: W is the sum of all differences', async () => {
    const search = await createTestSearch()
    const agentId = await registerTestAgent(search)
    let wanted = start(search, STEM)
    for (let taskId = 1; taskId <= 5; taskId++) {
      const delta = (i: number) => Math.cos(i * taskId) / 7
      expect((await push(search, agentId, taskId, encodePush(search, { [STEM]: taskId - 1 }, delta))).scales).toEqual({})
      wanted = added(wanted, delta)
    }
    expect(await weightsOf(search, STEM)).toEqual(wanted)
  })

  it.each([
    ['inverse', 1 / 3],
    ['none', 1],
  ] as const)('that k others came before is scaled by 1/(1 + k), or not at all: %s', async (staleness, scale) => {
    const search = await createTestSearch({ weights: { staleness } })
    const agentId = await registerTestAgent(search)
    await push(search, agentId, 1, encodePush(search, { [STEM]: 0 }, 1))
    await push(search, agentId, 2, encodePush(search, { [STEM]: 1 }, 1))
    // Made from version 0, two pushes ago; the bias has had none.
    const late = await push(search, agentId, 3, encodePush(search, { [STEM]: 0, [BIAS]: 0 }, 0.75))
    expect(late).toEqual({ kind: 'applied', versions: { [STEM]: 3, [BIAS]: 1 }, scales: scale === 1 ? {} : { [STEM]: scale } })
    const one = added(
      added(start(search, STEM), () => 1),
      () => 1,
    )
    expect(await weightsOf(search, STEM)).toEqual(added(one, () => 0.75, scale))
    expect(await weightsOf(search, BIAS)).toEqual(added(start(search, BIAS), () => 0.75))
  })

  it('of a task is applied once per shard, whoever delivers it again', async () => {
    const search = await createTestSearch({ weights: { shardBytes: 2048 } })
    const first = await registerTestAgent(search, 'first')
    const second = await registerTestAgent(search, 'second')
    const other = keysOf(search, 1)[0] as string
    // The first agent disappears between the two shards; the second delivers the whole task again, from newer weights.
    expect((await push(search, first, 1, encodePush(search, { [STEM]: 0 }, 1), 0)).kind).toBe('applied')
    const after = await weightsOf(search, STEM)
    expect(await push(search, second, 1, encodePush(search, { [STEM]: 1 }, 2), 0)).toEqual({
      kind: 'duplicate',
      versions: { [STEM]: 1 },
      scales: {},
    })
    expect(await push(search, second, 1, encodePush(search, { [other]: 0 }, 2), 1)).toEqual({
      kind: 'applied',
      versions: { [other]: 1 },
      scales: {},
    })
    expect(await weightsOf(search, STEM)).toEqual(after)
    expect(await weightsOf(search, other, 1)).toEqual(added(start(search, other), () => 2))
    expect((await push(search, first, 1, encodePush(search, { [other]: 0 }, 1), 1)).kind).toBe('duplicate')
  })

  it('sent twice at the same time is applied once', async () => {
    const search = await createTestSearch()
    const agentId = await registerTestAgent(search)
    const body = encodePush(search, { [STEM]: 0 }, 1)
    const answers = await Promise.all(Array.from({ length: 8 }, () => push(search, agentId, 1, body)))
    expect(answers.map((answer) => answer.kind).toSorted()).toEqual(['applied', ...Array<string>(7).fill('duplicate')])
    expect(await weightsOf(search, STEM)).toEqual(added(start(search, STEM), () => 1))
  })

  it('that is refused in its last tensor has changed none of the others', async () => {
    const search = await createTestSearch()
    const agentId = await registerTestAgent(search)
    const good = decodeSafetensors(encodePush(search, { [STEM]: 0, [BIAS]: 0 }, 1))
    good.tensors.get(BIAS)?.values.set([Number.NaN], 3)
    const problem = await expectProblem(callPush(search, agentId, 1, encodeSafetensors(good, 'F32')), 422, 'bad-numbers')
    expect(problem.errors).toEqual([{ path: BIAS, message: 'element 3 is NaN, expected a finite number' }])
    expect(await weightsOf(search, STEM)).toEqual(start(search, STEM))
    // Nor is the task taken for delivered.
    expect((await push(search, agentId, 1, encodePush(search, { [STEM]: 0, [BIAS]: 0 }, 1))).kind).toBe('applied')
  })

  it('that would bring a weight out of bounds is refused, though its own numbers are fine', async () => {
    const search = await createTestSearch()
    const agentId = await registerTestAgent(search)
    // Clipped each time, a tensor still grows by a factor each time.
    const send = (taskId: number) => callPush(search, agentId, taskId, encodePush(search, { [BIAS]: taskId - 1 }, 9e19))
    let taskId = 1
    while ((await send(taskId)).status === 200) {
      taskId += 1
      expect(taskId).toBeLessThan(100)
    }
    const before = await weightsOf(search, BIAS)
    const problem = await expectProblem(send(taskId), 422, 'bad-numbers')
    expect(problem.errors[0]?.path).toBe(BIAS)
    expect(await weightsOf(search, BIAS)).toEqual(before)
    expect(Math.max(...before)).toBeLessThanOrEqual(1e20)
  })
})

describe('a difference far larger than usual', () => {
  it('is clipped, counted and shown; what comes after it is not', async () => {
    const search = await createTestSearch()
    const agentId = await registerTestAgent(search)
    for (let taskId = 1; taskId <= 8; taskId++) {
      const answer = await push(
        search,
        agentId,
        taskId,
        encodePush(search, { [STEM]: taskId - 1 }, (i) => Math.sin(i * taskId) / 20),
      )
      expect(answer).toMatchObject({ kind: 'applied', scales: {} })
    }
    const before = await weightsOf(search, STEM)
    const size = (values: Float32Array) => Math.sqrt(values.reduce((sum, value) => sum + value * value, 0) / values.length)
    const answer = await push(search, agentId, 9, encodePush(search, { [STEM]: 8 }, 1e19))
    expect(answer).toMatchObject({ kind: 'applied', clipped: 1 })
    const changed = (await weightsOf(search, STEM)).map((value, i) => value - (before[i] as number))
    // Ten times a usual one, which is at least a twentieth of the tensor.
    const usual = Math.max(0.05, Math.SQRT1_2 / 20 / (size(before) + 0.1))
    expect(size(changed)).toBeLessThan(12 * usual * (size(before) + 0.1))
    expect(answer.scales[STEM]).toBeCloseTo(size(changed) / 1e19, 20)
    const honest = await push(search, agentId, 10, encodePush(search, { [STEM]: 9 }, 0.05))
    expect(honest).toEqual({ kind: 'applied', versions: { [STEM]: 10 }, scales: {} })
    expect((await readStatus(search)).agents).toMatchObject([{ agentId, clipped: 1, isSetAside: false }])
  })

  it('is still one after a restart: what is usual is stored with the pushes', async () => {
    const search = await createTestSearch()
    const agentId = await registerTestAgent(search)
    for (let taskId = 1; taskId <= 8; taskId++) {
      await push(
        search,
        agentId,
        taskId,
        encodePush(search, { [STEM]: taskId - 1 }, (i) => Math.sin(i * taskId) / 20),
      )
    }
    await evictDurableObject(shardObject(search, 0))
    // Within the bound that holds before anything is known.
    expect(await push(search, agentId, 9, encodePush(search, { [STEM]: 8 }, 6))).toMatchObject({ clipped: 1 })
  })

  it('is clipped to the same whether there was a restart or not, though tasks came out of order', async () => {
    const clippedTo = async (restart: (search: TestSearch) => Promise<void>) => {
      const search = await createTestSearch()
      const agentId = await registerTestAgent(search)
      let version = 0
      const send = (taskId: number, size: number) => push(search, agentId, taskId, encodePush(search, { [STEM]: version++ }, size))
      for (let taskId = 101; taskId <= 117; taskId++) await send(taskId, 0.001)
      // More than are kept, and late.
      for (let taskId = 1; taskId <= 34; taskId++) await send(taskId, 0.1)
      await restart(search)
      return (await send(200, 1e6)).scales[STEM]
    }
    const expected = await clippedTo(async () => {})
    expect(expected).toBeLessThan(1e-5)
    expect(await clippedTo((search) => evictDurableObject(shardObject(search, 0)))).toBe(expected)
  })
})

describe('what a shard says of the pushes that it has applied', () => {
  it('is their order, whose they were and under which lease; a push that came twice is said once', async () => {
    const search = await createTestSearch()
    const agentId = await registerTestAgent(search)
    const leaseOf = (taskId: number) => `l00000000000${taskId}`
    const send = (taskId: number, versions: Record<string, number>) =>
      push(search, agentId, taskId, encodePush(search, versions, 0.01), 0, { leaseId: leaseOf(taskId) })
    await send(2, { [STEM]: 0, [BIAS]: 0 })
    await send(1, { [BIAS]: 1 })
    await evictDurableObject(shardObject(search, 0))
    expect((await send(2, { [STEM]: 1 })).kind).toBe('duplicate')
    await send(3, { [STEM]: 1 })
    const { page } = exportPageSchema.parse(
      await expectJson(call('GET', `${search.path}/export/shards/0?cursor=${encodeURIComponent('applied:null')}`)),
    )
    expect(page?.rows.map((row) => [row['task_id'], row['revision'], row['agent_id'], row['lease_id']])).toEqual([
      [1, 3, agentId, leaseOf(1)],
      [2, 2, agentId, leaseOf(2)],
      [3, 4, agentId, leaseOf(3)],
    ])
  })
})
