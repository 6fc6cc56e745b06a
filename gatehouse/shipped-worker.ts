// The Worker that comes with the package: bundled when the package was made, so that nobody who installs it needs what bundles, and
// `gatehouse up` starts at once. The same folder, with its wrangler.toml, is what `wrangler deploy` takes.

import { readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import * as z from 'zod'
import type { BuiltWorker } from './worker-build.ts'

const WORKER_FILE = 'worker.js'
/** Miniflare's options, as wrangler derives them from wrangler.toml; paths are relative to the folder. */
const OPTIONS_FILE = 'miniflare.json'

const optionsSchema = z.looseObject({ rootPath: z.string(), assets: z.looseObject({ directory: z.string() }) })

/** What of a built Worker is needed to run it. */
type RunnableWorker = Pick<BuiltWorker, 'workerOptions' | 'modules'>

/** Throws what the file system throws: a package without its Worker is broken. */
function readShippedWorker(folder = fileURLToPath(new URL('../worker', import.meta.url))): RunnableWorker {
  const { rootPath, assets, ...options } = optionsSchema.parse(JSON.parse(readFileSync(join(folder, OPTIONS_FILE), 'utf8')))
  return {
    workerOptions: {
      ...options,
      rootPath: resolve(folder, rootPath),
      assets: { ...assets, directory: resolve(folder, assets.directory) },
    },
    modules: [{ name: WORKER_FILE, type: 'ESModule', base64: readFileSync(join(folder, WORKER_FILE)).toString('base64') }],
  }
}

export { OPTIONS_FILE, readShippedWorker, type RunnableWorker, WORKER_FILE }
