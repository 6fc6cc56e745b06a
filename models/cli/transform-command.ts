// `gatehouse transform`: a trained network made wider and deeper, with weights by which it computes what it computed (Net2Net), to be
// trained on.

import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { type ArgsDef, type CommandDef, defineCommand } from 'citty'
import { REPEATABLE_HINT, repeatedValues } from '../../command-line/dispatch.ts'
import { CliError } from '../../command-line/exit-codes.ts'
import { printResult, type Terminal } from '../../command-line/terminal.ts'
import { renderTable } from '../../command-line/text-layout.ts'
import { writeWholeFile } from '../../command-line/whole-files.ts'
import {
  architectureCosts,
  createRandom,
  createSpace,
  deepen,
  growable,
  type GrownNetwork,
  Net2NetError,
  primitiveLayers,
  seedState,
  type SpaceConfig,
  widen,
} from '../../search-space/index.ts'
import { numberIn } from '../../command-line/number-flags.ts'
import { DESCRIPTION_FILE, type TrainedModel, writeModelFolder } from '../model-folder.ts'
import { modelArg, readModel } from './model-flags.ts'

const MAX_SEED = 0xffffffff
/** Of one step; a wider network is reached by several. */
const MAX_FACTOR = 16
const MAX_NAME_LENGTH = 64
const NAME_SUFFIX = '-grown'
/** Beside the model: its settings as `--space @FILE` takes them. */
const NETWORK_FILE = 'network.json'

const flags = {
  ...modelArg,
  list: { type: 'boolean', description: 'print the layers that can be widened or followed by another one, and nothing else' },
  widen: {
    type: 'string',
    valueHint: `LAYER:FACTOR${REPEATABLE_HINT}`,
    description: 'so many times the output channels for this convolution, and for those that its output is added to; comes before --deepen',
  },
  deepen: {
    type: 'string',
    valueHint: `LAYER${REPEATABLE_HINT}`,
    description: 'another convolution of the same kind, kernel and channels behind this one',
  },
  seed: { type: 'string', valueHint: 'N', description: 'seed of which channels are copied', default: '0' },
  out: { type: 'string', valueHint: 'FOLDER', description: `where the grown model goes, with ${NETWORK_FILE}, which --space @FILE takes` },
  json: { type: 'boolean', description: 'print one JSON object to standard output' },
} as const satisfies ArgsDef

function parseWiden(text: string): { layer: string; factor: number } {
  const colon = text.lastIndexOf(':')
  if (colon < 1) throw new CliError('usage', `expected --widen to be LAYER:FACTOR, got "${text}"`)
  return { layer: text.slice(0, colon), factor: numberIn('widen', text.slice(colon + 1), 1, MAX_FACTOR, false) }
}

/** Throws CliError `usage` where a layer cannot be grown. */
function grow(network: GrownNetwork, wider: readonly string[], deeper: readonly string[], seed: number): GrownNetwork {
  const random = createRandom(seedState('transform', seed))
  try {
    const wide = wider.map(parseWiden).reduce((grown, { layer, factor }) => {
      const channels = grown.layers.find(({ id }) => id === layer)?.shape[2] ?? 0
      return widen(grown, layer, Math.round(factor * channels), random)
    }, network)
    return deeper.reduce(deepen, wide)
  } catch (error) {
    throw error instanceof Net2NetError ? new CliError('usage', `${error.message}; --list prints the layers that can be grown`) : error
  }
}

function settingsOf({ space }: TrainedModel, { layers }: GrownNetwork): Extract<SpaceConfig, { family: 'graph' }> {
  const name = space.name.endsWith(NAME_SUFFIX) ? space.name : `${space.name.slice(0, MAX_NAME_LENGTH - NAME_SUFFIX.length)}${NAME_SUFFIX}`
  const [height, width, channels] = space.input
  return { family: 'graph', name, input: [height, width, channels], classes: space.classes, layers: structuredClone(layers) as never }
}

function createTransformCommand(terminal: Terminal): CommandDef {
  return defineCommand({
    meta: {
      name: 'transform',
      description: 'Make a trained network wider and deeper, with weights by which it computes what it did (Net2Net), to be trained on.',
    },
    args: flags,
    run({ args, rawArgs }) {
      const model = readModel(terminal, args.model)
      const layers = primitiveLayers(model.space.network(model.path))
      if (args.list === true) {
        const places = growable(layers)
        const rows = layers.flatMap(({ id, shape }) => {
          const [wide, deep] = [places.widen.includes(id), places.deepen.includes(id)]
          return wide || deep ? [[id, String(shape[2]), wide ? 'yes' : '', deep ? 'yes' : '']] : []
        })
        printResult(terminal, args.json === true, places, () =>
          renderTable([{ title: 'layer' }, { title: 'channels', align: 'right' }, { title: 'widen' }, { title: 'deepen' }], rows),
        )
        return
      }
      const [wider, deeper] = [repeatedValues(rawArgs, flags, 'widen'), repeatedValues(rawArgs, flags, 'deepen')]
      if (args.out === undefined) throw new CliError('usage', 'expected --out, or --list')
      if (wider.length + deeper.length === 0) throw new CliError('usage', 'expected --widen or --deepen')
      const out = resolve(terminal.folder, args.out)
      if (existsSync(join(out, DESCRIPTION_FILE))) {
        throw new CliError('conflict', `${out} has a trained network already: choose another --out or remove it`)
      }
      const seed = numberIn('seed', args.seed, 0, MAX_SEED, true)
      const grown = grow({ layers, weights: model.weights, statistics: model.statistics }, wider, deeper, seed)
      const settings = settingsOf(model, grown)
      const space = createSpace(settings)
      const architecture = `${space.name}:whole`
      const { training: from, results: _, ...description } = model.description
      const training = { from, architecture: model.description.architecture, widen: wider, deepen: deeper, seed }
      writeModelFolder(out, {
        description: { ...description, space: settings, architecture, training, results: {} },
        weights: grown.weights,
        statistics: grown.statistics,
      })
      writeWholeFile(join(out, NETWORK_FILE), `${JSON.stringify(settings, null, 2)}\n`)
      const { macs, parameters } = architectureCosts(space, [0])
      printResult(terminal, args.json === true, { out, architecture, macs, parameters }, () =>
        [
          `${out}  ${architecture}`,
          `${macs.toLocaleString('en-US')} multiply-accumulates, ${parameters.toLocaleString('en-US')} parameters`,
        ].join('\n'),
      )
    },
  }) as CommandDef
}

export { createTransformCommand }
