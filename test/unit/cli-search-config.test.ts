// Flags, files and --set become the settings of a search, or an error that names the field.

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { CliError } from '../../command-line/exit-codes.ts'
import { abbreviatedTable, buildSearchConfig, checkSearchConfig, parseTableRef } from '../../gatehouse/search-config-flags.ts'
import { searchConfigSchema } from '../../protocol/index.ts'

const enough = { space: 'fashion-mini', dataset: 'fashion-mnist', 'target-ms': '2.5', table: 'my-cpu' }

function failure(action: () => unknown): CliError {
  try {
    action()
  } catch (error) {
    expect(error).toBeInstanceOf(CliError)
    return error as CliError
  }
  throw new Error('expected an error')
}

describe('settings from flags', () => {
  test('the four flags without a default are enough', () => {
    expect(checkSearchConfig(buildSearchConfig(undefined, enough, []))).toEqual(
      searchConfigSchema.parse({
        space: 'fashion-mini',
        dataset: { name: 'fashion-mnist' },
        latency: { targetMs: 2.5, table: { name: 'my-cpu' } },
      }),
    )
  })

  test('bounds land beside those of the file, and take the place of those on the same cost', () => {
    const file = {
      bounds: [
        { cost: 'macs', atMost: 1e9 },
        { cost: 'parameters', atMost: 2e6, weight: 3 },
      ],
    }
    const config = checkSearchConfig(buildSearchConfig(file, enough, [], ['macs=60e6', 'weightBytes=4e6']))
    expect(config.bounds).toEqual([
      { cost: 'parameters', atMost: 2e6, weight: 3 },
      { cost: 'macs', atMost: 60e6, weight: 1 },
      { cost: 'weightBytes', atMost: 4e6, weight: 1 },
    ])
    expect(checkSearchConfig(buildSearchConfig(undefined, enough, [])).bounds).toBeUndefined()
    expect(failure(() => buildSearchConfig(undefined, enough, [], ['macs'])).message).toContain('expected --bound as COST=VALUE')
    const watts = failure(() => checkSearchConfig(buildSearchConfig(undefined, enough, [], ['watts=3'])))
    expect(watts.errors).toEqual([
      { path: 'bounds[0].cost', message: 'expected latencyMs, macs, parameters, weightBytes or recorded:COLUMN' },
    ])
  })

  test('every flag lands in its field', () => {
    const version = 'a'.repeat(64)
    const config = checkSearchConfig(
      buildSearchConfig(
        undefined,
        {
          ...enough,
          table: `my-cpu@${version}`,
          fingerprint: 'b'.repeat(64),
          bits: '16',
          name: 'first',
          seed: '7',
          steps: '500',
          batch: '32',
          form: 'full',
          missing: 'predict',
          loss: 'add#linear',
        },
        ['latency.loss.lambda=0.2', 'weights.encoding=bf16', 'training.augmentation.flip=false'],
      ),
    )
    expect(config).toMatchObject({
      name: 'first',
      seed: 7,
      dataset: { fingerprint: 'b'.repeat(64), bits: 16 },
      latency: { missing: 'predict', table: { name: 'my-cpu', version }, loss: { kind: 'add#linear', lambda: 0.2 } },
      strategy: { name: 'proxyless-g', form: 'full' },
      training: { steps: 500, batchSize: 32, augmentation: { flip: false } },
      weights: { encoding: 'bf16' },
    })
  })

  test('flags change single fields of the file, --set changes both, and the file stays as it was', () => {
    const file = {
      name: 'file',
      space: 'fashion-mini',
      dataset: { name: 'd' },
      latency: { targetMs: 1, table: { name: 't' } },
      training: { steps: 10, batchSize: 8 },
    }
    const before = structuredClone(file)
    const config = checkSearchConfig(buildSearchConfig(file, { steps: '20', name: 'flag' }, ['name=set', 'training.momentum=0.5']))
    expect(config).toMatchObject({ name: 'set', training: { steps: 20, batchSize: 8, momentum: 0.5 } })
    expect(file).toEqual(before)
  })

  test('another loss drops the factors of the one in the file', () => {
    const file = { latency: { loss: { kind: 'mul#log', a: 0.5 } } }
    expect(checkSearchConfig(buildSearchConfig(file, { ...enough, loss: 'add#abs' }, [])).latency.loss).toEqual({
      kind: 'add#abs',
      lambda: 0.5,
      margin: 0.1,
    })
    expect(checkSearchConfig(buildSearchConfig(file, { ...enough, loss: 'mul#log' }, [])).latency.loss).toEqual({
      kind: 'mul#log',
      a: 0.5,
      b: 0.3,
    })
  })

  test('setting a field of a preset keeps the rest of the preset', () => {
    expect(buildSearchConfig(undefined, enough, ['space.classes=5'])['space']).toEqual({ preset: 'fashion-mini', classes: 5 })
  })

  test('what --set is given as JSON or text is what the field gets', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.integer(),
          fc.boolean(),
          fc.constant(null),
          fc.string().filter((text) => !isJson(text)),
        ),
        (value) => {
          const config = buildSearchConfig(undefined, {}, [`training.field=${typeof value === 'string' ? value : JSON.stringify(value)}`])
          expect(config).toMatchObject({ training: { field: value } })
        },
      ),
    )
  })
})

describe('settings that are not valid', () => {
  test('each missing field is named with its flag', () => {
    expect(failure(() => checkSearchConfig(buildSearchConfig(undefined, {}, [])))).toMatchObject({
      code: 'usage',
      errors: expect.arrayContaining([
        { path: 'dataset.name', message: 'is required (--dataset)' },
        { path: 'latency.targetMs', message: 'is required (--target-ms)' },
        { path: 'latency.table.name', message: 'is required (--table)' },
      ]),
    })
  })

  test('an unknown field is named', () => {
    expect(failure(() => checkSearchConfig(buildSearchConfig(undefined, enough, ['training.stepz=5']))).errors).toEqual([
      { path: 'training.stepz', message: 'unknown field' },
    ])
  })

  test.each([
    [{ ...enough, 'target-ms': 'fast' }, [], /--target-ms to be a number, got "fast"/],
    [{ ...enough, table: 'My Table' }, [], /NAME@VERSION/],
    [{ ...enough, space: '{"classes"' }, [], /--space is not valid JSON/],
    [enough, ['steps'], /--set FIELD=VALUE/],
    [enough, ['__proto__.steps=3'], /expected a field/],
    [{ ...enough, name: 'text' }, ['name.length=3'], /cannot set name.length: name is "text"/],
  ])('%j with %j is refused', (flags, sets, message) => {
    expect(failure(() => buildSearchConfig(undefined, flags, sets)).message).toMatch(message)
  })

  test('settings of a space that contradict each other are refused before anything is sent', () => {
    const error = failure(() => checkSearchConfig(buildSearchConfig(undefined, enough, ['space.kernels=[4]'])))
    expect(error.errors[0]?.path).toMatch(/^space\.kernels/)
  })
})

describe('latency tables by name', () => {
  test('a name alone, with a version, and with the beginning of a version', () => {
    expect(parseTableRef('cpu')).toEqual({ name: 'cpu' })
    expect(parseTableRef(`cpu@${'0'.repeat(64)}`)).toEqual({ name: 'cpu', version: '0'.repeat(64) })
    expect(abbreviatedTable(buildSearchConfig(undefined, { table: 'cpu@abcd' }, []))).toEqual({ name: 'cpu', version: 'abcd' })
    expect(abbreviatedTable(buildSearchConfig(undefined, { table: 'cpu' }, []))).toBeNull()
  })
})

function isJson(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}
