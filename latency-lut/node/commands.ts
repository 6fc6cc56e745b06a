// The commands of `latency-lut`.

import { resolve } from 'node:path'
import { type ArgsDef, type CommandDef, defineCommand } from 'citty'
import { CliError } from '../../command-line/exit-codes.ts'
import { printResult, type Terminal } from '../../command-line/terminal.ts'
import { parseArchitecture, type Space, SpaceError } from '../../search-space/index.ts'
import type { Backend, BackendName } from '../../worker-agent/backends/backends.ts'
import { tableNameSchema, tableVersionSchema } from '../table.ts'
import { connect } from './coordinator.ts'
import { diffCommand, exportCommand, importCommand } from './exchange-commands.ts'
import { readSpace, readTableFile, writeTableFile } from './files.ts'
import { jsonFlag, spaceFlag } from './flags.ts'
import { CSV_DESCRIPTION } from './formats/index.ts'
import { DEFAULT_BATCH, DEFAULT_BUDGET_MS, DEFAULT_COORDINATOR_URL, MAX_CHECKED_NETWORKS } from './limits.ts'
import { coverageCommand, predictCommand } from './prediction-commands.ts'
import { createProgressBar } from './progress-bar.ts'
import { positiveNumber, wholeNumber } from './quantities.ts'
import { renderChecks, renderLatencyTable, renderList, renderMeasured } from './render.ts'

const MAX_BATCH = 4096
const MAX_BUDGET_S = 86_400
const MAX_SEED = 0xffffffff
const backendChoices = ['auto', 'tensorflow', 'webgpu', 'wasm', 'cpu'] as const satisfies readonly (BackendName | 'auto')[]

const measuringFlags = {
  batch: { type: 'string', valueHint: 'N', default: String(DEFAULT_BATCH), description: 'images in one run' },
  backend: { type: 'enum', options: [...backendChoices], default: 'wasm', description: 'TensorFlow.js backend' },
  budget: {
    type: 'string',
    valueHint: 'SECONDS',
    default: String(DEFAULT_BUDGET_MS / 1000),
    description: 'at most this long, or five rounds',
  },
  seed: { type: 'string', valueHint: 'N', default: '1', description: 'of weights, images and the order of measuring' },
} as const satisfies ArgsDef
const connectionFlags = {
  coordinator: { type: 'string', valueHint: 'URL', description: `default: GATEHOUSE_COORDINATOR, or ${DEFAULT_COORDINATOR_URL}` },
  token: { type: 'string', valueHint: 'TOKEN', description: 'admin token; default: GATEHOUSE_TOKEN' },
  ...jsonFlag,
} as const satisfies ArgsDef

/** Throws CliError `usage`. */
function readMeasuring(args: { readonly batch: string; readonly budget: string; readonly seed: string }) {
  return {
    batch: wholeNumber('batch', args.batch, 1, MAX_BATCH),
    budgetMs: positiveNumber('budget', args.budget, MAX_BUDGET_S) * 1000,
    seed: wholeNumber('seed', args.seed, 0, MAX_SEED),
  }
}

/** `name` or `name@version`. Throws CliError `usage`. */
function parseTableRef(text: string): { name: string; version?: string } {
  const [name = '', version, ...rest] = text.split('@')
  const isRef =
    tableNameSchema.safeParse(name).success && (version === undefined || tableVersionSchema.safeParse(version).success) && rest.length === 0
  if (!isRef) throw new CliError('usage', `expected NAME or NAME@VERSION with a version of 64 hexadecimal digits, got "${text}"`)
  return version === undefined ? { name } : { name, version }
}

/** Throws CliError `usage`, naming the block, if the text is no architecture of the space. */
function readArchitecture(space: Space, text: string): number[] {
  try {
    return parseArchitecture(space, text)
  } catch (error) {
    throw error instanceof SpaceError ? new CliError('usage', error.message) : error
  }
}

/** Opens a backend and says what it is. Throws CliError `failure` with the reasons if it cannot be. */
async function open(terminal: Terminal, name: string): Promise<Backend> {
  const { openBackend } = await import('../../worker-agent/backends/backends.ts')
  try {
    const { chosen, rejected } = await openBackend(name as BackendName | 'auto')
    for (const { name: better, reason } of rejected) terminal.note(`not ${better}: ${reason}`)
    terminal.note(`backend: ${chosen.description}`)
    return chosen
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined
    if (code === 'backend-unavailable' || code === 'kernels-missing') throw new CliError('failure', (error as Error).message)
    throw error
  }
}

