// Before tests that start our commands as processes: the types of all sources are stripped once, into files that load-stripped.ts finds, in
// place of Node doing it again in every process, which is half of the time that a command takes to start.

import { createHash } from 'node:crypto'
import { existsSync, globSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { stripTypeScriptTypes } from 'node:module'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
/** What commands load. */
const rooms =
  'command-line demo engine gatehouse latency-lut models onnx plots proof protocol rules search-space simulation strategies worker-agent'.split(
    ' ',
  )
const folder = join(root, 'node_modules', '.cache', 'gatehouse-stripped')
/** JavaScript by itself, so that no process needs Node's own stripping for it. */
const loader = join(folder, 'load.js')

/** What processes that tests start have in their environment. */
const STRIPPED = { NODE_OPTIONS: `--import=${pathToFileURL(loader)}`, NODE_COMPILE_CACHE: join(folder, 'compiled') }

export default function setup(): void {
  mkdirSync(folder, { recursive: true })
  for (const path of globSync(`{${rooms.join(',')}}/**/*.ts`, { cwd: root, exclude: (name) => name.endsWith('assembly') })) {
    const source = readFileSync(join(root, path), 'utf8')
    const file = join(folder, `${createHash('sha1').update(source).digest('hex')}.js`)
    if (!existsSync(file)) writeFileSync(file, stripTypeScriptTypes(source))
  }
  writeFileSync(loader, stripTypeScriptTypes(readFileSync(join(root, 'test', 'load-stripped.ts'), 'utf8')))
}

export { STRIPPED }
