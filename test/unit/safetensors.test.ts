import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { decodeSafetensors, encodeSafetensors, SafetensorsError, type SafetensorsFile } from '../../coordinator/protocol/index.ts'
import { fromBfloat16, toBfloat16 } from '../../coordinator/protocol/safetensors.ts'
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
      fc.property(files, fc.nat({ max: 9 }), fc.constantFrom('F32' as const, 'BF16' as const), (file, shift, dtype) => {
        const bytes = encodeSafetensors(file, dtype)
        const moved = new Uint8Array(bytes.length + shift)
        moved.set(bytes, shift)
        expect(decodeSafetensors(moved.subarray(shift))).toEqual(decodeSafetensors(bytes))
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

describe('bytes from a stranger', () => {
  /** Fails unless the bytes are a valid file, or refused by name. What is read never exceeds what was sent, twice for bf16. */
  function isReadOrRefused(bytes: Uint8Array): 'read' | 'refused' {
    try {
      const file = decodeSafetensors(bytes)
      const total = [...file.tensors.values()].reduce((sum, { values }) => sum + values.byteLength, 0)
      expect(total).toBeLessThanOrEqual(2 * bytes.byteLength)
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
        fc.constantFrom('F32' as const, 'BF16' as const),
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
        dtype: fc.constantFrom('F32', 'BF16', 'F64', 1),
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
    ['another dtype', withHeader({ w: { dtype: 'F64', shape: [1], data_offsets: [0, 8] } }, 8), 'tensor w: expected dtype F32 or BF16'],
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
