// The networks of a task's steps, and the weights that they read.

import type { StepWork } from '../../protocol/index.ts'
import {
  combineBranches,
  isWhole,
  joinWeights,
  type LayerGraph,
  networkWeights,
  type Space,
  type WeightSpec,
} from '../../search-space/index.ts'
import type { PartUse, Uses } from './merge-lanes.ts'
import type { ReducedResolution } from './reduced-resolution.ts'
import { runnerOf, type TaskNetwork } from './runners/index.ts'

/** Graphs kept by path: late in a search the same few paths come again and again. */
const MAX_GRAPHS = 256

type TaskNetworks = {
  /** What a step runs: one network, or several one after the other. */
  networksOf(work: StepWork, step: number, batchesPerNetwork: number): readonly TaskNetwork[]
  graphOf(network: TaskNetwork): LayerGraph
  /** Pixels of an image down and across that are one of the networks' input. */
  divisorOf(work: StepWork, step: number): number
  /** Keys of the weights that the work reads. */
  keysOf(work: StepWork): string[]
  /** The smallest part of each of these weights that has in it all that the work reads. */
  partsOf(work: StepWork): ReadonlyMap<string, readonly number[]>
  /** How many of these steps read each part of each weight. */
  usesOf(work: StepWork, steps: readonly number[], batchesPerNetwork: number): Uses
}

type Built = { readonly graph: LayerGraph; readonly weights: ReadonlyMap<string, WeightSpec> }

function build(space: Space, { choices, mixture }: TaskNetwork): Built {
  const gated = space.network(choices)
  const weights = networkWeights(gated)
  if (!mixture) return { graph: gated, weights }
  if (mixture === 'sum') return { graph: combineBranches(gated, () => ({ kind: 'sum' })), weights }
  const graph = combineBranches(gated, ({ block, branches }) => ({
    kind: 'weighted',
    weights: branches.map(({ operation }) => mixture[block]?.[operation] ?? 0),
  }))
  return { graph, weights }
}

/** @param reduced null: images are whole throughout */
function createTaskNetworks(space: Space, reduced: ReducedResolution | null = null): TaskNetworks {
  const paths = new Map<string, Built>()
  /** A mixture is as large as the supernet, and comes again only within its task. */
  let last: { readonly name: string; readonly built: Built } | null = null
  const builtOf = (network: TaskNetwork): Built => {
    const name = JSON.stringify(network)
    const found = last?.name === name ? last.built : paths.get(name)
    if (found) return found
    const built = build(reduced && network.divisor ? reduced.small : space, network)
    if (network.mixture) {
      last = { name, built }
      return built
    }
    if (paths.size >= MAX_GRAPHS) paths.clear()
    paths.set(name, built)
    return built
  }
  const weightsOf = (networks: readonly TaskNetwork[]) => joinWeights(networks.flatMap((network) => [...builtOf(network).weights.values()]))
  const divisorOf = (work: StepWork, step: number) => reduced?.divisorOf(work, step) ?? 1
  const networksOf = (work: StepWork, step: number, batchesPerNetwork: number): readonly TaskNetwork[] => {
    const networks = runnerOf(work).networks(work, Math.floor(step / batchesPerNetwork), space.decisions)
    const divisor = divisorOf(work, step)
    return divisor === 1 ? networks : networks.map((network) => ({ ...network, divisor }))
  }

  const weightsOfWork = (work: StepWork) => {
    const count = runnerOf(work).networkCount(work)
    const all = Array.from({ length: count }, (_, index) => weightsOf(networksOf(work, index, 1)))
    return joinWeights(all.flatMap((weights) => [...weights.values()]))
  }

  return {
    networksOf,
    divisorOf,
    graphOf: (network) => builtOf(network).graph,
    keysOf: (work) => [...weightsOfWork(work).keys()],
    partsOf: (work) => new Map([...weightsOfWork(work)].map(([key, { shape }]) => [key, shape])),
    usesOf(work, steps, batchesPerNetwork) {
      const uses = new Map<string, PartUse[]>()
      for (const step of steps) {
        for (const [key, { shape }] of weightsOf(networksOf(work, step, batchesPerNetwork))) {
          const known = uses.get(key) ?? []
          const at = known.findIndex(({ part }) => isWhole(part, shape))
          if (at === -1) uses.set(key, [...known, { part: shape, uses: 1 }])
          else known[at] = { part: shape, uses: (known[at] as PartUse).uses + 1 }
        }
      }
      return uses
    },
  }
}

export { createTaskNetworks, type TaskNetworks }
