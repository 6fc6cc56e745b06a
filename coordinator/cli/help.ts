// Help texts, from the same definitions that parse the flags.

import type { ArgDef, CommandDef } from 'citty'
import { partsOf } from './command-parts.ts'
import { exitCodes } from './exit-codes.ts'
import { renderTable, wrapText } from './text-layout.ts'

/** Texts that do not fit citty's definitions: keyed by command title. */
const epilogues: Record<string, string> = {
  gatehouse: [
    'A first search, each line in a terminal of its own:',
    '  gatehouse up',
    '  gatehouse table publish my-device.json',
    '  gatehouse search create --space fashion-mini --dataset fashion-mnist --table my-device --target-ms 2',
    '  gatehouse search watch latest',
    '',
    'Environment:',
    '  GATEHOUSE_COORDINATOR  default of --coordinator',
    '  GATEHOUSE_TOKEN        default of --token',
    '  GATEHOUSE_STATE        default of --state',
    '',
    'With --json a command prints one JSON text to standard output; everything else goes to standard error.',
    '',
    'Exit codes:',
    renderTable(
      [{ title: '', align: 'right' }, { title: '' }],
      Object.values(exitCodes).map(({ code, meaning }) => [String(code), meaning]),
      '  ',
    ).replace(/^\s*\n/, ''),
  ].join('\n'),
  'gatehouse search': 'A search is named by its id, by the beginning of its id if no other search has the same, or by "latest".',
  'gatehouse search create': [
    'Flags change what --config says, and --set changes both. Every field is in coordinator/protocol/search-config.ts; for example:',
    '  --set training.learningRate=0.1 --set strategy.archEvery=10 --set space.classes=5',
  ].join('\n'),
}

function renderHelp(command: CommandDef, title: string, columns: number): string {
  const { meta, args, subCommands } = partsOf(command)
  const positionals = Object.entries(args).filter(([, arg]) => arg.type === 'positional')
  const flags = Object.entries(args).filter(([, arg]) => arg.type !== 'positional')
  const commands = Object.entries(subCommands)
  const usage = [
    title,
    ...(commands.length > 0 ? ['COMMAND'] : []),
    ...positionals.map(([name, arg]) => (arg.required === false ? `[${name.toUpperCase()}]` : name.toUpperCase())),
    ...(flags.length > 0 ? ['[FLAGS]'] : []),
  ].join(' ')
  const sections = [
    ...wrapText(meta.description ?? '', columns),
    '',
    `Usage: ${usage}`,
    section(
      'Commands',
      commands.map(([name, sub]) => [name, partsOf(sub).meta.description ?? '']),
      columns,
    ),
    section(
      'Arguments',
      positionals.map(([name, arg]) => [name.toUpperCase(), describe(arg)]),
      columns,
    ),
    section('Flags', [...flags.map(([name, arg]) => [flagText(name, arg), describe(arg)] as const), ['-h, --help', 'print this']], columns),
  ]
  const epilogue = epilogues[title]
  if (epilogue !== undefined) sections.push('', epilogue)
  return sections.filter((part) => part !== null).join('\n')
}

function section(heading: string, entries: readonly (readonly [string, string])[], columns: number): string | null {
  if (entries.length === 0) return null
  const labelWidth = Math.min(34, Math.max(...entries.map(([label]) => label.length)) + 4)
  const lines = entries.flatMap(([label, text]) => {
    const wrapped = wrapText(text, Math.max(30, columns - labelWidth))
    const first = `  ${label}`
    // A label too long for its column has a line of its own.
    if (first.length + 2 > labelWidth) wrapped.unshift('')
    return wrapped.map((line, index) => `${(index === 0 ? first : '').padEnd(labelWidth)}${line}`.trimEnd())
  })
  return ['', `${heading}:`, ...lines].join('\n')
}

function flagText(name: string, arg: ArgDef): string {
  if (arg.type === 'boolean') return `--${name}`
  if (arg.type === 'enum') return `--${name} ${(arg.options ?? []).join('|')}`
  return `--${name} ${arg.valueHint ?? 'VALUE'}`
}

function describe(arg: ArgDef): string {
  const text = arg.description ?? ''
  return arg.default === undefined || arg.default === false ? text : `${text} (default: ${arg.default})`
}

export { renderHelp }
