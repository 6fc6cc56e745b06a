// Networks of one repeated cell (Dong and Yang 2020, section 2.1, and their code): 3×3 convolution and batch-norm; stages of cells,
// with a residual block of stride 2 that doubles the channels between two stages; batch-norm, ReLU, mean over each channel,
// classifier.
//
// A cell has nodes 0 … n−1. Node 0 is its input, node i is the sum over all j < i of what edge i←j makes of node j, and the last one
// is its output. What each edge computes is one decision, the same in every cell, so a decision acts in as many places as there are
// cells; their weights are their own. A convolution of an edge is ReLU, convolution, batch-norm.
//
// Costs are as the authors' counter counts them, so that they equal the published ones: beside the multiply-accumulates of
// convolutions and classifier 3 for each value that passes ReLU and batch-norm, and k² for each value of a pooling.

import { findOption } from '../../encoding.ts'
import type { LatencyOperation } from '../../latency-key.ts'
import { elementCount } from '../../initialise.ts'
import type { Layer, LayerGraph, PrimitiveLayer, Shape } from '../../layer-graph.ts'
import { assertPath, type Choice, type CostTerm, type Decision, type Encoding, type Space, SpaceError } from '../../space.ts'
import { activePath, mixedLayer, optionsOf } from '../gates.ts'
import { optionOf } from '../option-of.ts'
import { createPartWriter, type Written } from '../part-writer.ts'
import { measurablePlaces, partOf, type Place } from '../places.ts'
import type { CellConfig, CellOperation } from './config.ts'

const STEM_KERNEL = 3
const RESIDUAL_KERNEL = 3
const RESIDUAL_POOL = 2
const EDGE_POOL = 3
/** Of a batch-norm and the ReLU that goes with it, for each value, in the authors' counter. */
const NORM_MACS = 3
/** What their counter adds for the mean over each channel of the last 64: 17 for each. */
const HEAD_MACS_PER_CHANNEL = 17

type Edge = { readonly to: number; readonly from: number }

/** A node's edges in the order of its architecture string: 1←0, 2←0, 2←1, … */
function listEdges(nodes: number): Edge[] {
  return Array.from({ length: nodes }, (_, to) => Array.from({ length: to }, (_, from) => ({ to, from }))).flat()
}

const edgeName = ({ to, from }: Edge) => `edge${to}.${from}`

const SKIPS: readonly CellOperation[] = ['none', 'skip_connect']

function writeStem(input: string, from: Shape, shape: Shape, epsilon: number): Written {
  const writer = createPartWriter('stem', from, epsilon)
  return writer.done(writer.norm('conv', writer.conv('conv', input, STEM_KERNEL, 1, shape)))
}

/** An edge of a cell; `skip_connect` and `none` compute nothing. */
function writeEdge(prefix: string, operation: CellOperation, input: string, shape: Shape, epsilon: number): Written {
  const writer = createPartWriter(prefix, shape, epsilon)
  switch (operation) {
    case 'none':
      return writer.done(writer.push({ kind: 'zero', id: writer.named('none'), input, shape }))
    case 'skip_connect':
      return writer.done(input)
    case 'avg_pool_3x3':
      return writer.done(
        writer.push({ kind: 'pool', id: writer.named(operation), input, mode: 'average', kernel: EDGE_POOL, stride: 1, shape }),
      )
    case 'nor_conv_1x1':
    case 'nor_conv_3x3': {
      const active = writer.activate(operation, input, 'relu')
      const conv = writer.conv(operation, active, operation === 'nor_conv_1x1' ? 1 : 3, 1, shape)
      return writer.done(writer.norm(operation, conv))
    }
    default:
      return operation satisfies never
  }
}

/** Two convolutions with ReLU before and batch-norm behind each, beside a mean over 2×2 and a 1×1 convolution. */
function writeResidual(prefix: string, input: string, from: Shape, shape: Shape, epsilon: number): Written {
  const writer = createPartWriter(prefix, from, epsilon)
  const first = writer.conv('conv_a', writer.activate('conv_a', input, 'relu'), RESIDUAL_KERNEL, 2, shape)
  const middle = writer.norm('conv_a', first)
  const second = writer.conv('conv_b', writer.activate('conv_b', middle, 'relu'), RESIDUAL_KERNEL, 1, shape)
  const pooled = writer.push({
    kind: 'pool',
    id: writer.named('downsample.pool'),
    input,
    mode: 'average',
    kernel: RESIDUAL_POOL,
    stride: 2,
    padding: 0,
    shape: [shape[0], shape[1], from[2]],
  })
  const shortcut = writer.conv('downsample', pooled, 1, 1, shape)
  const sum = writer.push({ kind: 'add', id: writer.named('sum'), inputs: [shortcut, writer.norm('conv_b', second)], shape })
  return writer.done(sum)
}

