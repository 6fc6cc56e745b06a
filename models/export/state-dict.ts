// Weights under the names that the classes of ProxylessNAS's authors give them (`state_dict` in PyTorch), and back:
//
//   first_conv.{conv,bn}   blocks.N.mobile_inverted_conv.{inverted_bottleneck,depth_conv,point_linear}.{conv,bn}
//   feature_mix_layer.{conv,bn}   classifier.linear
//
// blocks.0 is the first MBConv behind the stem; a skipped block has a number and no weights, and an identity that changes
// stride or width, which those classes lack, is a convolution: blocks.N.mobile_inverted_conv.{conv,bn}. Convolutions are
// [out, in, kernel, kernel], the classifier [outputs, inputs]. What those of networks of trees are called: search-space/families/pyramid-tree/.

import { notFinite, notVariance, type Tensor } from '../../protocol/index.ts'
import {
  type FixedNetwork,
  fixArchitecture,
  type LayerKind,
  type Path,
  resolveSpaceConfig,
  type SpaceRef,
  treeStateNames,
  type WeightPrefixes,
} from '../../search-space/index.ts'
import type { ChannelStatistics } from '../../engine/executor/index.ts'
import { describeNames } from '../../engine/training/weight-names.ts'
import { ExportError } from './export-network.ts'
import { stateTensors } from './state-dict-layers.ts'
import { reorderAxes } from '../../onnx/reorder.ts'
import type { FloatTensor, StateTensor } from './state-dict-file.ts'

type Weights = { readonly weights: ReadonlyMap<string, Tensor>; readonly statistics: ReadonlyMap<string, ChannelStatistics> }

/** A layer with weights, under our name and the one of their module. */
type NamedLayer = { readonly kind: LayerKind; readonly ours: string; readonly theirs: string }

function namesOfMbconvs(network: FixedNetwork, prefixes: WeightPrefixes): NamedLayer[] {
  const layers: NamedLayer[] = []
  const convNorm = (ours: string, theirs: string, kind: LayerKind = 'conv2d') =>
    layers.push({ kind, ours, theirs: `${theirs}.conv` }, { kind: 'batchNorm', ours, theirs: `${theirs}.bn` })
  convNorm(`${prefixes.stem}/conv`, 'first_conv')
  for (const [index, prefix] of prefixes.blocks.entries()) {
    const block = network.blocks[index]
    if (prefix === null || block === undefined || block === 'zero') continue
    const theirs = `blocks.${index}.mobile_inverted_conv`
    if ('operation' in block) {
      convNorm(`${prefix}/conv`, theirs)
      continue
    }
    if (block.expansion > 1) convNorm(`${prefix}/expand`, `${theirs}.inverted_bottleneck`)
    convNorm(`${prefix}/depthwise`, `${theirs}.depth_conv`, 'depthwiseConv2d')
    convNorm(`${prefix}/project`, `${theirs}.point_linear`)
  }
  if (prefixes.head !== null) convNorm(`${prefixes.head}/conv`, 'feature_mix_layer')
  layers.push({ kind: 'linear', ours: `${prefixes.classifier}/linear`, theirs: 'classifier.linear' })
  return layers
}

/** Throws SpaceError for an architecture that the authors have no classes for. */
function namedLayers(ref: SpaceRef, path: Path): NamedLayer[] {
  const config = resolveSpaceConfig(ref)
  if ('family' in config && config.family === 'pyramid-tree') return treeStateNames(config, path)
  const { network, prefixes } = fixArchitecture(config, path)
  return namesOfMbconvs(network, prefixes)
}

function inAxes(shape: readonly number[], order: readonly number[] | undefined): number[] {
  return order ? order.map((axis) => shape[axis] as number) : [...shape]
}

/** The order that undoes another. */
function inverse(order: readonly number[]): number[] {
  return order.map((_, axis) => order.indexOf(axis))
}

/** Throws ExportError if the model lacks a weight of its architecture. */
function toStateDict(ref: SpaceRef, path: Path, { weights, statistics }: Weights): Map<string, StateTensor> {
  const state = new Map<string, StateTensor>()
  for (const { kind, ours, theirs } of namedLayers(ref, path)) {
    for (const { key, name, order } of stateTensors(kind, ours, theirs)) {
      const tensor = weights.get(key)
      if (!tensor) throw new ExportError(`the model has no weight ${key}`)
      const { shape, values } = tensor
      state.set(name, { shape: inAxes(shape, order), values: order ? reorderAxes(values, shape, order) : values })
    }
    if (kind !== 'batchNorm') continue
    const running = statistics.get(`${ours}.gamma`)
    if (!running) throw new ExportError(`the model has no running statistics for ${ours}.gamma`)
    const channels = [running.mean.length]
    state.set(`${theirs}.running_mean`, { shape: channels, values: running.mean })
    state.set(`${theirs}.running_var`, { shape: channels, values: running.variance })
    // PyTorch counts batches only where running statistics are plain means; none have been counted here.
    state.set(`${theirs}.num_batches_tracked`, { shape: [], values: BigInt64Array.of(0n) })
  }
  return state
}

/** Weights of an architecture under our names. Throws ExportError, naming the tensor, where one is missing, left over, wrongly shaped or not finite. */
function fromStateDict(
  ref: SpaceRef,
  path: Path,
  state: ReadonlyMap<string, FloatTensor>,
  shapeOf: (key: string) => readonly number[],
): Weights {
  const layers = namedLayers(ref, path)
  const used = new Set<string>()
  const wanted = layers.flatMap(({ kind, ours, theirs }) => stateTensors(kind, ours, theirs).map(({ name }) => name))
  const tensor = (name: string, shape: readonly number[]): Float32Array => {
    const found = state.get(name)
    if (!found || found.shape.join() !== shape.join()) {
      const got = found ? `[${found.shape}]` : `none: ${describeNames(state.keys(), wanted)}`
      throw new ExportError(`expected ${name} of shape [${shape}] among the weights, got ${got}`)
    }
    const problem = (name.endsWith('.running_var') ? notVariance : notFinite)(found.values)
    if (problem !== null) throw new ExportError(`tensor ${name}: ${problem}`)
    used.add(name)
    return found.values
  }
  const weights = new Map<string, Tensor>()
  const statistics = new Map<string, ChannelStatistics>()
  for (const { kind, ours, theirs } of layers) {
    for (const { key, name, order } of stateTensors(kind, ours, theirs)) {
      const shape = shapeOf(key)
      const theirShape = inAxes(shape, order)
      const values = tensor(name, theirShape)
      weights.set(key, { shape, values: order ? reorderAxes(values, theirShape, inverse(order)) : values })
    }
    if (kind !== 'batchNorm') continue
    const channels = shapeOf(`${ours}.gamma`)
    const mean = tensor(`${theirs}.running_mean`, channels)
    statistics.set(`${ours}.gamma`, { mean, variance: tensor(`${theirs}.running_var`, channels) })
  }
  const left = [...state.keys()].filter((name) => !used.has(name))
  if (left.length > 0) throw new ExportError(`the network has no place for ${left.slice(0, 5).join(', ')}${left.length > 5 ? ', …' : ''}`)
  return { weights, statistics }
}

export { fromStateDict, toStateDict }
