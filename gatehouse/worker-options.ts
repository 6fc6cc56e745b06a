// Run as a program: writes Miniflare's options for a wrangler configuration to a file. A process of its own, since
// loading wrangler takes a second and it prints to standard output.
//
//     node worker-options.ts CONFIG OUTPUT

import { writeFileSync } from 'node:fs'
import { unstable_getMiniflareWorkerOptions as getMiniflareWorkerOptions, unstable_readConfig as readConfig } from 'wrangler'

const [configPath, outputPath] = process.argv.slice(2)
if (configPath === undefined || outputPath === undefined) throw new Error('expected a configuration and an output file')

const config = readConfig({ config: configPath })
// Rules are for unbundled sources. Of the bindings only the configuration's own: wrangler adds secrets that it finds in
// the environment and in .dev.vars, and those are not for a file.
const { modulesRules: _rules, bindings: _withSecrets, ...options } = getMiniflareWorkerOptions(config).workerOptions
writeFileSync(outputPath, JSON.stringify({ ...options, name: config.name, bindings: config.vars }))
