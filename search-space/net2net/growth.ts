// Networks of one space that grow into others of it, with the weights that they have (EAS: Cai et al. 2018, arXiv 1707.04873, on blocks with
// a shortcut). An option of a decision grows into another one of it in two ways:
//
//   widen    the same layers with more channels between the first convolution and the last: Net2WiderNet (widen.ts)
//   deepen   a block behind a shortcut in place of none. The batch-norm that ends it has gamma = 0 and beta = 0, so that the sum behind it
//            is what the shortcut brings (as Goyal et al. 2017, arXiv 1706.02677, section 5.1, start such blocks)
//
// so that the grown network computes what the smaller one computed, with running statistics and with those of a batch.

import { elementCount, initialWeights } from '../initialise.ts'
import type { PrimitiveLayer } from '../layer-graph.ts'
import { layerInputs } from '../layers/index.ts'
import { createRandom, seedState } from '../random.ts'
import type { Path, Space } from '../space.ts'
import { networkWeights } from '../weight-keys.ts'
import { Net2NetError } from './channel-maps.ts'
import { primitiveLayers, type Values } from './network.ts'
import { widen } from './widen.ts'

type Growth = {
  readonly kind: 'widen' | 'deepen'
  readonly decision: number
  /** What the decision is taken as afterwards. */
  readonly option: number
}

type Way =
  | { readonly kind: 'widen'; readonly convolution: string; readonly channels: number }
  /** Keys of the batch-norm that ends the block. */
  | { readonly kind: 'deepen'; readonly gamma: string; readonly beta: string }

/** A network in which one decision is taken as one of its options. */
type Placed = {
  readonly isZero: boolean
  readonly layers: readonly PrimitiveLayer[]
  /** The option's own layers. */
  readonly block: readonly PrimitiveLayer[]
  /** They without the option's name in ids and keys, and without their numbers of channels. */
  readonly shape: string
}

function prefixOf({ decisions }: Space, decision: number, option: number): string {
  return `${decisions[decision]?.name}/${decisions[decision]?.options[option]?.name}/`
}

const isZero = ({ decisions }: Space, decision: number, option: number) => decisions[decision]?.options[option]?.isZero ?? false

function place(space: Space, path: Path, decision: number): Placed {
  const option = path[decision] as number
  const prefix = prefixOf(space, decision, option)
  const layers = primitiveLayers(space.network(path))
  const block = layers.filter(({ id }) => id.startsWith(prefix))
  const widthless = block.map((layer) => ({ ...layer, shape: layer.shape.slice(0, 2) }))
  const shape = JSON.stringify(widthless).replaceAll(`"${prefix}`, '"')
  return { isZero: isZero(space, decision, option), layers, block, shape }
}

function wayToWiden(from: Placed, to: Placed): Way | null {
  const [first, last, wider] = [from.block[0], from.block.at(-1), to.block[0]]
  if (first?.kind !== 'conv2d' || !last || !wider || from.shape !== to.shape) return null
  const isWider = wider.shape[2] > first.shape[2] && to.block.at(-1)?.shape[2] === last.shape[2]
  return isWider ? { kind: 'widen', convolution: first.id, channels: wider.shape[2] } : null
}

/** Where the block ends in a batch-norm whose output is added to a shortcut, and the network without both is that without the block. */
function wayToDeepen(from: Placed, to: Placed): Way | null {
  const last = to.block.at(-1)
  if (!from.isZero || last?.kind !== 'batchNorm') return null
  const sum = to.layers.find((layer) => layerInputs(layer).includes(last.id))
  if (sum?.kind !== 'add') return null
  const [shortcut, ...others] = sum.inputs.filter((input) => input !== last.id)
  if (shortcut === undefined || others.length > 0) return null
  const left = to.layers.filter((layer) => layer !== sum && !to.block.includes(layer))
  const isSame = JSON.stringify(left).replaceAll(`"${sum.id}"`, `"${shortcut}"`) === JSON.stringify(from.layers)
  return isSame ? { kind: 'deepen', gamma: last.gamma, beta: last.beta } : null
}

