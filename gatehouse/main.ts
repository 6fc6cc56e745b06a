// Entry of the `gatehouse` command: npm run gatehouse -- --help

import { runProgram } from '../command-line/program.ts'
import { createGatehouse, epilogues } from './gatehouse.ts'

await runProgram(createGatehouse, process.argv.slice(2), epilogues)
