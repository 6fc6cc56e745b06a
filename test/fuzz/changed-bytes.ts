// Files that are broken in the ways in which files break, and in those in which somebody who means ill breaks them.

import fc from 'fast-check'

/** `at` and `length`: parts of the file's own length, 0 to 1. */
type Change =
  | { readonly kind: 'cut'; readonly at: number }
  | { readonly kind: 'flip'; readonly at: number; readonly mask: number }
  | { readonly kind: 'overwrite' | 'insert'; readonly at: number; readonly bytes: Uint8Array }
  | { readonly kind: 'remove' | 'repeat'; readonly at: number; readonly length: number }

const part = fc.double({ min: 0, max: 1, noNaN: true })
const EXTREMES = [[0xff, 0xff, 0xff, 0xff], [0, 0, 0, 0], [0x7f, 0xff, 0xff, 0xff], [0, 0, 0, 0x80], [0x22], [0x7b, 0x7d], [0x2d, 0x31]]
const bytes = fc.oneof(
  fc.uint8Array({ minLength: 1, maxLength: 12 }),
  fc.constantFrom(...EXTREMES.map((values) => Uint8Array.from(values))),
)
const change: fc.Arbitrary<Change> = fc.oneof(
  fc.record({ kind: fc.constant('cut' as const), at: part }),
  fc.record({ kind: fc.constant('flip' as const), at: part, mask: fc.integer({ min: 1, max: 255 }) }),
  fc.record({ kind: fc.constantFrom('overwrite' as const, 'insert' as const), at: part, bytes }),
  fc.record({ kind: fc.constantFrom('remove' as const, 'repeat' as const), at: part, length: part }),
)

function changed(file: Uint8Array, edit: Change): Uint8Array<ArrayBuffer> {
  const at = Math.floor(edit.at * file.length)
  const joined = (...parts: Uint8Array[]) => Uint8Array.from(parts.flatMap((members) => [...members]))
  switch (edit.kind) {
    case 'cut':
      return file.slice(0, at)
    case 'flip':
      return Uint8Array.from(file, (byte, i) => (i === at ? byte ^ edit.mask : byte))
    case 'overwrite':
      return joined(file.subarray(0, at), edit.bytes, file.subarray(at + edit.bytes.length))
    case 'insert':
      return joined(file.subarray(0, at), edit.bytes, file.subarray(at))
    case 'remove':
    case 'repeat': {
      const end = Math.floor(at + edit.length * (file.length - at))
      return edit.kind === 'remove' ? joined(file.subarray(0, at), file.subarray(end)) : joined(file.subarray(0, end), file.subarray(at))
    }
    default:
      return edit satisfies never
  }
}

/** One of the files with some changes, or noise. */
function brokenFiles(files: readonly Uint8Array[]): fc.Arbitrary<Uint8Array<ArrayBuffer>> {
  const edited = fc
    .tuple(fc.constantFrom(...files), fc.array(change, { minLength: 1, maxLength: 4 }))
    .map(([file, edits]) => edits.reduce<Uint8Array<ArrayBuffer>>((bytesSoFar, edit) => changed(bytesSoFar, edit), Uint8Array.from(file)))
  const noise = fc.uint8Array({ maxLength: 200 }).map((made) => Uint8Array.from(made))
  return fc.oneof({ weight: 9, arbitrary: edited }, noise)
}

export { brokenFiles }
