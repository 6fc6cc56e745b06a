// From flags and a file to the settings of a search. Nothing is sent before the whole is valid, so an error names the
// field and the flag and no coordinator has to be running to see it.

import type { ArgsDef } from 'citty'
import * as z from 'zod'
import { tableNameSchema, tableVersionSchema } from '../latency-lut/table/table.ts'
import { createSpace, presetNames, SpaceError } from '../search-space/index.ts'
import { fieldErrors, type SearchConfig, searchConfigSchema, strategyNames } from '../protocol/index.ts'
import { boundFlag, parseBound } from '../command-line/bound-flag.ts'
import { REPEATABLE_HINT } from '../command-line/dispatch.ts'
import { CliError } from '../command-line/exit-codes.ts'
import { assignFields, isRecord, numberFlag, readField, setField } from '../command-line/fields.ts'
import { jsonOrName } from '../command-line/json-file.ts'

const searchConfigFlags = {
  config: { type: 'string', valueHint: 'FILE', description: 'JSON file with settings of the search; flags change single fields of it' },
  space: {
    type: 'string',
    valueHint: 'PRESET|@FILE|JSON',
    description: `search space: ${presetNames.join(', ')}, or its settings in a file or as JSON`,
  },
  dataset: { type: 'string', valueHint: 'NAME', description: 'name of the data that agents train on, for people' },
  fingerprint: {
    type: 'string',
    valueHint: 'HEX',
    description: "SHA-256 that every agent's data must have (default: that of the first agent)",
  },
  bits: { type: 'enum', options: ['8', '16'], description: 'of a value of an image; all agents open their data so (default: 8)' },
  'target-ms': { type: 'string', valueHint: 'MS', description: 'wanted latency, milliseconds per batch of the latency table' },
  'target-share': {
    type: 'string',
    valueHint: 'SHARE',
    description: 'instead of --target-ms: as a share of what a random architecture of the space takes on average, for example 0.75',
  },
  table: { type: 'string', valueHint: 'NAME[@VERSION]', description: 'latency table (default version: the one published last)' },
  missing: {
    type: 'enum',
    options: ['refuse', 'predict'],
    description: 'operations that the table lacks: refuse the search and name them, or predict their latency (default: refuse)',
  },
  bound: {
    ...boundFlag,
    valueHint: `${boundFlag.valueHint}${REPEATABLE_HINT}`,
    description: `${boundFlag.description}; beside the wanted latency`,
  },
  name: { type: 'string', valueHint: 'TEXT', description: 'name of the search, for people (default: search)' },
  seed: { type: 'string', valueHint: 'N', description: 'seed of everything random (default: 0)' },
  steps: { type: 'string', valueHint: 'N', description: 'weight steps (mini-batches) of the whole search (default: 10000)' },
  hours: {
    type: 'string',
    valueHint: 'H',
    description: 'how long the search goes on, in place of --steps: hours in which agents work, however many there are',
  },
  preset: {
    type: 'enum',
    options: ['budget', 'paper'],
    description:
      'what is not set: as it suits the length of the search (budget), or as it was published for searches of days (paper) (default: budget)',
  },
  batch: { type: 'string', valueHint: 'N', description: 'images per step (default: 64)' },
  strategy: { type: 'enum', options: [...strategyNames], description: 'search algorithm (default: proxyless-g)' },
  form: {
    type: 'enum',
    options: ['two', 'full'],
    description: 'of proxyless-g: gates of two sampled operations per block, or of all (default: full; with --preset paper: two)',
  },
  loss: {
    type: 'enum',
    options: ['none', 'add#linear', 'mul#log', 'add#abs'],
    description:
      'how latency enters the loss; its factors are set with --set latency.loss.lambda=0.1 and the like (default: add#abs; with --preset paper: mul#log)',
  },
  set: {
    type: 'string',
    valueHint: `FIELD=VALUE${REPEATABLE_HINT}`,
    description: 'any field, for example training.learningRate=0.1; the value is JSON, or else a text',
  },
} as const satisfies ArgsDef

type SearchConfigArgs = { readonly [K in Exclude<keyof typeof searchConfigFlags, 'config' | 'bound' | 'set'>]?: string | undefined }

/** Fields that have a flag of their own, to name it beside the field. */
const flagOfField: Record<string, keyof typeof searchConfigFlags> = {
  name: 'name',
  space: 'space',
  'dataset.name': 'dataset',
  'dataset.fingerprint': 'fingerprint',
  'dataset.bits': 'bits',
  'latency.targetMs': 'target-ms',
  'latency.table.name': 'table',
  'latency.table.version': 'table',
  'latency.missing': 'missing',
  'latency.loss.kind': 'loss',
  bounds: 'bound',
  seed: 'seed',
  'training.steps': 'steps',
  'training.hours': 'hours',
  'training.batchSize': 'batch',
  'strategy.name': 'strategy',
  'strategy.form': 'form',
}

