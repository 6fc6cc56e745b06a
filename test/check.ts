// `npm run check`: all scripts of package.json named check:…, side by side on all cores, in the order in which they stand there, longest first. What
// one says is printed once it has ended; the first line of each is its name and how long it took.

import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { fileURLToPath } from 'node:url'
import { runSideBySide } from '../command-line/child-commands.ts'

const folder = fileURLToPath(new URL('..', import.meta.url))
const { scripts } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { scripts: Record<string, string> }
const names = Object.keys(scripts).filter((name) => name.startsWith('check:'))

async function passes(name: string): Promise<boolean> {
  const startMs = performance.now()
  const child = spawn(process.execPath, ['--run', name], { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] })
  let said = ''
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text: string) => (said += text))
  const code = await new Promise<number>((resolve) => child.once('close', (exit) => resolve(exit ?? 1)))
  const seconds = ((performance.now() - startMs) / 1000).toFixed(0)
  const line = `${code === 0 ? 'passed' : 'FAILED'}  ${name}  ${seconds} s\n`
  process.stdout.write(said.trim() === '' ? line : `${line}${said.trimEnd()}\n`)
  return code === 0
}

const passed = await runSideBySide(
  names.map((name) => () => passes(name)),
  availableParallelism(),
)
process.exitCode = passed.every(Boolean) ? 0 : 1
