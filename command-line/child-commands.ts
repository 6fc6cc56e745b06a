// Runs the project's own commands as a user would: as processes, whose last line of standard output is their result.

import { type ChildProcess, spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const KEPT_LINES = 40

type RunningCommand = {
  readonly child: ChildProcess
  /** Last line of standard output. Rejects, with what the command said, if it fails. */
  readonly result: Promise<string>
}

type CommandOptions = {
  readonly env?: Record<string, string>
  /** Gets the lines of its standard error. */
  readonly onNote?: (line: string) => void
  /** Ends it too: whoever ends this process need not know of its commands. The result is then rejected with the signal's reason. */
  readonly interrupted?: AbortSignal
}

/** Starts `node <script> <args>` from the project's folder. Throws the reason of a signal that was given before. */
function startCommand(script: string, args: readonly string[], { env = {}, onNote, interrupted }: CommandOptions = {}): RunningCommand {
  interrupted?.throwIfAborted()
  const child = spawn(process.execPath, [`${root}${script}`, ...args], {
    cwd: root,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const notes: string[] = []
  let output = ''
  let pending = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    const lines = (pending + text).split('\n')
    pending = lines.pop() ?? ''
    for (const line of lines) {
      notes.push(line)
      if (notes.length > KEPT_LINES) notes.shift()
      onNote?.(line)
    }
  })
  const stop = () => void child.kill('SIGTERM')
  interrupted?.addEventListener('abort', stop, { once: true })
  const result = new Promise<string>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code, signal) => {
      interrupted?.removeEventListener('abort', stop)
      if (interrupted?.aborted) reject(interrupted.reason)
      else if (code === 0) resolve(output.trimEnd().split('\n').at(-1) ?? '')
      else reject(new Error(`${script} ${args[0] ?? ''} ended with ${signal ?? `code ${code}`}:\n${[...notes, pending].join('\n')}`))
    })
  })
  // Whoever awaits it gets the error; until then it must not count as unhandled.
  result.catch(() => undefined)
  return { child, result }
}

/** Runs jobs, at most `width` at a time; results in the order of the jobs. Once one has failed no other begins, and those that run end first. */
async function runSideBySide<T>(jobs: readonly (() => Promise<T>)[], width: number): Promise<T[]> {
  const results: T[] = []
  let next = 0
  const lane = async () => {
    while (next < jobs.length) {
      const index = next++
      try {
        results[index] = await (jobs[index] as () => Promise<T>)()
      } catch (error) {
        next = jobs.length
        throw error
      }
    }
  }
  const lanes = await Promise.allSettled(Array.from({ length: width }, lane))
  const failed = lanes.find((settled) => settled.status === 'rejected')
  if (failed) throw failed.reason
  return results
}

/** Rejects as soon as one of them fails, and never resolves: one that ends before its time ends with an error. */
function firstFailure(commands: readonly RunningCommand[]): Promise<never> {
  const failure = new Promise<never>((_, reject) => {
    for (const { result } of commands) result.catch(reject)
  })
  failure.catch(() => undefined)
  return failure
}

export { firstFailure, runSideBySide, startCommand, type RunningCommand }
