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
  isTreeNet,
  printArchitecture,
  type PublishedNetwork,
  readPublished,
  type Space,
  spaceConfigSchema,
  SpaceError,
} from '../../search-space/index.ts'
import { writeModelFolder } from '../model-folder.ts'

/** Of the training images that the published networks were trained with: ImageNet's, and CIFAR-10's for networks of trees. */
const IMAGENET_NORMALISATION = { mean: '0.485,0.456,0.406', std: '0.229,0.224,0.225' } as const
const CIFAR_NORMALISATION = { mean: '0.49139968,0.48215827,0.44653124', std: '0.24703233,0.24348505,0.26158768' } as const

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
    description:
      'height and width of an image (default: image_size of the run.config beside net.config, otherwise 224x224; a PyramidTreeNet says it itself)',
  },
  classes: {
    type: 'string',
    valueHint: 'N',
    description: 'without --weights: write the network with a classifier of so many classes instead of its own',
  },
  mean: {
    type: 'string',
    valueHint: 'X,…',
    description: "mean per channel of pixels scaled to 0..1 (default: ImageNet's, of a PyramidTreeNet CIFAR-10's)",
  },
  std: { type: 'string', valueHint: 'X,…', description: 'standard deviation per channel (default: as of --mean)' },
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

/** Throws CliError `usage` where the network says another size of its images than --input. */
function checkTreeInput({ config }: PublishedNetwork, input: string | undefined): void {
  if (input === undefined) return
  const { height, width } = parseSize(input)
  if (height !== config.input[0] || width !== config.input[1]) {
    throw new CliError('usage', `--input says ${input}, the network is for ${config.input[0]}x${config.input[1]}: leave --input out`)
  }
}

function readNetwork(terminal: Terminal, path: string, name: string, input: string | undefined): PublishedNetwork {
  try {
    const document = JSON.parse(readInput(path, '--config').toString('utf8')) as unknown
    const network = readPublished(document, name, () => imageSize(terminal, path, input))
    if (isTreeNet(document)) checkTreeInput(network, input)
    return network
  } catch (error) {
    if (error instanceof z.ZodError) throw new CliError('usage', `${path} is no network that can be imported`, fieldErrors(error))
    if (error instanceof SpaceError || error instanceof SyntaxError) throw new CliError('usage', `${path}: ${error.message}`)
    throw error
  }
}

/** The network for other classes. Throws CliError `usage`. */
function withClasses({ config, path }: PublishedNetwork, text: string, weights: string | undefined): PublishedNetwork {
  if (weights !== undefined)
    throw new CliError('usage', '--classes is for a network without --weights: a classifier of other classes has none')
  const parsed = spaceConfigSchema.safeParse({ ...config, classes: Number(text) })
  if (parsed.success) return { config: parsed.data as PublishedNetwork['config'], path }
  throw new CliError('usage', `expected --classes to be a number of classes, got "${text}"`, fieldErrors(parsed.error))
}

/** Throws CliError `usage` where the weights are not those of the network. */
async function loadModel(
  space: Space,
  { config, path }: PublishedNetwork,
  normalisation: { mean: number[]; std: number[] },
  file: string,
): Promise<Parameters<typeof writeModelFolder>[1]> {
  const { decodeStateDict, ExportError, fromStateDict, StateDictError } = await import('../export/index.ts')
  const shapes = new Map(space.weightSpecs.map(({ key, shape }) => [key, shape]))
  try {
    const loaded = fromStateDict(config, path, decodeStateDict(readInput(file, '--weights')), (key) => shapes.get(key) ?? [])
    const architecture = printArchitecture(space, path)
    const description = { format: 'gatehouse-model/1', space: config, architecture, normalisation, training: {}, results: {} } as const
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
      const published = readNetwork(terminal, resolve(terminal.folder, args.config), args.name, args.input)
      const network = args.classes === undefined ? published : withClasses(published, args.classes, args.weights)
      const { config, path } = network
      const space = createSpace(config)
      const out = resolve(terminal.folder, args.out)
      if (args.weights === undefined) {
        writeWholeFile(out, `${JSON.stringify(config, null, 2)}\n`)
      } else {
        const [, , channels] = config.input
        const usual = 'family' in config ? CIFAR_NORMALISATION : IMAGENET_NORMALISATION
        const { mean = usual.mean, std = usual.std } = args
        const normalisation = { mean: parseChannels(mean, '--mean', channels), std: parseChannels(std, '--std', channels) }
        writeModelFolder(out, await loadModel(space, network, normalisation, resolve(terminal.folder, args.weights)))
      }
      const { macs, parameters } = architectureCosts(space, path)
      const architecture = printArchitecture(space, path)
      const { input, classes } = config
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
