// ONNX of a trained model: batch dimension `batch`, input `input`, output `logits`, and what its user must know as metadata.

import { writeOnnx } from '../../onnx/write-graph.ts'
import type { TrainedModel } from '../model-folder.ts'
import { exportNetwork } from './export-network.ts'
import { describeModel, pixelStatistics } from './preprocessing.ts'

type ModelOnnxOptions = {
  /** Whether batch-norms are folded into the convolutions. */
  readonly fold: boolean
  /** Whether scaling and normalisation are nodes of the graph; the input is then uint8, or uint16 of a model of 16 bits, and NHWC, as decoders give images. */
  readonly withPreprocessing: boolean
}

/** The bytes of an ONNX file. Throws ExportError for a model that is not whole, RefusedLayerError for layers without a form. */
function writeModelOnnx(model: TrainedModel, { fold, withPreprocessing }: ModelOnnxOptions): Uint8Array {
  const metadata = describeModel(model, { layout: withPreprocessing ? 'NHWC' : 'NCHW', isIncluded: withPreprocessing })
  return writeOnnx(exportNetwork(model, fold), {
    name: model.space.name,
    batch: 'batch',
    outputName: 'logits',
    ...(withPreprocessing ? { pixels: pixelStatistics(model) } : {}),
    metadata,
    description: `${metadata['architecture']}. Preprocessing ${metadata['preprocessing']}.`,
  })
}

export { writeModelOnnx }
