// A model in one of the formats, as files on disk.

import { join } from 'node:path'
import { describeArchitecture, publishNetwork } from '../../search-space/index.ts'
import { encodeModelWeights, type TrainedModel } from '../model-folder.ts'
import { describeModel } from './preprocessing.ts'
import { toStateDict } from './state-dict.ts'
import { writeWholeFiles } from '../../command-line/whole-files.ts'
import { encodeStateDict } from './state-dict-file.ts'
import { writeTfjsGraphModel, writeTfjsLayers } from './tfjs-layers.ts'
import { writeModelOnnx } from './onnx.ts'

type ExportFormat = 'onnx' | 'tfjs' | 'tfjs-graph' | 'safetensors' | 'proxylessnas' | 'json'

const NET_CONFIG_FILE = 'net.config'
const STATE_DICT_FILE = 'state_dict.safetensors'

type ExportOptions = {
  /** Whether batch-norms are folded into convolutions, for `onnx` and `tfjs`. */
  readonly fold: boolean
  /** Whether scaling and normalisation become part of the network, for `onnx` and `tfjs`. */
  readonly withPreprocessing: boolean
}

type OutputFile = { readonly path: string; readonly content: Uint8Array | string }

/** The files of an export; `out` is a file, or a folder where a format is several files. */
function exportFiles(model: TrainedModel, format: ExportFormat, out: string, options: ExportOptions): OutputFile[] {
  const ref = model.description.space
  switch (format) {
    case 'onnx':
      return [{ path: out, content: writeModelOnnx(model, options) }]
    case 'tfjs':
      return writeTfjsLayers(model, options).map(({ name, content }) => ({ path: join(out, name), content }))
    case 'tfjs-graph':
      return writeTfjsGraphModel(model, options).map(({ name, content }) => ({ path: join(out, name), content }))
    case 'safetensors':
      return [{ path: out, content: encodeModelWeights(model) }]
    case 'proxylessnas': {
      const network = publishNetwork(ref, model.path)
      const metadata = describeModel(model, { layout: 'NCHW', isIncluded: false })
      return [
        { path: join(out, NET_CONFIG_FILE), content: `${JSON.stringify(network, null, 4)}\n` },
        { path: join(out, STATE_DICT_FILE), content: encodeStateDict(toStateDict(ref, model.path, model), metadata) },
      ]
    }
    case 'json':
      return [{ path: out, content: `${JSON.stringify(describeArchitecture(ref, model.path), null, 2)}\n` }]
    default:
      return format satisfies never
  }
}

/** Writes the files, with the folders that they are in. Returns what was written, in bytes. */
function writeExport(
  model: TrainedModel,
  format: ExportFormat,
  out: string,
  options: ExportOptions,
): { readonly path: string; readonly bytes: number }[] {
  const files = exportFiles(model, format, out, options)
  writeWholeFiles(files)
  return files.map(({ path, content }) => ({
    path,
    bytes: typeof content === 'string' ? Buffer.byteLength(content) : content.byteLength,
  }))
}

export { writeExport }
