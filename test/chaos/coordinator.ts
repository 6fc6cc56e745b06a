// node test/chaos/coordinator.ts --port PORT --state FOLDER
//
// What `gatehouse up` runs, with a clock that can be set (worker/worker.ts).

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { startLocalCoordinator } from '../../gatehouse/local-coordinator.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const folder = join(root, '.wrangler', 'chaos')

/** The project's wrangler.toml with another entrance. */
function writeConfig(): string {
  const paths = [
    ['main = "coordinator/index.ts"', `main = ${JSON.stringify(join(root, 'test/chaos/worker/worker.ts'))}`],
    ['directory = "coordinator/dashboard"', `directory = ${JSON.stringify(join(root, 'coordinator/dashboard'))}`],
  ] as const
  const text = paths.reduce(
    (config, [line, changed]) => {
      if (!config.includes(line)) throw new Error(`expected wrangler.toml to have the line ${line}`)
      return config.replace(line, changed)
    },
    readFileSync(join(root, 'wrangler.toml'), 'utf8'),
  )
  mkdirSync(folder, { recursive: true })
  const path = join(folder, 'wrangler.toml')
  writeFileSync(path, text)
  return path
}

const { port, state } = parseArgs({ options: { port: { type: 'string' }, state: { type: 'string' } } }).values
if (port === undefined || state === undefined) throw new Error('expected --port and --state')
const log = (line: string) => void process.stderr.write(`${line}\n`)
const coordinator = await startLocalCoordinator({ port: Number(port), stateFolder: state, configPath: writeConfig(), log })
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void coordinator.stop())
