// The search or table that a person means. Ids are long; the beginning of one is enough if it is the only one.

import type { ArgsDef } from 'citty'
import { searchIdSchema } from '../protocol/index.ts'
import type { CoordinatorClient } from '../command-line/coordinator-client.ts'
import { CliError } from '../command-line/exit-codes.ts'
import { idsOf } from '../command-line/listed.ts'

const MAX_LISTED = 5

const searchArg = {
  id: { type: 'positional', required: true, description: 'id of the search, the beginning of it, or "latest"' },
} as const satisfies ArgsDef

/**
 * Id for an id, the beginning of an id, or `latest`, also of a search that the coordinator cannot read: what is asked of it then says so.
 * Throws CliError `notFound`, or `usage` where several fit.
 */
async function resolveSearch(client: CoordinatorClient, text: string): Promise<string> {
  if (searchIdSchema.safeParse(text).success) return text
  const listed = await client.listSearches()
  const ids = idsOf(listed, ({ searchId }) => searchId)
  if (text === 'latest') {
    const [latest] = ids
    if (latest === undefined) throw new CliError('notFound', `there is no search at ${client.url} yet; "gatehouse search create" makes one`)
    return latest
  }
  const fitting = text === '' ? [] : ids.filter((id) => id.startsWith(text))
  const [only] = fitting
  if (only === undefined)
    throw new CliError('notFound', `no search has an id that starts with "${text}"; "gatehouse search list" lists them`)
  if (fitting.length > 1) {
    const nameOf = (id: string) => listed.members.find(({ searchId }) => searchId === id)?.name ?? 'cannot be read'
    const shown = fitting.slice(0, MAX_LISTED).map((id) => `${id} (${nameOf(id)})`)
    throw new CliError(
      'usage',
      `${fitting.length} searches have an id that starts with "${text}": ${shown.join(', ')}${fitting.length > MAX_LISTED ? ', …' : ''}`,
    )
  }
  return only
}

/** Full version for the beginning of it. Only the version published last is listed, so only that one is found. */
async function resolveTableVersion(client: CoordinatorClient, name: string, text: string): Promise<string> {
  const table = (await client.listTables()).tables.find((listed) => listed.name === name)
  if (table === undefined) throw new CliError('notFound', `there is no latency table ${name}; "gatehouse table list" lists them`)
  if (!table.version.startsWith(text)) {
    throw new CliError(
      'notFound',
      `the version of latency table ${name} published last does not start with "${text}"; write an older version in full`,
    )
  }
  return table.version
}

export { resolveSearch, resolveTableVersion, searchArg }
