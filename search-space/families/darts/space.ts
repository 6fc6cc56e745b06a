// Networks of two repeated cells (Liu, Simonyan and Yang 2019, section 2.1 and appendix A, and their code): 3×3 convolution and batch-norm
// to three times the width; cells, of which those at a third and at two thirds of the network halve the image and double the width;
// mean over each channel, classifier.
//
// Cell k reads cells k−2 and k−1, the stem for the first ones, each brought to the cell's width by a 1×1 convolution (and to its size
// where cell k−1 has halved the image). Node i is the sum over its inputs j < i, the two cells among them, of what edge i←j makes of
// them; the cell's output is the concatenation of its nodes. What each edge computes is one decision, the same in all normal cells or in
// all that halve: there edges from the two cells have a stride of 2.

import type { Layer, LayerGraph, Shape } from '../../layer-graph.ts'
import { assertPath, type Choice, type CostTerm, type Decision, type Space, SpaceError } from '../../space.ts'
import { activePath, mixedLayer, optionsOf } from '../gates.ts'
import { optionOf } from '../option-of.ts'
import { measurablePlaces, partOf, type Place } from '../places.ts'
import type { Written } from '../part-writer.ts'
import type { DartsConfig, DartsOperation } from './config.ts'
import { CELL_INPUTS, type CellName, type Edge, genotypeEncoding, keepStrongest, listEdges } from './genotype.ts'
import { operationKey, preprocessKey, STEM_KERNEL, writeHead, writeOperation, writePreprocess, writeStem } from './parts.ts'

/** Channels of the stem are so many times those of the first nodes. */
const STEM_MULTIPLIER = 3

type Cell = {
  readonly name: string
  readonly kind: CellName
  /** Of the outputs of the two cells before. */
  readonly reads: readonly [Shape, Shape]
  /** Of these two behind their preprocessing. */
  readonly from: Shape
  /** Of its nodes. */
  readonly shape: Shape
  /** Of all nodes together. */
  readonly output: Shape
}

function planCells({ input, width, cells, nodes }: DartsConfig): { stem: Shape; cells: Cell[] } {
  const [height, columns] = input
  const stem: Shape = [height, columns, STEM_MULTIPLIER * width]
  const reductions = new Set([Math.floor(cells / 3), Math.floor((2 * cells) / 3)])
  const planned: Cell[] = []
  let reads: [Shape, Shape] = [stem, stem]
  let shape: Shape = [height, columns, width]
  for (let index = 0; index < cells; index++) {
    const isReduction = reductions.has(index)
    const channels = shape[2] * (isReduction ? 2 : 1)
    const from: Shape = [shape[0], shape[1], channels]
    shape = isReduction ? [shape[0] / 2, shape[1] / 2, channels] : shape
    const output: Shape = [shape[0], shape[1], channels * nodes]
    planned.push({ name: `cell${index + 1}`, kind: isReduction ? 'reduce' : 'normal', reads, from, shape, output })
    reads = [reads[1], output]
  }
  return { stem, cells: planned }
}

/** Throws SpaceError `config` where settings contradict each other. */
const SKIPS: readonly DartsOperation[] = ['none', 'skip_connect']

function checkConfig({ input, width, operations }: DartsConfig): void {
  if (new Set(operations).size < operations.length || !operations.includes('none')) {
    throw new SpaceError('config', 'space.operations', `expected different operations with none among them, got ${operations.join(', ')}`)
  }
  if (width % 2 !== 0) throw new SpaceError('config', 'space.width', `expected an even number of channels, got ${width}`)
  if (input[0] % 4 !== 0 || input[1] % 4 !== 0) {
    throw new SpaceError('config', 'space.input', `expected sides that can be halved twice, got ${input.join('×')}`)
  }
}

