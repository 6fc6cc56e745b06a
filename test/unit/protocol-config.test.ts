import { describe, expect, it } from 'vitest'
import { fieldErrors, fieldPath, problemDocument, problemKinds, searchConfigSchema, taskResultSchema } from '../../protocol/index.ts'
import { latencyTableSchema } from '../../latency-lut/table/table.ts'
import { makeConfigInput, makeTable } from '../fixtures/searches.ts'
import { createSpace } from '../../search-space/index.ts'

/** The least that a user must write. */
const minimal = { space: 'fashion-mini', dataset: { name: 'fashion-mnist' }, latency: { targetMs: 20, table: { name: 'pixel1' } } }

function refusedPaths(input: unknown): string[] {
  const parsed = searchConfigSchema.safeParse(input)
  return parsed.error ? fieldErrors(parsed.error).map((error) => error.path) : []
}

/** `minimal` with one member, at a path of keys, set to a value. */
function withMember(path: string, value: unknown): unknown {
  const config = structuredClone(minimal) as Record<string, unknown>
  const keys = path.split('.')
  let at = config
  for (const key of keys.slice(0, -1)) at = (at[key] ??= {}) as Record<string, unknown>
  at[keys.at(-1) as string] = value
  return config
}

describe('a search configuration', () => {
  it('needs only a space, a dataset and a latency target', () => {
    expect(searchConfigSchema.parse(minimal)).toEqual({
      name: 'search',
      space: 'fashion-mini',
      dataset: { name: 'fashion-mnist' },
      latency: { targetMs: 20, table: { name: 'pixel1' }, missing: 'refuse', loss: { kind: 'mul#log', a: 0.2, b: 0.3 } },
      seed: 0,
      strategy: {
        name: 'proxyless-g',
        form: 'two',
        archEvery: 5,
        learningRate: 1e-3,
        beta1: 0,
        beta2: 0.999,
        epsilon: 1e-8,
        initialDeviation: 1e-3,
        maxStaleness: 64,
        evaluateEvery: 1000,
        evaluateImages: 2000,
      },
      training: {
        steps: 10_000,
        batchSize: 64,
        learningRate: 0.05,
        momentum: 0.9,
        weightDecay: 4e-5,
        labelSmoothing: 0.1,
        augmentation: { flip: true, shift: 2, minArea: 0.08 },
        shares: { weights: 0.7, architecture: 0.2, validation: 0.1 },
      },
      tasks: { weightSteps: 20, architectureSteps: 4, leaseMs: 60_000, maxOutstanding: 256, checkpointMs: 300_000 },
      weights: { encoding: 'fp32', staleness: 'inverse', shardBytes: 16 * 1024 * 1024 },
    })
  })

  it('stays the same when it is read again', () => {
    const parsed = searchConfigSchema.parse(makeConfigInput())
    expect(searchConfigSchema.parse(JSON.parse(JSON.stringify(parsed)))).toEqual(parsed)
  })

  it.each([
    'colour',
    'dataset.path',
    'latency.unit',
    'latency.table.device',
    'strategy.temperature',
    'training.epochs',
    'training.augmentation.cutout',
    'training.shares.test',
    'tasks.retries',
    'weights.compression',
  ])('names an unknown field: %s', (path) => {
    const config = path.startsWith('strategy.') ? { ...minimal, strategy: { name: 'proxyless-g', temperature: 1 } } : withMember(path, 1)
    const { error } = searchConfigSchema.safeParse(config)
    expect(error && fieldErrors(error)).toContainEqual({ path, message: 'unknown field' })
  })

  it.each([
    ['space', 'resnet'],
    ['dataset.fingerprint', 'ABC'],
    ['dataset.name', ''],
    ['latency.targetMs', 0],
    ['latency.targetMs', Number.POSITIVE_INFINITY],
    ['latency.targetMs', Number.NaN],
    ['latency.table.name', 'Pixel 1'],
    ['latency.table.version', 'latest'],
    ['seed', -1],
    ['seed', 2 ** 32],
    ['seed', 0.5],
    ['training.steps', 0],
    ['training.steps', 1e9],
    ['training.momentum', 1],
    ['training.labelSmoothing', 1],
    ['training.learningRate', -0.1],
    ['tasks.weightSteps', 1001],
    ['tasks.architectureSteps', 0],
    ['tasks.leaseMs', 999],
    ['tasks.leaseMs', 3_600_001],
    ['tasks.maxOutstanding', 0],
    ['weights.encoding', 'fp16'],
    ['weights.staleness', 'linear'],
    ['weights.shardBytes', 1023],
    ['weights.shardBytes', 64 * 1024 * 1024],
  ])('is refused, the field named, with %s = %j', (path, value) => {
    expect(refusedPaths(withMember(path, value))).toEqual([path])
  })

  it.each([
    [{ name: 'guess' }, ['strategy.name']],
    [{ name: 'proxyless-g', form: 'three' }, ['strategy.form']],
    [{ name: 'proxyless-g', archEvery: 0 }, ['strategy.archEvery']],
    [{ name: 'proxyless-g', beta2: 1 }, ['strategy.beta2']],
    [{ name: 'proxyless-g', initialAlpha: [[0, 81]] }, ['strategy.initialAlpha[0][1]']],
    [{ name: 'proxyless-g', initialAlpha: [[0], []] }, ['strategy.initialAlpha[1]']],
    [{ name: 'proxyless-g', warmupSteps: -1, maxStaleness: -1 }, ['strategy.warmupSteps', 'strategy.maxStaleness']],
  ])('is refused, the field named, with the strategy %j', (strategy, paths) => {
    expect(refusedPaths({ ...minimal, strategy })).toEqual(paths)
  })

  it.each([
    [{ kind: 'mul#log', a: 0 }, ['latency.loss.a']],
    [{ kind: 'add#linear', lambda: -1 }, ['latency.loss.lambda']],
    [{ kind: 'add#linear', a: 1 }, ['latency.loss.a']],
    [{ kind: 'quadratic' }, ['latency.loss.kind']],
  ])('is refused, the field named, with the loss %j', (loss, paths) => {
    expect(refusedPaths({ ...minimal, latency: { ...minimal.latency, loss } })).toEqual(paths)
  })

  it('wants shares that sum to 1, each above 0', () => {
    const shares = (weights: number, architecture: number, validation: number) => ({
      ...minimal,
      training: { shares: { weights, architecture, validation } },
    })
    expect(refusedPaths(shares(0.5, 0.3, 0.2))).toEqual([])
    expect(refusedPaths(shares(0.1, 0.2, 0.7))).toEqual([])
    expect(refusedPaths(shares(0.5, 0.3, 0.3))).toEqual(['training.shares'])
    expect(refusedPaths(shares(0.5, 0.5, 0))).toEqual(['training.shares'])
  })

  it('names every missing field at once', () => {
    expect(refusedPaths({}).toSorted()).toEqual(['dataset', 'latency', 'space'])
  })
})

