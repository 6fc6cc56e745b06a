// MBConv networks whose blocks choose kernel, non-linearity, attention, expansion and width (FBNetV2: Wan et al. 2020; FP-NAS: Yan et al. 2021,
// section 4.1): 3×3 convolution, rows of blocks (block.ts), 1×1 convolution, mean over each channel, classifier. Choices are taken for
// each row or for each block.
//
// All widths and expansions of a block read the first channels of the same weights, so that the supernet is as large as its largest
// network, and training a path takes the memory of that path. What a block costs depends on the width before it.
//
// Gates are refused: a decision changes the shapes of what follows, so its options cannot run side by side in one network.

import { combinationAt } from '../../combinations.ts'
import { findOption } from '../../encoding.ts'
import { latencyKey } from '../../latency-key.ts'
import { totalCosts } from '../../layer-costs.ts'
import type { Layer, LayerGraph, Shape, WeightSpec } from '../../layer-graph.ts'
import {
  assertPath,
  type Choice as Taken,
  type CostTerm,
  type Decision,
  type Encoding,
  type MeasurableOperation,
  type Part,
  type Path,
  type Space,
  SpaceError,
} from '../../space.ts'
import { joinWeights } from '../../weight-keys.ts'
import { isWhole } from '../../weight-slices.ts'
import { convolve } from '../mbconv/plan.ts'
import { createPartWriter, type Written } from '../part-writer.ts'
import { hasExpand, writeBlock } from './block.ts'
import type { FbnetV2Config } from './config.ts'
import { blockParts, createPartCosts, graphOf, type Piece } from './parts.ts'
import { type Block, type BlockSettings, type BlockValues, type Choice, planBlocks } from './plan.ts'

const STEM_KERNEL = 3
/** Latencies of so many are one row of a search's storage, at 20 bytes each. */
const MAX_COMBINATIONS = 80_000
const GATE_REFUSAL = 'its options change the shapes of what follows, so they cannot run side by side'

/** As `k3-swish-s1-e2.25-c24,…`: the options of each place, hyphens within and commas between places. */
function placeEncoding(decisions: readonly Decision[], places: readonly (readonly number[])[]): Encoding {
  const nameOf = (path: Path, index: number) => decisions[index]?.options[path[index] as number]?.name
  const print = (path: Path) => places.map((own) => own.map((index) => nameOf(path, index)).join('-')).join(',')
  return {
    print,
    read(text) {
      const names = text.split(',').map((place) => place.split('-'))
      if (names.map(({ length }) => length).join() !== places.map(({ length }) => length).join()) {
        const form = print(decisions.map(() => 0))
        throw new SpaceError('encoding', 'architecture', `expected an architecture of the form ${form}, got "${text}"`)
      }
      const path: number[] = []
      for (const [place, own] of places.entries())
        for (const [i, index] of own.entries()) path[index] = findOption(decisions[index] as Decision, index, names[place]?.[i])
      return path
    },
  }
}

/** Every combination of values of some choices; the other choices are as in `rest`. A width that goes through stays the same. */
function* combinationsOf(values: BlockValues, choices: readonly Choice[], rest: BlockSettings): Generator<BlockSettings> {
  const counts = choices.map((choice) => values[choice].length)
  const total = counts.reduce((product, count) => product * count, 1)
  for (let index = 0; index < total; index++) {
    const settings: Record<string, unknown> = { ...rest }
    for (const [i, option] of combinationAt(counts, index).entries()) settings[choices[i] as Choice] = values[choices[i] as Choice][option]
    yield settings as BlockSettings
  }
}

const largest = (values: readonly number[]) => Math.max(...values)

/** The largest block of these values, with the kernel given. */
function largestSettings(values: BlockValues, kernel: BlockSettings['kernel']): BlockSettings {
  return {
    kernel,
    activation: values.activation[0] as BlockSettings['activation'],
    splits: largest(values.splits) as BlockSettings['splits'],
    expansion: largest(values.expansion),
    from: largest(values.from),
    width: largest(values.width),
  }
}

/** The weights that blocks of these values read, each as large as the largest part of it that one reads. */
function weightsOfBlock(block: Block, values: BlockValues, config: FbnetV2Config): WeightSpec[] {
  const isTied = block.decisions.from === block.decisions.width
  const tie = (settings: BlockSettings) => (isTied ? { ...settings, width: settings.from } : settings)
  const written = values.kernel.flatMap((kernel) => {
    const most = tie(largestSettings(values, kernel))
    // The largest has all weights that there are, but for layers that are left out where nothing changes.
    const isAll = kernel === 0 ? most.from !== most.width || block.stride !== 1 : hasExpand(most, config)
    const choices: readonly Choice[] = kernel === 0 ? ['from', 'width'] : ['from', 'expansion']
    const all = isAll ? [most] : [...combinationsOf(values, choices, most)].map(tie)
    return all.flatMap((settings) => writeBlock(block, settings, config, 'input').weightSpecs)
  })
  return [...joinWeights(written).values()]
}

