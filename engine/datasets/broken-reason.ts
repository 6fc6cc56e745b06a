// Why a file is no image that can be decoded: one line that follows from its bytes alone. What libvips says does not: its threads share one
// buffer of messages, which grows to kilobytes and may speak of another file.

import { type ImagePlace, readPlace } from './image-place.ts'

/** Bytes of the start of a file that tell its format. */
const START_BYTES = 64

type FileKind = {
  readonly name: string
  /** Whether images of the kind are decoded here. */
  readonly isRead: boolean
  /** What people can do about a kind that is not. */
  readonly advice?: string
  readonly begins: (start: Buffer) => boolean
}

/** One character of `text` per byte. */
const withText =
  (text: string, at = 0) =>
  (start: Buffer) =>
    start.toString('latin1', at, at + text.length) === text

/** Sorted so that the first that fits is the right one. */
const kinds: readonly FileKind[] = [
  { name: 'a JPEG file', isRead: true, begins: withText('\xff\xd8\xff') },
  { name: 'a PNG file', isRead: true, begins: withText('\x89PNG') },
  { name: 'a GIF file', isRead: true, begins: withText('GIF8') },
  { name: 'a WebP file', isRead: true, begins: (start) => withText('RIFF')(start) && withText('WEBP', 8)(start) },
  { name: 'a TIFF file', isRead: true, begins: (start) => withText('II*\0')(start) || withText('MM\0*')(start) },
  { name: 'an AVIF file', isRead: true, begins: withText('ftypavi', 4) },
  { name: 'a HEIC file', isRead: false, advice: 'convert it to JPEG', begins: withText('ftyp', 4) },
  { name: 'a BMP file', isRead: false, advice: 'convert it to PNG', begins: withText('BM') },
  { name: 'a ZIP archive', isRead: false, advice: 'unpack it', begins: withText('PK\x03\x04') },
  { name: 'a gzip archive', isRead: false, advice: 'unpack it', begins: withText('\x1f\x8b') },
  { name: 'a PDF file', isRead: false, begins: withText('%PDF') },
  { name: 'a pointer of Git LFS', isRead: false, advice: 'git lfs pull', begins: withText('version https://git-lfs') },
  {
    name: 'a web page',
    isRead: false,
    advice: 'download it again',
    begins: (start) => /^\s*<(!doctype html|html)/i.test(start.toString('latin1')),
  },
  { name: 'text', isRead: false, begins: (start) => /^[\t\n\r\x20-\x7e]+$/.test(start.toString('latin1')) },
]

/** A file that cannot be decoded; the message is the reason, in one line. */
class BrokenImageError extends Error {
  override readonly name = 'BrokenImageError'
  readonly code = 'broken-image'
}

/** @param part what could not be read of a file of a format that is known */
function reasonFor(start: Buffer, part: string): string {
  if (start.length === 0) return 'it is empty'
  const kind = kinds.find(({ begins }) => begins(start))
  if (kind === undefined) return 'it is no image'
  if (kind.isRead) return `it is ${kind.name} whose ${part}`
  return `it is ${kind.name}, not an image that can be read${kind.advice === undefined ? '' : `: ${kind.advice}`}`
}

/** Of a file whose size cannot be found out. */
function brokenHeader(bytes: Uint8Array): BrokenImageError {
  return new BrokenImageError(reasonFor(Buffer.from(bytes.subarray(0, START_BYTES)), 'header is cut or damaged'))
}

/** Of bytes whose header was read. */
function brokenPixels(start: Uint8Array): BrokenImageError {
  return new BrokenImageError(reasonFor(Buffer.from(start.subarray(0, START_BYTES)), 'pixels end early or are damaged'))
}

/** The same of an image where it lies. Throws what the system says where it cannot be read. */
async function brokenPixelsOf(place: ImagePlace): Promise<BrokenImageError> {
  return brokenPixels(await readPlace(place, START_BYTES))
}

export { brokenHeader, BrokenImageError, brokenPixels, brokenPixelsOf }
