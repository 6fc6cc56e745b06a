// The blocks of a space and what each of their choices depends on: several blocks may share decisions, and the width that a block begins
// with is what the decision before it gave.

import type { Shape } from '../../layer-graph.ts'
import type { Activation } from '../../layers/activation.ts'
import { type Decision, SpaceError } from '../../space.ts'
import { optionOf } from '../option-of.ts'
import { convolve } from '../mbconv/plan.ts'
import type { FbnetV2Config, Kernel, Splits } from './config.ts'

/** Numbers in ranges are added up from fractions of a hundredth at most. */
const PRECISION = 1e4

/** What a block is made of. */
type BlockSettings = {
  readonly kernel: Kernel
  readonly activation: Activation
  readonly splits: Splits
  readonly expansion: number
  /** Channels of its input and of its output. */
  readonly from: number
  readonly width: number
}

/** What a block may be, choice by choice. Options of a decision are in the order of its values here. */
type BlockValues = { readonly [Choice in keyof BlockSettings]: readonly BlockSettings[Choice][] }
type Choice = keyof BlockSettings

type Block = {
  readonly name: string
  /** Height and width of its input; its channels are chosen. */
  readonly input: readonly [height: number, width: number]
  readonly output: readonly [height: number, width: number]
  readonly stride: 1 | 2
  readonly values: BlockValues
  /** The decision that takes each choice; null for the width of the stem. */
  readonly decisions: { readonly [Name in Choice]: number | null }
}

type BlockPlan = {
  readonly decisions: readonly Decision[]
  /** Indices of the decisions of each place, which an encoding writes together. */
  readonly places: readonly (readonly number[])[]
  readonly blocks: readonly Block[]
}

type Range = FbnetV2Config['rows'][number]['widths']

/** Throws SpaceError `config` where the steps do not end at `to`. */
function valuesOf({ from, to, step }: Range, field: string): number[] {
  const steps = (to - from) / step
  const count = Math.round(steps)
  if (step <= 0 || steps < 0 || Math.abs(steps - count) > 1 / PRECISION) {
    throw new SpaceError('config', field, `expected steps of ${step} that lead from ${from} to ${to}`)
  }
  return Array.from({ length: count + 1 }, (_, i) => Math.round((from + i * step) * PRECISION) / PRECISION)
}

function requireDifferent(field: string, values: readonly (string | number)[]): void {
  if (new Set(values).size === values.length) return
  throw new SpaceError('config', `space.${field}`, `expected different ${field}, got ${values.join(', ')}`)
}

const SKIP = 'skip'
const optionNames: { readonly [Name in Exclude<Choice, 'from'>]: (value: BlockSettings[Name]) => string } = {
  kernel: (kernel) => (kernel === 0 ? SKIP : `k${kernel}`),
  activation: (activation) => activation,
  splits: (splits) => `s${splits}`,
  expansion: (expansion) => `e${expansion}`,
  width: (width) => `c${width}`,
}
/** In the order in which decisions are listed and encoded. */
const chosen = ['kernel', 'activation', 'splits', 'expansion', 'width'] as const

/** Throws SpaceError `config` where settings contradict each other. */
function planBlocks(config: FbnetV2Config): BlockPlan {
  for (const field of ['kernels', 'activations', 'splits'] as const) requireDifferent(field, config[field])
  const decisions: Decision[] = []
  const places: number[][] = []
  const blocks: Block[] = []
  let size = convolve(config.input, config.stem.stride, config.stem.width)
  let from: { readonly values: readonly number[]; readonly decision: number | null } = { values: [config.stem.width], decision: null }

  const decide = (place: string, where: string, values: Omit<BlockValues, 'from'>) => {
    const own = chosen.map((choice) => {
      // Each choice has names for its own values.
      const nameOf = optionNames[choice] as (value: unknown) => string
      const options = values[choice].map((value) => optionOf(nameOf(value), [SKIP]))
      return decisions.push({ name: `${place}.${choice}`, where, options }) - 1
    })
    places.push(own)
    return Object.fromEntries(chosen.map((choice, i) => [choice, own[i]])) as Readonly<Record<(typeof chosen)[number], number>>
  }

  for (const [index, row] of config.rows.entries()) {
    const rowName = `row${index + 1}`
    const values = {
      kernel: config.kernels,
      activation: config.activations,
      splits: config.splits,
      expansion: valuesOf(row.expansions, `space.rows[${index}].expansions`),
      width: valuesOf(row.widths, `space.rows[${index}].widths`),
    }
    let taken: ReturnType<typeof decide> | null = null
    for (let block = 0; block < row.blocks; block++) {
      const name = `${rowName}.${block + 1}`
      const stride = block === 0 ? row.stride : 1
      const output = convolve(size, stride, 1)
      const where = `${size[0]}x${size[1]} to ${output[0]}x${output[1]}`
      if (!taken || config.choices === 'block') {
        const isShared = config.choices === 'row' && row.blocks > 1
        taken = isShared
          ? decide(rowName, `${where}, ${row.blocks} blocks`, values)
          : decide(config.choices === 'row' ? rowName : name, where, values)
      }
      blocks.push({
        name,
        input: [size[0], size[1]],
        output: [output[0], output[1]],
        stride,
        values: { ...values, from: from.values },
        decisions: { ...taken, from: from.decision },
      })
      from = { values: values.width, decision: taken.width }
      size = output
    }
  }
  return { decisions, places, blocks }
}

/** The shape that a block reads, with the channels that its input was given. */
function inputShape({ input }: Block, { from }: BlockSettings): Shape {
  return [input[0], input[1], from]
}

export { type Block, type BlockSettings, type BlockValues, type Choice, inputShape, planBlocks }
