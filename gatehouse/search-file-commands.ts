// `gatehouse search export` and `gatehouse search import`

import { resolve } from 'node:path'
import { type CommandDef, defineCommand } from 'citty'
import { connect, connectionFlags } from '../command-line/connection.ts'
import { typedCommand } from '../command-line/installation.ts'
import { printBytes } from '../command-line/quantities.ts'
import { printResult, type Terminal } from '../command-line/terminal.ts'
import { printable } from '../command-line/text-layout.ts'
import { exportSearch, importSearch } from './search-file.ts'
import { resolveSearch, searchArg } from './search-ref.ts'

function createExportSearchCommand(terminal: Terminal): CommandDef {
  return defineCommand({
    meta: {
      name: 'export',
      description:
        'Write a search to a file, whole: its state, its log and its weights, without its tokens. It has to be paused, with no task handed out, or to have ended.',
    },
    args: {
      ...searchArg,
      out: { type: 'string', required: true, valueHint: 'FILE', description: 'file to write; one that is there is replaced' },
      ...connectionFlags,
    },
    async run({ args }) {
      const client = connect(terminal, args)
      const searchId = await resolveSearch(client, args.id)
      const file = resolve(terminal.folder, args.out)
      const written = await exportSearch(client, searchId, file, Date.now())
      printResult(
        terminal,
        args.json === true,
        { searchId, file, ...written },
        () => `search ${searchId} is in ${args.out}: ${printBytes(written.bytes)} in ${written.lines} lines`,
      )
    },
  }) as CommandDef
}

function createImportSearchCommand(terminal: Terminal): CommandDef {
  return defineCommand({
    meta: {
      name: 'import',
      description:
        'Make a new search of a file that "gatehouse search export" wrote, at this or another coordinator. It goes on where the exported one was, with the same numbers.',
    },
    args: { file: { type: 'positional', required: true, description: 'the file' }, ...connectionFlags },
    async run({ args }) {
      const client = connect(terminal, args)
      const imported = await importSearch(client, resolve(terminal.folder, args.file))
      const agentCommand = `${typedCommand('worker-agent')} --coordinator ${client.url} --token ${imported.agentToken} --data PATH`
      printResult(terminal, args.json === true, { ...imported, agentCommand }, () =>
        [
          `search       ${imported.searchId}  ${printable(imported.name)}`,
          `agent token  ${imported.agentToken}`,
          '',
          'Where it was paused, let it go on, and start agents:',
          `  ${typedCommand('gatehouse')} search resume ${imported.searchId}`,
          `  ${agentCommand}`,
        ].join('\n'),
      )
    },
  }) as CommandDef
}

export { createExportSearchCommand, createImportSearchCommand }
