// Weights under the names that the classes of ProxylessNAS's authors give them (`state_dict` in PyTorch), and back:
//
//   first_conv.{conv,bn}   blocks.N.mobile_inverted_conv.{inverted_bottleneck,depth_conv,point_linear}.{conv,bn}
//   feature_mix_layer.{conv,bn}   classifier.linear
//
// blocks.0 is the first MBConv behind the stem; a skipped block has a number and no weights, and an identity that changes
// stride or width, which those classes lack, is a convolution: blocks.N.mobile_inverted_conv.{conv,bn}. Convolutions are
// [out, in, kernel, kernel], the classifier [outputs, inputs].

import type { Tensor } from '../../protocol/index.ts'
import { type FixedNetwork, fixArchitecture, type Path, type SpaceRef, type WeightPrefixes } from '../../search-space/index.ts'
import type { ChannelStatistics } from '../../engine/executor/index.ts'
import { ExportError } from './export-network.ts'
import { reorderAxes } from '../../onnx/reorder.ts'
import type { FloatTensor, StateTensor } from './state-dict-file.ts'

type Weights = { readonly weights: ReadonlyMap<string, Tensor>; readonly statistics: ReadonlyMap<string, ChannelStatistics> }

/** A convolution with its batch-norm, under our name and theirs. */
type ConvPair = { readonly ours: string; readonly theirs: string; readonly isDepthwise: boolean }

function convPairs(network: FixedNetwork, prefixes: WeightPrefixes): ConvPair[] {
  const pairs: ConvPair[] = [{ ours: `${prefixes.stem}/conv`, theirs: 'first_conv', isDepthwise: false }]
  for (const [index, prefix] of prefixes.blocks.entries()) {
    const block = network.blocks[index]
    if (prefix === null || block === undefined || block === 'zero') continue
    const theirs = `blocks.${index}.mobile_inverted_conv`
    if ('operation' in block) {
      pairs.push({ ours: `${prefix}/conv`, theirs, isDepthwise: false })
      continue
    }
    if (block.expansion > 1) pairs.push({ ours: `${prefix}/expand`, theirs: `${theirs}.inverted_bottleneck`, isDepthwise: false })
    pairs.push({ ours: `${prefix}/depthwise`, theirs: `${theirs}.depth_conv`, isDepthwise: true })
    pairs.push({ ours: `${prefix}/project`, theirs: `${theirs}.point_linear`, isDepthwise: false })
  }
  if (prefixes.head !== null) pairs.push({ ours: `${prefixes.head}/conv`, theirs: 'feature_mix_layer', isDepthwise: false })
  return pairs
}

function oihwShape([height = 1, width = 1, inputs = 1, outputs = 1]: readonly number[], isDepthwise: boolean): number[] {
  return isDepthwise ? [inputs, 1, height, width] : [outputs, inputs, height, width]
}

/** Throws ExportError if the model lacks a weight of its architecture. */
function toStateDict(ref: SpaceRef, path: Path, { weights, statistics }: Weights): Map<string, StateTensor> {
  const { network, prefixes } = fixArchitecture(ref, path)
  const weight = (key: string): Tensor => {
    const tensor = weights.get(key)
    if (!tensor) throw new ExportError(`the model has no weight ${key}`)
    return tensor
  }
  const state = new Map<string, StateTensor>()
  for (const { ours, theirs, isDepthwise } of convPairs(network, prefixes)) {
    const filter = weight(`${ours}.filter`)
    const values = reorderAxes(filter.values, filter.shape, isDepthwise ? [2, 3, 0, 1] : [3, 2, 0, 1])
    state.set(`${theirs}.conv.weight`, { shape: oihwShape(filter.shape, isDepthwise), values })
    const running = statistics.get(`${ours}.gamma`)
    if (!running) throw new ExportError(`the model has no running statistics for ${ours}.gamma`)
    const channels = [running.mean.length]
    state.set(`${theirs}.bn.weight`, { shape: channels, values: weight(`${ours}.gamma`).values })
    state.set(`${theirs}.bn.bias`, { shape: channels, values: weight(`${ours}.beta`).values })
    state.set(`${theirs}.bn.running_mean`, { shape: channels, values: running.mean })
    state.set(`${theirs}.bn.running_var`, { shape: channels, values: running.variance })
    // PyTorch counts batches only where running statistics are plain means; none have been counted here.
    state.set(`${theirs}.bn.num_batches_tracked`, { shape: [], values: BigInt64Array.of(0n) })
  }
  const linear = weight(`${prefixes.classifier}/linear.weights`)
  const [inputs = 1, outputs = 1] = linear.shape
  state.set('classifier.linear.weight', { shape: [outputs, inputs], values: reorderAxes(linear.values, linear.shape, [1, 0]) })
  state.set('classifier.linear.bias', { shape: [outputs], values: weight(`${prefixes.classifier}/linear.bias`).values })
  return state
}

/** Weights of a fixed network under our names. Throws ExportError, naming the tensor, where one is missing, left over or wrongly shaped. */
function fromStateDict(
  network: FixedNetwork,
  state: ReadonlyMap<string, FloatTensor>,
  shapeOf: (key: string) => readonly number[],
): Weights {
  const { prefixes } = fixArchitecture(
    network,
    network.blocks.map(() => 0),
  )
  const used = new Set<string>()
  const tensor = (name: string, shape: readonly number[]): Float32Array => {
    const found = state.get(name)
    if (!found || found.shape.join() !== shape.join()) {
      throw new ExportError(`expected ${name} of shape [${shape}] among the weights, got ${found ? `[${found.shape}]` : 'none'}`)
    }
    used.add(name)
    return found.values
  }
  const weights = new Map<string, Tensor>()
  const statistics = new Map<string, ChannelStatistics>()
  for (const { ours, theirs, isDepthwise } of convPairs(network, prefixes)) {
    const shape = shapeOf(`${ours}.filter`)
    const theirShape = oihwShape(shape, isDepthwise)
    const values = tensor(`${theirs}.conv.weight`, theirShape)
    weights.set(`${ours}.filter`, { shape, values: reorderAxes(values, theirShape, isDepthwise ? [2, 3, 0, 1] : [2, 3, 1, 0]) })
    const channels = shapeOf(`${ours}.gamma`)
    weights.set(`${ours}.gamma`, { shape: channels, values: tensor(`${theirs}.bn.weight`, channels) })
    weights.set(`${ours}.beta`, { shape: channels, values: tensor(`${theirs}.bn.bias`, channels) })
    const mean = tensor(`${theirs}.bn.running_mean`, channels)
    statistics.set(`${ours}.gamma`, { mean, variance: tensor(`${theirs}.bn.running_var`, channels) })
  }
  const key = `${prefixes.classifier}/linear`
  const [inputs = 1, outputs = 1] = shapeOf(`${key}.weights`)
  const linear = tensor('classifier.linear.weight', [outputs, inputs])
  weights.set(`${key}.weights`, { shape: [inputs, outputs], values: reorderAxes(linear, [outputs, inputs], [1, 0]) })
  weights.set(`${key}.bias`, { shape: [outputs], values: tensor('classifier.linear.bias', [outputs]) })
  const left = [...state.keys()].filter((name) => !used.has(name))
  if (left.length > 0) throw new ExportError(`the network has no place for ${left.slice(0, 5).join(', ')}${left.length > 5 ? ', …' : ''}`)
  return { weights, statistics }
}

export { fromStateDict, toStateDict }
