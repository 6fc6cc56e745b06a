// What everything else knows of a search space. Strategies see decisions and how many options each has, executors see layer
// graphs, latency sees keys of parts; only the space knows how these belong together.

import { combinationIndex } from './combinations.ts'
import type { LayerGraph, Shape, WeightSpec } from './layer-graph.ts'
import type { Random } from './random.ts'

/** What a decision may be. One that computes something is an operation. */
type Option = {
  /** Unique within its decision, for example `mb6k5`, `zero` or `nor_conv_3x3`. */
  readonly name: string
  /** True for an option that leaves its place out of the network: as the active one it has no gates and takes no update. */
  readonly isZero: boolean
  /** True for an option that puts no operation in its place: nothing, the identity, or no more than what makes shapes agree. */
  readonly isSkip?: boolean
}

/** A named choice among options: what a strategy decides. It may act in many places of the network. */
type Decision = {
  readonly name: string
  /** Where it acts, for people, for example `28x28x16 to 14x14x24`. */
  readonly where: string
  readonly options: readonly Option[]
}

/** A part of a network: what costs something. */
type Part = {
  readonly name: string
  /** What it computes, for example `conv`, `mb6k5` or `avg_pool_3x3`. */
  readonly operation: string
  /** Key of its entry in a latency table; null costs nothing. */
  readonly latencyKey: string | null
  /** Multiply-accumulates for one image. */
  readonly macs: number
  readonly parameters: number
  /** Where the family says them. */
  readonly input?: Shape
  readonly output?: Shape
}

/**
 * Parts that are there by some decisions. Costs of an architecture are sums over all terms of its space, so that an expectation
 * has a closed form: E = Σ over terms and options of these decisions of Π p · F.
 */
type CostTerm = {
  /** Indices, ascending. None: every architecture has these parts. */
  readonly decisions: readonly number[]
  /** By the options of these decisions, those of the last decision counting fastest. */
  readonly parts: readonly (readonly Part[])[]
}

/** How a decision is taken: one option, or an active one with others whose gate gradients are wanted (mixed layers). */
type Choice = number | { readonly active: number; readonly inactive: readonly number[] }

/** One operation on its own, to be measured. */
type MeasurableOperation = {
  readonly latencyKey: string
  readonly graph: LayerGraph
  readonly macs: number
  readonly parameters: number
}

/** `read` says what is wrong as a SpaceError `encoding`. */
type Encoding = {
  print(path: Path): string
  read(text: string): number[]
  /** As the family's authors write it, which `read` reads as well; null for an architecture that they have no words for. */
  publish?(path: Path): string | null
}

type Space = {
  readonly name: string
  readonly input: Shape
  readonly classes: number
  readonly decisions: readonly Decision[]
  readonly terms: readonly CostTerm[]
  /** Architectures as text, without the space's name; see encoding.ts. */
  readonly encoding: Encoding
  /** Every weight of the supernet, in the order of its layers. */
  readonly weightSpecs: readonly WeightSpec[]
  /** The network in which each decision is taken as its choice says. Throws SpaceError `choices` for choices not of this space. */
  network(choices: readonly Choice[]): LayerGraph
  /** Why decisions have no gates, where they have none: `network` then takes options alone. */
  readonly gateRefusal?: string
  /**
   * Where options share weights, whole or in part: the weights of networks whose decisions take these options alone, by
   * [decision][option index], each as large as the largest part of it that one of them reads. Left out where each weight belongs to one
   * option of one decision, or to all networks.
   */
  weightsWithin?(options: readonly (readonly number[])[]): WeightSpec[]
  /**
   * Keys of the weights that networks have by one option of one decision, in a space that can say so without making these networks: of thousands
   * of options that would take long. Left out where options share weights.
   */
  optionWeights?(decision: number, option: number): string[]
  /**
   * Where its authors do not take the most probable option of each decision: the probabilities, [decision][option], with 0 for what they
   * leave out of the architecture that they derive from them.
   */
  derivable?(probabilities: readonly (readonly number[])[]): number[][]
  /** Every operation that a latency table of this space must hold, each key once. */
  measurableOperations(): MeasurableOperation[]
}

