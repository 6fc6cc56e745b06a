// `gatehouse space …`: what a search space contains, before anything is measured or searched.

import { type ArgsDef, type CommandDef, defineCommand } from 'citty'
import { jsonOrName, textOrFile } from '../command-line/json-file.ts'
import { CliError } from '../command-line/exit-codes.ts'
import { printBytes, printLarge } from '../command-line/quantities.ts'
import { printResult, type Terminal } from '../command-line/terminal.ts'
import { printable, renderEntry, renderTable } from '../command-line/text-layout.ts'
import { fieldErrors } from '../protocol/index.ts'
import {
  createSpace,
  describeArchitecture,
  parseArchitecture,
  peakActivationBytes,
  presetNames,
  type Space,
  SpaceError,
  type SpaceRef,
  spaceRefSchema,
} from '../search-space/index.ts'
import { factsOf, printCount } from './space-facts.ts'

const LABEL_WIDTH = 15

function renderSpace(space: Space, width: number): string {
  const facts = factsOf(space)
  const entry = (label: string, text: string) => renderEntry(label, text, LABEL_WIDTH, width)
  const sameOptions = new Set(space.decisions.map(({ options }) => options.map(({ name }) => name).join(', '))).size === 1
  return [
    entry('space', printable(space.name)),
    entry('images', `${space.input.join('x')}, ${space.classes} classes`),
    entry('architectures', `${printCount(facts)}; entropy ${facts.entropy.toFixed(1)} nats over ${facts.decisions} decisions`),
    entry(
      'supernet',
      `${printLarge(facts.supernet.parameters)} parameters, ${printBytes(facts.supernet.bytes)}, in ${facts.supernet.weights} weights`,
    ),
    entry('latency', `${facts.latencyKeys} keys; ${facts.additive ? 'a sum over decisions' : 'a sum over several decisions at once'}`),
    ...(sameOptions ? [entry('options', `${(space.decisions[0]?.options ?? []).map(({ name }) => name).join(', ')} (each decision)`)] : []),
    '',
    renderTable(
      [{ title: 'decision' }, { title: 'where' }, { title: sameOptions ? '' : 'options' }],
      space.decisions.map(({ name, where, options }) => [
        printable(name),
        printable(where),
        sameOptions ? '' : options.map((option) => option.name).join(', '),
      ]),
    ),
  ].join('\n')
}

/** Throws CliError `usage`. */
async function openSpace(terminal: Terminal, text: string): Promise<{ ref: SpaceRef; space: Space }> {
  const value = jsonOrName('the space', await textOrFile(terminal.folder, text))
  const parsed = spaceRefSchema.safeParse(value)
  if (!parsed.success) {
    const known =
      typeof value === 'string' ? `no space is called "${value}"; there are ${presetNames.join(', ')}` : 'the space is not valid'
    throw new CliError('usage', known, typeof value === 'string' ? [] : fieldErrors(parsed.error))
  }
  try {
    return { ref: parsed.data, space: createSpace(parsed.data) }
  } catch (error) {
    throw error instanceof SpaceError ? new CliError('usage', error.message) : error
  }
}

function renderArchitecture(document: ReturnType<typeof documentOf>, width: number): string {
  const entry = (label: string, text: string) => renderEntry(label, text, LABEL_WIDTH, width)
  return [
    entry('architecture', printable(document.architecture)),
    ...(document.published === undefined ? [] : [entry('published as', printable(document.published))]),
    entry('size', `${printLarge(document.macs)} multiply-accumulates, ${printLarge(document.parameters)} parameters`),
    entry('activations', `${printBytes(document.peakActivationBytes)} at most for one image, each layer by itself`),
    '',
    renderTable(
      [
        { title: 'part' },
        { title: 'operation' },
        { title: 'output' },
        { title: 'MACs', align: 'right' },
        { title: 'parameters', align: 'right' },
        { title: 'latency key' },
      ],
      document.parts.map((part) => [
        printable(part.part),
        printable(part.operation),
        part.output?.join('x') ?? '',
        printLarge(part.macs),
        printLarge(part.parameters),
        part.latencyKey ?? '',
      ]),
    ),
  ].join('\n')
}

/** Throws CliError `usage` for an architecture that is not of the space. */
function documentOf(ref: SpaceRef, space: Space, text: string) {
  try {
    const path = parseArchitecture(space, text.includes(':') ? text : `${space.name}:${text}`)
    return { ...describeArchitecture(ref, path), peakActivationBytes: peakActivationBytes(space.network(path)) }
  } catch (error) {
    throw error instanceof SpaceError ? new CliError('usage', error.message) : error
  }
}

const json = { type: 'boolean', description: 'print the result as JSON' } as const

function createSpaceCommands(terminal: Terminal): CommandDef {
  const list = defineCommand({
    meta: { name: 'list', description: 'List the search spaces that have a name.' },
    args: { json } satisfies ArgsDef,
    run({ args }) {
      const spaces = presetNames.map((name) => factsOf(createSpace(name)))
      printResult(terminal, args.json === true, spaces, () =>
        renderTable(
          [
            { title: 'space' },
            { title: 'images' },
            { title: 'decisions', align: 'right' },
            { title: 'architectures', align: 'right' },
            { title: 'supernet', align: 'right' },
            { title: 'latency keys', align: 'right' },
          ],
          spaces.map((facts) => [
            facts.name,
            facts.input.join('x'),
            String(facts.decisions),
            printCount(facts),
            printBytes(facts.supernet.bytes),
            String(facts.latencyKeys),
          ]),
        ),
      )
    },
  })
  const show = defineCommand({
    meta: { name: 'show', description: 'Show a search space: its decisions and their options, or one of its architectures, part by part.' },
    args: {
      space: { type: 'positional', required: true, valueHint: 'PRESET|@FILE|JSON', description: `${presetNames.join(', ')}, or settings` },
      architecture: { type: 'string', valueHint: 'TEXT', description: 'an architecture of it, as `gatehouse derive` prints it' },
      json,
    } satisfies ArgsDef,
    async run({ args }) {
      const { ref, space } = await openSpace(terminal, args.space)
      if (args.architecture !== undefined) {
        const document = documentOf(ref, space, args.architecture)
        printResult(terminal, args.json === true, document, () => renderArchitecture(document, terminal.columns()))
        return
      }
      const decisions = space.decisions.map(({ name, where, options }) => ({ name, where, options: options.map((option) => option.name) }))
      printResult(terminal, args.json === true, { ...factsOf(space), decisions }, () => renderSpace(space, terminal.columns()))
    },
  })
  return defineCommand({
    meta: { name: 'space', description: 'What search spaces contain.' },
    subCommands: { list: list as CommandDef, show: show as CommandDef },
  }) as CommandDef
}

export { createSpaceCommands }
