// `gatehouse profile …`: a device joins by opening a link in its browser.

import { type ArgsDef, type CommandDef, defineCommand } from 'citty'
import { renderUnicodeCompact } from 'uqr'
import * as z from 'zod'
import { createSpace, presetNames, SpaceError } from '../search-space/index.ts'
import { textOrFile } from '../command-line/json-file.ts'
import { CliError } from '../command-line/exit-codes.ts'
import { printResult, type Terminal } from '../command-line/terminal.ts'
import { printable, renderTable } from '../command-line/text-layout.ts'
import {
  fieldErrors,
  profileBackendNames,
  profileIdSchema,
  type ProfileRequest,
  profileRequestSchema,
  type ProfileStatus,
} from '../protocol/index.ts'
import { ClientError, type CoordinatorClient, pause } from '../command-line/coordinator-client.ts'
import { connect, connectionFlags } from '../command-line/connection.ts'
import { renderUnreadable, unreadableJson } from '../command-line/listed.ts'
import { MAX_RETRY_DELAY_MS } from '../command-line/limits.ts'
import { WATCH_LOG_INTERVAL_MS, WATCH_TERMINAL_INTERVAL_MS } from './limits.ts'
import { findLinkOrigin } from './link-origin.ts'
import { printDuration, printTime } from '../command-line/quantities.ts'

const PERCENT = 100

const profileFlags = {
  space: {
    type: 'string',
    required: true,
    valueHint: 'PRESET|@FILE|JSON',
    description: `search space: ${presetNames.join(', ')}, or its settings in a file or as JSON`,
  },
  name: {
    type: 'string',
    required: true,
    valueHint: 'NAME',
    description: 'name of the latency table; with several backends -webgl and so on are added',
  },
  backends: {
    type: 'string',
    valueHint: 'auto|all|LIST',
    description: `auto: the best that the browser has, or another that its user picks; all; or a list of ${profileBackendNames.join(', ')} with commas`,
    default: 'auto',
  },
  batch: { type: 'string', valueHint: 'COUNT', description: 'images in one run', default: '1' },
  budget: { type: 'string', valueHint: 'SECONDS', description: 'time for measuring on each backend', default: '60' },
  origin: {
    type: 'string',
    valueHint: 'URL',
    description:
      "address in the link, where the device sees the coordinator at another one (default: the coordinator's, or this machine's in its network)",
  },
  'no-wait': { type: 'boolean', description: 'print the link and return, instead of waiting for the table' },
} as const satisfies ArgsDef

const linkEpilogue = [
  'The device must be able to reach the coordinator: one that is deployed, or one on this machine that was started with',
  '"gatehouse up --host 0.0.0.0"; the link then has the address of this machine in its network. Over plain http a browser',
  'offers WebGL and WebAssembly only; WebGPU and keeping the screen awake need https (or localhost).',
].join('\n')

function createProfileCommands(terminal: Terminal): CommandDef {
  return defineCommand({
    meta: { name: 'profile', description: 'Measure a phone, or any device with a browser, by opening a link there.' },
    subCommands: { link: linkCommand(terminal), list: listCommand(terminal), delete: deleteCommand(terminal) },
  }) as CommandDef
}

function linkCommand(terminal: Terminal): CommandDef {
  return defineCommand({
    meta: {
      name: 'link',
      description:
        'Print a link, also as QR code, and wait until the device that opens it has measured and its latency table is published.',
    },
    args: { ...profileFlags, ...connectionFlags },
    async run({ args, rawArgs }) {
      const request = parseRequest({ ...args, space: await textOrFile(terminal.folder, args.space) })
      const client = connect(terminal, args)
      const found = await findLinkOrigin(client.url, args.origin, terminal.interrupted)
      const created = await client.createProfile(request)
      const link = { ...created, url: new URL(new URL(created.url).pathname, found.origin).href }
      const lines = [
        renderUnicodeCompact(link.url, { border: 2 }),
        '',
        `link     ${link.url}`,
        `code     ${link.code}, to be typed at ${found.origin}/profile/; good for ${printDuration(link.expiresAtMs - Date.now())}`,
        `profile  ${link.profileId}`,
        ...(found.note === null ? [] : [`note     ${found.note}`]),
      ]
      // citty takes it for the opposite of a flag "wait".
      if (rawArgs.includes('--no-wait')) return printResult(terminal, args.json === true, link, () => lines.join('\n'))
      const show = args.json === true ? terminal.note : (text: string) => terminal.write(`${text}\n`)
      show(lines.join('\n'))
      const status = await waitForTables(terminal, client, link.profileId)
      printResult(terminal, args.json === true, { ...link, tables: status.tables }, () =>
        status.tables.map(({ backend, name, version }) => `published ${name}@${version}  (${backend})`).join('\n'),
      )
    },
  }) as CommandDef
}

