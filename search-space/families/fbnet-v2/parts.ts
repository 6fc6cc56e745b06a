// What costs something in a block, each with the choices that it depends on and nothing else: so a sum over them says what every
// combination costs, and a latency table has one entry for each of them instead of one for each combination.

import { totalCosts } from '../../layer-costs.ts'
import { latencyKey, type LatencyOperation } from '../../latency-key.ts'
import type { LayerGraph, PrimitiveLayer, Shape } from '../../layer-graph.ts'
import type { Part } from '../../space.ts'
import type { Written } from '../part-writer.ts'
import {
  hasExpand,
  hasShortcut,
  hiddenWidth,
  innerShape,
  outputShape,
  type Rounding,
  writeDepthwise,
  writeExpand,
  writeProject,
  writeSkip,
} from './block.ts'
import { type Block, type BlockSettings, type Choice, inputShape } from './plan.ts'

/** Something that can be measured by itself. */
type Piece = {
  readonly name: string
  readonly operation: string
  readonly key: LatencyOperation
  readonly from: Shape
  write(input: string): Written
}

type BlockPart = {
  readonly choices: readonly Choice[]
  /** Null where the block has no such part. */
  pieceOf(block: Block, settings: BlockSettings, rounding: Rounding): Piece | null
}

const expand: BlockPart = {
  choices: ['from', 'kernel', 'activation', 'expansion'],
  pieceOf(block, settings, rounding) {
    if (!hasExpand(settings, rounding)) return null
    const [input, output] = [inputShape(block, settings), innerShape(block, settings, rounding, 'input')]
    return {
      name: `${block.name}/expand`,
      operation: 'expand',
      key: { type: 'ConvActivation', input, output, kernel: 1, stride: 1, activation: settings.activation },
      from: input,
      write: (id) => writeExpand(block, settings, rounding, id),
    }
  },
}

const depthwise: BlockPart = {
  choices: ['from', 'kernel', 'activation', 'splits', 'expansion'],
  pieceOf(block, settings, rounding) {
    const { kernel, splits, activation } = settings
    if (kernel === 0) return null
    const [input, output] = [innerShape(block, settings, rounding, 'input'), innerShape(block, settings, rounding, 'output')]
    const hidden = splits === 0 ? 0 : hiddenWidth(settings, rounding)
    return {
      name: `${block.name}/depthwise`,
      operation: `k${kernel}${splits === 0 ? '' : `s${splits}`}`,
      key: { type: 'SplitDepthwise', input, output, kernel, stride: block.stride, splits, hidden, activation },
      from: input,
      write: (id) => writeDepthwise(block, settings, rounding, id),
    }
  },
}

/** The way out of the block, with its shortcut; of a skipped one, the convolution that stands for it. */
const project: BlockPart = {
  choices: ['from', 'kernel', 'expansion', 'width'],
  pieceOf(block, settings, rounding) {
    const shortcut = hasShortcut(block, settings)
    const output = outputShape(block, settings)
    if (settings.kernel === 0) {
      if (shortcut) return null
      const input = inputShape(block, settings)
      return {
        name: `${block.name}/skip`,
        operation: 'identity',
        key: { type: 'Projection', input, output, stride: block.stride },
        from: input,
        write: (id) => writeSkip(block, settings, rounding, id),
      }
    }
    const input = innerShape(block, settings, rounding, 'output')
    return {
      name: `${block.name}/project`,
      operation: 'project',
      key: { type: 'ConvLinear', input, output, shortcut },
      from: input,
      // Measured by itself, it adds its own output once more: an addition of that size, wherever the numbers come from.
      write: (id) => writeProject(block, settings, rounding, id, `${block.name}/project.norm`),
    }
  },
}

const blockParts = [expand, depthwise, project] as const

/** The same layers, and what they read by the name `input`. */
function graphOf({ from, write }: Piece): LayerGraph & { readonly layers: readonly PrimitiveLayer[] } {
  return { layers: [{ kind: 'input', id: 'input', shape: from }, ...write('input').layers] }
}

function costsOf(piece: Piece): Omit<Part, 'name' | 'operation' | 'latencyKey'> {
  const { layers } = graphOf(piece)
  return { ...totalCosts(layers), input: piece.from, output: layers.at(-1)?.shape ?? piece.from }
}

/** The parts that pieces are: many combinations of options have the same. */
function createPartCosts(): (piece: Piece) => Part {
  const costs = new Map<string, Omit<Part, 'name' | 'operation' | 'latencyKey'>>()
  const parts = new Map<string, Part>()
  return (piece) => {
    const { name, operation } = piece
    const key = latencyKey(piece.key)
    const known = parts.get(`${name} ${key}`)
    if (known) return known
    // Pieces of one key compute the same.
    const own = costs.get(key) ?? costsOf(piece)
    costs.set(key, own)
    const part = { name, operation, latencyKey: key, ...own }
    parts.set(`${name} ${key}`, part)
    return part
  }
}

export { type BlockPart, blockParts, createPartCosts, graphOf, type Piece }
