// The commands of `latency-lut`.

import { resolve } from 'node:path'
import { type CommandDef, defineCommand } from 'citty'
import { connect, connectionFlags } from '../../../command-line/connection.ts'
import { CliError } from '../../../command-line/exit-codes.ts'
import { latencyOf } from '../../../command-line/table-file.ts'
import { renderUnreadableTables } from '../../../command-line/listed.ts'
import { printResult, type Terminal } from '../../../command-line/terminal.ts'
import { tableNameSchema, tableVersionSchema } from '../../table/table.ts'
import { diffCommand, exportCommand, importCommand } from './exchange-commands.ts'
import { readSpace, readTableFile, writeTableFile } from './files.ts'
import { jsonFlag, spaceFlag } from './flags.ts'
import { CSV_DESCRIPTION } from './formats/index.ts'
import { measureCommand, profileCommand } from './measuring-commands.ts'
import { coverageCommand, predictCommand } from './prediction-commands.ts'
import { validateCommand } from './validate-command.ts'
import { renderLatencyTable, renderList, renderSummary } from './render.ts'
import { renderSpace } from './render-space.ts'

/** `name` or `name@version`. Throws CliError `usage`. */
function parseTableRef(text: string): { name: string; version?: string } {
  const [name = '', version, ...rest] = text.split('@')
  const isRef =
    tableNameSchema.safeParse(name).success && (version === undefined || tableVersionSchema.safeParse(version).success) && rest.length === 0
  if (!isRef) throw new CliError('usage', `expected NAME or NAME@VERSION with a version of 64 hexadecimal digits, got "${text}"`)
  return version === undefined ? { name } : { name, version }
}

function showCommand(terminal: Terminal): CommandDef {
  return defineCommand({
    meta: {
      name: 'show',
      description:
        'Print a table: totals, the slowest operations, a chart per place in the network; with --space a chart per block instead.',
    },
    args: {
      file: { type: 'positional', required: true, description: 'table in JSON' },
      space: { ...spaceFlag.space, required: false },
      ...jsonFlag,
    },
    async run({ args }) {
      const table = await readTableFile(resolve(terminal.folder, args.file))
      const space = args.space === undefined ? null : await readSpace(args.space, terminal.folder)
      const latency = space && latencyOf(space, table)
      printResult(terminal, args.json === true, latency === null ? table : { ...table, latency }, () =>
        space && latency ? [renderSummary(table), '', renderSpace(space, latency)].join('\n') : renderLatencyTable(table),
      )
    },
  }) as CommandDef
}

function publishCommand(terminal: Terminal): CommandDef {
  return defineCommand({
    meta: { name: 'publish', description: 'Publish a table as a new version of its name; the same content is the same version.' },
    args: { file: { type: 'positional', required: true, description: 'table in JSON' }, ...connectionFlags },
    async run({ args }) {
      const table = await readTableFile(resolve(terminal.folder, args.file))
      const published = await connect(terminal, args).publishTable(table)
      printResult(terminal, args.json === true, published, () => `published ${published.name}@${published.version}`)
    },
  }) as CommandDef
}

function pullCommand(terminal: Terminal): CommandDef {
  return defineCommand({
    meta: { name: 'pull', description: 'Fetch a published table.' },
    args: {
      table: { type: 'positional', required: true, description: 'NAME for the version published last, or NAME@VERSION' },
      out: { type: 'string', valueHint: 'FILE', description: 'where to write it; default: NAME.json, with --json nowhere' },
      ...connectionFlags,
    },
    async run({ args }) {
      const { name, version } = parseTableRef(args.table)
      const table = await connect(terminal, args).readTable(name, version)
      const out = args.out ?? (args.json ? undefined : `${name}.json`)
      if (out !== undefined) await writeTableFile(resolve(terminal.folder, out), table)
      printResult(terminal, args.json === true, table, () => `wrote ${out}: ${Object.keys(table.entries).length} entries of ${table.name}`)
    },
  }) as CommandDef
}

function listCommand(terminal: Terminal): CommandDef {
  return defineCommand({
    meta: { name: 'list', description: 'List published tables, each with its last version.' },
    args: connectionFlags,
    async run({ args }) {
      const { tables, unreadable } = await connect(terminal, args).listTables()
      printResult(terminal, args.json === true, { tables, unreadable }, () => renderUnreadableTables(renderList(tables), unreadable))
    },
  }) as CommandDef
}

const formatsEpilogue = [
  'YAML: the published ProxylessNAS tables, a map from key to count, mean, and std or var,',
  'in milliseconds.',
  '',
  CSV_DESCRIPTION,
].join('\n')

const epilogues = {
  'latency-lut': [
    'A table for this machine, published for searches to use:',
    '  latency-lut profile --space fashion-mini --name my-device',
    '  latency-lut publish my-device.json',
    '',
    'One that was published elsewhere, completed for another space:',
    '  latency-lut import phone.yaml --name phone --device "Pixel 1" --runtime TF-Lite --batch 1 --input-shape 224x224x3',
    '  latency-lut predict --table phone.json --space proxyless-mobile --out phone-whole.json',
    '',
    'Environment:',
    '  GATEHOUSE_COORDINATOR  default of --coordinator',
    '  GATEHOUSE_TOKEN        default of --token',
    '  GATEHOUSE_STATE        default of --state',
    '',
    'Exit codes: 0 done; 1 failed, or keys are missing; 2 wrong usage, or a file that is not valid; 3 no such table;',
    '4 token; 5 coordinator not reachable; 130 interrupted.',
  ].join('\n'),
  'latency-lut import': formatsEpilogue,
  'latency-lut export': formatsEpilogue,
}

function createLatencyLut(terminal: Terminal, version: string): CommandDef {
  return defineCommand({
    meta: { name: 'latency-lut', version, description: 'Measure, read, convert, complete and publish latency tables.' },
    subCommands: {
      profile: profileCommand(terminal),
      measure: measureCommand(terminal),
      validate: validateCommand(terminal),
      show: showCommand(terminal),
      diff: diffCommand(terminal),
      import: importCommand(terminal),
      export: exportCommand(terminal),
      coverage: coverageCommand(terminal),
      predict: predictCommand(terminal),
      publish: publishCommand(terminal),
      pull: pullCommand(terminal),
      list: listCommand(terminal),
    },
  }) as CommandDef
}

export { createLatencyLut, epilogues }
