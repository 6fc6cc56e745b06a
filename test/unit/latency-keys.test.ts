import fc from 'fast-check'
import { describe, expect, test } from 'vitest'

import { LatencyKeyError, parseLatencyKey, parseTableKey, variantKey } from '../../latency-lut/table/keys.ts'
import { createSpace, latencyKey, type LatencyOperation, presetNames } from '../../search-space/index.ts'

const size = fc.integer({ min: 1, max: 100_000 })
const shape = fc.tuple(size, size, size)
const operation: fc.Arbitrary<LatencyOperation> = fc.oneof(
  fc.record({ type: fc.constantFrom('Conv' as const, 'Conv_1' as const), input: shape, output: shape }),
  fc.record({ type: fc.constant('Logits' as const), input: shape, classes: size }),
  fc.record({ type: fc.constant('Projection' as const), input: shape, output: shape, stride: size }),
  fc.record({
    type: fc.constant('expanded_conv' as const),
    input: shape,
    output: shape,
    expand: size,
    kernel: size,
    stride: size,
    shortcut: fc.boolean(),
  }),
)

/** The operation, or what parsing says against the key. */
function read(key: string): LatencyOperation | LatencyKeyError {
  try {
    return parseLatencyKey(key)
  } catch (error) {
    if (error instanceof LatencyKeyError) return error
    throw error
  }
}

function problemOf(key: string): string {
  const result = read(key)
  return result instanceof LatencyKeyError && result.key === key ? result.message : `"${key}" was read`
}

describe('latency keys', () => {
  test('reading what was printed gives the same operation', () => {
    fc.assert(fc.property(operation, (value) => void expect(parseLatencyKey(latencyKey(value))).toEqual(value)))
  })

  test('printing what was read gives the same key, also for keys that are almost right', () => {
    const spoil = fc
      .tuple(operation, fc.nat(80), fc.constantFrom('', '0', '1', 'x', '-', ':', ' ', '+', '.'))
      .map(([value, at, change]) => {
        const key = latencyKey(value)
        return key.slice(0, at) + change + key.slice(at + 1)
      })
    fc.assert(
      fc.property(spoil, (key) => {
        const result = read(key)
        expect(result instanceof LatencyKeyError || latencyKey(result) === key).toBe(true)
      }),
      { numRuns: 2000 },
    )
  })

  test('any text is read or refused, never anything else', () => {
    fc.assert(fc.property(fc.string(), (key) => void expect(problemOf(key)).toContain(`(latency key "${key}")`)))
  })

  test.each([
    'Conv-input:224x224x3-output:112x112x32',
    'expanded_conv-input:112x112x16-output:56x56x24-expand:3-kernel:3-stride:2-idskip:0',
    'Conv_1-input:7x7x320-output:7x7x1280',
    'Logits-input:7x7x1280-output:1000',
  ])('the published key %s is read', (key) => expect(latencyKey(parseLatencyKey(key))).toBe(key))

  test.each(presetNames)('every key of preset %s is read', (name) => {
    for (const { latencyKey: key } of createSpace(name).measurableOperations()) expect(latencyKey(parseLatencyKey(key))).toBe(key)
  })

  test.each([
    [
      '',
      'expected a key that starts with Conv-, Conv_1-, Logits-, Projection-, expanded_conv-, ConvNorm-, ReluConvNorm-, SepConv-, DilConv-, AvgPool-, MaxPool-, ResidualBlock-, FactorizedReduce-, NormLogits-, ConvActivation-, SplitDepthwise-, ConvLinear-, PlainConv-, NormReluConv-, Add-, Concat-, NormSepConv-, NormDilConv-, TreeBlock-, got ""',
    ],
    ['toString-input:1x1x1', 'got "toString"'],
    ['Conv-input:1x1x1', 'expected "output:…" as field 2 of Conv, got the end of the key'],
    ['Conv-output:1x1x1-input:1x1x1', 'expected "input:…" as field 1 of Conv, got "output:1x1x1"'],
    ['Conv-input:1x1-output:1x1x1', 'expected input to be height x width x channels such as 112x112x16, got "1x1"'],
    ['Conv-input:0x1x1-output:1x1x1', 'got "0x1x1"'],
    ['Projection-input:1x1x1-output:1x1x1', 'expected "stride:…" as field 3 of Projection, got the end of the key'],
    ['Projection-input:1x1x1-output:1x1x1-stride:0', 'expected stride to be a whole number from 1, got "0"'],
    ['Logits-input:1x1x1-output:010', 'expected output to be a whole number from 1, got "010"'],
    ['Logits-input:1x1x1-output:99999999999999999999', 'expected output to be a whole number from 1'],
    ['expanded_conv-input:1x1x1-output:1x1x1-expand:3-kernel:3-stride:1-idskip:2', 'expected idskip to be 0 or 1, got "2"'],
    [
      'TreeBlock-input:1x1x4-output:1x1x8-width:4-groups:2-tree:split_sum',
      'expected tree to be levels of a tree such as split_add_residual.replicate_add, got "split_sum"',
    ],
    ['Conv-input:1x1x1-output:1x1x1-extra:1', 'expected 2 fields in Conv, got another: "extra:1"'],
  ])('%s is refused with what was expected', (key, message) => expect(problemOf(key)).toContain(message))
})

describe('keys of tables from elsewhere', () => {
  const block = 'expanded_conv-input:56x56x24-output:28x28x40'

  test('include blocks with squeeze-and-excite and hard swish, their width in channels', () => {
    expect(parseTableKey(`${block}-expand:96-kernel:5-stride:2-idskip:0-se:1-hs:0`)).toEqual({
      type: 'expanded_conv with se and hs',
      input: [56, 56, 24],
      output: [28, 28, 40],
      expandedWidth: 96,
      kernel: 5,
      stride: 2,
      shortcut: false,
      squeezeExcite: true,
      hardSwish: false,
    })
  })

  test('include types that no space has', () => {
    expect(parseTableKey('AvgPool2D-input:7x7x960-output:1x1x960')).toEqual({ type: 'other', name: 'AvgPool2D' })
  })

  test("are read as a space's own where they are of its grammar", () => {
    fc.assert(fc.property(operation, (value) => void expect(parseTableKey(latencyKey(value))).toEqual(value)))
  })

  test.each([
    [`${block}-expand:96-kernel:5-stride:2-idskip:0-se:1`, 'expected "hs:…" as field 8 of expanded_conv, got the end of the key'],
    [`${block}-expand:96-kernel:5-stride:2-idskip:0-se:2-hs:0`, 'expected se to be 0 or 1, got "2"'],
    ['Conv-input:224x224-output:1x1x1', 'expected input to be height x width x channels'],
    ['AvgPool2D', 'expected a type and fields such as'],
    ['a key: with spaces', 'expected a type and fields such as'],
  ])('%s is refused with what was expected', (key, message) => expect(() => parseTableKey(key)).toThrow(message))

  test('have another name for a plain block, and for nothing else', () => {
    expect(variantKey(`${block}-expand:3-kernel:5-stride:2-idskip:0`)).toBe(`${block}-expand:72-kernel:5-stride:2-idskip:0-se:0-hs:0`)
    expect(variantKey('Conv-input:1x1x1-output:1x1x1')).toBeNull()
  })
})
