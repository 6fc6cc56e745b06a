// Ends the Workers runtime when the process that started it has died without a word. workerd outlives its parent (tried
// with version 2026-10-23: after SIGKILL of its parent it went on answering, and kept the port and the state's files), and
// it has no setting against that. So a small process waits at a pipe from the parent: the operating system closes the
// pipe however the parent ends.

import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'

type Watchdog = {
  /** From now on this process is the one to end. */
  watch(pid: number): void
  /** Nothing is to be ended any more. */
  dismiss(): void
}

/** Starts a watchdog. It does not keep this process alive. */
function startWatchdog(): Watchdog {
  // A process group of its own: Ctrl-C in a terminal goes to the whole group, and this one has to outlive it.
  const child = spawn(process.execPath, [fileURLToPath(new URL('runtime-watchdog-process.ts', import.meta.url))], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
    windowsHide: true,
  })
  const input = child.stdin
  // Should somebody kill it, the coordinator works on without it.
  child.on('error', () => {})
  input.on('error', () => {})
  child.unref()
  return {
    watch: (pid) => void input.write(`${pid}\n`),
    dismiss: () => void input.end('0\n'),
  }
}

export { startWatchdog, type Watchdog }
