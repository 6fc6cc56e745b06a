// A file of the cache folder, written under another name and renamed: a reader sees the whole file or none, and of two processes that write it
// at once the later rename wins. No fsync: a file lost to a power cut fails its checksum and is made again.

import { randomUUID } from 'node:crypto'
import { mkdir, open, rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'

/** Makes the folder where needed. Throws what the file system throws, and leaves nothing then. */
async function replaceFile(file: string, parts: readonly (string | Uint8Array)[]): Promise<void> {
  await mkdir(dirname(file), { recursive: true })
  const unfinished = `${file}.${randomUUID()}.tmp`
  try {
    const handle = await open(unfinished, 'wx')
    try {
      for (const part of parts) await handle.writeFile(part)
    } finally {
      await handle.close()
    }
    await rename(unfinished, file)
  } catch (cause) {
    await rm(unfinished, { force: true })
    throw cause
  }
}

export { replaceFile }
