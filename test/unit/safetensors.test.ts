import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { decodeSafetensors, encodeSafetensors, SafetensorsError, type SafetensorsFile } from '../../protocol/index.ts'
import { fromBfloat16, int8Scale, rounded, roundToBfloat16, roundToInt8, toBfloat16 } from '../../protocol/rounding.ts'
import { nearestBfloat16 } from '../fixtures/safetensors-reference.ts'

/** Whether UTF-8 can hold it: no half of a surrogate pair alone. */
const isWellFormed = (text: string) => !/\p{Surrogate}/u.test(text)
const key = fc
  .string({ minLength: 1, maxLength: 12, unit: 'grapheme' })
  .filter((text) => text !== '__metadata__' && text !== '__proto__' && isWellFormed(text))
const tensor = fc.array(fc.integer({ min: 0, max: 4 }), { maxLength: 3 }).chain((shape) => {
  const length = shape.reduce((product, size) => product * size, 1)
  return fc.float32Array({ minLength: length, maxLength: length }).map((values) => ({ shape, values }))
})
const files: fc.Arbitrary<SafetensorsFile> = fc.record({
  metadata: fc.dictionary(
    key,
    fc.string().filter((text) => isWellFormed(text)),
    { maxKeys: 3, noNullPrototype: true },
  ),
  tensors: fc.array(fc.tuple(key, tensor), { maxLength: 5 }).map((entries) => new Map(entries)),
})

function withHeader(header: unknown, dataBytes = 0): Uint8Array {
  const json = new TextEncoder().encode(typeof header === 'string' ? header : JSON.stringify(header))
  const bytes = new Uint8Array(8 + json.length + dataBytes)
  new DataView(bytes.buffer).setBigUint64(0, BigInt(json.length), true)
  bytes.set(json, 8)
  return bytes
}

describe('a safetensors file', () => {
  it('gives back every float32 bit for bit, with its key, shape and metadata', () => {
    fc.assert(
      fc.property(files, (file) => {
        const decoded = decodeSafetensors(encodeSafetensors(file, 'F32'))
        expect(decoded.metadata).toEqual(file.metadata)
        expect([...decoded.tensors.keys()].toSorted()).toEqual([...file.tensors.keys()].toSorted())
        for (const [name, { shape, values }] of file.tensors) {
          const got = decoded.tensors.get(name)
          expect(got?.shape).toEqual(shape)
          expect(got && new Uint32Array(got.values.slice().buffer)).toEqual(new Uint32Array(values.slice().buffer))
        }
      }),
      { numRuns: 500 },
    )
  })

  it('is read at any place in a buffer, aligned or not', () => {
    fc.assert(
      fc.property(files, fc.nat({ max: 9 }), fc.constantFrom('F32' as const, 'BF16' as const, 'I8' as const), (file, shift, dtype) => {
        const bytes = encodeSafetensors(file, dtype)
        const moved = new Uint8Array(bytes.length + shift)
        moved.set(bytes, shift)
        expect(decodeSafetensors(moved.subarray(shift))).toEqual(decodeSafetensors(bytes))
        expect(decodeSafetensors(Buffer.from(moved.buffer, shift))).toEqual(decodeSafetensors(bytes))
      }),
    )
  })

  it('is read too where an empty tensor begins at the place of another, in whatever order the header has them', () => {
    const [empty, one] = [
      { shape: [0], values: new Float32Array() },
      { shape: [1], values: Float32Array.of(5) },
    ]
    // A JSON header puts keys that look like numbers first.
    const file = {
      metadata: {},
      tensors: new Map([
        ['w', empty],
        ['0', one],
      ]),
    }
    expect(Object.fromEntries(decodeSafetensors(encodeSafetensors(file, 'F32')).tensors)).toEqual({ w: empty, 0: one })
  })

  it('has its data at a multiple of 8 bytes and the published layout', () => {
    const bytes = encodeSafetensors(
      { metadata: { a: 'b' }, tensors: new Map([['w', { shape: [2], values: Float32Array.of(1, -2) }]]) },
      'F32',
    )
    const headerBytes = Number(new DataView(bytes.buffer).getBigUint64(0, true))
    expect(headerBytes % 8).toBe(0)
    const header: unknown = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + headerBytes)))
    expect(header).toEqual({ __metadata__: { a: 'b' }, w: { dtype: 'F32', shape: [2], data_offsets: [0, 8] } })
    expect([...bytes.subarray(8 + headerBytes)]).toEqual([0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0])
  })
})

