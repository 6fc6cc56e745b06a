// What becomes of the channels of a network's tensors when one convolution gets more of them. A map says for each new channel which old
// one it is a copy of, the old ones first:
//
//   map = [0, 1, …, n − 1, copies …]
//
// Layers that work channel by channel hand it on, a concatenation puts those of its inputs side by side, and whatever reads all channels
// at once, a convolution or a linear layer, ends it. Tensors that are added or multiplied must have one map: what makes them is widened
// together, the attention over channels with these. What goes by the places of channels, their groups or a range of them, keeps its own.

import type { PrimitiveLayer } from '../layer-graph.ts'
import { layerInputs } from '../layers/index.ts'

/** Old channels by new channel; where there is none, channels are as they were. */
type ChannelMap = readonly number[]

/** A network cannot be grown there; the message names the layer. */
class Net2NetError extends Error {
  override readonly name = 'Net2NetError'
  readonly code = 'net2net'
}

function identityMap(channels: number): number[] {
  return Array.from({ length: channels }, (_, channel) => channel)
}

/** What a kind of layer does with channels. */
const channelsOf = {
  activation: 'keeps',
  add: 'keeps',
  batchNorm: 'keeps',
  /** Goes by the places of channels. */
  channelRange: 'counts',
  channelShuffle: 'counts',
  /** Puts those of its inputs side by side. */
  concat: 'joins',
  conv2d: 'makes',
  crop: 'keeps',
  depthwiseConv2d: 'keeps',
  globalAveragePool: 'keeps',
  /** Has those of the image. */
  input: 'given',
  linear: 'makes',
  multiply: 'keeps',
  pool: 'keeps',
  splitAttention: 'keeps',
  zero: 'makes',
} as const satisfies Record<PrimitiveLayer['kind'], 'keeps' | 'joins' | 'counts' | 'makes' | 'given'>

/** The layers that must have `map` so that the tensor `id` has it. Throws Net2NetError where something else makes its channels. */
function producersOf(byId: ReadonlyMap<string, PrimitiveLayer>, id: string, visited: Set<string> = new Set()): string[] {
  const layer = byId.get(id)
  if (!layer || visited.has(id)) return []
  visited.add(id)
  switch (channelsOf[layer.kind]) {
    case 'makes':
      return [id]
    case 'keeps':
      return layerInputs(layer).flatMap((input) => producersOf(byId, input, visited))
    case 'joins':
    case 'counts':
    case 'given':
      throw new Net2NetError(`layer ${id} (${layer.kind}) is added to what would be widened, and its own channels cannot be`)
  }
}

/** The map of what a layer makes; null for the identity. */
function mapOf({ id, kind }: PrimitiveLayer, inputs: readonly (ChannelMap | null)[], channels: readonly number[]): ChannelMap | null {
  switch (channelsOf[kind]) {
    case 'keeps':
      return inputs[0] ?? null
    case 'joins': {
      if (inputs.every((map) => map === null)) return null
      let offset = 0
      return inputs.flatMap((map, position) => {
        const own = (map ?? identityMap(channels[position] as number)).map((channel) => channel + offset)
        offset += channels[position] as number
        return own
      })
    }
    case 'counts':
      if (inputs[0]) throw new Net2NetError(`layer ${id} (${kind}) goes by the places of the channels that would be widened`)
      return null
    case 'makes':
    case 'given':
      return null
  }
}

/**
 * Maps of all tensors when the convolution `id` gets `map`; those of others that have to follow are the same. Throws Net2NetError where
 * sums leave no way.
 */
function spreadMap(layers: readonly PrimitiveLayer[], id: string, map: ChannelMap): Map<string, ChannelMap | null> {
  const byId = new Map(layers.map((layer) => [layer.id, layer]))
  const widened = new Set([id])
  for (;;) {
    const maps = new Map<string, ChannelMap | null>()
    let isChanged = false
    for (const layer of layers) {
      const read = layerInputs(layer)
      const inputs = read.map((input) => maps.get(input) ?? null)
      const isTied = layer.kind === 'add' || layer.kind === 'multiply' || layer.kind === 'splitAttention'
      if (isTied && new Set(inputs).size > 1) {
        const lacking = read.filter((_, position) => inputs[position] !== map).flatMap((input) => producersOf(byId, input))
        const before = widened.size
        for (const producer of lacking) widened.add(producer)
        if (widened.size === before)
          throw new Net2NetError(`layer ${layer.id} (${layer.kind}) has inputs that cannot be widened in one way`)
        isChanged = true
        break
      }
      if (layer.kind === 'conv2d' && (layer.groups ?? 1) > 1 && (inputs[0] || widened.has(layer.id))) {
        throw new Net2NetError(`layer ${layer.id} (${layer.kind}) has groups of channels, which cannot be widened`)
      }
      const channels = read.map((input) => byId.get(input)?.shape[2] ?? 0)
      maps.set(layer.id, widened.has(layer.id) ? map : mapOf(layer, inputs, channels))
    }
    if (!isChanged) return maps
  }
}

export { type ChannelMap, Net2NetError, spreadMap }