describe('a latency table', () => {
  const table = makeTable(createSpace('fashion-mini'))
  const refused = (changes: object) => {
    const { error } = latencyTableSchema.safeParse({ ...table, ...changes })
    return error ? fieldErrors(error).map(({ path }) => path) : []
  }

  it.each([
    [{ entries: {} }, 'entries'],
    [{ entries: { k: { meanMs: 0, stdMs: 0, count: 1 } } }, 'entries.k.meanMs'],
    [{ entries: { k: { meanMs: Number.NaN, stdMs: 0, count: 1 } } }, 'entries.k.meanMs'],
    [{ entries: { k: { meanMs: 1, stdMs: -1, count: 1 } } }, 'entries.k.stdMs'],
    [{ entries: { k: { meanMs: 1, stdMs: 0, count: 0 } } }, 'entries.k.count'],
    [{ entries: { k: { meanMs: 1, stdMs: 0, count: 1, unit: 'us' } } }, 'entries.k.unit'],
    [{ batch: 0 }, 'batch'],
    [{ inputShape: [28, 28] }, 'inputShape'],
    [{ name: 'Pixel 1' }, 'name'],
    [{ measuredAt: 'yesterday' }, 'measuredAt'],
  ])('is refused, the field named, with %j', (changes, path) => {
    expect(refused(changes)).toEqual([path])
  })
})

describe('a result', () => {
  const counts = { correct: 1, images: 2 }
  const refused = (result: unknown) => {
    const { error } = taskResultSchema.safeParse(result)
    return error ? fieldErrors(error).map(({ path }) => path) : []
  }

  it.each([
    [{ kind: 'trainWeights', loss: Number.NaN, ...counts }, ['loss']],
    [{ kind: 'trainWeights', loss: Number.POSITIVE_INFINITY, ...counts }, ['loss']],
    [{ kind: 'trainWeights', loss: -2e20, ...counts }, ['loss']],
    [{ kind: 'trainWeights', loss: 1, correct: -1, images: 0 }, ['correct', 'images']],
    [{ kind: 'trainWeights', loss: 1, correct: 3, images: 2 }, ['correct']],
    [{ kind: 'trainWeights', loss: 1, ...counts, note: 'x' }, ['note']],
    [{ kind: 'gateGradients', steps: [] }, ['steps']],
    [{ kind: 'gateGradients', steps: [{ crossEntropy: 1, ...counts, gateGradients: [[1, 2e20]] }] }, ['steps[0].gateGradients[0][1]']],
    [{ kind: 'gateGradients', steps: [{ crossEntropy: -1, ...counts, gateGradients: [null] }] }, ['steps[0].crossEntropy']],
    [{ kind: 'evaluatePaths', paths: [{ crossEntropy: 1, correct: 3, images: 2 }] }, ['paths[0].correct']],
    [{ kind: 'evaluatePaths' }, ['paths']],
    [{ kind: 'dream' }, ['kind']],
  ])('is refused, the field named: %j', (result, paths) => {
    expect(refused(result)).toEqual(paths)
  })
})

describe('a problem document', () => {
  it('has type, title, status, detail and the path of each field', () => {
    expect(problemDocument('missing-latencies', 'two keys', [{ path: 'entries.k', message: 'missing' }])).toEqual({
      type: 'urn:gatehouse:problem:missing-latencies',
      title: 'The latency table does not cover the search space',
      status: 422,
      detail: 'two keys',
      code: 'missing-latencies',
      errors: [{ path: 'entries.k', message: 'missing' }],
    })
  })

  it('writes paths as one would in code', () => {
    expect(fieldPath(['blocks', 2, 'operations', 0, 'kernel'])).toBe('blocks[2].operations[0].kernel')
    expect(fieldPath([])).toBe('')
    expect(fieldPath([0])).toBe('[0]')
  })

  it('has a 4xx status for everything that a client can cause', () => {
    const server = Object.entries(problemKinds).filter(([, { status }]) => status >= 500)
    expect(server.map(([code]) => code)).toEqual(['overloaded', 'internal'])
  })
})
