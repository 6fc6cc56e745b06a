// Images of several bands, such as those of satellites and microscopes, whose channels are no colours and no alpha: nothing is converted,
// and none weighs another. sharp takes what is beyond grey or three colours for alpha, which it multiplies colours with when it scales
// them, and leaves out of 8-bit grey. So the bands are taken out unscaled, as 16 bits, and each is scaled by itself in the bits that it has.

import sharp from 'sharp'

import type { CropBox } from './crop-box.ts'
import type { ImageShape } from './dataset.ts'
import { bitsOfPixels, createPixels, type PixelBits, type Pixels, pixelsFrom, widenBytes } from './pixels.ts'
import { sharpSettings } from './sharp-settings.ts'

/** Interpretations of libvips whose conversion to 16 bits puts a byte into the upper one, bands beyond its own included. */
const DEEP: Readonly<Record<string, string>> = { 'b-w': 'grey16', srgb: 'rgb16' }

/** One band of the size of `from`, scaled to height × width. */
async function scaleBand(band: Pixels, from: CropBox, [height, width]: ImageShape): Promise<Pixels> {
  if (from.width === width && from.height === height) return band
  const bits = bitsOfPixels(band)
  const scaled = await sharp(band, { raw: { width: from.width, height: from.height, channels: 1 } })
    .resize(width, height, { fit: 'fill', kernel: 'linear' })
    .toColourspace(bits === 8 ? 'b-w' : 'grey16')
    .raw({ depth: bits === 8 ? 'uchar' : 'ushort' })
    .toBuffer()
  return pixelsFrom(scaled, bits)
}

/** The box of an image, each band scaled to height × width values, NHWC. Throws where the image cannot be decoded or has other bands. */
async function decodeBands(image: string | Buffer, box: CropBox, shape: ImageShape, bits: PixelBits): Promise<Pixels> {
  const [height, width, channels] = shape
  const { space, depth } = await sharp(image, sharpSettings).metadata()
  const { data, info } = await sharp(image, sharpSettings)
    .extract(box)
    .toColourspace(DEEP[space] ?? space)
    .raw({ depth: 'ushort' })
    .toBuffer({ resolveWithObject: true })
  if ((depth !== 'uchar' && depth !== 'ushort') || info.channels !== channels) {
    throw new Error(`decoded to ${info.width}×${info.height}×${info.channels} of ${depth}`)
  }
  const values = pixelsFrom(data, 16)
  const ownBits = depth === 'uchar' ? 8 : bits
  const shift = 16 - ownBits
  const scaled = createPixels(height * width * channels, ownBits)
  const band = createPixels(box.width * box.height, ownBits)
  for (let channel = 0; channel < channels; channel++) {
    for (let at = 0; at < band.length; at++) band[at] = (values[at * channels + channel] as number) >> shift
    const small = await scaleBand(band, box, shape)
    for (let at = 0; at < small.length; at++) scaled[at * channels + channel] = small[at] as number
  }
  return bits === 16 && scaled instanceof Uint8Array ? widenBytes(scaled) : scaled
}

export { decodeBands }
