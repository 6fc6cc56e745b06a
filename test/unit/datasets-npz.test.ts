// .npz files that NumPy 2.4 wrote: x_train 4 × 2 × 3 bytes from 0 on, y_train [[0], [2], [1], [2]] as int64, x_test 1 × 2 × 3 from 100 on, y_test [1].

import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { openDataset } from '../../engine/datasets/index.ts'
import { openInMemory } from '../fixtures/memory-dataset.ts'

const STORED =
  'UEsDBC0AAAAAAAAAIQBFgVML//////////8LABQAeF90cmFpbi5ucHkBABAAmAAAAAAAAACYAAAAAAAAAJNOVU1QWQEAdgB7J2Rlc2NyJzogJ3x1MScsICdmb3J0cmFuX29yZGVyJzogRmFsc2UsICdzaGFwZSc6ICg0LCAyLCAzKSwgfSAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAKAAECAwQFBgcICQoLDA0ODxAREhMUFRYXUEsDBC0AAAAAAAAAIQCm8+kD//////////8LABQAeV90cmFpbi5ucHkBABAAoAAAAAAAAACgAAAAAAAAAJNOVU1QWQEAdgB7J2Rlc2NyJzogJzxpOCcsICdmb3J0cmFuX29yZGVyJzogRmFsc2UsICdzaGFwZSc6ICg0LCAxKSwgfSAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAKAAAAAAAAAAACAAAAAAAAAAEAAAAAAAAAAgAAAAAAAABQSwMELQAAAAAAAAAhACzFOQ///////////woAFAB4X3Rlc3QubnB5AQAQAIYAAAAAAAAAhgAAAAAAAACTTlVNUFkBAHYAeydkZXNjcic6ICd8dTEnLCAnZm9ydHJhbl9vcmRlcic6IEZhbHNlLCAnc2hhcGUnOiAoMSwgMiwgMyksIH0gICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgCmRlZmdoaVBLAwQtAAAAAAAAACEAe7KmwP//////////CgAUAHlfdGVzdC5ucHkBABAAgQAAAAAAAACBAAAAAAAAAJNOVU1QWQEAdgB7J2Rlc2NyJzogJ3x1MScsICdmb3J0cmFuX29yZGVyJzogRmFsc2UsICdzaGFwZSc6ICgxLCksIH0gICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAKAVBLAQItAy0AAAAAAAAAIQBFgVMLmAAAAJgAAAALAAAAAAAAAAAAAACAAQAAAAB4X3RyYWluLm5weVBLAQItAy0AAAAAAAAAIQCm8+kDoAAAAKAAAAALAAAAAAAAAAAAAACAAdUAAAB5X3RyYWluLm5weVBLAQItAy0AAAAAAAAAIQAsxTkPhgAAAIYAAAAKAAAAAAAAAAAAAACAAbIBAAB4X3Rlc3QubnB5UEsBAi0DLQAAAAAAAAAhAHuypsCBAAAAgQAAAAoAAAAAAAAAAAAAAIABdAIAAHlfdGVzdC5ucHlQSwUGAAAAAAQABADiAAAAMQMAAAAA'
