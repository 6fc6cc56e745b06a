// `gatehouse search …`

import { resolve } from 'node:path'
import { type ArgsDef, type CommandDef, defineCommand } from 'citty'
import { expectedLatencyMs } from '../latency-lut/table/coverage.ts'
import { createSpace, evenProbabilities, spaceRefSchema } from '../search-space/index.ts'
import type { CoordinatorClient, PhaseChange } from '../command-line/coordinator-client.ts'
import { connect, connectionFlags } from '../command-line/connection.ts'
import { repeatedValues } from '../command-line/dispatch.ts'
import { CliError } from '../command-line/exit-codes.ts'
import { readField, setField } from '../command-line/fields.ts'
import { typedCommand } from '../command-line/installation.ts'
import { renderUnreadable, unreadableJson } from '../command-line/listed.ts'
import { printLatency, printTime } from '../command-line/quantities.ts'
import { readJsonFile, textOrFile } from '../command-line/json-file.ts'
import { type Filled, fitToBudget } from './budget-settings.ts'
import { numberIn } from '../command-line/number-flags.ts'
import { createTokenCommands } from '../command-line/token-commands.ts'
import { createDeriveCommand } from './derive-command.ts'
import { renderStatus } from './render-status.ts'
import { abbreviatedTable, buildSearchConfig, checkSearchConfig, searchConfigFlags } from './search-config-flags.ts'
import { createRebuildCommand } from './rebuild-command.ts'
import { latencyOfSpace } from './space-latency.ts'
import { resolveSearch, resolveTableVersion, searchArg } from './search-ref.ts'
import { printResult, type Terminal } from '../command-line/terminal.ts'
import { printable, renderEntry, renderTable } from '../command-line/text-layout.ts'
import { createExportSearchCommand, createImportSearchCommand } from './search-file-commands.ts'
import { createRollbackCommand, createSnapshotsCommand } from './snapshot-commands.ts'
import { createWebhookCommand } from './webhook-command.ts'
import { createWeightsCommand } from './weights-command.ts'
import { watchSearch } from './watch-search.ts'

const MIN_INTERVAL_S = 0.1
const MAX_INTERVAL_S = 3600
const MIN_TARGET_SHARE = 0.001
const MAX_TARGET_SHARE = 1000
const TARGET_DIGITS = 4

function createSearchCommands(terminal: Terminal): CommandDef {
  return defineCommand({
    meta: { name: 'search', description: 'Start, follow and steer searches.' },
    subCommands: {
      create: createCommand(terminal),
      list: listCommand(terminal),
      status: statusCommand(terminal),
      watch: watchCommand(terminal),
      pause: phaseCommand(
        terminal,
        'pause',
        'Hand out no more tasks until the search is resumed. Results of tasks already handed out still count.',
      ),
      resume: phaseCommand(terminal, 'resume', 'Hand out tasks of a paused search again.'),
      stop: phaseCommand(terminal, 'stop', 'End a search for good. Its state can still be read and its architecture derived.'),
      data: dataCommand(terminal),
      delete: deleteCommand(terminal),
      derive: createDeriveCommand(terminal),
      weights: createWeightsCommand(terminal),
      token: createTokenCommands(terminal, { name: 'search', resolve: resolveSearch }),
      export: createExportSearchCommand(terminal),
      import: createImportSearchCommand(terminal),
      webhook: createWebhookCommand(terminal),
      'rebuild-alpha': createRebuildCommand(terminal),
      snapshots: createSnapshotsCommand(terminal),
      rollback: createRollbackCommand(terminal),
    },
  }) as CommandDef
}

