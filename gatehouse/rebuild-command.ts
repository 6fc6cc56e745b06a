// `gatehouse search rebuild-alpha`

import { type CommandDef, defineCommand } from 'citty'
import { connect, connectionFlags } from '../command-line/connection.ts'
import { CliError } from '../command-line/exit-codes.ts'
import { printResult, type Terminal } from '../command-line/terminal.ts'
import { fieldErrors, rebuildRequestSchema } from '../protocol/index.ts'
import { resolveSearch, searchArg } from './search-ref.ts'

const RANGE = /^(\d+)?-(\d+)?$/

function createRebuildCommand(terminal: Terminal): CommandDef {
  return defineCommand({
    meta: {
      name: 'rebuild-alpha',
      description:
        'Rebuild the architecture parameters of a search from its log, as if results of an agent, or of a range, had never come. Weights stay as they are. This cannot be undone; "gatehouse search export" keeps what there is.',
    },
    args: {
      ...searchArg,
      agent: { type: 'string', valueHint: 'AGENT_ID', description: 'leave out what this agent delivered' },
      results: {
        type: 'string',
        valueHint: 'FROM-TO',
        description: 'leave out results by their numbers in the log, such as 120-180, 120- or -180',
      },
      ...connectionFlags,
    },
    async run({ args }) {
      const range = args.results === undefined ? null : RANGE.exec(args.results)
      if (args.results !== undefined && !range)
        throw new CliError('usage', `expected --results to be such as 120-180, got "${args.results}"`)
      const request = rebuildRequestSchema.safeParse({
        ...(args.agent !== undefined && { agentId: args.agent }),
        ...(range?.[1] !== undefined && { from: Number(range[1]) }),
        ...(range?.[2] !== undefined && { to: Number(range[2]) }),
      })
      if (!request.success) throw new CliError('usage', 'give --agent, --results or both', fieldErrors(request.error))
      const client = connect(terminal, args)
      const searchId = await resolveSearch(client, args.id)
      const rebuilt = await client.rebuildAlpha(searchId, request.data)
      printResult(
        terminal,
        args.json === true,
        { searchId, ...rebuilt },
        () => `alpha of search ${searchId} is rebuilt without ${rebuilt.excluded} results; ${rebuilt.alphaVersion} updates are left`,
      )
    },
  }) as CommandDef
}

export { createRebuildCommand }