const DEFLATED =
  'UEsDBC0AAAAIAAAAIQBFgVML//////////8LABQAeF90cmFpbi5ucHkBABAAmAAAAAAAAABhAAAAAAAAAJvsF+obEMnIUMZQrZ6SWpxcpG6loF5Taqiuo6Cell9UUpSYF59flJIKEndLzClOBYoXZyQWpAL5GiY6CkY6CsaaOgq1CuQBLgZGJmYWVjZ2Dk4ubh5ePn4BQSFhEVExcQBQSwMELQAAAAgAAAAhAKbz6QP//////////wsAFAB5X3RyYWluLm5weQEAEACgAAAAAAAAAE4AAAAAAAAAm+wX6hsQychQxlCtnpJanFykbqWgbpNpoa6joJ6WX1RSlJgXn1+UkgoSd0vMKU4FihdnJBakAvkaJjoKhpo6CrUKZAMuBihggtKMaHwAUEsDBC0AAAAIAAAAIQAsxTkP//////////8KABQAeF90ZXN0Lm5weQEAEACGAAAAAAAAAE8AAAAAAAAAm+wX6hsQychQxlCtnpJanFykbqWgXlNqqK6joJ6WX1RSlJgXn1+UkgoSd0vMKU4FihdnJBakAvkahjoKRjoKxpo6CrUK5AGulNS09IxMAFBLAwQtAAAACAAAACEAe7KmwP//////////CgAUAHlfdGVzdC5ucHkBABAAgQAAAAAAAABFAAAAAAAAAJvsF+obEMnIUMZQrZ6SWpxcpG6loF5Taqiuo6Cell9UUpSYF59flJIKEndLzClOBYoXZyQWpAL5GoY6mjoKtQoUAC5GAFBLAQItAy0AAAAIAAAAIQBFgVMLYQAAAJgAAAALAAAAAAAAAAAAAACAAQAAAAB4X3RyYWluLm5weVBLAQItAy0AAAAIAAAAIQCm8+kDTgAAAKAAAAALAAAAAAAAAAAAAACAAZ4AAAB5X3RyYWluLm5weVBLAQItAy0AAAAIAAAAIQAsxTkPTwAAAIYAAAAKAAAAAAAAAAAAAACAASkBAAB4X3Rlc3QubnB5UEsBAi0DLQAAAAgAAAAhAHuypsBFAAAAgQAAAAoAAAAAAAAAAAAAAIABtAEAAHlfdGVzdC5ucHlQSwUGAAAAAAQABADiAAAANQIAAAAA'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'gatehouse-npz-'))
})
afterEach(() => rm(folder, { recursive: true, force: true }))

const write = (bytes: Uint8Array, name = 'data.npz') => writeFile(join(folder, name), bytes)
const stored = new Uint8Array(Buffer.from(STORED, 'base64'))
const options = () => ({ cacheFolder: join(folder, '.cache') })

/** The bytes with `text`, which is there once, replaced by one as long, and the checksums of its entry left as they were. */
function replaced(bytes: Uint8Array, text: string, by: string): Uint8Array {
  const at = Buffer.from(bytes).indexOf(text)
  const changed = Buffer.from(bytes)
  changed.write(by, at, 'latin1')
  return new Uint8Array(changed)
}

describe('a file of arrays', () => {
  it.each([
    ['stored', STORED],
    ['deflated', DEFLATED],
  ])('%s, opens by its path and as the only one of a folder', async (_, text) => {
    await write(new Uint8Array(Buffer.from(text, 'base64')))
    for (const ref of [join(folder, 'data.npz'), folder, `npz:${folder}`]) {
      const dataset = await openInMemory(ref, options())
      expect(dataset).toMatchObject({ name: 'data', shape: [2, 3, 1], classes: 3 })
      expect([...dataset.train.images]).toEqual(Array.from({ length: 24 }, (__, at) => at))
      expect([...dataset.train.labels]).toEqual([0, 2, 1, 2])
      expect([...dataset.test.images]).toEqual([100, 101, 102, 103, 104, 105])
      expect([...dataset.test.labels]).toEqual([1])
    }
  })

  it.each<[string, () => Uint8Array, string, RegExp]>([
    ['that is cut', () => stored.subarray(0, 700), 'bad-record', /a ZIP archive, got a file without its end/],
    [
      'with a pixel changed',
      () => stored.with(Buffer.from(stored).indexOf(Buffer.from([0, 1, 2, 3, 4, 5])) + 2, 9),
      'bad-record',
      /x_train\.npy in .* fails its checksum/,
    ],
    [
      'with other names',
      () => replaced(replaced(stored, 'y_test.npy', 'z_test.npy'), 'y_test.npy', 'z_test.npy'),
      'files-missing',
      /x_train, y_train, x_test, y_test .* got x_train, y_train, x_test, z_test/,
    ],
    ['that is none', () => new TextEncoder().encode('<html>'.repeat(20)), 'bad-record', /a ZIP archive/],
  ])('%s is refused with a word', async (_, bytes, code, message) => {
    await write(bytes())
    await expect(openDataset(join(folder, 'data.npz'), options())).rejects.toMatchObject({ code, message: expect.stringMatching(message) })
  })

  it('is to be named where there are two, and has to be there', async () => {
    await write(stored)
    await write(stored, 'other.npz')
    await expect(openDataset(folder, options())).rejects.toMatchObject({
      code: 'bad-reference',
      message: expect.stringContaining('data.npz, other.npz'),
    })
    await expect(openDataset(join(folder, 'third.npz'), options())).rejects.toMatchObject({ code: 'file-unreadable' })
  })
})
