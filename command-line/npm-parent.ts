// `npm run` hands SIGTERM and SIGHUP to the shell that it started, which dies of it and leaves the command running: no lease is given
// back, and a port stays taken. (npm 9 to 11 with dash and bash.) The command notices that its parent is another process, and takes
// that for the signal.

import { PARENT_POLL_MS } from './limits.ts'

type WatchOptions = {
  readonly env: Readonly<Record<string, string | undefined>>
  /** The number of the parent as it is now. */
  readonly parent: () => number
  readonly onGone: () => void
}

/** Calls `onGone` once, if this process was started by npm and its parent ends. Keeps no process alive. Returns how to stop. */
function watchNpmParent({ env, parent, onGone }: WatchOptions): () => void {
  // Set by npm, npx, yarn and pnpm for what they run. Others, nohup and service managers among them, mean it when they end first.
  if (env['npm_lifecycle_event'] === undefined) return () => undefined
  const first = parent()
  const timer = setInterval(() => {
    if (parent() === first) return
    clearInterval(timer)
    onGone()
  }, PARENT_POLL_MS)
  timer.unref()
  return () => clearInterval(timer)
}

export { watchNpmParent }
