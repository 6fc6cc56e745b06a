// `gatehouse derive`, also `gatehouse search derive`: what a search has come to.

import { type CommandDef, defineCommand } from 'citty'
import { CliError } from '../command-line/exit-codes.ts'
import { numberIn } from '../command-line/number-flags.ts'
import { printResult, type Terminal } from '../command-line/terminal.ts'
import { mostProbablePaths, type Path, publishNetwork, SpaceError, type SpaceRef } from '../search-space/index.ts'
import { knownView, type SearchStatus } from '../protocol/index.ts'
import { connect, connectionFlags } from '../command-line/connection.ts'
import { deriveArchitectures, pathAtTarget, probabilitiesOf } from './derived-architecture.ts'
import { renderArchitecture } from './render-architecture.ts'
import { resolveSearch, searchArg } from './search-ref.ts'

/** More would be a list that nobody reads; a space of 21 blocks still takes milliseconds. */
const MAX_SAMPLES = 1000

/** The most probable architectures, or, where a search ranks candidates, the best of those that it shows. */
function bestPaths(status: SearchStatus, count: number): Path[] {
  const view = knownView(status.view)
  if (view && view.kind !== 'distribution') return view.candidates.slice(0, count).map(({ path }) => path)
  return mostProbablePaths(probabilitiesOf(status), count).map(({ path }) => path)
}

/** Throws CliError `usage` for a network that the published form cannot hold. */
function publishedForm(space: SpaceRef, path: Path): object {
  try {
    return publishNetwork(space, path)
  } catch (error) {
    throw error instanceof SpaceError ? new CliError('usage', `--net-config: ${error.message}`) : error
  }
}

function createDeriveCommand(terminal: Terminal): CommandDef {
  return defineCommand({
    meta: {
      name: 'derive',
      description:
        'Print the most probable architecture of a search, part by part. With --json it is a document whose "network" can be trained and searched with.',
    },
    args: {
      ...searchArg,
      samples: { type: 'string', valueHint: 'N', description: 'the N most probable architectures, the most probable first' },
      'at-target': {
        type: 'boolean',
        description:
          'the most probable architecture that takes the target latency or up to 5 % less, where the most probable of all takes less',
      },
      'net-config': { type: 'boolean', description: "print the architecture as a net.config, ProxylessNAS's published format, instead" },
      ...connectionFlags,
    },
    async run({ args }) {
      const count = args.samples === undefined ? null : numberIn('samples', args.samples, 1, MAX_SAMPLES, true)
      if (args['net-config'] === true && count !== null) throw new CliError('usage', '--net-config prints one network; leave --samples out')
      if (args['at-target'] === true && count !== null)
        throw new CliError('usage', '--at-target prints one architecture; leave --samples out')
      const client = connect(terminal, args)
      const status = await client.searchStatus(await resolveSearch(client, args.id))
      const { name, version } = status.latencyTable
      const table = await client.readTable(name, version)
      const single = args['at-target'] === true ? pathAtTarget(status, table) : status.current.path
      const paths = count === null ? [single] : bestPaths(status, count)
      const architectures = deriveArchitectures(status, table, paths)
      const [first] = architectures
      if (args['net-config'] === true && first !== undefined) {
        terminal.write(`${JSON.stringify(publishedForm(status.space, first.path), null, 4)}\n`)
        return
      }
      printResult(terminal, args.json === true, count === null ? first : { architectures }, () =>
        architectures.map((architecture) => renderArchitecture(architecture, terminal.columns())).join('\n\n'),
      )
    },
  }) as CommandDef
}

export { createDeriveCommand }
