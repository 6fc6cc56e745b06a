// `gatehouse search token …` and `gatehouse training token …`

import { type CommandDef, defineCommand } from 'citty'
import { connect, connectionFlags } from './connection.ts'
import type { CoordinatorClient } from './coordinator-client.ts'
import { printTime } from './quantities.ts'
import { printResult, type Terminal } from './terminal.ts'
import { printable, renderTable } from './text-layout.ts'

/** What tokens are for. */
type TokenOwner = {
  readonly name: 'search' | 'training'
  /** Id for an id, the beginning of one, or `latest`. */
  readonly resolve: (client: CoordinatorClient, text: string) => Promise<string>
}

const ownerArg = ({ name }: TokenOwner) =>
  ({ id: { type: 'positional', required: true, description: `id of the ${name}, the beginning of it, or "latest"` } }) as const

function createTokenCommands(terminal: Terminal, owner: TokenOwner): CommandDef {
  return defineCommand({
    meta: { name: 'token', description: `Make and revoke tokens for the agents of one ${owner.name}.` },
    subCommands: {
      create: createCommand(terminal, owner),
      list: listCommand(terminal, owner),
      revoke: revokeCommand(terminal, owner),
    },
  }) as CommandDef
}

function createCommand(terminal: Terminal, owner: TokenOwner): CommandDef {
  return defineCommand({
    meta: { name: 'create', description: `Make another token for agents of this ${owner.name}. It is shown this once.` },
    args: {
      ...ownerArg(owner),
      label: { type: 'string', valueHint: 'TEXT', description: 'whom or what the token is for, to tell tokens apart', default: 'agent' },
      ...connectionFlags,
    },
    async run({ args }) {
      const client = connect(terminal, args)
      const created = await client.createToken(await owner.resolve(client, args.id), args.label)
      printResult(terminal, args.json === true, created, () => `token  ${created.agentToken}\nid     ${created.tokenId}`)
    },
  }) as CommandDef
}

function listCommand(terminal: Terminal, owner: TokenOwner): CommandDef {
  return defineCommand({
    meta: { name: 'list', description: `List the tokens of a ${owner.name}, without the tokens themselves: only hashes of them are kept.` },
    args: { ...ownerArg(owner), ...connectionFlags },
    async run({ args }) {
      const client = connect(terminal, args)
      const tokens = await client.listTokens(await owner.resolve(client, args.id))
      printResult(terminal, args.json === true, tokens, () =>
        tokens.length === 0
          ? `no tokens: no agent can work on this ${owner.name}`
          : renderTable(
              [{ title: 'id' }, { title: 'label' }, { title: 'created' }],
              tokens.map((token) => [token.tokenId, printable(token.label), printTime(token.createdAtMs)]),
            ),
      )
    },
  }) as CommandDef
}

function revokeCommand(terminal: Terminal, owner: TokenOwner): CommandDef {
  return defineCommand({
    meta: { name: 'revoke', description: 'Revoke a token. Agents that use it are refused from then on; their leases run out.' },
    args: {
      ...ownerArg(owner),
      token_id: { type: 'positional', required: true, description: `id of the token, as in "gatehouse ${owner.name} token list"` },
      ...connectionFlags,
    },
    async run({ args }) {
      const client = connect(terminal, args)
      const ownerId = await owner.resolve(client, args.id)
      await client.revokeToken(ownerId, args.token_id)
      printResult(
        terminal,
        args.json === true,
        { [`${owner.name}Id`]: ownerId, tokenId: args.token_id, revoked: true },
        () => `token ${args.token_id} is revoked`,
      )
    },
  }) as CommandDef
}

export { createTokenCommands }
