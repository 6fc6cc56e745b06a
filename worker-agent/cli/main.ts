// Entry of the `worker-agent` command: npm run worker-agent -- --help

import { availableParallelism } from 'node:os'
import { type CommandDef, defineCommand } from 'citty'
import { runProgram } from '../../command-line/program.ts'
import { createDoctorCommand } from './doctor-command.ts'
import { createRunCommand } from './run-command.ts'

/** Node's own number, less than many machines with a GPU have cores. */
const MIN_DECODER_THREADS = 4
const DEFAULT_COMMAND = 'run'
const ROOT_FLAGS = ['--help', '-h', '--version']

const epilogues = {
  'worker-agent': [
    '`run` is the default: `worker-agent --coordinator URL --token T --data PATH` joins a search.',
    'Ctrl-C gives the lease back. Connections only go out, so it works behind any NAT.',
    '',
    'Environment:',
    '  GATEHOUSE_COORDINATOR  default of --coordinator',
    '  GATEHOUSE_AGENT_TOKEN  default of --token',
  ].join('\n'),
}

// Images are decoded in libuv's thread pool, which looks at this when it is first used: by nothing that is imported above.
process.env['UV_THREADPOOL_SIZE'] ??= String(Math.max(MIN_DECODER_THREADS, availableParallelism()))

const rawArgs = process.argv.slice(2)
const [first] = rawArgs
const meansDefault = first?.startsWith('-') === true && !ROOT_FLAGS.includes(first)

await runProgram(
  (terminal, version) =>
    defineCommand({
      meta: { name: 'worker-agent', version, description: 'Trains what a coordinator hands out, on this machine.' },
      subCommands: { run: createRunCommand(terminal), doctor: createDoctorCommand(terminal) },
    }) as CommandDef,
  meansDefault ? [DEFAULT_COMMAND, ...rawArgs] : rawArgs,
  epilogues,
)
