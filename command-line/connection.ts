// Which coordinator a command talks to, and with which token.

import { readFileSync } from 'node:fs'
import { isIP } from 'node:net'
import { join, resolve } from 'node:path'
import type { ArgsDef } from 'citty'
import { type ClientOptions, type CoordinatorClient, createClient } from './coordinator-client.ts'
import { CliError } from './exit-codes.ts'
import { ADMIN_TOKEN_FILE, DEFAULT_COORDINATOR_URL, DEFAULT_STATE_FOLDER } from './limits.ts'
import type { Terminal } from './terminal.ts'

const jsonFlag = {
  json: { type: 'boolean', description: 'print one JSON text to standard output' },
} as const satisfies ArgsDef

const stateFlag = {
  state: {
    type: 'string',
    valueHint: 'FOLDER',
    description: `folder of the local coordinator's state and admin token (default: GATEHOUSE_STATE, or ${DEFAULT_STATE_FOLDER})`,
  },
} as const satisfies ArgsDef

/** Flags of every command that talks to a coordinator. */
const connectionFlags = {
  coordinator: {
    type: 'string',
    valueHint: 'URL',
    description: `address of the coordinator (default: GATEHOUSE_COORDINATOR, or ${DEFAULT_COORDINATOR_URL})`,
  },
  token: {
    type: 'string',
    valueHint: 'TOKEN',
    description: 'admin token (default: GATEHOUSE_TOKEN, or for a coordinator on this machine the one in the state folder)',
  },
  ...stateFlag,
  ...jsonFlag,
} as const satisfies ArgsDef

type ConnectionArgs = {
  readonly coordinator?: string | undefined
  readonly token?: string | undefined
  readonly state?: string | undefined
}

/** Throws CliError `usage` for an address that is none, `unauthorized` if no token can be found. */
function connect(terminal: Terminal, args: ConnectionArgs, options: Pick<ClientOptions, 'readAttempts'> = {}): CoordinatorClient {
  const url = coordinatorUrl(terminal, args)
  const token = args.token ?? (terminal.env['GATEHOUSE_TOKEN'] || undefined) ?? localToken(terminal, args, url)
  if (token === undefined) {
    throw new CliError('unauthorized', `no admin token for ${url.origin}: give --token TOKEN or set GATEHOUSE_TOKEN`)
  }
  if (!/^[\x21-\x7e]+$/.test(token)) {
    throw new CliError('usage', 'the admin token has characters that no token has: expected printable ASCII without spaces')
  }
  if (url.protocol === 'http:' && !isLoopback(url.hostname)) {
    terminal.note(`warning: the admin token travels unencrypted to ${url.origin}; use https where others can listen`)
  }
  return createClient({ url: url.href, token, signal: terminal.interrupted, ...options })
}

function coordinatorUrl(terminal: Terminal, args: ConnectionArgs): URL {
  const text = args.coordinator ?? (terminal.env['GATEHOUSE_COORDINATOR'] || undefined) ?? DEFAULT_COORDINATOR_URL
  const url = URL.parse(text)
  if (url === null || (url.protocol !== 'http:' && url.protocol !== 'https:')) {
    throw new CliError('usage', `expected --coordinator to be an address such as ${DEFAULT_COORDINATOR_URL}, got "${text}"`)
  }
  return url
}

/** The token that `gatehouse up` made, which is sent nowhere but to this machine. */
function localToken(terminal: Terminal, args: ConnectionArgs, url: URL): string | undefined {
  if (!isLoopback(url.hostname)) return undefined
  const file = join(stateFolder(terminal, args), ADMIN_TOKEN_FILE)
  try {
    return readFileSync(file, 'utf8').trim()
  } catch {
    throw new CliError(
      'unauthorized',
      `no admin token for ${url.origin}: ${file} is not there. Start a coordinator with "gatehouse up", or give --token, --state or GATEHOUSE_TOKEN`,
    )
  }
}

function stateFolder(terminal: Terminal, args: Pick<ConnectionArgs, 'state'>): string {
  const named = args.state ?? (terminal.env['GATEHOUSE_STATE'] || undefined)
  return named === undefined ? resolve(DEFAULT_STATE_FOLDER) : resolve(terminal.folder, named)
}

function isLoopback(hostname: string): boolean {
  const host = hostname.replace(/^\[(.*)\]$/, '$1')
  return host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'))
}

export { connect, connectionFlags, isLoopback, jsonFlag, stateFlag, stateFolder }