function writeHead(input: string, from: Shape, classes: number, epsilon: number): Written {
  const writer = createPartWriter('head', from, epsilon)
  return writer.done(writer.classifier(writer.activate('last', writer.norm('last', input), 'relu'), classes))
}

/** As the authors count: see the top. */
function countMacs(layers: readonly PrimitiveLayer[], from: Shape): number {
  const shapes = new Map<string, Shape>()
  const inputOf = (id: string): Shape => shapes.get(id) ?? from
  let macs = 0
  for (const layer of layers) {
    if (layer.kind === 'conv2d') macs += elementCount(layer.shape) * layer.kernel ** 2 * inputOf(layer.input)[2]
    else if (layer.kind === 'batchNorm') macs += NORM_MACS * elementCount(layer.shape)
    else if (layer.kind === 'pool') macs += layer.kernel ** 2 * elementCount(layer.shape)
    else if (layer.kind === 'linear') macs += inputOf(layer.input)[2] * (layer.shape[2] + HEAD_MACS_PER_CHANNEL)
    shapes.set(layer.id, layer.shape)
  }
  return macs
}

function edgeKey(operation: CellOperation, shape: Shape): LatencyOperation | null {
  switch (operation) {
    case 'none':
    case 'skip_connect':
      return null
    case 'nor_conv_1x1':
    case 'nor_conv_3x3':
      return { type: 'ReluConvNorm', input: shape, output: shape, kernel: operation === 'nor_conv_1x1' ? 1 : 3, stride: 1 }
    case 'avg_pool_3x3':
      return { type: 'AvgPool', input: shape, output: shape, kernel: EDGE_POOL, stride: 1 }
    default:
      return operation satisfies never
  }
}

/** As `|nor_conv_3x3~0|+|none~0|skip_connect~1|`: for each node its edges with the nodes that they come from. */
function cellEncoding(edges: readonly Edge[], decisions: readonly Decision[]): Encoding {
  const nodes = [...new Set(edges.map(({ to }) => to))]
  return {
    print: (path) =>
      nodes
        .map((node) => {
          const own = edges.flatMap(({ to, from }, index) =>
            to === node ? [`${decisions[index]?.options[path[index] as number]?.name}~${from}`] : [],
          )
          return `|${own.join('|')}|`
        })
        .join('+'),
    read(text) {
      const groups = text.split('+').map((group) => /^\|(.*)\|$/.exec(group)?.[1]?.split('|') ?? [])
      const sizes = groups.map((group) => group.length).join()
      const expected = nodes.map((node) => edges.filter(({ to }) => to === node).length).join()
      if (sizes !== expected) {
        const form = cellEncoding(edges, decisions).print(decisions.map(() => 0))
        throw new SpaceError('encoding', 'architecture', `expected an architecture of the form ${form}, got "${text}"`)
      }
      return groups.flat().map((edge, index) => {
        const { from } = edges[index] as Edge
        const [name, source] = edge.split('~')
        if (source !== String(from)) {
          throw new SpaceError('encoding', `architecture[${index}]`, `expected an edge from node ${from}, got "${edge}"`)
        }
        return findOption(decisions[index] as Decision, index, name)
      })
    },
  }
}

