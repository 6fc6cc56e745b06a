// `gatehouse search snapshots` and `gatehouse search rollback`

import { type CommandDef, defineCommand } from 'citty'
import { connect, connectionFlags } from '../command-line/connection.ts'
import { CliError } from '../command-line/exit-codes.ts'
import { typedCommand } from '../command-line/installation.ts'
import { numberIn } from '../command-line/number-flags.ts'
import { printBytes, printCount, printTime } from '../command-line/quantities.ts'
import { printResult, type Terminal } from '../command-line/terminal.ts'
import { renderTable } from '../command-line/text-layout.ts'
import type { SnapshotList } from '../protocol/index.ts'
import { resolveSearch, searchArg } from './search-ref.ts'

function createSnapshotsCommand(terminal: Terminal): CommandDef {
  return defineCommand({
    meta: {
      name: 'snapshots',
      description: 'List the snapshots of a search, to which "gatehouse search rollback" takes it back, and how often it was taken back.',
    },
    args: {
      ...searchArg,
      take: { type: 'boolean', description: 'take one now, before they are listed; the oldest makes room for it', default: false },
      ...connectionFlags,
    },
    async run({ args }) {
      const client = connect(terminal, args)
      const searchId = await resolveSearch(client, args.id)
      if (args.take) await client.takeSnapshot(searchId)
      const listed = await client.snapshots(searchId)
      printResult(terminal, args.json === true, { searchId, ...listed }, () => renderSnapshots(listed))
    },
  }) as CommandDef
}

function renderSnapshots({ snapshots, rollbacks }: SnapshotList): string {
  const table =
    snapshots.length === 0
      ? 'no snapshots yet'
      : renderTable(
          [
            { title: 'snapshot', align: 'right' },
            { title: 'taken' },
            { title: 'steps', align: 'right' },
            { title: 'results', align: 'right' },
            { title: 'size', align: 'right' },
          ],
          snapshots.map(({ number, atMs, steps, results, bytes }) => [
            String(number),
            printTime(atMs),
            printCount(steps),
            printCount(results),
            printBytes(bytes),
          ]),
        )
  const told = rollbacks.map(
    ({ snapshot, atMs, steps, results }) =>
      `taken back to snapshot ${snapshot}, at ${printCount(steps)} steps, on ${printTime(atMs)}: ${printCount(results)} results count no more`,
  )
  return [table, ...(told.length > 0 ? ['', ...told] : [])].join('\n')
}

function createRollbackCommand(terminal: Terminal): CommandDef {
  return defineCommand({
    meta: {
      name: 'rollback',
      description:
        'Take a search back to a snapshot: weights, architecture parameters and steps are what they were. It is paused then; agents may stay. What has come since counts no more, and stays in the log. This cannot be undone; "gatehouse search export" keeps what there is.',
    },
    args: {
      ...searchArg,
      to: { type: 'string', valueHint: 'N', description: 'number of the snapshot, as "gatehouse search snapshots" lists it' },
      ...connectionFlags,
    },
    async run({ args }) {
      if (args.to === undefined) throw new CliError('usage', 'give the number of a snapshot as --to')
      const to = numberIn('to', args.to, 1, Number.MAX_SAFE_INTEGER, true)
      const client = connect(terminal, args)
      const searchId = await resolveSearch(client, args.id)
      const told = await client.rollBack(searchId, to)
      printResult(terminal, args.json === true, { searchId, ...told }, () =>
        [
          `search ${searchId} is ${told.isComplete ? '' : 'being taken '}back at snapshot ${to}, at ${printCount(told.steps)} steps; ${printCount(told.results)} results count no more`,
          ...(told.isComplete ? [] : ['Some of its shards did not answer; the coordinator goes on until all are back.']),
          'It is paused. Revoke the token of whoever spoilt it, if somebody did, and then:',
          `  ${typedCommand('gatehouse')} search resume ${searchId}`,
        ].join('\n'),
      )
    },
  }) as CommandDef
}

export { createRollbackCommand, createSnapshotsCommand }
