// `gatehouse audit`

import { type CommandDef, defineCommand } from 'citty'
import { connect, connectionFlags } from '../command-line/connection.ts'
import { numberIn } from '../command-line/number-flags.ts'
import { printTime } from '../command-line/quantities.ts'
import { printResult, type Terminal } from '../command-line/terminal.ts'
import { printable, renderTable } from '../command-line/text-layout.ts'
import { MAX_AUDIT_ENTRIES } from '../protocol/index.ts'

const DEFAULT_ENTRIES = '50'

function createAuditCommand(terminal: Terminal): CommandDef {
  return defineCommand({
    meta: {
      name: 'audit',
      description: 'List what was done with the admin token, the newest first. Tokens are told apart by the beginning of their SHA-256.',
    },
    args: {
      limit: { type: 'string', valueHint: 'N', description: 'how many entries', default: DEFAULT_ENTRIES },
      ...connectionFlags,
    },
    async run({ args }) {
      const entries = await connect(terminal, args).audit(numberIn('limit', args.limit, 1, MAX_AUDIT_ENTRIES, true))
      printResult(terminal, args.json === true, entries, () =>
        entries.length === 0
          ? 'nothing was done yet'
          : renderTable(
              [{ title: 'time' }, { title: 'token' }, { title: 'status', align: 'right' }, { title: 'what' }, { title: 'request' }],
              entries.map(({ atMs, actor, status, method, path, requestId }) => [
                printTime(atMs),
                actor,
                String(status),
                printable(`${method} ${path}`),
                requestId,
              ]),
            ),
      )
    },
  }) as CommandDef
}

export { createAuditCommand }
