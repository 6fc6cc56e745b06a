// Loaded by processes that tests start, before their own modules: a source whose types have been stripped before (strip-sources.ts) is that
// file. Any other, as one that was changed since, is left to Node.

import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { registerHooks } from 'node:module'
import { fileURLToPath } from 'node:url'

registerHooks({
  load(url, context, next) {
    if (!url.startsWith('file:') || !url.endsWith('.ts')) return next(url, context)
    const name = createHash('sha1')
      .update(readFileSync(fileURLToPath(url)))
      .digest('hex')
    try {
      return { format: 'module', source: readFileSync(new URL(`${name}.js`, import.meta.url)), shortCircuit: true }
    } catch {
      return next(url, context)
    }
  },
})
