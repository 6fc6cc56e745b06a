// Entry of a child process: one training by one method, its settings as JSON in the argument, its result as JSON to standard output.

import * as z from 'zod'
import { type MethodName, methods, trainSupernet } from './methods.ts'

const names = Object.keys(methods) as [MethodName, ...MethodName[]]
const count = z.int().min(1)
const wanted = z
  .strictObject({ method: z.enum(names), agents: count, steps: count, task: count, seed: z.int().min(0) })
  .parse(JSON.parse(process.argv[2] ?? ''))
process.stdout.write(`${JSON.stringify(await trainSupernet(wanted))}\n`)
process.exit(0)
