// The Worker as a folder that can be deployed as it is and that `gatehouse up` of the package runs: bundled, with its pages and a
// wrangler.toml that names them.

import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { buildWorker } from '../gatehouse/worker-build.ts'
import { OPTIONS_FILE, WORKER_FILE } from '../gatehouse/shipped-worker.ts'

const PAGES = 'dashboard'
const SOURCE_MAP = /\/\/# sourceMappingURL=\S+\s*$/

function replaceOnce(text: string, before: string, after: string): string {
  if (text.split(before).length !== 2) throw new Error(`expected wrangler.toml to say ${before} once`)
  return text.replace(before, after)
}

/** Writes the folder `folder`. `root` is that of wrangler.toml; the pages must have been built. */
async function writeWorker(root: string, folder: string): Promise<void> {
  const { modules, workerOptions } = await buildWorker(join(root, 'wrangler.toml'), () => undefined)
  const [entry] = modules
  if (entry === undefined || modules.length !== 1)
    throw new Error(`expected the Worker to be one module, got ${modules.map(({ name }) => name).join(', ')}`)
  mkdirSync(folder, { recursive: true })
  // The map would be larger than the Worker, and stays behind.
  const code = Buffer.from(entry.base64, 'base64').toString('utf8').replace(SOURCE_MAP, '')
  writeFileSync(join(folder, WORKER_FILE), code)
  cpSync(join(root, 'coordinator', 'dashboard'), join(folder, PAGES), { recursive: true })

  const config = readFileSync(join(root, 'wrangler.toml'), 'utf8')
  const named = replaceOnce(config, 'main = "coordinator/index.ts"', `main = "${WORKER_FILE}"`)
  writeFileSync(join(folder, 'wrangler.toml'), replaceOnce(named, 'directory = "coordinator/dashboard"', `directory = "${PAGES}"`))

  const options = { ...workerOptions, rootPath: '.', assets: { ...(workerOptions['assets'] as object), directory: PAGES } }
  const text = JSON.stringify(options, null, 2)
  if (text.includes(JSON.stringify(root).slice(1, -1))) throw new Error(`the Worker's options name this folder: ${text}`)
  writeFileSync(join(folder, OPTIONS_FILE), `${text}\n`)
}

export { writeWorker }