function createCommand(terminal: Terminal): CommandDef {
  const args = { ...searchConfigFlags, ...connectionFlags } as const satisfies ArgsDef
  return defineCommand({
    meta: { name: 'create', description: 'Start a search. Prints its id, the token for its agents and the command that starts an agent.' },
    args,
    async run({ args: given, rawArgs }) {
      const file = given.config === undefined ? undefined : await readJsonFile(resolve(terminal.folder, given.config))
      const space = given.space === undefined ? undefined : await textOrFile(terminal.folder, given.space)
      const settings = buildSearchConfig(
        file,
        { ...given, space },
        repeatedValues(rawArgs, args, 'set'),
        repeatedValues(rawArgs, args, 'bound'),
      )
      const fitted = given.preset === 'paper' ? [] : fitToBudget(settings)
      let client: CoordinatorClient | undefined
      const abbreviated = abbreviatedTable(settings)
      if (abbreviated !== null) {
        client = connect(terminal, given)
        setField(settings, 'latency.table.version', await resolveTableVersion(client, abbreviated.name, abbreviated.version))
      }
      if (given['target-share'] !== undefined) {
        client ??= connect(terminal, given)
        await setTargetShare(client, settings, numberIn('target-share', given['target-share'], MIN_TARGET_SHARE, MAX_TARGET_SHARE, false))
      }
      const config = checkSearchConfig(settings)
      client ??= connect(terminal, given)
      const created = await client.createSearch(config)
      const agentCommand = `${typedCommand('worker-agent')} --coordinator ${client.url} --token ${created.agentToken} --data PATH`
      printResult(terminal, given.json === true, { ...created, agentCommand }, () =>
        [
          `search       ${created.searchId}  ${config.name}`,
          `space        ${createSpace(config.space).name}`,
          `latency      ${created.expectedLatencyMs === undefined ? '' : `${printLatency(created.expectedLatencyMs)} expected at the start, `}target ${printLatency(config.latency.targetMs)}`,
          `data         ${printable(config.dataset.name)}, ${boundText(config.dataset.fingerprint ?? null)}`,
          `table        ${config.latency.table.name}@${created.tableVersion.slice(0, 8)}`,
          ...fittedLines(fitted, terminal.columns()),
          `agent token  ${created.agentToken}`,
          '             (shown this once; "gatehouse search token create" makes more)',
          '',
          'Start agents, on this machine or any other that reaches the coordinator:',
          `  ${agentCommand}`,
          '',
          'Follow the search:',
          `  ${typedCommand('gatehouse')} search watch ${created.searchId}`,
        ].join('\n'),
      )
    },
  }) as CommandDef
}

/**
 * Sets the target latency to a share of the mean over all architectures. What is no space or no table is left to those who say so. Throws
 * CliError `usage` where there is a target already, or the table lacks operations of the space.
 */
async function setTargetShare(client: CoordinatorClient, settings: Record<string, unknown>, share: number): Promise<void> {
  if (readField(settings, 'latency.targetMs') !== undefined) throw new CliError('usage', 'give --target-ms or --target-share, not both')
  const ref = spaceRefSchema.safeParse(settings['space'])
  const name = readField(settings, 'latency.table.name')
  if (!ref.success || typeof name !== 'string') return
  const space = createSpace(ref.data)
  const version = readField(settings, 'latency.table.version') ?? (await resolveTableVersion(client, name, ''))
  const table = await client.readTable(name, String(version))
  const missing = readField(settings, 'latency.missing') === 'predict' ? 'predict' : 'refuse'
  const { latency } = latencyOfSpace(space, table, missing, (keys) => {
    return new CliError('usage', `--target-share: latency table ${name} lacks operations of space ${space.name}, such as ${keys[0]}`)
  })
  setField(settings, 'latency.table.version', version)
  setField(settings, 'latency.targetMs', Number((share * expectedLatencyMs(latency, evenProbabilities(space))).toPrecision(TARGET_DIGITS)))
}

/** What follows from the length of the search, to be seen and set otherwise. */
function fittedLines(fitted: Filled, columns: number): string[] {
  if (fitted.length === 0) return []
  const texts = fitted.map(({ field, value }) => `${field}=${typeof value === 'string' ? value : JSON.stringify(value)}`)
  return [renderEntry('fitted', `${texts.join(', ')} (--preset paper leaves them as published)`, 13, columns)]
}

function listCommand(terminal: Terminal): CommandDef {
  return defineCommand({
    meta: { name: 'list', description: 'List all searches, the newest first.' },
    args: connectionFlags,
    async run({ args }) {
      const listed = await connect(terminal, args).listSearches()
      const { members } = listed
      printResult(terminal, args.json === true, [...members, ...unreadableJson('searchId', listed)], () =>
        renderUnreadable(
          members.length === 0
            ? 'no searches yet'
            : renderTable(
                [{ title: 'id' }, { title: 'name' }, { title: 'phase' }, { title: 'space' }, { title: 'created' }],
                members.map((search) => [
                  search.searchId,
                  printable(search.name),
                  search.phase,
                  search.space,
                  printTime(search.createdAtMs),
                ]),
              ),
          listed,
          'gatehouse search delete ID --yes',
        ),
      )
    },
  }) as CommandDef
}

