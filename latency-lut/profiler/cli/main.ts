// Entry of the `latency-lut` command: npm run latency-lut -- --help

import { runProgram } from '../../../command-line/program.ts'
import { createLatencyLut, epilogues } from './commands.ts'

await runProgram(createLatencyLut, process.argv.slice(2), epilogues)
