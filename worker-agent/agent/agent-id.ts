// The id that an agent brings along, kept in a file, so that one which is started again is the same agent to its coordinator. Agents that run at
// the same time on one machine have one each: a file is its process's as long as that is alive.

import { createHash, randomBytes } from 'node:crypto'
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import * as z from 'zod'
import { identifyProcess, isRunning, processIdentitySchema } from '../../command-line/process-identity.ts'
import { agentIdSchema, createId } from '../../protocol/index.ts'

const ID_BYTES = 12
const MAX_AGENTS_HERE = 1024
const fileSchema = z.object({ agentId: agentIdSchema })
/** Whose a file is. */
const ownerSchema = z.object({ process: processIdentitySchema, host: z.string() })
/** Locks of this very process. */
const own = new Set<string>()

const freshId = () => createId('a', randomBytes(ID_BYTES))

/** The id in a file; null where there is none. */
function readId(path: string): string | null {
  try {
    return fileSchema.parse(JSON.parse(readFileSync(path, 'utf8'))).agentId
  } catch {
    return null
  }
}

function ownerOf(text: string): z.infer<typeof ownerSchema> | null {
  try {
    return ownerSchema.parse(JSON.parse(text))
  } catch {
    return null
  }
}

/** Whether the lock is now this process's. That of a process of this machine that has died is moved away first, which one of several can do. */
function lock(path: string): boolean {
  if (own.has(path)) return false
  try {
    const owner = ownerOf(readFileSync(path, 'utf8'))
    // Machines may share the folder, and nobody knows here who is alive there; nor whose a lock is that is being written.
    if (owner?.host !== hostname()) return false
    // The number may have been given to this process, where it is that of the one before in a container.
    if (owner.process.pid !== process.pid && isRunning(owner.process)) return false
    const old = `${path}.${process.pid}`
    renameSync(path, old)
    rmSync(old)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
  try {
    writeFileSync(path, JSON.stringify({ process: identifyProcess(process.pid), host: hostname() }), { flag: 'wx' })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw error
  }
  own.add(path)
  return true
}

/**
 * The id of this agent, by what it works for and its name. A folder that cannot be written to makes it a new one each time.
 *
 * @param folder where ids are kept
 * @param owner id of the search or training
 */
function claimAgentId(folder: string, owner: string, name: string): string {
  const key = createHash('sha256')
    .update(JSON.stringify([owner, name]))
    .digest('hex')
    .slice(0, 16)
  try {
    mkdirSync(folder, { recursive: true })
    for (let slot = 0; slot < MAX_AGENTS_HERE; slot++) {
      const path = join(folder, `${key}-${slot}.json`)
      if (!lock(`${path}.lock`)) continue
      const agentId = readId(path) ?? freshId()
      writeFileSync(path, JSON.stringify({ agentId }))
      return agentId
    }
  } catch {
    // The agent works all the same.
  }
  return freshId()
}

export { claimAgentId }
