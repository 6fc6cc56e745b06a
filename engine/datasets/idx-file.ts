// One IDX file, the format of MNIST (http://yann.lecun.com/exdb/mnist/): two zero bytes, a type byte (8 = unsigned
// byte), the number of dimensions, each dimension as a big-endian 32-bit word, then the bytes.
// Pure: bytes in, a view of the same bytes out.

import type { ImageShape, Labels } from './dataset.ts'
import { DatasetError } from './errors.ts'
import { MAX_FILE_BYTES } from './limits.ts'

const LABELS_MAGIC = 0x00000801
const GREY_IMAGES_MAGIC = 0x00000803
/** Not in MNIST, but the same format with a channel dimension, count × height × width × channels. */
const COLOUR_IMAGES_MAGIC = 0x00000804

const WORD_BYTES = 4
const GREY_CHANNELS = 1

type IdxImages = { count: number; shape: ImageShape; images: Uint8Array }
type IdxLabels = { count: number; labels: Uint8Array }

function hex(magic: number): string {
  return `0x${magic.toString(16).padStart(8, '0')}`
}

/** Checks the header against `magics` and the length against the header; dimensions and payload. */
function parseIdx(bytes: Uint8Array, file: string, magics: readonly number[]): { sizes: number[]; payload: Uint8Array } {
  const expectedMagic = magics.map(hex).join(' or ')
  if (bytes.length < WORD_BYTES) {
    throw new DatasetError(
      'wrong-size',
      `expected ${file} to begin with the 4 bytes ${expectedMagic}, got a file of ${bytes.length} bytes; download it again`,
      { file },
    )
  }
  const words = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const magic = words.getUint32(0)
  if (!magics.includes(magic)) {
    throw new DatasetError(
      'bad-magic',
      `expected ${file} to begin with ${expectedMagic}, got ${hex(magic)}; it is not an IDX file of this kind: ` +
        'check that images and labels are not swapped and that the download is not an error page',
      { file },
    )
  }
  const dimensions = magic & 0xff
  const headerBytes = WORD_BYTES * (1 + dimensions)
  if (bytes.length < headerBytes) {
    throw new DatasetError(
      'wrong-size',
      `expected ${file} to hold a header of ${headerBytes} bytes, got ${bytes.length} bytes in all; download it again`,
      { file },
    )
  }
  const sizes = Array.from({ length: dimensions }, (_, index) => words.getUint32(WORD_BYTES * (1 + index)))
  if (sizes.includes(0)) {
    throw new DatasetError('empty-dataset', `expected ${file} to hold data, got dimensions ${sizes.join('×')}`, {
      file,
    })
  }
  const expectedBytes = headerBytes + sizes.reduce((product, size) => product * size, 1)
  if (expectedBytes > MAX_FILE_BYTES) {
    throw new DatasetError(
      'too-large',
      `expected ${file} to need at most ${MAX_FILE_BYTES} bytes, got dimensions ${sizes.join('×')}; use fewer or smaller images`,
      { file },
    )
  }
  if (bytes.length !== expectedBytes) {
    throw new DatasetError(
      'wrong-size',
      `expected ${file} to have ${expectedBytes} bytes for dimensions ${sizes.join('×')}, got ${bytes.length} bytes; ` +
        `it is ${bytes.length < expectedBytes ? 'truncated' : 'too long'}: download it again`,
      { file },
    )
  }
  return { sizes, payload: new Uint8Array(bytes.buffer, bytes.byteOffset + headerBytes, bytes.length - headerBytes) }
}

/** `bytes` is the whole file, unpacked; `file` is for messages. */
function parseIdxImages(bytes: Uint8Array, file: string): IdxImages {
  const { sizes, payload } = parseIdx(bytes, file, [GREY_IMAGES_MAGIC, COLOUR_IMAGES_MAGIC])
  const [count, height, width, channels = GREY_CHANNELS] = sizes as [number, number, number, number?]
  return { count, shape: [height, width, channels], images: payload }
}

/** `bytes` is the whole file, unpacked; `file` is for messages. */
function parseIdxLabels(bytes: Uint8Array, file: string): IdxLabels {
  const { payload } = parseIdx(bytes, file, [LABELS_MAGIC])
  return { count: payload.length, labels: payload }
}

function encodeIdx(magic: number, sizes: readonly number[], payload: Uint8Array): Uint8Array {
  const headerBytes = WORD_BYTES * (1 + sizes.length)
  const bytes = new Uint8Array(headerBytes + payload.length)
  const words = new DataView(bytes.buffer)
  for (const [index, word] of [magic, ...sizes].entries()) words.setUint32(WORD_BYTES * index, word)
  bytes.set(payload, headerBytes)
  return bytes
}

/** The inverse of `parseIdxImages`, for tests and for bringing one's own images into this format. */
function encodeIdxImages({ count, shape, images }: IdxImages): Uint8Array {
  const [height, width, channels] = shape
  return channels === GREY_CHANNELS
    ? encodeIdx(GREY_IMAGES_MAGIC, [count, height, width], images)
    : encodeIdx(COLOUR_IMAGES_MAGIC, [count, height, width, channels], images)
}

/** The inverse of `parseIdxLabels`; the format has one byte per label. */
function encodeIdxLabels(labels: Labels): Uint8Array {
  return encodeIdx(LABELS_MAGIC, [labels.length], Uint8Array.from(labels))
}

export { encodeIdxImages, encodeIdxLabels, type IdxImages, type IdxLabels, parseIdxImages, parseIdxLabels }
