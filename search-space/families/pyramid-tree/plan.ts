// Shapes of a network of trees, and the edges of a tree. Where a block's bottleneck has n channels, its 3×3 convolution makes so many that its tree
// ends with n:
//
//   n = made · Π over levels of (1/2 where branches get half of the channels) · (2 where they are concatenated)
//
// so that edges keep the channels of their branch.

import type { Shape } from '../../layer-graph.ts'
import { SpaceError } from '../../space.ts'
import type { PyramidTreeConfig, TreeLevel } from './config.ts'

const BRANCHES = 2

/** An edge that is a decision, by the branches that lead to it, such as `0.1.0`. */
type TreeEdge = { readonly name: string; readonly level: number }

type Block = {
  /** `block1` and so on. */
  readonly name: string
  readonly input: Shape
  /** Of what the 1×1 convolution makes in front of the 3×3 one. */
  readonly narrow: Shape
  /** Of what the tree reads. */
  readonly made: Shape
  /** Of what the tree makes. */
  readonly merged: Shape
  readonly output: Shape
}

type TreePlan = { readonly stem: Shape; readonly blocks: readonly Block[]; readonly edges: readonly TreeEdge[] }

/** What a node's channels are multiplied by from its input to its output, its levels below included. */
function channelFactor(levels: readonly TreeLevel[]): number {
  return levels.reduce(
    (factor, { allocation, merge }) => factor * (allocation === 'split' ? 1 / BRANCHES : 1) * (merge === 'concat' ? BRANCHES : 1),
    1,
  )
}

/** Of each branch of a node. */
function branchShape({ allocation }: TreeLevel, [height, width, channels]: Shape): Shape {
  return [height, width, allocation === 'split' ? channels / BRANCHES : channels]
}

/** The decisions of one tree: an edge, what is below it, the next edge. */
function listEdges(levels: readonly TreeLevel[], level = 0, path: readonly number[] = []): TreeEdge[] {
  const own = levels[level]
  if (!own) return []
  return Array.from({ length: BRANCHES }, (_, branch) => {
    const below = [...path, branch]
    const edge: TreeEdge[] = own.edges === 'chosen' ? [{ name: below.join('.'), level }] : []
    return [...edge, ...listEdges(levels, level + 1, below)]
  }).flat()
}

function checkLevels({ levels, operations }: PyramidTreeConfig): void {
  if (new Set(operations).size < operations.length) {
    throw new SpaceError('config', 'space.operations', `expected different operations, got ${operations.join(', ')}`)
  }
  if (levels.every(({ edges }) => edges === 'identity')) {
    throw new SpaceError('config', 'space.levels', 'expected a level whose edges are chosen, got identities alone')
  }
  for (const [index, { residual }] of levels.entries()) {
    const below = levels.slice(index + 1)
    const field = `space.levels[${index}].residual`
    if (residual && below.length === 0) throw new SpaceError('config', field, 'expected false at the last level, which has none below it')
    if (residual && channelFactor(below) !== 1) {
      throw new SpaceError(
        'config',
        field,
        `expected levels below that keep the number of channels, got ${channelFactor(below)} times as many`,
      )
    }
  }
}

/** Of a tree that reads `made`. Throws SpaceError `config` where a level cannot halve its channels. */
function checkBranches(name: string, levels: readonly TreeLevel[], made: Shape): void {
  let shape = made
  for (const [index, level] of levels.entries()) {
    shape = branchShape(level, shape)
    if (!Number.isInteger(shape[2])) {
      throw new SpaceError(
        'config',
        `space.levels[${index}].allocation`,
        `cannot halve the ${2 * shape[2]} channels of ${name} there; more groups help`,
      )
    }
  }
}

/** Throws SpaceError `config` where settings contradict each other. */
function planTrees(config: PyramidTreeConfig): TreePlan {
  const { input, width, addedWidth, stages, blocks, bottleneck, groups, levels } = config
  checkLevels(config)
  if ([input[0], input[1]].some((side) => side % 2 ** (stages - 1) !== 0)) {
    throw new SpaceError('config', 'space.input', `expected sides that can be halved ${stages - 1} times, got ${input.join('×')}`)
  }
  const planned: Block[] = []
  const stem: Shape = [input[0], input[1], width]
  let from = stem
  let planes = width
  for (let index = 0; index < stages * blocks; index++) {
    const name = `block${index + 1}`
    planes += addedWidth / (stages * blocks)
    const rounded = Math.round(planes)
    const channels = rounded - (rounded % groups)
    const halves = index > 0 && index % blocks === 0
    const [height, columns] = halves ? [from[0] / 2, from[1] / 2] : from
    const made = channels / channelFactor(levels)
    const output: Shape = [height, columns, bottleneck * channels]
    if (channels < 1 || made % groups !== 0) {
      throw new SpaceError(
        'config',
        'space.groups',
        `expected groups that divide the ${channels} and ${made} channels of ${name}, got ${groups}`,
      )
    }
    if (output[2] < from[2]) {
      throw new SpaceError('config', 'space.bottleneck', `expected blocks that widen, got ${name} from ${from[2]} to ${output[2]} channels`)
    }
    const block: Block = {
      name,
      input: from,
      narrow: [from[0], from[1], channels],
      made: [height, columns, made],
      merged: [height, columns, channels],
      output,
    }
    checkBranches(name, levels, block.made)
    planned.push(block)
    from = output
  }
  return { stem, blocks: planned, edges: listEdges(levels) }
}

export { type Block, BRANCHES, branchShape, planTrees, type TreeEdge, type TreePlan }
