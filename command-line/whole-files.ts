// Files that people get are there whole or not at all: written under another name, all of them, and only then renamed. A disk that is full,
// which says so while a file is written and without naming it, leaves nothing behind.

import { mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { CliError } from './exit-codes.ts'

type WholeFile = { readonly path: string; readonly content: string | Uint8Array; readonly mode?: number }

/** What a person did not do by naming a path: the disk is full, its quota used up, or broken. */
const DISK_CODES: ReadonlySet<string> = new Set(['ENOSPC', 'EDQUOT', 'EIO'])

/** Takes the place of files that are there, in this order. Makes folders. Throws CliError, with the file named. */
function writeWholeFiles(files: readonly WholeFile[]): void {
  const parts = files.map((file) => ({ ...file, part: `${file.path}.${process.pid}.part` }))
  const madeFolders: string[] = []
  const begun: string[] = []
  let at = ''
  try {
    for (const { path, part, content, mode } of parts) {
      at = path
      const made = mkdirSync(dirname(path), { recursive: true })
      if (made !== undefined) madeFolders.push(made)
      begun.push(part)
      writeFileSync(part, content, { mode })
    }
    for (const { path, part } of parts) {
      at = path
      renameSync(part, path)
    }
  } catch (error) {
    for (const part of begun) rmSync(part, { force: true })
    // Nobody else has had time to put something into them.
    for (const folder of madeFolders) rmSync(folder, { recursive: true, force: true })
    const { code = '', message } = error as NodeJS.ErrnoException
    throw new CliError(DISK_CODES.has(code) ? 'failure' : 'usage', `cannot write ${at}: ${message}`)
  }
}

function writeWholeFile(path: string, content: string | Uint8Array, mode?: number): void {
  writeWholeFiles([{ path, content, mode }])
}

export { DISK_CODES, writeWholeFile, writeWholeFiles }
