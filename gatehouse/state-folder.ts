// The folder in which a local coordinator keeps its state: who holds it, and the admin token.

import { randomBytes } from 'node:crypto'
import { chmodSync, linkSync, mkdirSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import * as z from 'zod'
import { CliError } from '../command-line/exit-codes.ts'
import { ADMIN_TOKEN_FILE, PREVIOUS_ADMIN_TOKEN_FILE } from '../command-line/limits.ts'
import { writeWholeFile } from '../command-line/whole-files.ts'
import { ADMIN_TOKEN_BYTES } from './limits.ts'
import { identifyProcess, isRunning, type ProcessIdentity, processIdentitySchema } from '../command-line/process-identity.ts'
import { endProcess } from './end-process.ts'

const LOCK_FILE = 'lock'
const LOCK_ATTEMPTS = 5

const lockSchema = z.object({
  holder: processIdentitySchema,
  /** The runtime that has the state's files open, once it is started. */
  runtime: processIdentitySchema.nullable(),
  url: z.string().nullable(),
})
type Lock = z.infer<typeof lockSchema>

type StateFolder = {
  readonly folder: string
  /** Says on disk which runtime uses the folder and where it listens, for whoever comes after a crash. */
  announce(runtime: ProcessIdentity | null, url: string): void
  /** Gives the folder back. Safe to call twice. */
  release(): void
}

/**
 * Makes the folder and takes hold of it for this process. A lock of a process that has ended is taken over, and a
 * runtime that it left behind is ended first. Throws CliError `conflict` while another process holds the folder.
 */
async function holdStateFolder(folder: string): Promise<StateFolder> {
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  const lockFile = join(folder, LOCK_FILE)
  const ownFile = `${lockFile}.${process.pid}`
  const holder = identifyProcess(process.pid) ?? { pid: process.pid, startedAt: null }
  const write = (lock: Lock) => writeWholeFile(ownFile, JSON.stringify(lock), 0o600)

  for (let tried = 1; ; tried++) {
    write({ holder, runtime: null, url: null })
    try {
      // A link appears whole or not at all, and only if there was none.
      linkSync(ownFile, lockFile)
      rmSync(ownFile, { force: true })
      break
    } catch (error) {
      rmSync(ownFile, { force: true })
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
      if (tried >= LOCK_ATTEMPTS) throw new CliError('conflict', `others keep taking the state folder ${folder}; try again`)
    }
    await removeStaleLock(folder, lockFile)
  }

  let held = true
  return {
    folder,
    announce(runtime, url) {
      if (!held) return
      write({ holder, runtime, url })
      renameSync(ownFile, lockFile)
    },
    release() {
      if (held) rmSync(lockFile, { force: true })
      held = false
    },
  }
}

/** Throws CliError `conflict` if the lock's holder still runs. */
async function removeStaleLock(folder: string, lockFile: string): Promise<void> {
  const text = readOrNull(lockFile)
  if (text === null) return
  const lock = parseLock(text)
  if (lock !== null && isRunning(lock.holder)) {
    throw new CliError(
      'conflict',
      `the state folder ${folder} is in use by a coordinator${lock.url === null ? '' : ` at ${lock.url}`} (process ${lock.holder.pid}); stop that one, or use another folder with --state`,
    )
  }
  // Only a runtime that is surely ours is killed: where a start time is not known, the watchdog has to have done it.
  if (lock !== null && lock.runtime !== null && lock.runtime.startedAt !== null && !(await endProcess(lock.runtime))) {
    throw new CliError(
      'conflict',
      `the runtime of an earlier coordinator (process ${lock.runtime.pid}) still uses ${folder} and does not end`,
    )
  }
  const removed = `${lockFile}.stale.${process.pid}`
  try {
    renameSync(lockFile, removed)
  } catch {
    return // Another process was faster; the next attempt sees what it made of it.
  }
  // Between reading and renaming another process may have taken hold: then its lock goes back.
  if (readOrNull(removed) !== text) linkSync(removed, lockFile)
  rmSync(removed, { force: true })
}

function parseLock(text: string): Lock | null {
  try {
    return lockSchema.parse(JSON.parse(text))
  } catch {
    return null
  }
}

function readOrNull(file: string): string | null {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return null
  }
}

/** The folder's admin token, made when first asked for. Only its owner may read the file. */
function adminToken(folder: string): string {
  const file = join(folder, ADMIN_TOKEN_FILE)
  const kept = readOrNull(file)?.trim()
  if (kept) {
    chmodSync(file, 0o600)
    return kept
  }
  const token = randomBytes(ADMIN_TOKEN_BYTES).toString('base64url')
  writeWholeFile(file, `${token}\n`, 0o600)
  return token
}

/** The admin token before it, where somebody kept it while it is replaced. */
function previousAdminToken(folder: string): string | null {
  return readOrNull(join(folder, PREVIOUS_ADMIN_TOKEN_FILE))?.trim() ?? null
}

export { adminToken, holdStateFolder, previousAdminToken, type StateFolder }
