// `gatehouse search weights`: what the search has trained so far, as a file to begin trainings with.

import { resolve } from 'node:path'
import { type CommandDef, defineCommand } from 'citty'
import { connect, connectionFlags } from '../command-line/connection.ts'
import { printCount } from '../command-line/quantities.ts'
import { writeWholeFile } from '../command-line/whole-files.ts'
import { printResult, type Terminal } from '../command-line/terminal.ts'
import { createSpace } from '../search-space/index.ts'
import { encodeSafetensors } from '../protocol/index.ts'
import { resolveSearch, searchArg } from './search-ref.ts'
import { readSearchWeights } from './search-weights.ts'

const SUPERNET_FORMAT = 'gatehouse-supernet/1'

function createWeightsCommand(terminal: Terminal): CommandDef {
  return defineCommand({
    meta: {
      name: 'weights',
      description:
        'Write all weights of a search, of every operation, to a safetensors file: "gatehouse train --weights FILE" begins with those of its network.',
    },
    args: {
      ...searchArg,
      out: { type: 'string', valueHint: 'FILE', description: 'file to write, such as supernet.safetensors', required: true },
      ...connectionFlags,
    },
    async run({ args }) {
      const client = connect(terminal, args)
      const searchId = await resolveSearch(client, args.id)
      const status = await client.searchStatus(searchId)
      const space = createSpace(status.space)
      const { tensors, trained } = await readSearchWeights(client, searchId, space, status.config)
      const out = resolve(terminal.folder, args.out)
      const metadata = { format: SUPERNET_FORMAT, searchId, step: String(status.steps.done), space: JSON.stringify(status.space) }
      writeWholeFile(out, encodeSafetensors({ metadata, tensors }, 'F32'))
      const parameters = [...tensors.values()].reduce((sum, { values }) => sum + values.length, 0)
      const figures = { searchId, out, tensors: tensors.size, trainedTensors: trained, parameters }
      printResult(terminal, args.json === true, figures, () =>
        [`${printCount(parameters)} weights in ${tensors.size} tensors, ${trained} of them trained`, `written to ${out}`].join('\n'),
      )
    },
  }) as CommandDef
}

export { createWeightsCommand }