/** Throws SpaceError `config` where settings contradict each other. */
function createDartsSpace(config: DartsConfig): Space {
  checkConfig(config)
  const { name, input, classes, nodes, operations, batchNormEpsilon: epsilon } = config
  const { stem: stemShape, cells } = planCells(config)
  const edges = listEdges(nodes)
  const decisions = edges.map(({ cell, to, from }): Decision => {
    const source = from < CELL_INPUTS ? `the cell ${from === 0 ? 'two before' : 'before'}` : `node ${from}`
    const where = `${source} to node ${to} of every ${cell === 'normal' ? 'normal cell' : 'cell that halves'}`
    return { name: `${cell}.edge${to}.${from}`, where, options: operations.map((operation) => optionOf(operation, SKIPS)) }
  })

  const stem: Place = {
    name: 'stem',
    operation: 'conv',
    from: input,
    key: { type: 'ConvNorm', input, output: stemShape, kernel: STEM_KERNEL, stride: 1 },
    write: (from) => writeStem(from, input, stemShape, epsilon),
  }
  const last = (cells.at(-1) as Cell).output
  const head: Place = {
    name: 'head',
    operation: 'linear',
    from: last,
    key: { type: 'Logits', input: last, classes },
    write: (from) => writeHead(from, last, classes, epsilon),
  }
  const preprocessAt = (cell: Cell, position: 0 | 1): Place => {
    const read = cell.reads[position]
    const place = `${cell.name}/input${position}`
    return {
      name: place,
      operation: 'preprocess',
      from: read,
      key: preprocessKey(read, cell.from),
      write: (from) => writePreprocess(place, from, read, cell.from, epsilon),
    }
  }
  const edgeAt = (cell: Cell, { to, from: source }: Edge, operation: DartsOperation): Place => {
    const from = source < CELL_INPUTS ? cell.from : cell.shape
    const place = `${cell.name}/edge${to}.${source}`
    return {
      name: place,
      operation,
      from,
      key: operationKey(operation, from, cell.shape),
      write: (id) => writeOperation(`${place}/${operation}`, operation, id, from, cell.shape, epsilon),
    }
  }
  const inputsOf = (cell: Cell): Place[] => [preprocessAt(cell, 0), preprocessAt(cell, 1)]
  const edgesOf = (cell: Cell): Place[] =>
    edges.filter(({ cell: kind }) => kind === cell.kind).flatMap((edge) => operations.map((operation) => edgeAt(cell, edge, operation)))
  const fixedPlaces = [stem, ...cells.flatMap(inputsOf), head]

  const terms: CostTerm[] = [
    { decisions: [], parts: [fixedPlaces.map((place) => partOf(place))] },
    ...edges.map((edge, index) => ({
      decisions: [index],
      parts: operations.map((operation) =>
        cells.filter(({ kind }) => kind === edge.cell).map((cell) => partOf(edgeAt(cell, edge, operation))),
      ),
    })),
  ]

  const network = (choices: readonly Choice[]): LayerGraph => {
    assertPath({ decisions }, activePath(choices))
    const layers: Layer[] = [{ kind: 'input', id: 'input', shape: input }]
    const append = (written: Written): string => {
      layers.push(...written.layers)
      return written.output
    }
    const edgeOutput = (cell: Cell, index: number, from: string): string | null => {
      const edge = edges[index] as Edge
      const choice = choices[index] as Choice
      const options = optionsOf(choice)
      const [active] = options
      const write = (option: number) => edgeAt(cell, edge, operations[option] as DartsOperation).write(from)
      if (options.length === 1) return operations[active] === 'none' ? null : append(write(active))
      const id = `${cell.name}/edge${edge.to}.${edge.from}/mixed`
      layers.push(mixedLayer({ id, input: from, block: index, shape: cell.shape }, options, write))
      return id
    }
    const sumOf = (summands: readonly string[], id: string, zeroOf: string, shape: Shape): string => {
      const [one, ...others] = summands
      if (one === undefined) {
        layers.push({ kind: 'zero', id, input: zeroOf, shape })
        return id
      }
      return others.reduce((sum, other, i) => {
        const own = i === others.length - 1 ? id : `${id}.${i + 1}`
        layers.push({ kind: 'add', id: own, inputs: [sum, other], shape })
        return own
      }, one)
    }
    const cellOutput = (cell: Cell, reads: readonly [string, string]): string => {
      const ids: string[] = [append(preprocessAt(cell, 0).write(reads[0])), append(preprocessAt(cell, 1).write(reads[1]))]
      for (let node = CELL_INPUTS; node < CELL_INPUTS + nodes; node++) {
        const summands = edges.flatMap((edge, index) => {
          const isOwn = edge.cell === cell.kind && edge.to === node
          const output = isOwn ? edgeOutput(cell, index, ids[edge.from] as string) : null
          return output === null ? [] : [output]
        })
        ids.push(sumOf(summands, `${cell.name}/node${node}`, ids[0] as string, cell.shape))
      }
      const id = `${cell.name}/nodes`
      layers.push({ kind: 'concat', id, inputs: ids.slice(CELL_INPUTS), shape: cell.output })
      return id
    }
    const first = append(stem.write('input'))
    let reads: [string, string] = [first, first]
    for (const cell of cells) reads = [reads[1], cellOutput(cell, reads)]
    append(head.write(reads[1]))
    return { layers }
  }

  const supernet = [stem, ...cells.flatMap((cell) => [...inputsOf(cell), ...edgesOf(cell)]), head]
  return {
    name,
    input,
    classes,
    decisions,
    terms,
    encoding: genotypeEncoding(edges, decisions, nodes),
    weightSpecs: supernet.flatMap(({ write }) => write('input').weightSpecs),
    network,
    derivable: (probabilities) => keepStrongest(edges, decisions, probabilities),
    measurableOperations: () => measurablePlaces([...fixedPlaces, ...cells.flatMap(edgesOf)]),
  }
}

export { createDartsSpace }