function profileCommand(terminal: Terminal): CommandDef {
  return defineCommand({
    meta: {
      name: 'profile',
      description:
        'Measure every operation of a search space on this machine. Leave the machine alone meanwhile: what else runs is measured too.',
    },
    args: {
      ...spaceFlag,
      name: { type: 'string', valueHint: 'NAME', description: 'of the table; default: SPACE-BACKEND' },
      out: { type: 'string', valueHint: 'FILE', description: 'where to write the table; default: NAME.json, with --json nowhere' },
      ...measuringFlags,
      check: {
        type: 'string',
        valueHint: 'N',
        default: '0',
        description: 'measure N random networks as well, to see how well the table predicts them',
      },
      ...jsonFlag,
    },
    async run({ args }) {
      const { batch, budgetMs, seed } = readMeasuring(args)
      const checks = wholeNumber('check', args.check, 0, MAX_CHECKED_NETWORKS)
      const name = args.name
      if (name !== undefined && !tableNameSchema.safeParse(name).success) {
        throw new CliError('usage', `expected --name to have lower-case letters, digits, ".", "_" or "-", 64 at most, got "${name}"`)
      }
      const space = await readSpace(args.space, terminal.folder)
      // TensorFlow.js takes a third of a second to load: only this command waits for it.
      const { profileAndCheck, randomPaths } = await import('./profile.ts')
      const backend = await open(terminal, args.backend)
      terminal.note(
        `measuring ${space.measurableOperations().length} operations of ${space.name} at batch ${batch} for up to ${budgetMs / 1000} s`,
      )
      const { table, networks, meanAbsoluteError } = await profileAndCheck(
        {
          space,
          backend,
          batch,
          seed,
          budgetMs,
          name,
          signal: terminal.interrupted,
          onProgress: createProgressBar(process.stderr),
        },
        randomPaths(space, checks, seed),
      )
      const out = args.out ?? (args.json ? undefined : `${table.name}.json`)
      if (out !== undefined) {
        await writeTableFile(resolve(terminal.folder, out), table)
        terminal.note(`wrote ${out}`)
      }
      const checked = networks.length > 0 ? renderChecks(networks, meanAbsoluteError) : null
      if (checked !== null && args.json) terminal.note(checked)
      printResult(terminal, args.json === true, table, () =>
        [renderLatencyTable(table), ...(checked === null ? [] : ['', checked])].join('\n'),
      )
    },
  }) as CommandDef
}

function measureCommand(terminal: Terminal): CommandDef {
  return defineCommand({
    meta: { name: 'measure', description: 'Measure one whole network on this machine, the way its operations are measured.' },
    args: {
      ...spaceFlag,
      architecture: { type: 'string', required: true, valueHint: 'TEXT', description: 'as in fashion-mini:mb3k5,zero,…' },
      ...measuringFlags,
      ...jsonFlag,
    },
    async run({ args }) {
      const settings = readMeasuring(args)
      const space = await readSpace(args.space, terminal.folder)
      const path = readArchitecture(space, args.architecture)
      const { measureNetwork } = await import('./profile.ts')
      const backend = await open(terminal, args.backend)
      const entry = await measureNetwork({
        space,
        path,
        backend,
        ...settings,
        signal: terminal.interrupted,
        onProgress: createProgressBar(process.stderr),
      })
      const { architecture } = args
      const { batch } = settings
      printResult(terminal, args.json === true, { architecture, batch, ...entry }, () => renderMeasured(architecture, batch, entry))
    },
  }) as CommandDef
}

function showCommand(terminal: Terminal): CommandDef {
  return defineCommand({
    meta: { name: 'show', description: 'Print a table: totals, the slowest operations, a chart per place in the network.' },
    args: { file: { type: 'positional', required: true, description: 'table in JSON' }, ...jsonFlag },
    async run({ args }) {
      const table = await readTableFile(resolve(terminal.folder, args.file))
      printResult(terminal, args.json === true, table, () => renderLatencyTable(table))
    },
  }) as CommandDef
}

function publishCommand(terminal: Terminal): CommandDef {
  return defineCommand({
    meta: { name: 'publish', description: 'Publish a table as a new version of its name; the same content is the same version.' },
    args: { file: { type: 'positional', required: true, description: 'table in JSON' }, ...connectionFlags },
    async run({ args }) {
      const table = await readTableFile(resolve(terminal.folder, args.file))
      const published = await connect(args, terminal).publish(table)
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
      const table = await connect(args, terminal).pull(name, version)
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
      const tables = await connect(args, terminal).list()
      printResult(terminal, args.json === true, { tables }, () => renderList(tables))
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
    '',
    'Exit codes: 0 done; 1 failed, or keys are missing; 2 wrong usage, or a file that is not valid; 130 interrupted.',
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