/** Throws SpaceError `config` where settings contradict each other. */
function createCellSpace(config: CellConfig): Space {
  const { name, input, classes, width, stages, cells, nodes, operations, batchNormEpsilon: epsilon } = config
  if (new Set(operations).size < operations.length) {
    throw new SpaceError('config', 'space.operations', `expected different operations, got ${operations.join(', ')}`)
  }
  if (Math.min(input[0], input[1]) % 2 ** (stages - 1) !== 0 || Math.max(input[0], input[1]) % 2 ** (stages - 1) !== 0) {
    throw new SpaceError('config', 'space.input', `expected sides that can be halved ${stages - 1} times, got ${input.join('×')}`)
  }
  const edges = listEdges(nodes)
  const stageShapes = Array.from({ length: stages }, (_, stage): Shape => {
    return [input[0] / 2 ** stage, input[1] / 2 ** stage, width * 2 ** stage]
  })
  const first = stageShapes[0] as Shape
  const last = stageShapes.at(-1) as Shape
  const decisions = edges.map((edge): Decision => {
    const where = `node ${edge.from} to node ${edge.to} of every cell`
    return { name: edgeName(edge), where, options: operations.map((operation) => optionOf(operation, SKIPS)) }
  })

  const stem: Place = {
    name: 'stem',
    operation: 'conv',
    from: input,
    key: { type: 'ConvNorm', input, output: first, kernel: STEM_KERNEL, stride: 1 },
    write: (from) => writeStem(from, input, first, epsilon),
  }
  const residualAt = (stage: number): Place => {
    const [from, shape] = [stageShapes[stage - 1] as Shape, stageShapes[stage] as Shape]
    const prefix = `residual${stage}`
    return {
      name: prefix,
      operation: 'residual',
      from,
      key: { type: 'ResidualBlock', input: from, output: shape },
      write: (id) => writeResidual(prefix, id, from, shape, epsilon),
    }
  }
  const head: Place = {
    name: 'head',
    operation: 'linear',
    from: last,
    key: { type: 'NormLogits', input: last, classes },
    write: (from) => writeHead(from, last, classes, epsilon),
  }
  const edgeAt = (stage: number, cell: number, edge: Edge, operation: CellOperation): Place => {
    const shape = stageShapes[stage] as Shape
    const place = `stage${stage + 1}.${cell + 1}/${edgeName(edge)}`
    return {
      name: place,
      operation,
      from: shape,
      key: edgeKey(operation, shape),
      write: (id) => writeEdge(place, operation, id, shape, epsilon),
    }
  }
  /** Every cell, in order. */
  const cellsOfAll = stageShapes.flatMap((_, stage) => Array.from({ length: cells }, (_, cell) => ({ stage, cell })))
  const fixedPlaces = [stem, ...stageShapes.slice(1).map((_, i) => residualAt(i + 1)), head]

  const terms: CostTerm[] = [
    { decisions: [], parts: [fixedPlaces.map((place) => partOf(place, countMacs))] },
    ...edges.map((edge, index) => ({
      decisions: [index],
      parts: operations.map((operation) => cellsOfAll.map(({ stage, cell }) => partOf(edgeAt(stage, cell, edge, operation), countMacs))),
    })),
  ]

  const operationAt = (index: number, option: number): CellOperation => {
    const operation = operations[option]
    if (operation) return operation
    const message = `expected an option from 0 to ${operations.length - 1} of ${decisions[index]?.name}, got ${option}`
    throw new SpaceError('choices', `choices[${index}]`, message)
  }

  const network = (choices: readonly Choice[]): LayerGraph => {
    assertPath({ decisions }, activePath(choices))
    const layers: Layer[] = [{ kind: 'input', id: 'input', shape: input }]
    const append = (written: Written): string => {
      layers.push(...written.layers)
      return written.output
    }
    const edgeOutput = (stage: number, cell: number, index: number, from: string): string | null => {
      const edge = edges[index] as Edge
      const choice = choices[index] as Choice
      const options = optionsOf(choice)
      const [active] = options
      const write = (option: number) => edgeAt(stage, cell, edge, operationAt(index, option)).write(from)
      if (options.length === 1) return operationAt(index, active) === 'none' ? null : append(write(active))
      const id = `stage${stage + 1}.${cell + 1}/${edgeName(edge)}/mixed`
      layers.push(mixedLayer({ id, input: from, block: index, shape: stageShapes[stage] as Shape }, options, write))
      return id
    }
    const cellOutput = (stage: number, cell: number, from: string): string => {
      const shape = stageShapes[stage] as Shape
      const prefix = `stage${stage + 1}.${cell + 1}`
      const ids = [from]
      for (let node = 1; node < nodes; node++) {
        const summands = edges.flatMap((edge, index) => {
          const output = edge.to === node ? edgeOutput(stage, cell, index, ids[edge.from] as string) : null
          return output === null ? [] : [output]
        })
        const [one, ...others] = summands
        if (one === undefined) {
          const id = `${prefix}/node${node}`
          layers.push({ kind: 'zero', id, input: from, shape })
          ids.push(id)
          continue
        }
        let sum = one
        for (const [i, other] of others.entries()) {
          const id = `${prefix}/node${node}${i === others.length - 1 ? '' : `.${i + 1}`}`
          layers.push({ kind: 'add', id, inputs: [sum, other], shape })
          sum = id
        }
        ids.push(sum)
      }
      return ids.at(-1) as string
    }
    let output = append(stem.write('input'))
    for (const { stage, cell } of cellsOfAll) {
      if (stage > 0 && cell === 0) output = append(residualAt(stage).write(output))
      output = cellOutput(stage, cell, output)
    }
    append(head.write(output))
    return { layers }
  }

  const placesOfCell = (stage: number, cell: number): Place[] =>
    edges.flatMap((edge) => operations.map((operation) => edgeAt(stage, cell, edge, operation)))

  const supernet = [
    stem,
    ...cellsOfAll.flatMap(({ stage, cell }) => [...(stage > 0 && cell === 0 ? [residualAt(stage)] : []), ...placesOfCell(stage, cell)]),
    head,
  ]
  const weightSpecs = supernet.flatMap(({ write }) => write('input').weightSpecs)

  const measurableOperations = () =>
    measurablePlaces([...fixedPlaces, ...cellsOfAll.flatMap(({ stage, cell }) => placesOfCell(stage, cell))], countMacs)

  return { name, input, classes, decisions, terms, encoding: cellEncoding(edges, decisions), weightSpecs, network, measurableOperations }
}

export { createCellSpace }
