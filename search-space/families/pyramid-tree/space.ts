// PyramidNets with trees of operations (see config.ts): 3×3 convolution and batch-norm; blocks, whose widths grow from one to the next; batch-norm,
// ReLU, mean over each channel, classifier. A block, as its authors order layers (github.com/mit-han-lab/proxylessnas, cifar_modules.py), is
//
//   batch-norm, 1×1 to n channels → batch-norm, ReLU, 3×3 in groups, channels shuffled → tree → batch-norm, ReLU, 1×1, batch-norm
//
// added to its input, of which 2×2 pixels are averaged where the block halves the image, and whose channels are filled up with zeros.
//
// Each edge of each tree is a decision of its own, so costs are sums: of blocks whose edges are identities, and of what edges compute.

import type { Layer, LayerGraph, Shape } from '../../layer-graph.ts'
import { assertPath, type Choice, type CostTerm, type Decision, type Space, SpaceError } from '../../space.ts'
import { activePath, mixedLayer, optionsOf } from '../gates.ts'
import { optionOf } from '../option-of.ts'
import { measurablePlaces, partOf, type Place } from '../places.ts'
import type { Written } from '../part-writer.ts'
import type { PyramidTreeConfig, TreeOperation } from './config.ts'
import { treeEncoding } from './encoding.ts'
import { blockKey, operationKey, STEM_KERNEL, writeBlock, writeHead, writeOperation, writePlainBlock, writeStem } from './parts.ts'
import { type Block, branchShape, planTrees, type TreeEdge } from './plan.ts'

/** Tasks and results name an option for each decision: protocol/limits.ts. */
const MAX_DECISIONS = 1024

/** Throws SpaceError `config` where settings contradict each other. */
function createPyramidTreeSpace(config: PyramidTreeConfig): Space {
  const { name, input, classes, levels, operations, batchNormEpsilon: epsilon } = config
  const { stem: stemShape, blocks, edges } = planTrees(config)
  const count = blocks.length * edges.length
  if (count > MAX_DECISIONS)
    throw new SpaceError('config', 'space.blocks', `expected at most ${MAX_DECISIONS} edges over all blocks, got ${count}`)

  const edgeName = (block: Block, edge: string) => `${block.name}/edge${edge}`
  const places = blocks.flatMap((block) => edges.map((edge) => ({ block, edge })))
  const indices = new Map(places.map(({ block, edge }, index) => [edgeName(block, edge.name), index]))
  const options = operations.map((operation) => optionOf(operation, ['id']))
  /** Of what an edge reads and makes. */
  const edgeShape = (block: Block, { level }: TreeEdge): Shape =>
    levels.slice(0, level + 1).reduce((shape, own) => branchShape(own, shape), block.made)
  const decisions = places.map(({ block, edge }): Decision => {
    return { name: edgeName(block, edge.name), where: edgeShape(block, edge).join('x'), options }
  })

  const stem: Place = {
    name: 'stem',
    operation: 'conv',
    from: input,
    key: { type: 'ConvNorm', input, output: stemShape, kernel: STEM_KERNEL, stride: 1 },
    write: (from) => writeStem(from, input, stemShape, epsilon),
  }
  const last = (blocks.at(-1) as Block).output
  const head: Place = {
    name: 'head',
    operation: 'linear',
    from: last,
    key: { type: 'NormLogits', input: last, classes },
    write: (from) => writeHead(from, last, classes, epsilon),
  }
  const plainBlock = (block: Block): Place => ({
    name: block.name,
    operation: 'block',
    from: block.input,
    key: blockKey(block, config),
    write: (from) => writePlainBlock(block, config, from),
  })
  const edgeAt = (place: string, shape: Shape, operation: TreeOperation): Place => ({
    name: place,
    operation,
    from: shape,
    key: operationKey(operation, shape),
    write: (from) => writeOperation(`${place}/${operation}`, operation, from, shape, epsilon),
  })
  const fixedPlaces = [stem, ...blocks.map(plainBlock), head]
  const edgePlaces = places.map(({ block, edge }) => {
    const shape = edgeShape(block, edge)
    return operations.map((operation) => edgeAt(edgeName(block, edge.name), shape, operation))
  })

  const terms: CostTerm[] = [
    { decisions: [], parts: [fixedPlaces.map((place) => partOf(place))] },
    ...edgePlaces.map((ofEdge, index) => ({ decisions: [index], parts: ofEdge.map((place) => [partOf(place)]) })),
  ]

  const network = (choices: readonly Choice[]): LayerGraph => {
    assertPath({ decisions }, activePath(choices))
    const layers: Layer[] = [{ kind: 'input', id: 'input', shape: input }]
    const append = (written: Written): string => {
      layers.push(...written.layers)
      return written.output
    }
    const writeEdge = (place: string, from: string, shape: Shape): string => {
      const index = indices.get(place) as number
      const choice = choices[index] as Choice
      const taken = optionsOf(choice)
      const write = (option: number) => edgeAt(place, shape, operations[option] as TreeOperation).write(from)
      if (taken.length === 1) return append(write(taken[0]))
      const id = `${place}/mixed`
      layers.push(mixedLayer({ id, input: from, block: index, shape }, taken, write))
      return id
    }
    let output = append(stem.write('input'))
    for (const block of blocks) {
      output = writeBlock(block, config, output, { append, edge: (edge, from, shape) => writeEdge(edgeName(block, edge), from, shape) })
    }
    append(head.write(output))
    return { layers }
  }

  /** A block, and the options of its edges. */
  const ofBlock = (block: Block, index: number): Place[] => [
    plainBlock(block),
    ...edgePlaces.slice(index * edges.length, (index + 1) * edges.length).flat(),
  ]
  const supernet = [stem, ...blocks.flatMap(ofBlock), head]
  return {
    name,
    input,
    classes,
    decisions,
    terms,
    encoding: treeEncoding(levels, blocks.length, decisions),
    weightSpecs: supernet.flatMap(({ write }) => write('input').weightSpecs),
    network,
    optionWeights: (decision, option) => (edgePlaces[decision]?.[option]?.write('input').weightSpecs ?? []).map(({ key }) => key),
    measurableOperations: () => measurablePlaces([...fixedPlaces, ...edgePlaces.flat()]),
  }
}

export { createPyramidTreeSpace }
