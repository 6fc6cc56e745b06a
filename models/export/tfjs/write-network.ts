// A network for inference as a TensorFlow.js layers model: `model.json` (a functional Keras topology and the list of weights) and
// shards of float32 weights, as `tf.loadLayersModel` reads them. NHWC, as layer graphs, so weights are written as they are.

import type { InferenceNetwork } from '../../../engine/executor/index.ts'
import { requireRule } from '../../../search-space/layers/refusal.ts'
import { tfjsRuleOf } from './index.ts'
import { FORMAT } from './rule.ts'
import { layerName, TfjsWriter } from './writer.ts'

/** The size that TensorFlow.js's own converter uses: browsers cache files up to about this. */
const SHARD_BYTES = 4 * 1024 * 1024
const INPUT = 'input'
const NORMALISE = 'normalise_pixels'

type TfjsOptions = {
  /** For people. */
  readonly name: string
  /** Mean and standard deviation of pixels from 0 to 255, per channel: the first layer makes (pixel - mean) / std of them. */
  readonly pixels?: { readonly mean: Float32Array; readonly std: Float32Array }
  /** Kept in the file as texts by name. */
  readonly metadata?: Readonly<Record<string, string>>
}

type TfjsFile = { readonly name: string; readonly content: Uint8Array | string }

/** A batch-norm with gamma 1 and beta 0 is a normalisation per channel: (pixel - mean) / std. */
function writePixels(writer: TfjsWriter, { mean, std }: NonNullable<TfjsOptions['pixels']>): void {
  writer.batchNorm(NORMALISE, INPUT, 0, {
    gamma: new Float32Array(mean.length).fill(1),
    beta: new Float32Array(mean.length),
    mean,
    variance: std.map((value) => value * value),
  })
}

type WrittenWeight = { readonly name: string; readonly shape: readonly number[]; readonly values: Float32Array | Int32Array }

/** Weights one after another, cut into files, and what `model.json` says of them. */
function shardWeights(weights: readonly WrittenWeight[]): { files: TfjsFile[]; manifest: object[] } {
  const total = weights.reduce((sum, { values }) => sum + values.byteLength, 0)
  const bytes = new Uint8Array(total)
  let at = 0
  for (const { values } of weights) {
    bytes.set(new Uint8Array(values.buffer, values.byteOffset, values.byteLength), at)
    at += values.byteLength
  }
  const count = Math.max(1, Math.ceil(total / SHARD_BYTES))
  const files = Array.from({ length: count }, (_, index) => ({
    name: `group1-shard${index + 1}of${count}.bin`,
    content: bytes.subarray(index * SHARD_BYTES, (index + 1) * SHARD_BYTES),
  }))
  const described = weights.map(({ name, shape, values }) => ({ name, shape, dtype: values instanceof Float32Array ? 'float32' : 'int32' }))
  return { files, manifest: [{ paths: files.map(({ name }) => name), weights: described }] }
}

/** The files of a folder that `tf.loadLayersModel` opens. Throws RefusedLayerError for layers that it has no form for. */
function writeTfjsNetwork(network: InferenceNetwork, { name, pixels, metadata = {} }: TfjsOptions): TfjsFile[] {
  const writer = new TfjsWriter(network, pixels ? NORMALISE : INPUT)
  const batchInput = [null, ...network.inputShape]
  writer.layer('InputLayer', INPUT, [], { batch_input_shape: batchInput, dtype: 'float32', sparse: false })
  if (pixels) writePixels(writer, pixels)
  for (const step of network.steps) requireRule(step, tfjsRuleOf(step), FORMAT).write(step, writer)
  const { files, manifest } = shardWeights(writer.weights)
  const topology = {
    format: 'layers-model',
    generatedBy: 'gatehouse',
    convertedBy: null,
    modelTopology: {
      keras_version: '2.1.6',
      backend: 'tensorflow',
      model_config: {
        class_name: 'Model',
        config: {
          name: layerName(name),
          layers: writer.layers,
          input_layers: [[INPUT, 0, 0]],
          output_layers: [[writer.nameOf(network.output), 0, 0]],
        },
      },
    },
    weightsManifest: manifest,
    userDefinedMetadata: metadata,
  }
  return [{ name: 'model.json', content: `${JSON.stringify(topology)}\n` }, ...files]
}

export { shardWeights, type TfjsFile, type TfjsOptions, writeTfjsNetwork }
