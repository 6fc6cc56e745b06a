// What everything else knows of a search space. Strategies see blocks and how many operations each has, executors see
// layer graphs, latency sees keys; only the space knows how these belong together.

import type { LayerGraph, Shape, WeightSpec } from './layer-graph.ts'
import type { Random } from './random.ts'

/** A candidate operation of a block. */
type Operation = {
  /** Unique within its block, for example `mb6k5`, `zero` or `identity`. */
  readonly name: string
  /** True for the operation that computes nothing: with the block's shortcut, the block is skipped. */
  readonly isZero: boolean
  /** Key of its entry in a latency table; null costs nothing. */
  readonly latencyKey: string | null
  /** Multiply-accumulates for one image. */
  readonly macs: number
  readonly parameters: number
}

/** A place where a choice is made. */
type Block = {
  readonly name: string
  readonly input: Shape
  readonly output: Shape
  readonly shortcut: boolean
  readonly operations: readonly Operation[]
}

/** A part that every architecture has. */
type FixedPart = {
  readonly name: string
  readonly latencyKey: string
  readonly macs: number
  readonly parameters: number
}

/** What runs in a block: one operation, or an active one with others whose gate gradients are wanted (a mixed layer). */
type Choice = number | { readonly active: number; readonly inactive: readonly number[] }

/** One operation on its own, to be measured. */
type MeasurableOperation = {
  readonly latencyKey: string
  readonly graph: LayerGraph
  readonly macs: number
  readonly parameters: number
}

type Space = {
  readonly name: string
  readonly input: Shape
  readonly classes: number
  readonly blocks: readonly Block[]
  readonly fixedParts: readonly FixedPart[]
  /** Every weight of the supernet, in the order of its layers. */
  readonly weightSpecs: readonly WeightSpec[]
  /** The network in which each block runs its choice. Throws SpaceError `choices` for choices not of this space. */
  network(choices: readonly Choice[]): LayerGraph
  /** Every operation that a latency table of this space must hold, each key once. */
  measurableOperations(): MeasurableOperation[]
}

/** One operation index per block. */
type Path = readonly number[]

/** A space, an architecture or choices that do not fit together. `field` is the path of what is wrong. */
class SpaceError extends Error {
  override readonly name = 'SpaceError'
  readonly code: 'choices' | 'encoding' | 'config'
  readonly field: string

  constructor(code: 'choices' | 'encoding' | 'config', field: string, message: string) {
    super(`${message} (${field})`)
    this.code = code
    this.field = field
  }
}

/** Sums over the chosen operations and the fixed parts. */
function architectureCosts(space: Space, path: Path): { macs: number; parameters: number } {
  assertPath(space, path)
  let macs = 0
  let parameters = 0
  for (const part of space.fixedParts) {
    macs += part.macs
    parameters += part.parameters
  }
  for (const [index, block] of space.blocks.entries()) {
    const operation = block.operations[path[index] as number]
    macs += operation?.macs ?? 0
    parameters += operation?.parameters ?? 0
  }
  return { macs, parameters }
}

/** Throws SpaceError unless `path` has one existing operation per block. */
function assertPath(space: Space, path: Path): void {
  if (path.length !== space.blocks.length) {
    throw new SpaceError('choices', 'path', `expected ${space.blocks.length} operations, one per block, got ${path.length}`)
  }
  for (const [index, block] of space.blocks.entries()) {
    const operation = path[index]
    if (operation === undefined || !Number.isInteger(operation) || !block.operations[operation]) {
      throw new SpaceError(
        'choices',
        `path[${index}]`,
        `expected an operation from 0 to ${block.operations.length - 1} of block ${block.name}, got ${operation}`,
      )
    }
  }
}

/** The path with the most multiply-accumulates in every block. */
function largestPath(space: Space): number[] {
  return space.blocks.map((block) =>
    block.operations.reduce((best, operation, index) => {
      const current = block.operations[best]
      return current !== undefined && operation.macs > current.macs ? index : best
    }, 0),
  )
}

/** A path drawn uniformly, block by block. */
function randomPath(space: Space, random: Random): number[] {
  return space.blocks.map(({ operations }) => random.integer(operations.length))
}

export {
  architectureCosts,
  assertPath,
  type Block,
  type Choice,
  type FixedPart,
  largestPath,
  type MeasurableOperation,
  type Operation,
  type Path,
  randomPath,
  type Space,
  SpaceError,
}
