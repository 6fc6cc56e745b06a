// Images of several bands, such as those of satellites and microscopes, whose channels are no colours and no alpha: nothing is converted,
// and none weighs another. sharp takes what is beyond grey or three colours for alpha, which it multiplies colours with when it scales
// them, and leaves out of 8-bit grey. So the bands are taken out unscaled, as 16 bits, and each is scaled by itself.

import sharp from 'sharp'

import type { CropBox } from './crop-box.ts'
import type { ImageShape } from './dataset.ts'
import { sharpSettings } from './sharp-settings.ts'

/** Interpretations of libvips whose conversion to 16 bits puts a byte into the upper one, bands beyond its own included. */
const DEEP: Readonly<Record<string, string>> = { 'b-w': 'grey16', srgb: 'rgb16' }
const BITS_OF_BYTE = 8

/** One band of `from`, scaled to `to`. */
async function scaleBand(band: Uint8Array, from: CropBox, [height, width]: ImageShape): Promise<Uint8Array> {
  if (from.width === width && from.height === height) return band
  return await sharp(band, { raw: { width: from.width, height: from.height, channels: 1 } })
    .resize(width, height, { fit: 'fill', kernel: 'linear' })
    .toColourspace('b-w')
    .raw({ depth: 'uchar' })
    .toBuffer()
}

/** The box of an image, each band scaled to height × width bytes, NHWC. Throws where the image cannot be decoded or has other bands. */
async function decodeBands(image: string | Buffer, box: CropBox, shape: ImageShape): Promise<Uint8Array> {
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
  const values = new Uint16Array(data.buffer, data.byteOffset, data.length / Uint16Array.BYTES_PER_ELEMENT)
  const pixels = box.width * box.height
  const scaled = new Uint8Array(height * width * channels)
  for (let channel = 0; channel < channels; channel++) {
    const band = Uint8Array.from({ length: pixels }, (_, at) => (values[at * channels + channel] as number) >> BITS_OF_BYTE)
    const small = await scaleBand(band, box, shape)
    for (let at = 0; at < small.length; at++) scaled[at * channels + channel] = small[at] as number
  }
  return scaled
}

export { decodeBands }
