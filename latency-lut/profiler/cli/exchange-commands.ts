// `latency-lut import`, `export` and `diff`: tables from elsewhere, tables for elsewhere, and two tables side by side.

import { resolve } from 'node:path'
import { type ArgsDef, type CommandDef, defineCommand } from 'citty'
import { CliError } from '../../../command-line/exit-codes.ts'
import { printResult, type Terminal } from '../../../command-line/terminal.ts'
import { printable } from '../../../command-line/text-layout.ts'
import { fieldErrors } from '../../../protocol/index.ts'
import { compareTables } from '../../table/comparison.ts'
import { type LatencyTable, latencyTableSchema } from '../../table/table.ts'
import { readContentFile, readTableFile, writeTableFile, writeTextFile } from './files.ts'
import { jsonFlag } from './flags.ts'
import { type Description, type FormatName, formatNames, formatOfFile, formats, type TableContent } from './formats/index.ts'
import { wholeNumber } from './quantities.ts'
import { renderComparison, renderLatencyTable } from './render.ts'

const MAX_BATCH = 4096
const MAX_THREADS = 4096

const formatFlag = {
  type: 'enum' as const,
  options: [...formatNames] as FormatName[],
  description: "of the file; default: as its name's ending says",
}
const descriptionFlags = {
  name: { type: 'string', valueHint: 'NAME', description: 'of the table' },
  device: { type: 'string', valueHint: 'TEXT', description: 'on which it was measured, for example "Pixel 1"' },
  runtime: { type: 'string', valueHint: 'TEXT', description: 'in which it was measured, for example TF-Lite' },
  batch: { type: 'string', valueHint: 'N', description: 'images in one run' },
  'input-shape': { type: 'string', valueHint: 'HxWxC', description: 'input of the network, for example 224x224x3' },
  threads: { type: 'string', valueHint: 'N', description: 'threads that the runtime used (default: not known)' },
  'fixed-ms': { type: 'string', valueHint: 'MS', description: 'latency of a network that no entry accounts for (default: 0)' },
} as const satisfies ArgsDef
type DescriptionFlag = keyof typeof descriptionFlags
type DescriptionArgs = { readonly [K in DescriptionFlag]?: string | undefined }

/** The fields of a description that have no default, with the flags that give them. */
const neededFlags = {
  name: 'name',
  device: 'device',
  runtime: 'runtime',
  batch: 'batch',
  inputShape: 'input-shape',
} as const satisfies Partial<Record<keyof Description, DescriptionFlag>>

/** Field of a wrong value → the flag that gave it. */
const flagOfField: Readonly<Record<string, DescriptionFlag>> = {
  name: 'name',
  'device.name': 'device',
  'runtime.name': 'runtime',
  fixedMs: 'fixed-ms',
}

/** Throws CliError `usage`. */
function readShape(text: string): [number, number, number] {
  const sizes = text.split('x').map(Number)
  const [height, width, channels] = sizes
  if (/^\d+x\d+x\d+$/.test(text) && height && width && channels) return [height, width, channels]
  throw new CliError('usage', `expected --input-shape to be height x width x channels such as 224x224x3, got "${text}"`)
}

/** Throws CliError `usage`. */
function readMs(flag: string, text: string): number {
  const value = Number(text)
  if (text.trim() !== '' && Number.isFinite(value) && value >= 0) return value
  throw new CliError('usage', `expected --${flag} to be milliseconds from 0, got "${text}"`)
}

/** What the file says of its table, with what the flags say instead. Throws CliError `usage`. */
function describe(own: Description, args: DescriptionArgs): Description {
  const threads = args.threads === undefined ? own.runtime?.threads : wholeNumber('threads', args.threads, 1, MAX_THREADS)
  const runtimeName = args.runtime ?? own.runtime?.name
  const description: Description = { ...own }
  if (args.name !== undefined) description.name = args.name
  if (args.device !== undefined) description.device = { name: args.device }
  if (runtimeName !== undefined) {
    const kept = args.runtime === undefined ? own.runtime : {}
    description.runtime = { ...kept, name: runtimeName, ...(threads === undefined ? {} : { threads }) }
  }
  if (args.batch !== undefined) description.batch = wholeNumber('batch', args.batch, 1, MAX_BATCH)
  if (args['input-shape'] !== undefined) description.inputShape = readShape(args['input-shape'])
  if (args['fixed-ms'] !== undefined) description.fixedMs = readMs('fixed-ms', args['fixed-ms'])
  return description
}

/** Throws CliError `usage`, naming the flags that are missing or wrong. */
function completeTable(file: string, { description: own, entries }: TableContent, args: DescriptionArgs): LatencyTable {
  const description = describe(own, args)
  const missing = Object.entries(neededFlags).flatMap(([field, flag]) =>
    description[field as keyof typeof neededFlags] === undefined
      ? [{ path: `--${flag}`, message: descriptionFlags[flag].description }]
      : [],
  )
  if (missing.length > 0) throw new CliError('usage', `${file} holds entries only; say the rest with these flags`, missing)
  const parsed = latencyTableSchema.safeParse({ ...description, entries })
  if (parsed.success) return parsed.data
  const problems = fieldErrors(parsed.error).map(({ path, message }) => {
    const flag = flagOfField[path]
    return { path: flag === undefined ? path : `--${flag}`, message }
  })
  throw new CliError('usage', `${file} does not make a latency table`, problems)
}

