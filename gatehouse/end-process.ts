import { setTimeout as delay } from 'node:timers/promises'
import { isRunning, type ProcessIdentity } from '../command-line/process-identity.ts'
import { PROCESS_EXIT_WAIT_MS, PROCESS_POLL_MS } from './limits.ts'

/** Kills that very process, if it still runs, and waits until it is gone. False if it is still there after 5 s. */
async function endProcess(identity: ProcessIdentity): Promise<boolean> {
  for (let waitedMs = 0; isRunning(identity); waitedMs += PROCESS_POLL_MS) {
    if (waitedMs === 0) kill(identity.pid)
    if (waitedMs >= PROCESS_EXIT_WAIT_MS) return false
    await delay(PROCESS_POLL_MS)
  }
  return true
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // Ended by itself in between.
  }
}

export { endProcess }