/** An architecture: one option index per decision. */
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

/** How many options each decision has, or each one of a term. */
function optionCounts({ decisions }: Pick<Space, 'decisions'>, term?: Pick<CostTerm, 'decisions'>): number[] {
  const own = term ? term.decisions.map((decision) => decisions[decision] as Decision) : decisions
  return own.map(({ options }) => options.length)
}

/** The parts that a term has in an architecture. */
function partsOfTerm(space: Space, term: CostTerm, path: Path): readonly Part[] {
  const options = term.decisions.map((decision) => path[decision] as number)
  return term.parts[combinationIndex(optionCounts(space, term), options)] as readonly Part[]
}

/** The parts of an architecture, term by term. Throws SpaceError `choices` if the path is not of this space. */
function partsOf(space: Space, path: Path): Part[] {
  assertPath(space, path)
  return space.terms.flatMap((term) => partsOfTerm(space, term, path))
}

/** The parts that every architecture has. */
function fixedParts(space: Space): Part[] {
  return space.terms.flatMap(({ decisions, parts }) => (decisions.length === 0 ? (parts[0] ?? []) : []))
}

/** The parts that are there by one option of one decision alone. */
function optionParts(space: Space, decision: number, option: number): Part[] {
  return space.terms.flatMap(({ decisions, parts }) => (decisions.length === 1 && decisions[0] === decision ? (parts[option] ?? []) : []))
}

/** Whether costs are sums over single decisions. */
function isAdditive(space: Space): boolean {
  return space.terms.every(({ decisions }) => decisions.length <= 1)
}

/** Sums over the parts of an architecture. Throws SpaceError `choices` if the path is not of this space. */
function architectureCosts(space: Space, path: Path): { macs: number; parameters: number } {
  let macs = 0
  let parameters = 0
  for (const part of partsOf(space, path)) {
    macs += part.macs
    parameters += part.parameters
  }
  return { macs, parameters }
}

/** Throws SpaceError unless `path` has one existing option per decision. */
function assertPath(space: Pick<Space, 'decisions'>, path: Path): void {
  if (path.length !== space.decisions.length) {
    throw new SpaceError('choices', 'path', `expected ${space.decisions.length} options, one per decision, got ${path.length}`)
  }
  for (const [index, { name, options }] of space.decisions.entries()) {
    const option = path[index]
    if (option === undefined || !Number.isInteger(option) || !options[option]) {
      throw new SpaceError('choices', `path[${index}]`, `expected an option from 0 to ${options.length - 1} of ${name}, got ${option}`)
    }
  }
}

/**
 * The path with the most multiply-accumulates: in an additive space exactly, elsewhere one that no single other option makes
 * larger.
 */
function largestPath(space: Space): number[] {
  const macsOf = (path: Path) => architectureCosts(space, path).macs
  const improve = (from: readonly number[]) => {
    const path = [...from]
    for (const [decision, { options }] of space.decisions.entries()) {
      const macs = options.map((_, option) => macsOf(path.with(decision, option)))
      path[decision] = macs.indexOf(Math.max(...macs))
    }
    return path
  }
  let best = improve(space.decisions.map(() => 0))
  for (;;) {
    const next = improve(best)
    if (macsOf(next) <= macsOf(best)) return best
    best = next
  }
}

/** A path drawn uniformly, decision by decision. */
function randomPath(space: Space, random: Random): number[] {
  return space.decisions.map(({ options }) => random.integer(options.length))
}

export {
  architectureCosts,
  assertPath,
  type Choice,
  type CostTerm,
  type Decision,
  type Encoding,
  fixedParts,
  isAdditive,
  largestPath,
  type MeasurableOperation,
  type Option,
  optionCounts,
  optionParts,
  type Part,
  partsOf,
  type Path,
  randomPath,
  type Space,
  SpaceError,
}
