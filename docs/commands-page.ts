// docs/commands.md: the help text of every command.

import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { CommandDef } from 'citty'
import { partsOf } from '../command-line/command-parts.ts'
import { type Epilogues, renderHelp } from '../command-line/help.ts'
import { createTerminal, type Terminal } from '../command-line/terminal.ts'
import { createGatehouse, epilogues as gatehouseEpilogues } from '../gatehouse/gatehouse.ts'
import { createLatencyLut, epilogues as latencyLutEpilogues } from '../latency-lut/profiler/cli/commands.ts'
import { GENERATED, renderCode } from './markdown.ts'

const COLUMNS = 90
const PROJECT = fileURLToPath(new URL('..', import.meta.url))

type Root = {
  /** Name of the command and of its script in package.json. */
  readonly name: string
  /** Null where the definition is in a module that runs when it is imported: then the command itself is asked. */
  readonly definition: { readonly create: (terminal: Terminal, version: string) => CommandDef; readonly epilogues: Epilogues } | null
  readonly main: string
}

const roots: readonly Root[] = [
  { name: 'gatehouse', main: 'gatehouse/main.ts', definition: { create: createGatehouse, epilogues: gatehouseEpilogues } },
  { name: 'worker-agent', main: 'worker-agent/cli/main.ts', definition: null },
  {
    name: 'latency-lut',
    main: 'latency-lut/profiler/cli/main.ts',
    definition: { create: createLatencyLut, epilogues: latencyLutEpilogues },
  },
  { name: 'demo', main: 'demo/main.ts', definition: null },
  { name: 'proof', main: 'proof/main.ts', definition: null },
]

type Help = { readonly title: string; readonly text: string }

async function helpOfDefinition(command: CommandDef, title: string, epilogues: Epilogues): Promise<Help[]> {
  const { subCommands } = await partsOf(command)
  const below = await Promise.all(
    Object.entries(subCommands).map(async ([name, load]) => helpOfDefinition(await load(), `${title} ${name}`, epilogues)),
  )
  return [{ title, text: await renderHelp(command, title, COLUMNS, epilogues) }, ...below.flat()]
}

/** Defaults that are this machine's must not get into the page. The process prints at the width of a terminal that says none. */
const NAMELESS_MACHINE = `data:text/javascript,${encodeURIComponent(`
  import os from 'node:os'
  import { syncBuiltinESMExports } from 'node:module'
  os.hostname = () => 'HOSTNAME'
  syncBuiltinESMExports()
`)}`

/** Names under "Commands:" of a help text: the words at an indent of two. */
function namedCommands(help: string): string[] {
  const section = /^Commands:\n((?: .*\n?)*)/m.exec(help)?.[1] ?? ''
  return [...section.matchAll(/^ {2}(\S+)/gm)].map(([, name]) => name as string)
}

async function helpOfProcess(main: string, title: string, path: readonly string[]): Promise<Help[]> {
  const { stdout } = await promisify(execFile)(process.execPath, ['--import', NAMELESS_MACHINE, main, ...path, '--help'], { cwd: PROJECT })
  const text = stdout.trimEnd()
  const below = await Promise.all(namedCommands(text).map((name) => helpOfProcess(main, `${title} ${name}`, [...path, name])))
  return [{ title, text }, ...below.flat()]
}

async function helpOf({ name, main, definition }: Root): Promise<Help[]> {
  if (definition === null) return helpOfProcess(main, name, [])
  const terminal = createTerminal(process, new AbortController().signal)
  return helpOfDefinition(definition.create(terminal, ''), name, definition.epilogues)
}

/** Name of a heading's anchor, as Markdown renderers make it. */
function anchorOf(title: string): string {
  return title.replaceAll(' ', '-')
}

async function renderCommandsPage(): Promise<string> {
  const commands = (await Promise.all(roots.map(helpOf))).flat()
  return [
    GENERATED,
    '',
    '# Commands',
    '',
    'Every command is a script of `package.json`, so that it runs on the Node that the project carries:',
    '`npm run gatehouse -- up` is what the texts below call `gatehouse up`; with the package it is `npx gatehouse up`, and all relative',
    'paths start from the folder that it is called in. Results go to standard output, everything else to standard error.',
    'In a clone, relative paths of tables, settings and state folders start from the folder that `npm run` was called in;',
    'those of data, of its cache and of the demo from the project.',
    '',
    ...commands.map(({ title }) => `${'  '.repeat(title.split(' ').length - 1)}- [${title}](#${anchorOf(title)})`),
    '',
    ...commands.flatMap(({ title, text }) => [`## ${title}`, '', renderCode(text, 'text'), '']),
  ].join('\n')
}

export { renderCommandsPage }
