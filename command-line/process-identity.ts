// Which process is which. A number alone does not tell: numbers are used again, above all after a restart of the machine.

import { readFileSync } from 'node:fs'
import * as z from 'zod'

const processIdentitySchema = z.object({
  pid: z.int().min(1),
  /** When it started, in words that only Linux knows; null elsewhere, where the number has to do. */
  startedAt: z.string().nullable(),
})
type ProcessIdentity = z.infer<typeof processIdentitySchema>

const START_TIME_FIELD = 22
const STATE_FIELD = 3

/** Null if there is no such process. */
function identifyProcess(pid: number): ProcessIdentity | null {
  if (!isAlive(pid)) return null
  if (process.platform !== 'linux') return { pid, startedAt: null }
  try {
    // The second field is the name in brackets and may hold anything, so fields are counted from behind it.
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    // A zombie has ended; its parent has just not looked yet.
    if (fields[STATE_FIELD - 3] === 'Z') return null
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
    return { pid, startedAt: `${boot}/${fields[START_TIME_FIELD - 3]}` }
  } catch {
    return null
  }
}

function isRunning(identity: ProcessIdentity): boolean {
  return identifyProcess(identity.pid)?.startedAt === identity.startedAt
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    // Somebody else's process is alive too.
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

export { identifyProcess, isRunning, type ProcessIdentity, processIdentitySchema }
