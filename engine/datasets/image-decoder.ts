// Image files to bytes, by sharp (libvips), in libuv's thread pool: the calling thread only hands over and collects, so
// that images are decoded while a training step occupies it.
//
// One channel is grey and three are sRGB, whatever a file holds; of any other number are the bands of the file as they are
// (image-bands.ts).

import { constants } from 'node:fs'
import { access } from 'node:fs/promises'
import sharp, { type Metadata } from 'sharp'

import { brokenHeader, BrokenImageError, brokenPixels, brokenPixelsOf } from './broken-reason.ts'
import type { CropBox } from './crop-box.ts'
import type { ImageShape } from './dataset.ts'
import { DatasetError, reasonOf } from './errors.ts'
import { decodeBands } from './image-bands.ts'
import { isColourInput } from './image-channels.ts'
import { encodedImage, type ImagePlace } from './image-place.ts'
import { type PixelBits, type Pixels, pixelsFrom, widenBytes } from './pixels.ts'
import { sharpSettings as settings } from './sharp-settings.ts'

/** From here on the whole image is scaled first, which lets libjpeg decode an eighth, a quarter or half of its size. */
const SHRINK_ON_LOAD_FROM = 2
const GREY_CHANNELS = 1
const SPACES = { grey: 'b-w', colour: 'srgb' } as const
const DEEP_SPACES = { grey: 'grey16', colour: 'rgb16' } as const

type ImageSize = {
  /** As it is looked at, after EXIF's rotation. */
  readonly width: number
  readonly height: number
}

/** `channels`: those that there are after CMYK was converted, alpha among them. */
type ImageHeader = ImageSize & { readonly channels: number }

/**
 * Deep images lose their lower bits. Heights in metres or readings of a sensor, which take a small part of 16 bits, would be one colour,
 * most often black. Throws BrokenImageError for those, and what sharp throws for pixels that cannot be decoded.
 */
async function checkDepth(bytes: Uint8Array): Promise<void> {
  const { channels } = await sharp(bytes, settings).stats()
  const varying = channels.filter(({ min, max }) => min !== max)
  if (varying.length === 0) return
  const shallow = await sharp(bytes, settings).toColourspace('srgb').raw({ depth: 'uchar' }).toBuffer({ resolveWithObject: true })
  const pixel = shallow.data.subarray(0, shallow.info.channels)
  if (shallow.data.some((value, at) => value !== pixel[at % pixel.length])) return
  const least = Math.min(...varying.map(({ min }) => min))
  const most = Math.max(...varying.map(({ max }) => max))
  throw new BrokenImageError(`its values, ${least} to ${most}, are all one in 8 bits; give --bits 16, or scale them`)
}

async function metadataOf(bytes: Uint8Array): Promise<Metadata> {
  try {
    return await sharp(bytes, settings).metadata()
  } catch {
    throw brokenHeader(bytes)
  }
}

/** Throws BrokenImageError for values that are no whole numbers of 16 bits, and what sharp throws for pixels that cannot be decoded. */
async function checkPixels(bytes: Uint8Array, depth: string | undefined): Promise<void> {
  if (depth !== 'ushort') throw new BrokenImageError(`its values are of the kind ${depth}; save them as whole numbers of 8 or 16 bits`)
  await sharp(bytes, settings).stats()
}

/**
 * What the header of a file says. Throws BrokenImageError for bytes that are not an image, and for deep images of which nothing would be
 * seen in so many bits.
 */
async function readHeader(bytes: Uint8Array, bits: PixelBits): Promise<ImageHeader> {
  const { autoOrient, depth, space, channels } = await metadataOf(bytes)
  if (depth !== 'uchar') {
    await (bits === 8 ? checkDepth(bytes) : checkPixels(bytes, depth)).catch((error: unknown) => {
      throw error instanceof BrokenImageError ? error : brokenPixels(bytes)
    })
  }
  return { width: autoOrient.width, height: autoOrient.height, channels: space === 'cmyk' ? channels - 1 : channels }
}

/** Whether every channel of an image has one value throughout. Throws what sharp throws for a file that it cannot decode. */
async function isFlat(place: ImagePlace): Promise<boolean> {
  const { channels } = await sharp(encodedImage(place), settings).stats()
  return channels.every(({ min, max }) => min === max)
}

/** Values of the box in full-image pixels, after the image was scaled so that the box has the input's size. */
function scaledPlace(size: number, from: number, length: number, target: number): { size: number; from: number } {
  const scaled = Math.max(target, Math.round((size * target) / length))
  return { size: scaled, from: Math.min(scaled - target, Math.round((from * target) / length)) }
}

/**
 * The box of an image, scaled to height × width × channels values, NHWC: three channels are sRGB, one is grey, any other number are
 * the bands of the file. EXIF's rotation is applied, CMYK converted, transparency of colours laid on black; of an animation it is
 * the first frame. Throws BrokenImageError for a file that cannot be decoded, and what the system says of one that is not there
 * any more.
 */
async function decodeBox(place: ImagePlace, image: ImageSize, box: CropBox, shape: ImageShape, bits: PixelBits): Promise<Pixels> {
  const encoded = encodedImage(place)
  const decoded = isColourInput(shape[2]) ? decodeColours(encoded, image, box, shape, bits) : decodeBands(encoded, box, shape, bits)
  return await decoded.catch(async () => {
    throw await brokenPixelsOf(place)
  })
}

/** Bytes become 16 bits at the end, where these are wanted: libvips would scale colours by 256. */
async function decodeColours(
  encoded: string | Buffer,
  image: ImageSize,
  box: CropBox,
  [height, width, channels]: ImageShape,
  bits: PixelBits,
): Promise<Pixels> {
  const isDeep = bits === 16 && (await sharp(encoded, settings).metadata()).depth === 'ushort'
  const space = isDeep ? DEEP_SPACES : SPACES
  let pipeline = sharp(encoded, settings)
  if (box.width >= SHRINK_ON_LOAD_FROM * width && box.height >= SHRINK_ON_LOAD_FROM * height) {
    const across = scaledPlace(image.width, box.left, box.width, width)
    const down = scaledPlace(image.height, box.top, box.height, height)
    pipeline = pipeline
      .resize(across.size, down.size, { fit: 'fill', kernel: 'linear' })
      .extract({ left: across.from, top: down.from, width, height })
  } else {
    pipeline = pipeline.extract(box).resize(width, height, { fit: 'fill', kernel: 'linear' })
  }
  const { data, info } = await pipeline
    .flatten({ background: '#000' })
    .toColourspace(channels === GREY_CHANNELS ? space.grey : space.colour)
    .raw({ depth: isDeep ? 'ushort' : 'uchar' })
    .toBuffer({ resolveWithObject: true })
  // Three bands that a file calls grey are none of grey and alpha.
  if (info.channels !== channels) return await decodeBands(encoded, box, [height, width, channels], bits)
  const decoded = pixelsFrom(data, isDeep ? 16 : 8)
  return bits === 16 && decoded instanceof Uint8Array ? widenBytes(decoded) : decoded
}

/** A file that is not there any more or may not be read is not a broken image: other machines would train on it. */
async function refuseUnreadable({ file }: ImagePlace): Promise<void> {
  await access(file, constants.R_OK).catch((cause: unknown) => {
    throw new DatasetError('file-unreadable', `cannot read ${file}: ${reasonOf(cause)}; the folder has changed since it was opened`, {
      file,
      cause,
    })
  })
}

export { decodeBox, type ImageHeader, isFlat, readHeader, refuseUnreadable }
