// Values of images: bytes, or whole numbers of 16 bits, such as heights and readings of sensors. A byte v is 257 v of 16 bits, so that both
// are the same share of the largest value.

/** Bits of one value of an image. */
const pixelBits = [8, 16] as const
type PixelBits = (typeof pixelBits)[number]

/** 0 to 255, or 0 to 65,535. */
type Pixels = Uint8Array | Uint16Array

const DEFAULT_BITS: PixelBits = 8
const PER_BYTE = 257

function createPixels(length: number, bits: PixelBits): Pixels {
  return bits === 8 ? new Uint8Array(length) : new Uint16Array(length)
}

function bitsOfPixels(pixels: Pixels): PixelBits {
  return pixels instanceof Uint8Array ? 8 : 16
}

/** White. */
function largestValue(bits: PixelBits): number {
  return 2 ** bits - 1
}

/** Bytes as values of 16 bits. */
function widenBytes(bytes: Uint8Array): Uint16Array {
  return Uint16Array.from(bytes, (value) => value * PER_BYTE)
}

/** `bytes` that hold values of so many bits, little-endian, as every processor that Node runs on stores them; a copy where they are not bytes. */
function pixelsFrom(bytes: Uint8Array, bits: PixelBits): Pixels {
  if (bits === 8) return bytes
  const pixels = new Uint16Array(bytes.length / Uint16Array.BYTES_PER_ELEMENT)
  new Uint8Array(pixels.buffer).set(bytes)
  return pixels
}

export { bitsOfPixels, createPixels, DEFAULT_BITS, largestValue, type PixelBits, pixelBits, type Pixels, pixelsFrom, widenBytes }
