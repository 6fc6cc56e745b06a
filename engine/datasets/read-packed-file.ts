// A whole file in memory, unpacked if it is gzip. Decided by content, not by name: browsers often unpack a download and
// leave `.gz` in its name, and no format we read begins with gzip's two bytes.

import { readFile } from 'node:fs/promises'
import { promisify } from 'node:util'
import { gunzip } from 'node:zlib'

import { DatasetError, reasonOf } from './errors.ts'
import { MAX_FILE_BYTES } from './limits.ts'

const unpack = promisify(gunzip)

function isGzip(bytes: Uint8Array): boolean {
  return bytes[0] === 0x1f && bytes[1] === 0x8b
}

async function readPackedFile(file: string): Promise<Uint8Array> {
  const bytes = await readFile(file).catch((cause: unknown) => {
    throw new DatasetError('file-unreadable', `cannot read ${file}: ${reasonOf(cause)}`, { file, cause })
  })
  if (!isGzip(bytes)) return bytes
  return unpack(bytes, { maxOutputLength: MAX_FILE_BYTES }).catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === 'ERR_BUFFER_TOO_LARGE') {
      throw new DatasetError('too-large', `expected ${file} to unpack to at most ${MAX_FILE_BYTES} bytes, got more`, {
        file,
        cause,
      })
    }
    throw new DatasetError('gzip-corrupt', `cannot unpack ${file} (${bytes.length} bytes of gzip): ${cause.message}; download it again`, {
      file,
      cause,
    })
  })
}

export { readPackedFile }
