// The networks of a task's steps, and the weights that they read.

import type { StepWork } from '../../protocol/index.ts'
import { type Choice, type LayerGraph, type Space, weightKeys } from '../../search-space/index.ts'
import type { Uses } from './merge-lanes.ts'
import { runnerOf } from './runners/index.ts'

/** Graphs kept by path: late in a search the same few paths come again and again. */
const MAX_GRAPHS = 256

type TaskNetworks = {
  graphOf(choices: readonly Choice[]): LayerGraph
  /** Keys of the weights that the work reads. */
  keysOf(work: StepWork): string[]
  /** How many of these networks read each weight. */
  usesOf(networks: readonly (readonly Choice[])[]): Uses
}

function createTaskNetworks(space: Space): TaskNetworks {
  const known = new Map<string, { readonly graph: LayerGraph; readonly keys: readonly string[] }>()
  const networkOf = (choices: readonly Choice[]) => {
    const name = JSON.stringify(choices)
    const found = known.get(name)
    if (found) return found
    if (known.size >= MAX_GRAPHS) known.clear()
    const graph = space.network(choices)
    const network = { graph, keys: weightKeys(graph) }
    known.set(name, network)
    return network
  }
  return {
    graphOf: (choices) => networkOf(choices).graph,
    keysOf(work) {
      return [
        ...new Set(
          runnerOf(work)
            .networks(work)
            .flatMap((choice) => networkOf(choice).keys),
        ),
      ]
    },
    usesOf(networks) {
      const uses = new Map<string, number>()
      for (const choices of networks) for (const key of new Set(networkOf(choices).keys)) uses.set(key, (uses.get(key) ?? 0) + 1)
      return uses
    },
  }
}

export { createTaskNetworks, type TaskNetworks }
