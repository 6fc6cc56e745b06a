// A network for inference as a TensorFlow.js graph model, as `tf.loadGraphModel` reads it: each convolution is one operation with its bias and
// its ReLU, as in the networks that latency tables measure. NHWC, as layer graphs, so weights are written as they are.

import type { InferenceNetwork } from '../../../engine/executor/index.ts'
import { requireRule } from '../../../search-space/layers/refusal.ts'
import { shardWeights, type TfjsFile, type TfjsOptions } from '../tfjs/write-network.ts'
import { graphRuleOf } from './index.ts'
import { FORMAT } from './rule.ts'
import { attribute, dimensions, GraphWriter } from './writer.ts'

const INPUT = 'images'
const NORMALISE = 'normalise_pixels'
const OUTPUT = 'logits'

/** (pixel - mean) / std */
function writePixels(writer: GraphWriter, { mean, std }: NonNullable<TfjsOptions['pixels']>): void {
  const shifted = writer.node('Sub', `${NORMALISE}/shifted`, [INPUT, writer.constant(`${NORMALISE}/mean`, [mean.length], mean)])
  writer.node('RealDiv', NORMALISE, [shifted, writer.constant(`${NORMALISE}/std`, [std.length], std)])
}

/** The files of a folder that `tf.loadGraphModel` opens. Throws RefusedLayerError for layers that it has no operation for. */
function writeTfjsGraph(network: InferenceNetwork, { pixels, metadata = {} }: Omit<TfjsOptions, 'name'>): TfjsFile[] {
  const writer = new GraphWriter(network, pixels ? NORMALISE : INPUT)
  const batchInput = [-1, ...network.inputShape]
  writer.nodes.push({
    name: INPUT,
    op: 'Placeholder',
    input: [],
    attr: { dtype: { type: 'DT_FLOAT' }, shape: attribute.shape(batchInput) },
  })
  if (pixels) writePixels(writer, pixels)
  for (const step of network.steps) requireRule(step, graphRuleOf(step), FORMAT).write(step, writer)
  const output = writer.nameOf(network.output)
  const { files, manifest } = shardWeights(writer.weights)
  const tensor = (name: string) => ({ name: `${name}:0`, dtype: 'DT_FLOAT' })
  const model = {
    format: 'graph-model',
    generatedBy: 'gatehouse',
    convertedBy: null,
    signature: {
      inputs: { [INPUT]: { ...tensor(INPUT), tensorShape: dimensions(batchInput) } },
      outputs: { [OUTPUT]: tensor(output) },
    },
    modelTopology: { node: writer.nodes, library: {}, versions: { producer: 1 } },
    weightsManifest: manifest,
    userDefinedMetadata: metadata,
  }
  return [{ name: 'model.json', content: `${JSON.stringify(model)}\n` }, ...files]
}

export { writeTfjsGraph }
