// Entry of the `worker-agent` command: npm run worker-agent -- --help

import { type CommandDef, defineCommand } from 'citty'
import { runProgram } from '../../command-line/program.ts'
import { createDoctorCommand } from './doctor-command.ts'
import { createRunCommand } from './run-command.ts'

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
    '  HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, NO_PROXY  proxy to the coordinator, and hosts that need none; this machine never does',
  ].join('\n'),
}

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
