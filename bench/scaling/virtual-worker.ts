// Entry of a child process: one virtual search, its settings as JSON in the argument, its result as JSON to standard output.

import * as z from 'zod'
import { runVirtualSearch, variants } from './virtual-search.ts'

const wanted = z
  .strictObject({ agents: z.int().min(1), variant: z.enum(variants), seed: z.int().min(0), steps: z.int().min(1) })
  .parse(JSON.parse(process.argv[2] ?? ''))
process.stdout.write(`${JSON.stringify(await runVirtualSearch(wanted))}\n`)
process.exit(0)
