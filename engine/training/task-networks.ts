// The networks of a task's steps, and the weights that they read.

import type { StepWork } from '../../protocol/index.ts'
import { combineBranches, type LayerGraph, type Space, weightKeys } from '../../search-space/index.ts'
import type { Uses } from './merge-lanes.ts'
import { runnerOf, type TaskNetwork } from './runners/index.ts'

/** Graphs kept by path: late in a search the same few paths come again and again. */
const MAX_GRAPHS = 256

type TaskNetworks = {
  /** What a step runs: one network, or several one after the other. */
  networksOf(work: StepWork, step: number, batchesPerNetwork: number): readonly TaskNetwork[]
  graphOf(network: TaskNetwork): LayerGraph
  /** Keys of the weights that the work reads. */
  keysOf(work: StepWork): string[]
  /** How many of these steps read each weight. */
  usesOf(work: StepWork, steps: readonly number[], batchesPerNetwork: number): Uses
}

type Built = { readonly graph: LayerGraph; readonly keys: readonly string[] }

function build(space: Space, { choices, mixture }: TaskNetwork): Built {
  const gated = space.network(choices)
  const keys = weightKeys(gated)
  if (!mixture) return { graph: gated, keys }
  if (mixture === 'sum') return { graph: combineBranches(gated, () => ({ kind: 'sum' })), keys }
  const graph = combineBranches(gated, ({ block, branches }) => ({
    kind: 'weighted',
    weights: branches.map(({ operation }) => mixture[block]?.[operation] ?? 0),
  }))
  return { graph, keys }
}

function createTaskNetworks(space: Space): TaskNetworks {
  const paths = new Map<string, Built>()
  /** A mixture is as large as the supernet, and comes again only within its task. */
  let last: { readonly name: string; readonly built: Built } | null = null
  const builtOf = (network: TaskNetwork): Built => {
    const name = JSON.stringify(network)
    const found = last?.name === name ? last.built : paths.get(name)
    if (found) return found
    const built = build(space, network)
    if (network.mixture) {
      last = { name, built }
      return built
    }
    if (paths.size >= MAX_GRAPHS) paths.clear()
    paths.set(name, built)
    return built
  }
  const keysOfNetworks = (networks: readonly TaskNetwork[]) => new Set(networks.flatMap((network) => builtOf(network).keys))
  const networksOf = (work: StepWork, step: number, batchesPerNetwork: number) =>
    runnerOf(work).networks(work, Math.floor(step / batchesPerNetwork), space.decisions)

  return {
    networksOf,
    graphOf: (network) => builtOf(network).graph,
    keysOf(work) {
      const count = runnerOf(work).networkCount(work)
      const keys = new Set<string>()
      for (let index = 0; index < count; index++) for (const key of keysOfNetworks(networksOf(work, index, 1))) keys.add(key)
      return [...keys]
    },
    usesOf(work, steps, batchesPerNetwork) {
      const uses = new Map<string, number>()
      for (const step of steps) {
        for (const key of keysOfNetworks(networksOf(work, step, batchesPerNetwork))) uses.set(key, (uses.get(key) ?? 0) + 1)
      }
      return uses
    },
  }
}

export { createTaskNetworks, type TaskNetworks }