/** Throws CliError `usage` where neither flag nor name tells. */
function chooseFormat(flag: FormatName | undefined, file: string | undefined): FormatName {
  const format = flag ?? (file === undefined ? null : formatOfFile(file))
  if (format) return format
  const place = file === undefined ? 'no file is named' : `${file} ends in none of .yaml, .yml, .csv, .json`
  throw new CliError('usage', `${place}: say the format with --format ${formatNames.join('|')}`)
}

function importCommand(terminal: Terminal): CommandDef {
  return defineCommand({
    meta: {
      name: 'import',
      description:
        'Make a table from a file in YAML, as published tables are, CSV or JSON. What the file does not say, such as the device, is said with flags.',
    },
    args: {
      file: { type: 'positional', required: true, description: 'table in YAML, CSV or JSON' },
      format: formatFlag,
      ...descriptionFlags,
      out: { type: 'string', valueHint: 'FILE', description: 'where to write the table; default: NAME.json, with --json nowhere' },
      ...jsonFlag,
    },
    async run({ args }) {
      const format = chooseFormat(args.format, args.file)
      const content = await readContentFile(resolve(terminal.folder, args.file), format)
      const table = completeTable(args.file, content, args)
      const out = args.out ?? (args.json ? undefined : `${table.name}.json`)
      if (out !== undefined) {
        await writeTableFile(resolve(terminal.folder, out), table)
        terminal.note(`wrote ${out}`)
      }
      printResult(terminal, args.json === true, table, () => renderLatencyTable(table))
    },
  }) as CommandDef
}

/** Quoted for a shell where it has to be. */
function shellWord(text: string): string {
  const word = printable(text)
  return /^[\w./:@%+=,-]+$/.test(word) ? word : `'${word.replaceAll("'", String.raw`'\''`)}'`
}

/** The command that makes the table again from a file that holds its entries only. */
function importLine(file: string, { name, device, runtime, batch, inputShape, fixedMs }: LatencyTable): string {
  const flags: readonly (readonly [DescriptionFlag, string])[] = [
    ['name', name],
    ['device', device.name],
    ['runtime', runtime.name],
    ['batch', String(batch)],
    ['input-shape', inputShape.join('x')],
    ...(runtime.threads === undefined ? [] : [['threads', String(runtime.threads)] as const]),
    ...(fixedMs === 0 ? [] : [['fixed-ms', String(fixedMs)] as const]),
  ]
  return ['latency-lut import', shellWord(file), ...flags.map(([flag, value]) => `--${flag} ${shellWord(value)}`)].join(' ')
}

function exportCommand(terminal: Terminal): CommandDef {
  return defineCommand({
    meta: { name: 'export', description: 'Write a table as YAML, as published tables are, as CSV or as JSON.' },
    args: {
      file: { type: 'positional', required: true, description: 'table in JSON' },
      format: { ...formatFlag, description: "to write; default: as the ending of --out's FILE says" },
      out: { type: 'string', valueHint: 'FILE', description: 'where to write it; default: standard output' },
    },
    async run({ args }) {
      const format = chooseFormat(args.format, args.out)
      const table = await readTableFile(resolve(terminal.folder, args.file))
      const text = formats[format].write(table)
      if (args.out === undefined) {
        terminal.write(text)
        return
      }
      await writeTextFile(resolve(terminal.folder, args.out), text)
      terminal.note(`wrote ${args.out}`)
      if (!formats[format].holdsDescription && table.correction) terminal.note('the correction of the table is not part of it')
      if (!formats[format].holdsDescription) terminal.note(`it holds the entries only; to read it back:\n  ${importLine(args.out, table)}`)
    },
  }) as CommandDef
}

function diffCommand(terminal: Terminal): CommandDef {
  return defineCommand({
    meta: { name: 'diff', description: 'Compare two tables: keys that only one has, the ratio B/A of every other, and overall.' },
    args: {
      a: { type: 'positional', required: true, description: 'table in JSON' },
      b: { type: 'positional', required: true, description: 'table in JSON' },
      ...jsonFlag,
    },
    async run({ args }) {
      const [a, b] = await Promise.all([args.a, args.b].map((file) => readTableFile(resolve(terminal.folder, file))))
      if (!a || !b) throw new Error('two files give two tables')
      if (a.batch !== b.batch) terminal.note(`${args.a} is for batch ${a.batch}, ${args.b} for batch ${b.batch}`)
      const comparison = compareTables(a, b)
      const overall = { a: { name: a.name, batch: a.batch }, b: { name: b.name, batch: b.batch }, ...comparison }
      const [nameA, nameB] = a.name === b.name ? ['A', 'B'] : [a.name, b.name]
      printResult(terminal, args.json === true, overall, () => renderComparison(nameA, nameB, comparison))
    },
  }) as CommandDef
}

export { diffCommand, exportCommand, importCommand }
