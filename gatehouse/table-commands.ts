// `gatehouse table …`

import { resolve } from 'node:path'
import { type CommandDef, defineCommand } from 'citty'
import type { LatencyTable } from '../latency-lut/table/table.ts'
import { connect, connectionFlags } from '../command-line/connection.ts'
import { CliError } from '../command-line/exit-codes.ts'
import { renderUnreadableTables } from '../command-line/listed.ts'
import { printCount, printDecimal, printTime } from '../command-line/quantities.ts'
import { isFullVersion, parseTableRef } from './search-config-flags.ts'
import { resolveTableVersion } from './search-ref.ts'
import { printResult, type Terminal } from '../command-line/terminal.ts'
import { readTableFile } from '../command-line/table-file.ts'
import { printable, renderTable } from '../command-line/text-layout.ts'

const VERSION_DIGITS = 12

function createTableCommands(terminal: Terminal): CommandDef {
  return defineCommand({
    meta: { name: 'table', description: 'Publish and read latency tables.' },
    subCommands: {
      publish: publishCommand(terminal),
      list: listCommand(terminal),
      show: showCommand(terminal),
      delete: deleteCommand(terminal),
    },
  }) as CommandDef
}

function publishCommand(terminal: Terminal): CommandDef {
  return defineCommand({
    meta: {
      name: 'publish',
      description:
        'Publish a latency table as a new version of its name. The version is the hash of its content: publishing the same table again changes nothing.',
    },
    args: { file: { type: 'positional', required: true, description: 'JSON file, as latency-lut writes it' }, ...connectionFlags },
    async run({ args }) {
      const table = await readTableFile(resolve(terminal.folder, args.file))
      const published = await connect(terminal, args).publishTable(table)
      printResult(terminal, args.json === true, published, () => `published ${published.name}@${published.version}`)
    },
  }) as CommandDef
}

function listCommand(terminal: Terminal): CommandDef {
  return defineCommand({
    meta: { name: 'list', description: 'List published latency tables.' },
    args: connectionFlags,
    async run({ args }) {
      const { tables, unreadable } = await connect(terminal, args).listTables()
      const json = [...tables, ...unreadable.map(({ name, reason }) => ({ name, unreadable: reason }))]
      const render = () =>
        tables.length === 0
          ? 'no latency tables yet; "gatehouse table publish FILE" publishes one'
          : renderTable(
              [
                { title: 'name' },
                { title: 'version' },
                { title: 'device' },
                { title: 'runtime' },
                { title: 'batch', align: 'right' },
                { title: 'entries', align: 'right' },
                { title: 'published' },
              ],
              tables.map((table) => [
                table.name,
                table.version.slice(0, VERSION_DIGITS),
                printable(table.device),
                printable(table.runtime),
                String(table.batch),
                printCount(table.entries),
                printTime(table.publishedAtMs),
              ]),
            )
      printResult(terminal, args.json === true, json, () => renderUnreadableTables(render(), unreadable))
    },
  }) as CommandDef
}

function showCommand(terminal: Terminal): CommandDef {
  return defineCommand({
    meta: { name: 'show', description: 'Print a latency table. With --json it can be published elsewhere as it is.' },
    args: {
      table: { type: 'positional', required: true, description: 'NAME for the version published last, or NAME@VERSION' },
      ...connectionFlags,
    },
    async run({ args }) {
      const { name, version } = parseTableRef(args.table)
      const client = connect(terminal, args)
      const full = version === undefined || isFullVersion(version) ? version : await resolveTableVersion(client, name, version)
      const table = await client.readTable(name, full)
      printResult(terminal, args.json === true, table, () => renderLatencyTable(table))
    },
  }) as CommandDef
}

function deleteCommand(terminal: Terminal): CommandDef {
  return defineCommand({
    meta: {
      name: 'delete',
      description:
        'Delete a latency table, or one version of it. Searches keep the latencies that they took from it. This cannot be undone.',
    },
    args: {
      table: { type: 'positional', required: true, description: 'NAME for all versions, or NAME@VERSION for one' },
      yes: { type: 'boolean', description: 'needed: confirms that it shall be deleted' },
      ...connectionFlags,
    },
    async run({ args }) {
      if (args.yes !== true) throw new CliError('usage', `deleting latency table ${args.table} cannot be undone; add --yes to do it`)
      const { name, version } = parseTableRef(args.table)
      const client = connect(terminal, args)
      const full = version === undefined || isFullVersion(version) ? version : await resolveTableVersion(client, name, version)
      const deleted = await client.deleteTable(name, full)
      printResult(terminal, args.json === true, deleted, () => deleted.versions.map((gone) => `deleted ${name}@${gone}`).join('\n'))
    },
  }) as CommandDef
}

function renderLatencyTable(table: LatencyTable): string {
  const { device, runtime } = table
  const runtimeText = [runtime.name, runtime.version, runtime.threads === undefined ? undefined : `${runtime.threads} threads`]
  return [
    `name      ${table.name}`,
    `device    ${printable([device.name, device.os].filter((part) => part !== undefined).join(', '))}`,
    `runtime   ${printable(runtimeText.filter((part) => part !== undefined).join(', '))}`,
    `input     ${table.inputShape.join('×')}, batch ${table.batch}`,
    ...(table.measuredAt === undefined ? [] : [`measured  ${table.measuredAt}`]),
    `fixed     ${printDecimal(table.fixedMs)} ms`,
    ...(table.correction === undefined
      ? []
      : [`corrected ${printDecimal(table.correction.offsetMs)} ms + ${table.correction.factor.toFixed(4)} times the sum of entries`]),
    '',
    renderTable(
      [
        { title: 'mean, ms', align: 'right' },
        { title: 'std, ms', align: 'right' },
        { title: 'runs', align: 'right' },
        { title: 'operation' },
      ],
      Object.entries(table.entries).map(([key, entry]) => [
        printDecimal(entry.meanMs),
        printDecimal(entry.stdMs),
        printCount(entry.count),
        printable(key),
      ]),
    ),
  ].join('\n')
}

export { createTableCommands }
