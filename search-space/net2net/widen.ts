// Net2WiderNet (Chen, Goodfellow and Shlens 2016, arXiv 1511.05641, section 2.2; Cai et al. 2018, EAS, arXiv 1707.04873): a convolution from
// n to m output channels, the new ones copies of old ones drawn at random, and whatever reads them divides its weights among the copies,
//
//   W'[…, j] = W[…, map(j)]          U'[j, …] = share_j · U[map(j), …],   Σ share over the copies of a channel = 1
//
// so that the network computes what it computed. The papers take equal shares and add noise to tell copies apart, which changes the
// function; here shares are drawn, so that copies get different gradients from the first step and nothing changes.

import type { LayerOf, PrimitiveLayer } from '../layer-graph.ts'
import { layerInputs } from '../layers/index.ts'
import type { Random } from '../random.ts'
import { type ChannelMap, Net2NetError, spreadMap } from './channel-maps.ts'
import { type GrownNetwork, pickSlices, type Values, weightOf } from './network.ts'

const FILTER_INPUT_AXIS = 2
const FILTER_OUTPUT_AXIS = 3
/** Shares are drawn from 1 to this before they are divided by their sum: no copy is left without a part. */
const LARGEST_SHARE = 3

/** One number for each new channel. */
function drawShares(map: ChannelMap, random: Random): number[] {
  const drawn = map.map(() => 1 + (LARGEST_SHARE - 1) * random.uniform())
  const sums = new Map<number, number>()
  for (const [index, channel] of map.entries()) sums.set(channel, (sums.get(channel) ?? 0) + (drawn[index] as number))
  return map.map((channel, index) => (drawn[index] as number) / (sums.get(channel) as number))
}

/** Input rows of a linear layer: height, width, channels. */
function rowsOf(map: ChannelMap, positions: number, channels: number): number[] {
  return Array.from({ length: positions }, (_, position) => map.map((channel) => position * channels + channel)).flat()
}

/**
 * The network with `channels` output channels of the convolution `id`, and of all whose outputs are added to its own. Throws Net2NetError
 * where there is no such convolution, it has as many already, or what it is added to cannot follow.
 */
function widen(network: GrownNetwork, id: string, channels: number, random: Random): GrownNetwork {
  const layer = network.layers.find((one) => one.id === id)
  if (layer?.kind !== 'conv2d') throw new Net2NetError(`expected a convolution to widen, got ${layer ? `${id} (${layer.kind})` : id}`)
  const before = layer.shape[2]
  if (!Number.isInteger(channels) || channels <= before) {
    throw new Net2NetError(`expected more than the ${before} channels that ${id} has, got ${channels}`)
  }
  const map = Array.from({ length: channels }, (_, channel) => (channel < before ? channel : random.integer(before)))
  const maps = spreadMap(network.layers, id, map)
  const shapes = new Map(network.layers.map((one) => [one.id, one.shape]))
  const weights = new Map(network.weights)
  const statistics = new Map(network.statistics)
  const shares = new Map<ChannelMap, number[]>()
  const sharesOf = (of: ChannelMap) => {
    const known = shares.get(of) ?? drawShares(of, random)
    shares.set(of, known)
    return known
  }
  const set = (key: string, change: (values: Values) => Values) => weights.set(key, change(weights.get(key) ?? weightOf(network, key)))

  const widenRows = ({ input, weights: key }: LayerOf<'linear'>, read: ChannelMap) => {
    const [height = 1, width = 1, old = 1] = shapes.get(input) ?? []
    const shared = sharesOf(read)
    set(key, (matrix) => pickSlices(matrix, 0, rowsOf(read, height * width, old), (index) => shared[index % read.length] as number))
  }

  const layers = network.layers.map((one): PrimitiveLayer => {
    const own = maps.get(one.id) ?? null
    const [input] = layerInputs(one)
    const read = (input !== undefined && maps.get(input)) || null
    if (one.kind === 'conv2d') {
      if (read) set(one.filter, (filter) => pickSlices(filter, FILTER_INPUT_AXIS, read, (index) => sharesOf(read)[index] as number))
      if (own) set(one.filter, (filter) => pickSlices(filter, FILTER_OUTPUT_AXIS, own))
    } else if (one.kind === 'depthwiseConv2d' && own) {
      set(one.filter, (filter) => pickSlices(filter, FILTER_INPUT_AXIS, own))
    } else if (one.kind === 'batchNorm' && own) {
      for (const key of [one.gamma, one.beta]) set(key, (vector) => pickSlices(vector, 0, own))
      const found = network.statistics.get(one.gamma)
      const picked = (values: Float32Array) => Float32Array.from(own, (channel) => values[channel] as number)
      if (found) statistics.set(one.gamma, { mean: picked(found.mean), variance: picked(found.variance) })
    } else if (one.kind === 'linear') {
      if (read) widenRows(one, read)
      if (own) {
        set(one.weights, (matrix) => pickSlices(matrix, 1, own))
        set(one.bias, (vector) => pickSlices(vector, 0, own))
      }
    }
    return own ? { ...one, shape: [one.shape[0], one.shape[1], own.length] } : one
  })
  return { layers, weights, statistics }
}

export { widen }
