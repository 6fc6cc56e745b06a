// `gatehouse search webhook`

import { type CommandDef, defineCommand } from 'citty'
import { connect, connectionFlags } from '../command-line/connection.ts'
import { CliError } from '../command-line/exit-codes.ts'
import { printResult, type Terminal } from '../command-line/terminal.ts'
import { printable } from '../command-line/text-layout.ts'
import { webhookUrlSchema } from '../protocol/index.ts'
import { resolveSearch, searchArg } from './search-ref.ts'

function createWebhookCommand(terminal: Terminal): CommandDef {
  return defineCommand({
    meta: {
      name: 'webhook',
      description: 'Have a URL called whenever a search comes into another phase, signed with a secret that is printed; or see which is.',
    },
    args: {
      ...searchArg,
      url: { type: 'string', valueHint: 'URL', description: 'whom to tell from now on' },
      remove: { type: 'boolean', description: 'tell nobody any more' },
      ...connectionFlags,
    },
    async run({ args }) {
      if (args.url !== undefined && args.remove === true) throw new CliError('usage', 'give --url or --remove, not both')
      if (args.url !== undefined && !webhookUrlSchema.safeParse(args.url).success)
        throw new CliError('usage', `expected --url to be an http or https URL, got "${args.url}"`)
      const client = connect(terminal, args)
      const searchId = await resolveSearch(client, args.id)
      if (args.url !== undefined) {
        const { url } = args
        const secret = await client.setWebhook(searchId, url)
        return printResult(
          terminal,
          args.json === true,
          { searchId, url, secret },
          () => `url     ${url}\nsecret  ${secret}  (shown this once)`,
        )
      }
      if (args.remove === true) await client.removeWebhook(searchId)
      const webhook = await client.readWebhook(searchId)
      printResult(terminal, args.json === true, { searchId, ...webhook }, () =>
        webhook.url === null ? 'nobody is told' : `${printable(webhook.url)}, which has not heard of ${webhook.waiting} phases yet`,
      )
    },
  }) as CommandDef
}

export { createWebhookCommand }