describe('bfloat16', () => {
  it('is the nearest value with 8 bits of precision, ties to even, for any float32', () => {
    fc.assert(
      fc.property(fc.float32Array({ minLength: 1, maxLength: 8 }), (values) => {
        const rounded = fromBfloat16(toBfloat16(values))
        for (const [i, value] of values.entries()) expect(rounded[i]).toBe(nearestBfloat16(value))
      }),
      { numRuns: 2000 },
    )
  })

  it.each([
    [1 + 2 ** -8, 1], // a tie, the even one is below
    [1 + 3 * 2 ** -8, 1 + 2 ** -6], // a tie, the even one is above
    [3.4028234663852886e38, Number.POSITIVE_INFINITY],
    [-0, -0],
    [Number.NaN, Number.NaN],
    [Number.NEGATIVE_INFINITY, Number.NEGATIVE_INFINITY],
    [1e-45, 0],
  ])('turns %d into %d', (value, expected) => {
    expect(fromBfloat16(toBfloat16(Float32Array.of(value)))[0]).toBe(expected)
  })

  it('keeps a NaN whose payload is only in the lower half a NaN', () => {
    const values = new Float32Array(Uint32Array.of(0x7f800001, 0xff80ffff).buffer)
    expect([...fromBfloat16(toBfloat16(values))].every(Number.isNaN)).toBe(true)
  })

  it('halves the bytes of a file and survives it', () => {
    fc.assert(
      fc.property(files, (file) => {
        const decoded = decodeSafetensors(encodeSafetensors(file, 'BF16'))
        for (const [name, { values }] of file.tensors)
          expect(decoded.tensors.get(name)?.values).toEqual(Float32Array.from(values, nearestBfloat16))
      }),
    )
  })
})

describe('int8', () => {
  const plain = fc.float32Array({ minLength: 1, maxLength: 40, min: Math.fround(-1e20), max: Math.fround(1e20), noNaN: true })

  it('is within half a step of every value, a step being a 127th of the largest', () => {
    fc.assert(
      fc.property(plain, (values) => {
        const most = values.reduce((max, value) => Math.max(max, Math.abs(value)), 0)
        const kept = roundToInt8(values)
        // The scale itself has 17 bits; what is below 2^-93 becomes 0.
        const half = (most / 127 / 2) * (1 + 2 ** -9) + 2 ** -93
        for (const [i, value] of values.entries()) expect(Math.abs((kept[i] as number) - value)).toBeLessThanOrEqual(half)
      }),
      { numRuns: 2000 },
    )
  })

  it('gives in a file what the sender knows that it gives, and the same bytes when it is sent on', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.stringMatching(/^[a-z]{1,4}$/), plain), (tensors) => {
        const file = {
          metadata: {},
          tensors: new Map(Object.entries(tensors).map(([k, values]) => [k, { shape: [values.length], values }])),
        }
        const bytes = encodeSafetensors(file, 'I8')
        const decoded = decodeSafetensors(bytes)
        expect([...decoded.tensors.keys()].toSorted()).toEqual(Object.keys(tensors).toSorted())
        for (const [name, { values }] of file.tensors) {
          const got = decoded.tensors.get(name)
          expect(got?.values).toEqual(roundToInt8(values))
          expect(got?.scale).toBe(int8Scale(values))
        }
        const again = new Map(
          [...file.tensors.keys()].map((name) => [name, decoded.tensors.get(name) ?? { shape: [], values: new Float32Array() }]),
        )
        expect(encodeSafetensors({ metadata: {}, tensors: again }, 'I8')).toEqual(bytes)
      }),
      { numRuns: 500 },
    )
  })

  it.each([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY])('does not hide %d among its neighbours', (value) => {
    for (const values of [Float32Array.of(value, 1), Float32Array.of(1, value, 2)]) {
      expect([...roundToInt8(values)].every(Number.isNaN)).toBe(true)
    }
  })

  it('leaves the sign and zero alone', () => {
    expect([...roundToInt8(Float32Array.of(127, -127, 0, 1, -1, 0.4, 63.6))]).toEqual([127, -127, 0, 1, -1, 0, 64])
    expect([...roundToInt8(new Float32Array(3))]).toEqual([0, 0, 0])
    expect([...roundToInt8(new Float32Array())]).toEqual([])
  })

  it('has one byte a value in a file, and refuses a name that its scale would have', () => {
    const tensor = { shape: [1000], values: new Float32Array(1000).fill(1) }
    const bytes = (dtype: 'F32' | 'I8') => encodeSafetensors({ metadata: {}, tensors: new Map([['w', tensor]]) }, dtype).byteLength
    expect(bytes('F32') - bytes('I8')).toBeGreaterThan(2900)
    const tensors = new Map([
      ['w', tensor],
      ['w.scale', tensor],
    ])
    expect(() => encodeSafetensors({ metadata: {}, tensors }, 'I8')).toThrow('tensor w.scale has the name of the scale of tensor w')
  })
})