/** Decisions that a part of a block depends on, ascending. */
function decisionsOf(block: Block, choices: readonly Choice[]): number[] {
  const own = choices.map((choice) => block.decisions[choice]).filter((decision) => decision !== null)
  return [...new Set(own)].sort((a, b) => a - b)
}

/** Throws SpaceError `config` where latencies of all combinations are more than a search can store. */
function checkCombinations(decisions: readonly Decision[], blocks: readonly Block[]): void {
  const terms = new Map(
    blocks.flatMap((block) =>
      blockParts.map(({ choices }) => {
        const own = decisionsOf(block, choices)
        return [own.join(), own.reduce((product, decision) => product * (decisions[decision] as Decision).options.length, 1)] as const
      }),
    ),
  )
  const combinations = [...terms.values()].reduce((sum, count) => sum + count, 0)
  if (combinations <= MAX_COMBINATIONS) return
  const message = `expected at most ${MAX_COMBINATIONS} combinations of options that costs depend on, got ${combinations}`
  throw new SpaceError('config', 'space.rows', message)
}

/** Throws SpaceError `config` where settings contradict each other. */
function createFbnetV2Space(config: FbnetV2Config): Space {
  const { name, input, classes, stem, outerActivation, headWidth, batchNormEpsilon } = config
  const { decisions, places, blocks } = planBlocks(config)
  checkCombinations(decisions, blocks)
  const stemShape = convolve(input, stem.stride, stem.width)
  const lastBlock = blocks.at(-1) as Block
  const bodyShape = (width: number): Shape => [lastBlock.output[0], lastBlock.output[1], width]

  const convActivation = (prefix: string, from: Shape, kernel: number, stride: number, output: Shape): Piece => ({
    name: prefix,
    operation: 'conv',
    key: { type: 'ConvActivation', input: from, output, kernel, stride, activation: outerActivation },
    from,
    write(id) {
      const writer = createPartWriter(prefix, from, batchNormEpsilon)
      return writer.done(writer.activate('conv', writer.norm('conv', writer.conv('conv', id, kernel, stride, output)), outerActivation))
    },
  })
  const stemPiece = convActivation('stem', input, STEM_KERNEL, stem.stride, stemShape)
  const classifierOf = (from: Shape): Piece => ({
    name: 'classifier',
    operation: 'linear',
    key: { type: 'Logits', input: from, classes },
    from,
    write(id) {
      const writer = createPartWriter('classifier', from, batchNormEpsilon)
      return writer.done(writer.classifier(id, classes))
    },
  })
  /** What follows the last block, which has the width given. */
  const tailOf = (width: number): Piece[] => {
    const from = bodyShape(width)
    if (headWidth === null) return [classifierOf(from)]
    const output: Shape = [from[0], from[1], headWidth]
    return [convActivation('head', from, 1, 1, output), classifierOf(output)]
  }

  const settingsOf = ({ values, decisions: by }: Block, path: Path): BlockSettings => {
    const optionOf = (choice: Choice) => (by[choice] === null ? 0 : (path[by[choice]] as number))
    return {
      kernel: values.kernel[optionOf('kernel')] as BlockSettings['kernel'],
      activation: values.activation[optionOf('activation')] as BlockSettings['activation'],
      splits: values.splits[optionOf('splits')] as BlockSettings['splits'],
      expansion: values.expansion[optionOf('expansion')] as number,
      from: values.from[optionOf('from')] as number,
      width: values.width[optionOf('width')] as number,
    }
  }

  const valuesWithin = ({ values, decisions: by }: Block, options: readonly (readonly number[])[]): BlockValues => {
    const chosen = (choice: Choice) => {
      const decision = by[choice]
      return decision === null ? values[choice] : (options[decision] ?? []).map((option) => values[choice][option])
    }
    return Object.fromEntries((Object.keys(values) as Choice[]).map((choice) => [choice, chosen(choice)])) as unknown as BlockValues
  }

  /** By block and values: one decision changes few of them. */
  const knownWeights = new Map<string, WeightSpec[]>()
  const weightsWithin = (options: readonly (readonly number[])[]): WeightSpec[] => {
    const ofBlocks = blocks.flatMap((block) => {
      const values = valuesWithin(block, options)
      const text = `${block.name} ${JSON.stringify(values)}`
      const known = knownWeights.get(text) ?? weightsOfBlock(block, values, config)
      knownWeights.set(text, known)
      return known
    })
    const last = largest(valuesWithin(lastBlock, options).width)
    const specsOf = (pieces: readonly Piece[]) => pieces.flatMap(({ write }) => write('input').weightSpecs)
    return [...specsOf([stemPiece]), ...ofBlocks, ...specsOf(tailOf(last))]
  }
  const all = decisions.map(({ options }) => options.map((_, option) => option))
  const sized = new Set(blocks.flatMap(({ decisions: by }) => [by.expansion, by.width]))
  // The first option of a range is its smallest.
  const least = weightsWithin(all.map((options, decision) => (sized.has(decision) ? options.slice(0, 1) : options)))
  const smallest = new Map(least.map(({ key, shape }) => [key, shape]))
  const weightSpecs = weightsWithin(all).map((spec): WeightSpec => {
    return isWhole(spec.shape, smallest.get(spec.key) ?? []) ? spec : { ...spec, sliced: true }
  })

  const network = (choices: readonly Taken[]): LayerGraph => {
    const path = choices.map((choice) => (typeof choice === 'number' ? choice : choice.active))
    assertPath({ decisions }, path)
    const gated = choices.findIndex((choice) => typeof choice !== 'number' && choice.inactive.length > 0)
    if (gated !== -1)
      throw new SpaceError('choices', `choices[${gated}]`, `decision ${decisions[gated]?.name} has no gates: ${GATE_REFUSAL}`)
    const layers: Layer[] = [{ kind: 'input', id: 'input', shape: input }]
    const append = (written: Written): string => {
      layers.push(...written.layers)
      return written.output
    }
    let output = append(stemPiece.write('input'))
    for (const block of blocks) output = append(writeBlock(block, settingsOf(block, path), config, output))
    for (const piece of tailOf(settingsOf(lastBlock, path).width)) output = append(piece.write(output))
    return { layers }
  }

  const costOf = createPartCosts()
  /** The parts of the blocks that depend on the same decisions, by these. */
  const listTerms = (): CostTerm[] => {
    const byDecisions = new Map<string, { decisions: readonly number[]; parts: Part[][] }>()
    const termOf = (own: readonly number[]) => {
      const count = own.reduce((product, decision) => product * (decisions[decision] as Decision).options.length, 1)
      const known = byDecisions.get(own.join()) ?? { decisions: own, parts: Array.from({ length: count }, () => []) }
      byDecisions.set(own.join(), known)
      return known.parts
    }
    const addTerm = (on: readonly number[], piecesAt: (path: Path) => readonly (Piece | null)[]) => {
      const counts = on.map((decision) => (decisions[decision] as Decision).options.length)
      const path: number[] = decisions.map(() => 0)
      for (const [index, parts] of termOf(on).entries()) {
        for (const [i, option] of combinationAt(counts, index).entries()) path[on[i] as number] = option
        for (const piece of piecesAt(path)) if (piece) parts.push(costOf(piece))
      }
    }
    addTerm([], () => [stemPiece])
    for (const block of blocks) {
      for (const part of blockParts) {
        addTerm(decisionsOf(block, part.choices), (path) => [part.pieceOf(block, settingsOf(block, path), config)])
      }
    }
    addTerm(decisionsOf(lastBlock, ['width']), (path) => tailOf(settingsOf(lastBlock, path).width))
    return [...byDecisions.values()]
  }
  let terms: CostTerm[] | null = null

  const measurableOperations = (): MeasurableOperation[] => {
    const pieces = new Map<string, Piece>()
    const add = (piece: Piece | null) => {
      if (piece && !pieces.has(latencyKey(piece.key))) pieces.set(latencyKey(piece.key), piece)
    }
    add(stemPiece)
    // Blocks of one shape, stride and values have the same.
    const shapeOf = ({ input: from, stride, values, decisions: by }: Block) => JSON.stringify([from, stride, values, by.from === by.width])
    for (const block of new Map(blocks.map((each) => [shapeOf(each), each])).values()) {
      const isTied = block.decisions.from === block.decisions.width
      for (const part of blockParts) {
        const choices = isTied ? part.choices.filter((choice) => choice !== 'width') : part.choices
        for (const settings of combinationsOf(block.values, choices, largestSettings(block.values, 0)))
          add(part.pieceOf(block, isTied ? { ...settings, width: settings.from } : settings, config))
      }
    }
    for (const width of lastBlock.values.width) for (const piece of tailOf(width)) add(piece)
    return [...pieces].map(([key, piece]) => {
      const graph = graphOf(piece)
      return { latencyKey: key, graph, ...totalCosts(graph.layers) }
    })
  }

  return {
    name,
    input,
    classes,
    decisions,
    /** Worked out when first asked for: agents and shards need none. */
    get terms() {
      terms ??= listTerms()
      return terms
    },
    encoding: placeEncoding(decisions, places),
    weightSpecs,
    weightsWithin,
    gateRefusal: GATE_REFUSAL,
    network,
    measurableOperations,
  }
}

export { createFbnetV2Space }