/** Throws CliError `usage` that lists every offending field. */
function parseRequest(args: { space: string; name: string; backends: string; batch: string; budget: string }): ProfileRequest {
  const parsed = profileRequestSchema.safeParse({
    space: args.space.trimStart().startsWith('{') ? parseSpace(args.space) : args.space,
    name: args.name,
    backends: args.backends === 'auto' || args.backends === 'all' ? args.backends : args.backends.split(','),
    batch: Number(args.batch),
    budgetSeconds: Number(args.budget),
  })
  if (!parsed.success) throw new CliError('usage', 'this cannot be measured', fieldErrors(parsed.error))
  try {
    createSpace(parsed.data.space)
  } catch (error) {
    if (error instanceof SpaceError)
      throw new CliError('usage', 'this space makes no sense', [{ path: `space.${error.field}`, message: error.message }])
    if (!(error instanceof z.core.$ZodError)) throw error
    throw new CliError(
      'usage',
      'this space makes no sense',
      fieldErrors(error).map(({ path, message }) => ({ path: `space.${path}`, message })),
    )
  }
  return parsed.data
}

function parseSpace(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    throw new CliError('usage', `expected --space to be a name or JSON: ${error instanceof Error ? error.message : String(error)}`)
  }
}

/** Follows a profile to its end; a coordinator that is away for a while is waited for. Throws ClientError where it is gone. */
async function waitForTables(terminal: Terminal, client: CoordinatorClient, profileId: string): Promise<ProfileStatus> {
  const intervalMs = terminal.isInteractive ? WATCH_TERMINAL_INTERVAL_MS : WATCH_LOG_INTERVAL_MS
  let last = ''
  for (let delayMs = intervalMs; ;) {
    try {
      const status = await client.profileStatus(profileId)
      if (status.phase === 'published') return status
      const line = describeStatus(status)
      if (line !== last) terminal.note(line)
      last = line
      delayMs = intervalMs
    } catch (error) {
      if (!(error instanceof ClientError)) throw error
      if (error.problem === 'not-found')
        throw new CliError('notFound', `profile ${profileId} is gone: its code was not used in time, or somebody deleted it`)
      if (!error.isTemporary && error.problem !== 'internal') throw error
      if (error.message !== last) terminal.note(`${error.message}; still trying`)
      last = error.message
      delayMs = Math.min(MAX_RETRY_DELAY_MS, delayMs * 2)
    }
    await pause(delayMs, terminal.interrupted)
  }
}

function describeStatus({ phase, backends, request }: ProfileStatus): string {
  if (phase === 'waiting') return 'waiting for a device to open the link'
  if (phase === 'open') return 'a device has opened the link'
  const parts = backends.map(({ backend, rounds, spentMs, conditions }) => {
    const share = Math.min(1, spentMs / (request.budgetSeconds * 1000))
    return `${backend}: ${rounds} rounds, ${Math.floor(share * PERCENT)} % of its time, on ${printable(conditions.device)}`
  })
  return parts.join('; ')
}

function listCommand(terminal: Terminal): CommandDef {
  return defineCommand({
    meta: { name: 'list', description: 'List the profiles in browsers that were opened last.' },
    args: connectionFlags,
    async run({ args }) {
      const listed = await connect(terminal, args).listProfiles()
      const { members } = listed
      printResult(terminal, args.json === true, [...members, ...unreadableJson('profileId', listed)], () =>
        renderUnreadable(
          members.length === 0
            ? 'no profiles; "gatehouse profile link" opens one'
            : renderTable(
                [{ title: 'id' }, { title: 'phase' }, { title: 'space' }, { title: 'table' }, { title: 'device' }, { title: 'opened' }],
                members.map(({ profileId, phase, space, request, backends, createdAtMs }) => [
                  profileId,
                  phase,
                  space,
                  request.name,
                  printable(backends[0]?.conditions.device ?? '–'),
                  printTime(createdAtMs),
                ]),
              ),
          listed,
          'gatehouse profile delete ID',
        ),
      )
    },
  }) as CommandDef
}

function deleteCommand(terminal: Terminal): CommandDef {
  return defineCommand({
    meta: { name: 'delete', description: 'Delete a profile: its link and what was measured. Tables that were published stay.' },
    args: { id: { type: 'positional', required: true, description: 'id of the profile' }, ...connectionFlags },
    async run({ args }) {
      if (!profileIdSchema.safeParse(args.id).success)
        throw new CliError('usage', `expected a profile id such as p0123456789ab, got "${args.id}"`)
      await connect(terminal, args).deleteProfile(args.id)
      printResult(terminal, args.json === true, { deleted: args.id }, () => `deleted ${args.id}`)
    },
  }) as CommandDef
}

export { createProfileCommands, linkEpilogue }
