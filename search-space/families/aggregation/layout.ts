// The places of a network: what is at each of them, before it is known what it reads.

import type { Shape } from '../../layer-graph.ts'
import type { Place } from '../places.ts'
import type { Aggregation, AggregationConfig } from './config.ts'
import { additionAt, concatenationAt, convolutionAt, headAt, poolAt, stemAt } from './parts.ts'
import { type Edge, isSettled, type Plan, planReaders, type Reader, UNIT_KERNEL } from './plan.ts'

type Layout = {
  readonly plan: Plan
  readonly stem: Place
  readonly head: Place
  /** Of the whole network, in order. */
  readonly readers: readonly Reader[]
  /** The convolution over all that a settled reader reads, elsewhere over the output just before it; null for a classifier. */
  convolutionOf(reader: Reader): Place | null
  /** The convolution over one further output. */
  sourceAt(reader: Reader, edge: Edge): Place
  /** What follows the convolution of a reader. */
  behind(reader: Reader): Place[]
  /** What every network has at a reader, in order. */
  fixedOf(reader: Reader): Place[]
  optionPlaces(reader: Reader, edge: Edge, aggregation: Aggregation): Place[]
}

const nameOf = (reader: Reader, { source }: Edge) => `${reader.name}/from${source}`

/** Outputs of which every network makes the same. */
function settledSources({ edges }: Reader, aggregation: Aggregation): readonly Edge[] {
  return edges.filter(({ options, decision }) => decision === null && options[0] === aggregation)
}

/** The shape of what the convolution of a settled reader reads. */
function settledInput(reader: Reader): Shape {
  const [height, width, channels] = reader.last
  return [height, width, settledSources(reader, 'concat').reduce((sum, { shape }) => sum + shape[2], channels)]
}

/** How many additions every network has at a reader: equal sums, in the order of the outputs, are added up once. */
function countAdditions(readers: readonly Reader[]): Map<Reader, number> {
  const known = new Set<string>()
  return new Map(
    readers.map((reader) => {
      const all = [...settledSources(reader, 'sum').map(({ source }) => source), reader.position - 1]
      const own = all.slice(1).map((_, i) => `${reader.stage}: ${all.slice(0, i + 2).join()}`)
      const fresh = own.filter((sum) => !known.has(sum))
      for (const sum of fresh) known.add(sum)
      return [reader, fresh.length]
    }),
  )
}

/** Throws SpaceError `config` where settings contradict each other. */
function createLayout(config: AggregationConfig): Layout {
  const { input, classes, stem } = config
  const plan = planReaders(config)
  const readers = plan.stages.flatMap(({ units, exit }) => [...units, exit])
  const last = readers.at(-1) as Reader
  const additions = countAdditions(readers)

  const convolutionOf = (reader: Reader): Place | null => {
    const { convolution } = reader
    if (!convolution) return null
    const from = isSettled(reader) ? settledInput(reader) : reader.last
    return convolutionAt(reader.name, 'conv', from, convolution.kernel, convolution.shape, config)
  }
  const sourceAt = (reader: Reader, edge: Edge): Place => {
    if (!reader.convolution) throw new Error(`${reader.name} has no convolution to read output ${edge.source} with`)
    const { kernel, shape } = reader.convolution
    return convolutionAt(nameOf(reader, edge), 'concat', edge.shape, kernel, shape, config)
  }
  const behind = ({ name, convolution, inner, isHalved }: Reader): Place[] => [
    ...(convolution && inner ? [convolutionAt(`${name}/inner`, 'conv', convolution.shape, UNIT_KERNEL, inner, config)] : []),
    ...(convolution && isHalved ? [poolAt(`${name}/pool`, convolution.shape)] : []),
  ]
  const fixedOf = (reader: Reader): Place[] => {
    const sums = Array.from({ length: additions.get(reader) ?? 0 }, (_, i) => additionAt(`${reader.name}/sum${i + 1}`, reader.last))
    const concats = settledSources(reader, 'concat')
    const read = isSettled(reader)
      ? [concatenationAt(`${reader.name}/concat`, settledInput(reader))]
      : concats.map((edge) => sourceAt(reader, edge))
    const convolution = convolutionOf(reader)
    return [...sums, ...(concats.length > 0 ? read : []), ...(convolution ? [convolution] : []), ...behind(reader)]
  }
  const optionPlaces = (reader: Reader, edge: Edge, aggregation: Aggregation): Place[] => {
    switch (aggregation) {
      case 'none':
        return []
      case 'sum':
        return [additionAt(nameOf(reader, edge), reader.last)]
      case 'concat':
        return [sourceAt(reader, edge)]
      default:
        return aggregation satisfies never
    }
  }
  return {
    plan,
    stem: stemAt(input, plan.stem, stem.stride, config),
    head: headAt(last.convolution?.shape ?? settledInput(last), classes, config),
    readers,
    convolutionOf,
    sourceAt,
    behind,
    fixedOf,
    optionPlaces,
  }
}

export { createLayout, type Layout, nameOf, settledInput, settledSources }
