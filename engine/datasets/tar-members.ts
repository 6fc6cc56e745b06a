// The files in a tar archive and where in it they are (POSIX.1-2017, pax; GNU's long names and large numbers): headers are read, in
// windows that hold those of many small members, and what is between them is skipped: an archive of any size is gone through in at most as
// many reads as it has members.

import { type FileHandle, open } from 'node:fs/promises'

import { DatasetError, reasonOf } from './errors.ts'

type TarMember = {
  readonly name: string
  readonly from: number
  readonly bytes: number
  /** The first bytes of a member that was asked for. */
  readonly content?: Buffer
}

/** Members whose content is wanted, and how much of it at most, in bytes. */
type WantedContent = { readonly isWanted: (name: string) => boolean; readonly most: number }

const BLOCK = 512
/** Of a long name, or of pax records: more means damage. */
const MAX_NAME_BYTES = 65_536
/** Read at once. */
const WINDOW_BYTES = 65_536
const CHECKSUM = { from: 148, to: 156 }
const [FILE, OLD_FILE, CONTIGUOUS, LONG_NAME, PAX, SPACE] = ['0', '\0', '7', 'L', 'x', 0x20]
/** Set in the first byte of a number that is written in binary. */
const BINARY = 0x80

function textOf(block: Buffer, from: number, length: number): string {
  const end = block.indexOf(0, from)
  return block.toString('utf8', from, end === -1 || end > from + length ? from + length : end)
}

function numberOf(block: Buffer, from: number, length: number): number {
  if (((block[from] as number) & BINARY) === 0) return Number.parseInt(textOf(block, from, length).trim() || '0', 8)
  let value = 0
  for (let at = from; at < from + length; at++) value = value * 256 + (block[at] as number) - (at === from ? BINARY : 0)
  return value
}

function isHeader(block: Buffer): boolean {
  let sum = 0
  for (let at = 0; at < block.length; at++) sum += at >= CHECKSUM.from && at < CHECKSUM.to ? SPACE : (block[at] as number)
  return numberOf(block, CHECKSUM.from, CHECKSUM.to - CHECKSUM.from) === sum
}

/** Of pax records, `LENGTH KEY=VALUE\n` each, those that matter here. */
function paxOf(bytes: Buffer): { path?: string; size?: number } {
  const found: { path?: string; size?: number } = {}
  for (let at = 0; at < bytes.length;) {
    const space = bytes.indexOf(SPACE, at)
    const length = Number(bytes.toString('latin1', at, space))
    if (space === -1 || !(length > 0)) break
    const record = bytes.toString('utf8', space + 1, at + length - 1)
    const [key, value] = [record.slice(0, record.indexOf('=')), record.slice(record.indexOf('=') + 1)]
    if (key === 'path') found.path = value
    if (key === 'size') found.size = Number(value)
    at += length
  }
  return found
}

/** Bytes of a file by their place, read a window at a time; fewer than asked for where it ends. Good until the next call. */
function windowReader(handle: FileHandle): (from: number, length: number) => Promise<Buffer> {
  const room = Buffer.alloc(WINDOW_BYTES)
  let start = 0
  let held = 0
  return async (from, length) => {
    if (from < start || from + length > start + held) {
      start = from
      held = (await handle.read(room, 0, WINDOW_BYTES, from)).bytesRead
    }
    return room.subarray(from - start, Math.min(held, from - start + length))
  }
}

/** Regular files, in their order. Throws a `DatasetError` `bad-record` for an archive that is cut, compressed or none. */
async function readTarMembers(file: string, wanted?: WantedContent): Promise<TarMember[]> {
  const broken = (reason: string) => new DatasetError('bad-record', `expected ${file} to be a whole tar archive, but ${reason}`, { file })
  const handle = await open(file).catch((cause: unknown) => {
    throw new DatasetError('file-unreadable', `cannot read ${file}: ${reasonOf(cause)}`, { file, cause })
  })
  try {
    const { size: archiveBytes } = await handle.stat()
    const readWindow = windowReader(handle)
    const read = async (from: number, length: number) => {
      const found = await readWindow(from, length)
      if (found.length < length) throw broken(`it ends early, at byte ${from + found.length}`)
      return found
    }
    const members: TarMember[] = []
    let next: { path?: string; size?: number } = {}
    // An archive ends with two blocks of zeros; some writers leave them out.
    for (let at = 0; at < archiveBytes;) {
      const header = await read(at, BLOCK)
      if (header.every((byte) => byte === 0)) return members
      if (!isHeader(header))
        throw broken(`byte ${at} is no header of a member${at === 0 ? '; archives that are compressed are unpacked first' : ''}`)
      const type = String.fromCharCode(header[156] as number)
      const bytes = next.size ?? numberOf(header, 124, 12)
      const from = at + BLOCK
      if (!Number.isSafeInteger(bytes) || from + bytes > archiveBytes) throw broken(`it ends within the member at byte ${at}`)
      if (type === LONG_NAME || type === PAX) {
        if (bytes > MAX_NAME_BYTES) throw broken(`the name at byte ${at} has ${bytes} bytes`)
        const text = await read(from, bytes)
        next = type === PAX ? { ...next, ...paxOf(text) } : { ...next, path: textOf(text, 0, text.length) }
      } else {
        if (type === FILE || type === OLD_FILE || type === CONTIGUOUS) {
          const isUstar = textOf(header, 257, 5) === 'ustar'
          const prefix = isUstar ? textOf(header, 345, 155) : ''
          const name = textOf(header, 0, 100)
          const path = next.path ?? (prefix === '' ? name : `${prefix}/${name}`)
          const content = wanted?.isWanted(path) ? Buffer.from(await read(from, Math.min(bytes, wanted.most))) : null
          members.push({ name: path, from, bytes, ...(content && { content }) })
        }
        next = {}
      }
      at = from + Math.ceil(bytes / BLOCK) * BLOCK
    }
    return members
  } finally {
    await handle.close()
  }
}

export { readTarMembers, type TarMember }
