// `gatehouse search token …`

import { type CommandDef, defineCommand } from 'citty'
import { connect, connectionFlags } from '../command-line/connection.ts'
import { printTime } from '../command-line/quantities.ts'
import { resolveSearch, searchArg } from './search-ref.ts'
import { printResult, type Terminal } from '../command-line/terminal.ts'
import { printable, renderTable } from '../command-line/text-layout.ts'

function createTokenCommands(terminal: Terminal): CommandDef {
  return defineCommand({
    meta: { name: 'token', description: 'Make and revoke tokens for the agents of one search.' },
    subCommands: {
      create: createCommand(terminal),
      list: listCommand(terminal),
      revoke: revokeCommand(terminal),
    },
  }) as CommandDef
}

function createCommand(terminal: Terminal): CommandDef {
  return defineCommand({
    meta: { name: 'create', description: 'Make another token for agents of this search. It is shown this once.' },
    args: {
      ...searchArg,
      label: { type: 'string', valueHint: 'TEXT', description: 'whom or what the token is for, to tell tokens apart', default: 'agent' },
      ...connectionFlags,
    },
    async run({ args }) {
      const client = connect(terminal, args)
      const created = await client.createToken(await resolveSearch(client, args.id), args.label)
      printResult(terminal, args.json === true, created, () => `token  ${created.agentToken}\nid     ${created.tokenId}`)
    },
  }) as CommandDef
}

function listCommand(terminal: Terminal): CommandDef {
  return defineCommand({
    meta: { name: 'list', description: 'List the tokens of a search, without the tokens themselves: only hashes of them are kept.' },
    args: { ...searchArg, ...connectionFlags },
    async run({ args }) {
      const client = connect(terminal, args)
      const tokens = await client.listTokens(await resolveSearch(client, args.id))
      printResult(terminal, args.json === true, tokens, () =>
        tokens.length === 0
          ? 'no tokens: no agent can work on this search'
          : renderTable(
              [{ title: 'id' }, { title: 'label' }, { title: 'created' }],
              tokens.map((token) => [token.tokenId, printable(token.label), printTime(token.createdAtMs)]),
            ),
      )
    },
  }) as CommandDef
}

function revokeCommand(terminal: Terminal): CommandDef {
  return defineCommand({
    meta: { name: 'revoke', description: 'Revoke a token. Agents that use it are refused from then on; their leases run out.' },
    args: {
      ...searchArg,
      token_id: { type: 'positional', required: true, description: 'id of the token, as in "gatehouse search token list"' },
      ...connectionFlags,
    },
    async run({ args }) {
      const client = connect(terminal, args)
      const searchId = await resolveSearch(client, args.id)
      await client.revokeToken(searchId, args.token_id)
      printResult(
        terminal,
        args.json === true,
        { searchId, tokenId: args.token_id, revoked: true },
        () => `token ${args.token_id} is revoked`,
      )
    },
  }) as CommandDef
}

export { createTokenCommands }