/**
 * Settings of a search: the file's, changed by flags, changed by `sets`. Not yet validated. Throws CliError `usage`.
 *
 * @param bounds values of --bound, in place of the file's for the same cost
 */
function buildSearchConfig(
  file: unknown,
  args: SearchConfigArgs,
  sets: readonly string[],
  bounds: readonly string[] = [],
): Record<string, unknown> {
  if (file !== undefined && !isRecord(file)) throw new CliError('usage', 'expected the file of --config to hold a JSON object')
  const config = structuredClone(file ?? {}) as Record<string, unknown>
  // These have no default: with them in place a missing field is reported by its own path.
  if (config['dataset'] === undefined) config['dataset'] = {}
  if (config['latency'] === undefined) config['latency'] = {}
  if (isRecord(config['latency']) && config['latency']['table'] === undefined) config['latency']['table'] = {}

  const put = (field: string, value: unknown) => {
    if (value !== undefined) setField(config, field, value)
  }
  put('name', args.name)
  put('space', args.space === undefined ? undefined : jsonOrName('--space', args.space))
  put('dataset.name', args.dataset)
  put('dataset.fingerprint', args.fingerprint)
  put('dataset.bits', numberFlag('--bits', args.bits))
  put('latency.targetMs', numberFlag('--target-ms', args['target-ms']))
  put('latency.table', args.table === undefined ? undefined : parseTableRef(args.table))
  put('latency.missing', args.missing)
  if (bounds.length > 0) {
    const given = bounds.map(parseBound)
    const own = Array.isArray(config['bounds']) ? config['bounds'] : []
    put('bounds', [...own.filter((bound) => !given.some(({ cost }) => isRecord(bound) && bound['cost'] === cost)), ...given])
  }
  put('seed', numberFlag('--seed', args.seed))
  put('training.steps', numberFlag('--steps', args.steps))
  put('training.hours', numberFlag('--hours', args.hours))
  put('training.batchSize', numberFlag('--batch', args.batch))
  put('strategy.name', args.strategy)
  put('strategy.form', args.form)
  if (args.loss !== undefined && readField(config, 'latency.loss.kind') !== args.loss) put('latency.loss', { kind: args.loss })
  assignFields(config, sets, 'training.steps=500')
  // What the schema takes by default if nothing of the strategy or the loss is said; with a part said, it asks for the name.
  if (isRecord(config['strategy'])) config['strategy'] = { name: 'proxyless-g', ...config['strategy'] }
  if (isRecord(config['latency']) && isRecord(config['latency']['loss']))
    config['latency']['loss'] = { kind: args.preset === 'paper' ? 'mul#log' : 'add#abs', ...config['latency']['loss'] }
  return config
}

/** Validates settings as the coordinator will. Throws CliError `usage` that lists every offending field. */
function checkSearchConfig(config: unknown): SearchConfig {
  const parsed = searchConfigSchema.safeParse(config)
  if (!parsed.success) throw invalidConfig(fieldErrors(parsed.error))
  try {
    createSpace(parsed.data.space)
  } catch (error) {
    if (error instanceof SpaceError) throw invalidConfig([{ path: `space (${error.field})`, message: error.message }])
    if (error instanceof z.core.$ZodError)
      throw invalidConfig(fieldErrors(error).map(({ path, message }) => ({ path: `space.${path}`, message })))
    throw error
  }
  return parsed.data
}

function invalidConfig(errors: { path: string; message: string }[]): CliError {
  const named = errors.map(({ path, message }) => {
    const flag = flagOfField[path]
    const text = message.endsWith('received undefined') ? 'is required' : message
    return { path, message: flag === undefined ? text : `${text} (--${flag})` }
  })
  return new CliError('usage', 'the settings of the search are not valid', named)
}

/** `NAME` or `NAME@VERSION`. A version may be abbreviated; whoever sends it completes it first. */
function parseTableRef(text: string): { name: string; version?: string } {
  const at = text.indexOf('@')
  const name = at === -1 ? text : text.slice(0, at)
  const version = at === -1 ? undefined : text.slice(at + 1)
  if (!tableNameSchema.safeParse(name).success || (version !== undefined && !/^[0-9a-f]{4,64}$/.test(version))) {
    throw new CliError(
      'usage',
      `expected a latency table as NAME or NAME@VERSION, the version 64 hexadecimal digits or the first 4 or more of them, got "${text}"`,
    )
  }
  return version === undefined ? { name } : { name, version }
}

function isFullVersion(version: string): boolean {
  return tableVersionSchema.safeParse(version).success
}

/** The version that settings ask for, if it has to be completed before they are valid. */
function abbreviatedTable(config: Record<string, unknown>): { name: string; version: string } | null {
  const name = readField(config, 'latency.table.name')
  const version = readField(config, 'latency.table.version')
  return typeof name === 'string' && typeof version === 'string' && /^[0-9a-f]{4,63}$/.test(version) ? { name, version } : null
}

export { abbreviatedTable, buildSearchConfig, checkSearchConfig, isFullVersion, parseTableRef, type SearchConfigArgs, searchConfigFlags }