const wayBetween = (from: Placed, to: Placed) => wayToWiden(from, to) ?? wayToDeepen(from, to)

/** Kinds of each option's layers, [decision][option]: found in networks whose decisions are all taken alike, of which there are few. */
function kindsOfBlocks(space: Space): string[][] {
  const most = Math.max(...space.decisions.map(({ options }) => options.length))
  const networks = Array.from({ length: most }, (_, option) =>
    primitiveLayers(space.network(space.decisions.map(({ options }) => Math.min(option, options.length - 1)))),
  )
  return space.decisions.map(({ options }, decision) =>
    options.map((_, option) => {
      const prefix = prefixOf(space, decision, option)
      return (networks[option] ?? []).flatMap(({ id, kind }) => (id.startsWith(prefix) ? [kind] : [])).join()
    }),
  )
}

/**
 * By decision and option that it is taken as, all that it can grow into, options ascending. Found in networks whose other decisions are taken
 * as their first options: inheritWeights looks at the network itself.
 */
function growthsOf(space: Space): Growth[][][] {
  const first = space.decisions.map(() => 0)
  return kindsOfBlocks(space).map((blocks, decision) => {
    const placed = new Map<number, Placed>()
    const placedAs = (option: number) => {
      const known = placed.get(option) ?? place(space, first.with(decision, option), decision)
      placed.set(option, known)
      return known
    }
    return blocks.map((own, from) =>
      blocks.flatMap((kinds, option) => {
        // A large space has thousands of options: networks are made of those alone whose blocks look as if they could grow.
        const mayGrow = isZero(space, decision, from) ? kinds.endsWith('batchNorm') : kinds === own && own.startsWith('conv2d')
        const way = mayGrow && from !== option ? wayBetween(placedAs(from), placedAs(option)) : null
        return way ? [{ kind: way.kind, decision, option }] : []
      }),
    )
  })
}

/**
 * Weights of a network that has grown out of another of its space, decision by decision. New filters are those that `seed` draws for their keys,
 * as in a training from scratch; which channels are copied follows from it too.
 *
 * @param weights of `from`, every one, by key
 * @returns every weight of `to`, by key
 * @throws Net2NetError where a decision of `to` does not grow out of that of `from`
 */
function inheritWeights(space: Space, from: Path, to: Path, weights: ReadonlyMap<string, Values>, seed: number): Map<string, Values> {
  const random = createRandom(seedState('inherit', seed))
  let path: Path = from
  let inherited = new Map(weights)
  for (const [decision, option] of to.entries()) {
    if (path[decision] === option) continue
    const next = path.with(decision, option)
    const before = place(space, path, decision)
    const way = wayBetween(before, place(space, next, decision))
    if (!way) {
      const name = (of: Path) => space.decisions[decision]?.options[of[decision] as number]?.name
      throw new Net2NetError(`${space.decisions[decision]?.name}: ${name(to)} does not grow out of ${name(from)}`)
    }
    if (way.kind === 'widen') {
      const network = { layers: before.layers, weights: inherited, statistics: new Map() }
      const [own, renamed] = [prefixOf(space, decision, path[decision] as number), prefixOf(space, decision, option)]
      const grown = widen(network, way.convolution, way.channels, random).weights
      inherited = new Map([...grown].map(([key, values]) => [key.startsWith(own) ? `${renamed}${key.slice(own.length)}` : key, values]))
    } else {
      for (const [key, spec] of networkWeights(space.network(next))) {
        if (!inherited.has(key)) inherited.set(key, { shape: spec.shape, values: initialWeights(spec, seed) })
      }
      for (const key of [way.gamma, way.beta]) {
        const { shape } = inherited.get(key) as Values
        inherited.set(key, { shape, values: new Float32Array(elementCount(shape)) })
      }
    }
    path = next
  }
  return inherited
}

export { type Growth, growthsOf, inheritWeights }
