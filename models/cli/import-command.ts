// `gatehouse import`: a published network as a trained model, to be evaluated, measured or exported like our own; or, without
// its weights, as a space to be trained.

import { existsSync, readFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { type ArgsDef, type CommandDef, defineCommand } from 'citty'
import * as z from 'zod'
import { CliError } from '../../command-line/exit-codes.ts'
import { printResult, type Terminal } from '../../command-line/terminal.ts'
import { writeWholeFile } from '../../command-line/whole-files.ts'
import { fieldErrors } from '../../protocol/index.ts'
import {
  architectureCosts,
  createSpace,
  type FixedNetwork,
  fixedNetworkSchema,
  fromNetConfig,
  onlyPath,
  printArchitecture,
  type Space,
  SpaceError,
} from '../../search-space/index.ts'
import { writeModelFolder } from '../model-folder.ts'

/** Of ImageNet's training images, as the published networks were trained with. */
const IMAGENET_NORMALISATION = { mean: '0.485,0.456,0.406', std: '0.229,0.224,0.225' } as const

const importFlags = {
  format: { type: 'enum', options: ['proxylessnas'], description: 'what to read', default: 'proxylessnas' },
  config: { type: 'string', valueHint: 'FILE', description: 'net.config of the network', required: true },
  weights: {
    type: 'string',
    valueHint: 'FILE',
    description: 'its PyTorch state_dict as safetensors (docs/export.md says how to make one); left out: the network alone',
  },
  input: {
    type: 'string',
    valueHint: 'HxW',
    description: 'height and width of an image (default: image_size of the run.config beside net.config, otherwise 224x224)',
  },
  classes: {
    type: 'string',
    valueHint: 'N',
    description: 'without --weights: write the network with a classifier of so many classes instead of its own',
  },
  mean: {
    type: 'string',
    valueHint: 'X,…',
    description: 'mean per channel of pixels scaled to 0..1',
    default: IMAGENET_NORMALISATION.mean,
  },
  std: { type: 'string', valueHint: 'X,…', description: 'standard deviation per channel', default: IMAGENET_NORMALISATION.std },
  name: { type: 'string', valueHint: 'NAME', description: 'what the network is called from now on', default: 'imported' },
  out: {
    type: 'string',
    valueHint: 'PATH',
    description: 'folder for the model; without --weights file for the network, which --space @FILE takes',
    required: true,
  },
  json: { type: 'boolean', description: 'print one JSON object to standard output' },
} as const satisfies ArgsDef

function readInput(path: string, flag: string): Buffer {
  try {
    return readFileSync(path)
  } catch (error) {
    throw new CliError('usage', `cannot read ${flag} ${path}: ${(error as Error).message}`)
  }
}

function parseSize(text: string): { height: number; width: number } {
  const [, height, width] = /^(\d+)x(\d+)$/.exec(text) ?? []
  if (height === undefined || width === undefined) throw new CliError('usage', `expected --input to be like 224x224, got "${text}"`)
  return { height: Number(height), width: Number(width) }
}

/** Where authors of networks keep the size of images: a file of this name beside net.config. */
const RUN_CONFIG = 'run.config'
/** Of ImageNet's networks; they say so where they take another. */
const USUAL_SIDE = 224

const runConfigSchema = z.object({ image_size: z.int().min(1).optional() })

/** The side of images that the file beside `config` states; null where there is none, or it states none. */
function statedSide(config: string): number | null {
  const file = join(dirname(config), RUN_CONFIG)
  if (!existsSync(file)) return null
  try {
    return runConfigSchema.parse(JSON.parse(readFileSync(file, 'utf8'))).image_size ?? null
  } catch (error) {
    const reason = error instanceof z.ZodError ? z.prettifyError(error) : (error as Error).message
    throw new CliError('usage', `cannot read the size of images from ${file}: ${reason}`)
  }
}

/** Notes a size that nobody has said. Throws CliError `usage` where --input and the network's own file contradict each other. */
function imageSize(terminal: Terminal, config: string, input: string | undefined): { height: number; width: number } {
  const stated = statedSide(config)
  const size = input === undefined ? null : parseSize(input)
  if (size !== null && stated !== null && (size.height !== stated || size.width !== stated)) {
    throw new CliError(
      'usage',
      `--input says ${input}, ${join(dirname(config), RUN_CONFIG)} says ${stated}x${stated}: leave --input out, or correct the file`,
    )
  }
  if (size !== null) return size
  if (stated === null)
    terminal.note(`input    ${USUAL_SIDE}x${USUAL_SIDE} is assumed, since no ${RUN_CONFIG} says the size of images; --input says another`)
  const side = stated ?? USUAL_SIDE
  return { height: side, width: side }
}

function parseChannels(text: string, flag: string, channels: number): number[] {
  const values = text.split(',').map((part) => (part.trim() === '' ? Number.NaN : Number(part)))
  if (values.length !== channels || values.some((value) => !Number.isFinite(value) || (flag === '--std' && value <= 0))) {
    throw new CliError(
      'usage',
      `expected ${flag} to be ${channels} numbers${flag === '--std' ? ' above 0' : ''} separated by commas, got "${text}"`,
    )
  }
  return values
}

function readNetwork(path: string, size: { name: string; height: number; width: number }): FixedNetwork {
  try {
    return fromNetConfig(JSON.parse(readInput(path, '--config').toString('utf8')), size)
  } catch (error) {
    if (error instanceof z.ZodError) throw new CliError('usage', `${path} is no network that can be imported`, fieldErrors(error))
    if (error instanceof SpaceError || error instanceof SyntaxError) throw new CliError('usage', `${path}: ${error.message}`)
    throw error
  }
}

/** The network for other classes. Throws CliError `usage`. */
function withClasses(network: FixedNetwork, text: string, weights: string | undefined): FixedNetwork {
  if (weights !== undefined)
    throw new CliError('usage', '--classes is for a network without --weights: a classifier of other classes has none')
  const parsed = fixedNetworkSchema.safeParse({ ...network, classes: Number(text) })
  if (parsed.success) return parsed.data
  throw new CliError('usage', `expected --classes to be a number of classes, got "${text}"`, fieldErrors(parsed.error))
}

/** Throws CliError `usage` where the weights are not those of the network. */
async function loadModel(
  space: Space,
  network: FixedNetwork,
  normalisation: { mean: number[]; std: number[] },
  file: string,
): Promise<Parameters<typeof writeModelFolder>[1]> {
  const { decodeStateDict, ExportError, fromStateDict, StateDictError } = await import('../export/index.ts')
  const shapes = new Map(space.weightSpecs.map(({ key, shape }) => [key, shape]))
  try {
    const loaded = fromStateDict(network, decodeStateDict(readInput(file, '--weights')), (key) => shapes.get(key) ?? [])
    const architecture = printArchitecture(space, onlyPath(network))
    const description = { format: 'gatehouse-model/1', space: network, architecture, normalisation, training: {}, results: {} } as const
    return { description, ...loaded }
  } catch (error) {
    if (error instanceof StateDictError || error instanceof ExportError) throw new CliError('usage', `${file}: ${error.message}`)
    throw error
  }
}

function createImportCommand(terminal: Terminal): CommandDef {
  return defineCommand({
    meta: {
      name: 'import',
      description: "Read a network in ProxylessNAS's published format: with its weights as a trained model, without them as a space.",
    },
    args: importFlags,
    async run({ args }) {
      const config = resolve(terminal.folder, args.config)
      const published = readNetwork(config, { name: args.name, ...imageSize(terminal, config, args.input) })
      const network = args.classes === undefined ? published : withClasses(published, args.classes, args.weights)
      const space = createSpace(network)
      const path = onlyPath(network)
      const out = resolve(terminal.folder, args.out)
      if (args.weights === undefined) {
        writeWholeFile(out, `${JSON.stringify(network, null, 2)}\n`)
      } else {
        const [, , channels] = network.input
        const normalisation = { mean: parseChannels(args.mean, '--mean', channels), std: parseChannels(args.std, '--std', channels) }
        writeModelFolder(out, await loadModel(space, network, normalisation, resolve(terminal.folder, args.weights)))
      }
      const { macs, parameters } = architectureCosts(space, path)
      const architecture = printArchitecture(space, path)
      const { input, classes } = network
      printResult(terminal, args.json === true, { out, architecture, input, classes, macs, parameters }, () =>
        [
          `${out}  ${architecture}`,
          `${macs.toLocaleString('en-US')} multiply-accumulates, ${parameters.toLocaleString('en-US')} parameters`,
        ].join('\n'),
      )
    },
  }) as CommandDef
}

export { createImportCommand }
