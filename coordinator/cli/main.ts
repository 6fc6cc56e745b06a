// Entry of the `gatehouse` command: npm run gatehouse -- --help

import { readFileSync } from 'node:fs'
import { runGatehouse } from './gatehouse.ts'
import { createTerminal } from './terminal.ts'

const interrupt = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => interrupt.abort(new Error(`interrupted by ${signal}`)))
// A reader that has seen enough, such as `head`, is no failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error
})

const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string }
process.exitCode = await runGatehouse(createTerminal(process, interrupt.signal), version, process.argv.slice(2))