describe('what an encoding keeps', () => {
  it('is new memory, by the name of the encoding', () => {
    const values = Float32Array.of(1.001, -0.3, 7)
    expect(rounded('fp32', values)).toEqual(values)
    expect(rounded('fp32', values)).not.toBe(values)
    expect(rounded('bf16', values)).toEqual(roundToBfloat16(values))
    expect(rounded('int8', values)).toEqual(roundToInt8(values))
  })
})

describe('bytes from a stranger', () => {
  /** Fails unless the bytes are a valid file, or refused by name. What is read never exceeds what was sent, four times for int8. */
  function isReadOrRefused(bytes: Uint8Array): 'read' | 'refused' {
    try {
      const file = decodeSafetensors(bytes)
      const total = [...file.tensors.values()].reduce((sum, { values }) => sum + values.byteLength, 0)
      expect(total).toBeLessThanOrEqual(4 * bytes.byteLength)
      for (const { shape, values } of file.tensors.values()) expect(values.length).toBe(shape.reduce((product, size) => product * size, 1))
      return 'read'
    } catch (error) {
      expect(error).toBeInstanceOf(SafetensorsError)
      return 'refused'
    }
  }

  it('are read or refused by name however a good file is cut, changed or lengthened', () => {
    const mutation = fc.oneof(
      fc.record({ kind: fc.constant('cut' as const), at: fc.double({ min: 0, max: 1, noNaN: true }) }),
      // Most often in the last quarter, where the data is.
      fc.record({
        kind: fc.constant('set' as const),
        at: fc.nat({ max: 100 }).map((n) => (n < 30 ? n / 30 : 0.75 + n / 400)),
        byte: fc.nat({ max: 255 }),
      }),
      fc.record({ kind: fc.constant('append' as const), bytes: fc.uint8Array({ minLength: 1, maxLength: 9 }) }),
    )
    const seen = { read: 0, refused: 0 }
    fc.assert(
      fc.property(
        files,
        fc.constantFrom('F32' as const, 'BF16' as const, 'I8' as const),
        fc.array(mutation, { minLength: 1, maxLength: 2 }),
        (file, dtype, mutations) => {
          let bytes: Uint8Array = encodeSafetensors(file, dtype)
          for (const change of mutations) {
            if (change.kind === 'cut') bytes = bytes.slice(0, Math.floor(change.at * bytes.length))
            else if (change.kind === 'append') bytes = Uint8Array.of(...bytes, ...change.bytes)
            else if (bytes.length > 0) bytes[Math.min(bytes.length - 1, Math.floor(change.at * bytes.length))] = change.byte
          }
          seen[isReadOrRefused(bytes)] += 1
        },
      ),
      { numRuns: 5000 },
    )
    expect(seen.refused).toBeGreaterThan(1000)
    expect(seen.read).toBeGreaterThan(50)
  })

  it('are read or refused by name whatever the header says', () => {
    const info = fc.record(
      {
        dtype: fc.constantFrom('F32', 'BF16', 'I8', 'F64', 1),
        shape: fc.array(fc.oneof(fc.nat(), fc.constant(2 ** 53 - 1), fc.constant(-1), fc.constant(1.5), fc.constant(1e308))),
        data_offsets: fc.array(fc.oneof(fc.nat({ max: 40 }), fc.constant(2 ** 53 - 1))),
      },
      { requiredKeys: [] },
    )
    const header = fc.oneof(
      fc.dictionary(fc.oneof(fc.string(), fc.constantFrom('__metadata__', '__proto__', 'constructor')), fc.oneof(info, fc.jsonValue())),
      fc.jsonValue(),
    )
    fc.assert(
      fc.property(header, fc.nat({ max: 40 }), (value, dataBytes) => void isReadOrRefused(withHeader(value, dataBytes))),
      { numRuns: 3000 },
    )
  })

  it.each([
    ['fewer bytes than the length field', new Uint8Array(7), 'expected at least 8 bytes, got 7'],
    [
      'a header longer than the file',
      Uint8Array.of(255, 255, 255, 255, 255, 255, 255, 255, 1),
      'the header claims 18446744073709551615 bytes',
    ],
    ['a header that is no JSON', withHeader('{'), 'expected the header to be a JSON object'],
    ['a header that is a list', withHeader([]), 'expected the header to be a JSON object'],
    ['a deep header', withHeader('['.repeat(200_000)), 'expected the header to be a JSON object'],
    ['metadata of numbers', withHeader({ __metadata__: { a: 1 } }), 'expected __metadata__ to map strings to strings'],
    ['another dtype', withHeader({ w: { dtype: 'F64', shape: [1], data_offsets: [0, 8] } }, 8), 'tensor w: expected dtype F32, BF16 or I8'],
    [
      'int8 without its scale',
      withHeader({ w: { dtype: 'I8', shape: [4], data_offsets: [0, 4] } }, 4),
      'tensor w: expected its scale, one F32 number, as tensor w.scale',
    ],
    [
      'int8 with two scales',
      withHeader(
        { 'w.scale': { dtype: 'F32', shape: [2], data_offsets: [0, 8] }, w: { dtype: 'I8', shape: [4], data_offsets: [8, 12] } },
        12,
      ),
      'tensor w: expected its scale, one F32 number, as tensor w.scale',
    ],
    [
      'int8 whose scale is int8',
      withHeader({ 'w.scale': { dtype: 'I8', shape: [1], data_offsets: [0, 1] }, w: { dtype: 'I8', shape: [4], data_offsets: [1, 5] } }, 5),
      'expected its scale, one F32 number',
    ],
    [
      'a shape larger than the data',
      withHeader({ w: { dtype: 'F32', shape: [2], data_offsets: [0, 4] } }, 4),
      'tensor w: expected 8 bytes from 0 on, got 0 to 4 of 4',
    ],
    [
      'a shape of 2^212 elements',
      withHeader({ w: { dtype: 'F32', shape: [2 ** 53 - 1, 2 ** 53 - 1, 2 ** 53 - 1, 2 ** 53 - 1], data_offsets: [0, 4] } }, 4),
      'tensor w: expected',
    ],
    [
      'overlapping tensors',
      withHeader({ v: { dtype: 'F32', shape: [1], data_offsets: [0, 4] }, w: { dtype: 'F32', shape: [1], data_offsets: [0, 4] } }, 4),
      'tensor w: expected 4 bytes from 4 on',
    ],
    [
      'a gap',
      withHeader({ w: { dtype: 'F32', shape: [1], data_offsets: [4, 8] } }, 8),
      'tensor w: expected 4 bytes from 0 on, got 4 to 8 of 8',
    ],
    ['bytes left over', withHeader({ w: { dtype: 'F32', shape: [1], data_offsets: [0, 4] } }, 5), 'expected 4 bytes of data, got 5'],
  ])('are refused, the place named: %s', (_, bytes, message) => {
    expect(() => decodeSafetensors(bytes)).toThrow(SafetensorsError)
    expect(() => decodeSafetensors(bytes)).toThrow(message)
  })
})