function statusCommand(terminal: Terminal): CommandDef {
  return defineCommand({
    meta: { name: 'status', description: 'Print where a search stands.' },
    args: { ...searchArg, ...connectionFlags },
    async run({ args }) {
      const client = connect(terminal, args)
      const status = await client.searchStatus(await resolveSearch(client, args.id))
      printResult(terminal, args.json === true, status, () => renderStatus(status, terminal.columns()))
    },
  }) as CommandDef
}

function watchCommand(terminal: Terminal): CommandDef {
  return defineCommand({
    meta: {
      name: 'watch',
      description:
        'Follow a search until it ends: a live view in a terminal, otherwise a line every few seconds. Waits while the coordinator is away. ' +
        'With --json the lines go to standard error, and standard output gets the status at the end.',
    },
    args: {
      ...searchArg,
      interval: { type: 'string', valueHint: 'SECONDS', description: 'seconds between two looks (default: 1 in a terminal, otherwise 5)' },
      ...connectionFlags,
    },
    async run({ args }) {
      const intervalMs = args.interval === undefined ? undefined : parseInterval(args.interval) * 1000
      // Each look is one attempt: the watch itself keeps trying, and says so at once.
      const client = connect(terminal, args, { readAttempts: 1 })
      const searchId = await resolveSearch(client, args.id)
      const live = terminal.isInteractive && args.json !== true
      const status = await watchSearch(terminal, client, searchId, { live, intervalMs })
      if (!live) printResult(terminal, args.json === true, status, () => renderStatus(status, terminal.columns()))
      if (status.phase === 'stopped')
        throw new CliError(
          'unfinished',
          `search ${searchId} was stopped at ${status.steps.done} of ${status.steps.total} ${printable(status.steps.unit)}`,
        )
    },
  }) as CommandDef
}

function phaseCommand(terminal: Terminal, change: PhaseChange, description: string): CommandDef {
  return defineCommand({
    meta: { name: change, description },
    args: { ...searchArg, ...connectionFlags },
    async run({ args }) {
      const client = connect(terminal, args)
      const searchId = await resolveSearch(client, args.id)
      const phase = await client.changePhase(searchId, change)
      printResult(terminal, args.json === true, { searchId, phase }, () => `search ${searchId} is now ${phase}`)
    },
  }) as CommandDef
}

/** What a search is bound to. */
function boundText(fingerprint: string | null): string {
  return fingerprint === null ? 'of the agent that registers first ("gatehouse search data" corrects it)' : `fingerprint ${fingerprint}`
}

function dataCommand(terminal: Terminal): CommandDef {
  return defineCommand({
    meta: {
      name: 'data',
      description:
        'Say which data a search runs on, while no result is in: agents with other data have to leave. Without it, the agent that registers first decides.',
    },
    args: {
      ...searchArg,
      fingerprint: { type: 'string', valueHint: 'SHA256', description: 'of the data, as agents print it when they start' },
      clear: { type: 'boolean', description: 'take the data of the agent that registers next', default: false },
      ...connectionFlags,
    },
    async run({ args }) {
      if ((args.fingerprint === undefined) !== args.clear) throw new CliError('usage', 'give either --fingerprint or --clear')
      const client = connect(terminal, args)
      const searchId = await resolveSearch(client, args.id)
      const datasetFingerprint = await client.bindDataset(searchId, args.fingerprint ?? null)
      printResult(
        terminal,
        args.json === true,
        { searchId, datasetFingerprint },
        () => `search ${searchId}: data ${boundText(datasetFingerprint)}`,
      )
    },
  }) as CommandDef
}

function deleteCommand(terminal: Terminal): CommandDef {
  return defineCommand({
    meta: { name: 'delete', description: 'Delete a search with its weights, results and tokens. This cannot be undone.' },
    args: {
      ...searchArg,
      yes: { type: 'boolean', description: 'needed: confirms that everything of the search shall be deleted' },
      ...connectionFlags,
    },
    async run({ args }) {
      if (args.yes !== true) throw new CliError('usage', `deleting search ${args.id} cannot be undone; add --yes to do it`)
      const client = connect(terminal, args)
      const searchId = await resolveSearch(client, args.id)
      await client.deleteSearch(searchId)
      printResult(terminal, args.json === true, { searchId, deleted: true }, () => `search ${searchId} is deleted`)
    },
  }) as CommandDef
}

function parseInterval(text: string): number {
  const seconds = Number(text)
  if (!(seconds >= MIN_INTERVAL_S && seconds <= MAX_INTERVAL_S)) {
    throw new CliError('usage', `expected --interval to be ${MIN_INTERVAL_S} to ${MAX_INTERVAL_S} seconds, got "${text}"`)
  }
  return seconds
}

export { createSearchCommands }
