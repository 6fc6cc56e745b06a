// What a checkpoint says of the weights that a trial has from another one: a name of the start, as long as a fingerprint. Coordinators, which
// have not seen these weights, and agents that go on without them know it too.

import { hashText } from '../search-space/index.ts'

const WORDS = 8
const HEX_DIGITS = 8

/** 64 hexadecimal digits. */
function parentFingerprint({ trial, path }: { readonly trial: number; readonly path: readonly number[] }): string {
  return Array.from({ length: WORDS }, (_, word) =>
    hashText(`${word} ${trial} ${path.join()}`).toString(16).padStart(HEX_DIGITS, '0'),
  ).join('')
}

export { parentFingerprint }
