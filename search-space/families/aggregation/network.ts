// The network of an architecture, or one in which decisions have gates.

import type { Layer, LayerGraph, Shape } from '../../layer-graph.ts'
import { assertPath, type Choice, type Decision } from '../../space.ts'
import { activePath, mixedLayer, optionsOf } from '../gates.ts'
import type { Written } from '../part-writer.ts'
import type { Aggregation } from './config.ts'
import { type Layout, nameOf, settledInput, settledSources } from './layout.ts'
import { additionAt, concatenationAt } from './parts.ts'
import { type Edge, isSettled, type Reader } from './plan.ts'

/** Indices of the options that a choice takes, the active one first. Throws SpaceError `choices`. */
function optionsTaken(decisions: readonly Decision[], choices: readonly Choice[]): readonly (readonly number[])[] {
  const taken = choices.map(optionsOf)
  const active = activePath(choices)
  assertPath({ decisions }, active)
  for (const [decision, options] of taken.entries()) {
    for (const option of options.slice(1)) assertPath({ decisions }, active.with(decision, option))
  }
  return taken
}

/** Throws SpaceError `choices` for choices that are not of the space. */
function writeNetwork(layout: Layout, decisions: readonly Decision[], input: Shape, choices: readonly Choice[]): LayerGraph {
  const { plan, stem, head, convolutionOf, sourceAt, behind } = layout
  const taken = optionsTaken(decisions, choices)
  const layers: Layer[] = [{ kind: 'input', id: 'input', shape: input }]
  const append = (written: Written): string => {
    layers.push(...written.layers)
    return written.output
  }

  /** Ids of sums by those of what is added: equal ones are added up once. */
  const sums = new Map<string, string>()
  const sumOf = (summands: readonly string[], prefix: string, shape: Shape): string =>
    summands.reduce((sum, other, i) => {
      const text = `${sum} ${other}`
      const id = sums.get(text) ?? append(additionAt(`${prefix}${i}`, shape, other).write(sum))
      sums.set(text, id)
      return id
    })

  /**
   * What an aggregation makes of an output; nothing where it is none of the options that are taken. With gates it is a mixed layer, in which
   * the other options are zeros: outputs that are added and those that are concatenated go different ways, so that a decision acts in two
   * places.
   */
  const aggregate = (
    reader: Reader,
    edge: Edge,
    aggregation: Aggregation,
    source: string,
    { layers: own, output, shape }: Written,
  ): string[] => {
    const operations = edge.decision === null ? [0] : (taken[edge.decision] as readonly number[])
    if (operations.every((option) => edge.options[option] !== aggregation)) return []
    if (operations.length === 1) {
      layers.push(...own)
      return [output]
    }
    const id = `${nameOf(reader, edge)}/${aggregation}`
    const write = (option: number): Pick<Written, 'layers' | 'output'> => {
      if (edge.options[option] === aggregation) return { layers: own, output }
      const zero = `${id}/${edge.options[option]}`
      return { layers: [{ kind: 'zero', id: zero, input: source, shape }], output: zero }
    }
    layers.push(mixedLayer({ id, input: source, block: edge.decision as number, shape }, operations, write))
    return [id]
  }

  /** What the convolution of a reader makes, or what the classifier reads. */
  const readOutputs = (reader: Reader, outputs: readonly string[]): string => {
    const { name, edges, last, position } = reader
    const outputOf = ({ source }: Edge) => outputs[source] as string
    const added = edges.flatMap((edge) => {
      const source = outputOf(edge)
      return aggregate(reader, edge, 'sum', source, { layers: [], weightSpecs: [], output: source, shape: last })
    })
    const sum = sumOf([...added, outputs[position - 1] as string], `${name}/sum`, last)
    const convolution = convolutionOf(reader)
    if (isSettled(reader)) {
      const inputs = [...settledSources(reader, 'concat').map(outputOf), sum]
      const read = inputs.length === 1 ? sum : append(concatenationAt(`${name}/concat`, settledInput(reader), inputs).write(sum))
      return convolution ? append(convolution.write(read)) : read
    }
    if (!convolution) return sum
    const written = convolution.write(sum)
    const concatenated = edges.flatMap((edge) => {
      const source = outputOf(edge)
      return aggregate(reader, edge, 'concat', source, sourceAt(reader, edge).write(source))
    })
    return sumOf([append(written), ...concatenated], `${name}/parts`, written.shape)
  }

  let output = append(stem.write('input'))
  const follow = (reader: Reader, read: string): string => behind(reader).reduce((id, place) => append(place.write(id)), read)
  for (const { units, exit } of plan.stages) {
    const outputs = [output]
    for (const unit of units) outputs.push(follow(unit, readOutputs(unit, outputs)))
    output = follow(exit, readOutputs(exit, outputs))
  }
  append(head.write(output))
  return { layers }
}

export { writeNetwork }
