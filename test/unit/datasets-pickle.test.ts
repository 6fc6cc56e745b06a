// Pickles that Python 3.13 and NumPy 2.4 wrote, and bytes that are none.

import { describe, expect, it } from 'vitest'
import { readPickle } from '../../engine/datasets/pickle.ts'

const decode = (text: string) => new Uint8Array(Buffer.from(text, 'base64'))

/** {'data': uint8 array of 0..5, 2 × 3, b'labels': [7, 300, 70000, -5], 'names': ('a', 'ü'), 'none': None, 'yes': True} */
const DICTIONARIES = {
  3: 'gAN9cQAoWAQAAABkYXRhcQFjbnVtcHkuX2NvcmUubXVsdGlhcnJheQpfcmVjb25zdHJ1Y3QKcQJjbnVtcHkKbmRhcnJheQpxA0sAhXEEQwFicQWHcQZScQcoSwFLAksDhnEIY251bXB5CmR0eXBlCnEJWAIAAAB1MXEKiYiHcQtScQwoSwNYAQAAAHxxDU5OTkr/////Sv////9LAHRxDmKJQwYAAQIDBAVxD3RxEGJDBmxhYmVsc3ERXXESKEsHTSwBSnARAQBK+////2VYBQAAAG5hbWVzcRNYAQAAAGFxFFgCAAAAw7xxFYZxFlgEAAAAbm9uZXEXTlgDAAAAeWVzcRiIdS4=',
  4: 'gASV2gAAAAAAAAB9lCiMBGRhdGGUjBZudW1weS5fY29yZS5tdWx0aWFycmF5lIwMX3JlY29uc3RydWN0lJOUjAVudW1weZSMB25kYXJyYXmUk5RLAIWUQwFilIeUUpQoSwFLAksDhpRoBYwFZHR5cGWUk5SMAnUxlImIh5RSlChLA4wBfJROTk5K/////0r/////SwB0lGKJQwYAAQIDBAWUdJRiQwZsYWJlbHOUXZQoSwdNLAFKcBEBAEr7////ZYwFbmFtZXOUjAFhlIwCw7yUhpSMBG5vbmWUTowDeWVzlIh1Lg==',
}
/** {'data': os.system('true')} */
const CALL = 'gAJ9cQBYBAAAAGRhdGFxAWNwb3NpeApzeXN0ZW0KcQJYBAAAAHRydWVxA4VxBFJxBXMu'
const FLOATS =
  'gAN9cQBYBAAAAGRhdGFxAWNudW1weS5fY29yZS5tdWx0aWFycmF5Cl9yZWNvbnN0cnVjdApxAmNudW1weQpuZGFycmF5CnEDSwCFcQRDAWJxBYdxBlJxByhLAUsCSwOGcQhjbnVtcHkKZHR5cGUKcQlYAgAAAGY4cQqJiIdxC1JxDChLA1gBAAAAPHENTk5OSv////9K/////0sAdHEOYolDMAAAAAAAAAAAAAAAAAAA8D8AAAAAAAAAQAAAAAAAAAhAAAAAAAAAEEAAAAAAAAAUQHEPdHEQYnMu'

describe('a pickle', () => {
  it.each([3, 4] as const)('of protocol %i gives its plain data', (protocol) => {
    const read = readPickle(decode(DICTIONARIES[protocol]), 'file')
    expect(read).toEqual(
      new Map<string, unknown>([
        ['data', { kind: 'array', shape: [2, 3], values: Uint8Array.of(0, 1, 2, 3, 4, 5) }],
        ['labels', [7, 300, 70_000, -5]],
        ['names', ['a', 'ü']],
        ['none', null],
        ['yes', true],
      ]),
    )
  })

  it('that calls anything is refused by the name that it calls', () => {
    expect(() => readPickle(decode(CALL), 'file')).toThrow(
      /expected file to be a pickle of plain data, got the name posix\.system, which nothing here calls/,
    )
    expect(() => readPickle(decode(FLOATS), 'file')).toThrow(/got an array of f8, not of bytes/)
  })

  it('that is cut anywhere, or has a byte changed, is read or refused with a word', () => {
    for (const bytes of Object.values(DICTIONARIES).map(decode)) {
      for (let end = 0; end < bytes.length; end++) expect(() => readPickle(bytes.subarray(0, end), 'file')).toThrow(/pickle of plain data/)
      for (let at = 0; at < bytes.length; at++) {
        for (const changed of [0, 0x2e, 0x52, 0x74, 0xff]) {
          try {
            readPickle(bytes.with(at, changed), 'file')
          } catch (error) {
            expect(error).toMatchObject({ name: 'DatasetError', code: 'bad-record' })
          }
        }
      }
    }
  })
})
