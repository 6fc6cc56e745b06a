// A trained model for TensorFlow.js, as a layers model or as a graph model, and what its user must know as metadata.

import type { TrainedModel } from '../model-folder.ts'
import { exportNetwork } from './export-network.ts'
import { describeModel, pixelStatistics } from './preprocessing.ts'
import { type TfjsFile, writeTfjsNetwork } from './tfjs/write-network.ts'
import { writeTfjsGraph } from './tfjs-graph/write-graph.ts'

type ModelTfjsOptions = {
  /** Whether batch-norms are folded into the convolutions. */
  readonly fold: boolean
  /** Whether the first layer scales and normalises pixels from 0 to 255. */
  readonly withPreprocessing: boolean
}

/** The files of a folder. Throws ExportError for a model that is not whole, RefusedLayerError for layers without a form. */
function writeTfjsLayers(model: TrainedModel, { fold, withPreprocessing }: ModelTfjsOptions): TfjsFile[] {
  return writeTfjsNetwork(exportNetwork(model, fold), {
    name: model.space.name,
    ...(withPreprocessing ? { pixels: pixelStatistics(model) } : {}),
    metadata: describeModel(model, { layout: 'NHWC', isIncluded: withPreprocessing }),
  })
}

/** The same as a graph model. */
function writeTfjsGraphModel(model: TrainedModel, { fold, withPreprocessing }: ModelTfjsOptions): TfjsFile[] {
  return writeTfjsGraph(exportNetwork(model, fold), {
    ...(withPreprocessing ? { pixels: pixelStatistics(model) } : {}),
    metadata: describeModel(model, { layout: 'NHWC', isIncluded: withPreprocessing }),
  })
}

export { writeTfjsGraphModel, writeTfjsLayers }
