// Where the bytes of an image are: a file of its own, or a part of an archive. Datasets name images by one path below their folder; that of a
// member of an archive says where in it the member is, so that whoever has the path needs no index:
//
//   CLASS/photo.jpg
//   train-000000.tar#1536+8123#photo.jpg      8123 bytes from byte 1536 of the archive

import { closeSync, openSync, readSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { join } from 'node:path'

type ImagePlace = {
  /** Of the image, or of the archive that it is in. */
  readonly file: string
  /** Null: the whole file. */
  readonly part: { readonly from: number; readonly bytes: number } | null
}

const MEMBER = /^(.+\.tar)#(\d+)\+(\d+)#/

function memberPath(archive: string, { from, bytes }: { readonly from: number; readonly bytes: number }, name: string): string {
  return `${archive}#${from}+${bytes}#${name}`
}

function placeOf(folder: string, path: string): ImagePlace {
  const [, archive, from, bytes] = MEMBER.exec(path) ?? []
  if (archive === undefined) return { file: join(folder, path), part: null }
  return { file: join(folder, archive), part: { from: Number(from), bytes: Number(bytes) } }
}

/** At most the first `most` bytes of an image. Throws what the system says. */
async function readPlace({ file, part }: ImagePlace, most = Number.POSITIVE_INFINITY): Promise<Buffer> {
  const handle = await open(file)
  try {
    const length = Math.min(most, part?.bytes ?? (await handle.stat()).size)
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(length), 0, length, part?.from ?? 0)
    return buffer.subarray(0, bytesRead)
  } finally {
    await handle.close()
  }
}

/**
 * What sharp takes: the name of a file, which it reads as far as it has to, or bytes. At once, so that decoding begins before whoever asks
 * for it goes on to occupy the thread.
 */
function encodedImage({ file, part }: ImagePlace): string | Buffer {
  if (part === null) return file
  const handle = openSync(file, 'r')
  try {
    const bytes = Buffer.alloc(part.bytes)
    return bytes.subarray(0, readSync(handle, bytes, 0, part.bytes, part.from))
  } finally {
    closeSync(handle)
  }
}

export { encodedImage, type ImagePlace, memberPath, placeOf, readPlace }
