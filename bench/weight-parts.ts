// npm run bench:weight-parts -- [--space fbnetv2-f] [--draws 50] [--json]
//
// How much of the weights that a task reads its paths read, for spaces whose options share weights by parts: what pushing parts instead
// of whole weights saves. Paths are uniform, through parts of the options as a round deals them to so many agents.

import { parseArgs } from 'node:util'
import { renderTable } from '../command-line/text-layout.ts'
import {
  createRandom,
  createSpace,
  elementCount,
  joinWeights,
  networkWeights,
  type PresetName,
  presetNames,
  seedState,
} from '../search-space/index.ts'
import { divide, drawPath, type Part } from '../strategies/parts.ts'

const AGENTS = [1, 2, 4, 8]
const STEPS = [1, 5, 10, 20, 50]
const FLOAT_BYTES = 4

const { values: flags } = parseArgs({
  options: {
    space: { type: 'string', default: 'fbnetv2-f' },
    draws: { type: 'string', default: '50' },
    json: { type: 'boolean', default: false },
  },
})
const name = presetNames.find((preset): preset is PresetName => preset === flags.space)
if (!name) throw new Error(`expected --space to be one of ${presetNames.join(', ')}, got "${flags.space}"`)
const draws = Number(flags.draws)
const space = createSpace(name)
const sizes = new Map(space.weightSpecs.map(({ key, shape }) => [key, elementCount(shape)]))
const all: Part = space.decisions.map(({ options }) => ({ operations: [...options.keys()], weights: options.map(() => 1) }))

type Row = { readonly agents: number; readonly steps: number; readonly wholeBytes: number; readonly partBytes: number }

function measure(agents: number, steps: number): Row {
  const random = createRandom(seedState('weight-parts', agents, steps))
  let whole = 0
  let parts = 0
  for (let draw = 0; draw < draws; draw++) {
    const shares = Array.from({ length: agents }, () => 1)
    const [own] = divide(all, shares, random) as [Part]
    const paths = Array.from({ length: steps }, () => drawPath(own, true, random))
    const read = joinWeights(paths.flatMap((path) => [...networkWeights(space.network(path)).values()]))
    for (const { key, shape } of read.values()) {
      whole += sizes.get(key) as number
      parts += elementCount(shape)
    }
  }
  return { agents, steps, wholeBytes: (whole * FLOAT_BYTES) / draws, partBytes: (parts * FLOAT_BYTES) / draws }
}

const rows = AGENTS.flatMap((agents) => STEPS.map((steps) => measure(agents, steps)))
const megabytes = (bytes: number) => (bytes / 1e6).toFixed(1)
console.log(
  flags.json
    ? JSON.stringify({ space: name, draws, rows })
    : renderTable(
        ['agents', 'steps of a task', 'whole weights, MB', 'parts, MB', 'parts, %'].map((title) => ({ title, align: 'right' as const })),
        rows.map(({ agents, steps, wholeBytes, partBytes }) => [
          String(agents),
          String(steps),
          megabytes(wholeBytes),
          megabytes(partBytes),
          ((100 * partBytes) / wholeBytes).toFixed(0),
        ]),
      ),
)
