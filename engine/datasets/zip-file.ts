// Entries of a ZIP archive (PKWARE's APPNOTE.TXT 6.3), as NumPy writes them into .npz: stored or deflated, in one file, below 4 GiB, each held
// against its checksum. The central directory at the end says where they are.

import { crc32, inflateRawSync } from 'node:zlib'
import { DatasetError } from './errors.ts'
import { MAX_FILE_BYTES } from './limits.ts'

const END_BYTES = 22
const END_MAGIC = 0x06054b50
const ENTRY_BYTES = 46
const ENTRY_MAGIC = 0x02014b50
const LOCAL_BYTES = 30
const LOCAL_MAGIC = 0x04034b50
/** A comment behind the end has at most so many bytes. */
const MAX_COMMENT = 65_535
const IN_ANOTHER_PLACE = 0xffffffff
const [STORED, DEFLATED] = [0, 8]
const ENCRYPTED = 1

type ZipEntry = {
  readonly name: string
  readonly method: number
  readonly crc: number
  readonly packed: number
  readonly bytes: number
  readonly offset: number
}

/** Throws DatasetError `bad-record` for an archive that is none, cut, encrypted or split. */
function listZip(archive: Uint8Array, file: string): ZipEntry[] {
  const view = new DataView(archive.buffer, archive.byteOffset, archive.byteLength)
  const refuse = (reason: string): never => {
    throw new DatasetError('bad-record', `expected ${file} to be a ZIP archive, got ${reason}; download it again`, { file })
  }
  let end = archive.length - END_BYTES
  while (end >= 0 && end >= archive.length - END_BYTES - MAX_COMMENT && view.getUint32(end, true) !== END_MAGIC) end--
  if (end < 0 || view.getUint32(end, true) !== END_MAGIC) return refuse('a file without its end')
  const count = view.getUint16(end + 10, true)
  let at = view.getUint32(end + 16, true)
  return Array.from({ length: count }, () => {
    if (at + ENTRY_BYTES > end || view.getUint32(at, true) !== ENTRY_MAGIC) return refuse('a directory that is cut')
    const sizes = { packed: view.getUint32(at + 20, true), bytes: view.getUint32(at + 24, true), offset: view.getUint32(at + 42, true) }
    if (Object.values(sizes).includes(IN_ANOTHER_PLACE)) return refuse('an entry of 4 GiB or more')
    if ((view.getUint16(at + 8, true) & ENCRYPTED) !== 0) return refuse('an encrypted entry')
    const nameBytes = view.getUint16(at + 28, true)
    const name = Buffer.from(archive.subarray(at + ENTRY_BYTES, at + ENTRY_BYTES + nameBytes)).toString('utf8')
    const entry = { name, method: view.getUint16(at + 10, true), crc: view.getUint32(at + 16, true), ...sizes }
    at += ENTRY_BYTES + nameBytes + view.getUint16(at + 30, true) + view.getUint16(at + 32, true)
    return entry
  })
}

/** The content of an entry, unpacked. Throws DatasetError `bad-record` or `too-large`. */
function readZipEntry(archive: Uint8Array, { name, method, crc, packed, bytes, offset }: ZipEntry, file: string): Uint8Array {
  const view = new DataView(archive.buffer, archive.byteOffset, archive.byteLength)
  const refuse = (reason: string): never => {
    throw new DatasetError('bad-record', `${name} in ${file} cannot be read: ${reason}; download the archive again`, { file })
  }
  if (bytes > MAX_FILE_BYTES)
    throw new DatasetError('too-large', `expected ${name} in ${file} to have at most ${MAX_FILE_BYTES} bytes, got ${bytes}`, { file })
  if (offset + LOCAL_BYTES > archive.length || view.getUint32(offset, true) !== LOCAL_MAGIC) refuse('it is not where the directory says')
  const from = offset + LOCAL_BYTES + view.getUint16(offset + 26, true) + view.getUint16(offset + 28, true)
  const content = archive.subarray(from, from + packed)
  if (content.length !== packed) refuse('it is cut')
  let values = content
  if (method === DEFLATED) {
    try {
      values = inflateRawSync(content, { maxOutputLength: Math.max(1, bytes) })
    } catch (error) {
      refuse((error as Error).message)
    }
  } else if (method !== STORED) refuse(`it is packed by method ${method}`)
  if (values.length !== bytes || crc32(values) !== crc) refuse('it fails its checksum')
  return values
}

export { listZip, readZipEntry, type ZipEntry }
