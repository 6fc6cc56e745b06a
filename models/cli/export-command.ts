// `gatehouse export`: a trained model as a file that other programs open. What writes the formats is loaded when the command
// runs, so that the other commands start without it.

import { resolve } from 'node:path'
import { type ArgsDef, type CommandDef, defineCommand } from 'citty'
import { CliError } from '../../command-line/exit-codes.ts'
import { printResult, type Terminal } from '../../command-line/terminal.ts'
import { ModelFolderError, readModelFolder } from '../model-folder.ts'
import { LayerGraphError, RefusedLayerError, SpaceError } from '../../search-space/index.ts'

/** Formats in which folding and preprocessing are a choice. */
const NETWORK_FORMATS: readonly string[] = ['onnx', 'tfjs', 'tfjs-graph']

const exportFlags = {
  model: { type: 'string', valueHint: 'FOLDER', description: 'trained model: model.json and model.safetensors', required: true },
  format: {
    type: 'enum',
    options: ['onnx', 'tfjs', 'tfjs-graph', 'safetensors', 'proxylessnas', 'json'],
    description: 'what to write; each is described in docs/export.md',
    required: true,
  },
  out: { type: 'string', valueHint: 'PATH', description: 'file, or folder for tfjs, tfjs-graph and proxylessnas', required: true },
  fold: {
    type: 'boolean',
    description: 'onnx, tfjs, tfjs-graph: keep batch-norms instead of folding them into the convolutions',
    default: true,
  },
  'with-preprocessing': {
    type: 'boolean',
    description:
      'onnx, tfjs, tfjs-graph: take pixels from 0 to 255, of a model of 16 bits to 65535, scaling and normalisation included (onnx: uint8 or uint16 NHWC)',
  },
  json: { type: 'boolean', description: 'print one JSON object to standard output' },
} as const satisfies ArgsDef

function createExportCommand(terminal: Terminal): CommandDef {
  return defineCommand({
    meta: {
      name: 'export',
      description: 'Write a trained model as ONNX, for TensorFlow.js, for PyTorch, as raw weights or as a document.',
    },
    args: exportFlags,
    async run({ args }) {
      const options = { fold: args.fold, withPreprocessing: args['with-preprocessing'] === true }
      if (!NETWORK_FORMATS.includes(args.format)) {
        const flag = options.fold ? (options.withPreprocessing ? '--with-preprocessing' : null) : '--no-fold'
        if (flag !== null) throw new CliError('usage', `${flag} is for --format ${NETWORK_FORMATS.join(', ')}, not ${args.format}`)
      }
      const { ExportError, writeExport } = await import('../export/index.ts')
      try {
        const model = readModelFolder(resolve(terminal.folder, args.model))
        const files = writeExport(model, args.format, resolve(terminal.folder, args.out), options)
        printResult(terminal, args.json === true, { format: args.format, files }, () =>
          files.map(({ path, bytes }) => `${path}  ${bytes.toLocaleString('en-US')} bytes`).join('\n'),
        )
      } catch (error) {
        if (
          error instanceof ModelFolderError ||
          error instanceof ExportError ||
          error instanceof RefusedLayerError ||
          error instanceof LayerGraphError ||
          error instanceof SpaceError
        )
          throw new CliError('usage', error.message)
        throw error
      }
    },
  }) as CommandDef
}

export { createExportCommand }
