// A network that is written out as a space with nothing to choose. Latency tables know it as a whole, by the hash of its layers.

import { commaEncoding } from '../../encoding.ts'
import { totalCosts } from '../../layer-costs.ts'
import type { LayerGraph, Shape } from '../../layer-graph.ts'
import { layerInputs, layerShape } from '../../layers/index.ts'
import { LayerGraphError } from '../../layers/layer.ts'
import { hashText } from '../../random.ts'
import { assertPath, type Decision, type Part, type Space, SpaceError } from '../../space.ts'
import { networkWeights } from '../../weight-keys.ts'
import type { GraphConfig } from './config.ts'

const HEXADECIMAL = 16

/** Throws SpaceError `config` where a layer contradicts what it reads. */
function checkLayers({ input, classes, layers }: GraphConfig): void {
  const shapes = new Map<string, Shape>()
  const refuse = (index: number, message: string): never => {
    throw new SpaceError('config', `space.layers[${index}]`, message)
  }
  for (const [index, layer] of layers.entries()) {
    if ((layer.kind === 'input') !== (index === 0)) refuse(index, 'expected the first layer, and no other, to be the input')
    if (shapes.has(layer.id)) refuse(index, `expected layers of different ids, got ${layer.id} twice`)
    const inputs = layerInputs(layer).map(
      (id) => shapes.get(id) ?? refuse(index, `layer ${layer.id} reads ${id}, which no earlier layer makes`),
    )
    try {
      const expected = layer.kind === 'input' ? input : layerShape(layer, inputs)
      if (expected.join() !== layer.shape.join()) {
        refuse(index, `layer ${layer.id}: expected the shape ${expected.join('×')}, got ${layer.shape.join('×')}`)
      }
    } catch (error) {
      if (error instanceof LayerGraphError) refuse(index, error.message)
      throw error
    }
    shapes.set(layer.id, layer.shape)
  }
  const last = layers.at(-1)
  if (last?.shape.join() !== [1, 1, classes].join()) refuse(layers.length - 1, `expected the last layer to make ${classes} logits`)
}

/** Throws SpaceError `config` where settings contradict each other. */
function createGraphSpace(config: GraphConfig): Space {
  checkLayers(config)
  const { name, input, classes, layers } = config
  const graph: LayerGraph = { layers }
  const decisions: Decision[] = [{ name: 'network', where: 'all of it', options: [{ name: 'whole', isZero: false }] }]
  const latencyKey = `Network-input:${input.join('x')}-hash:${hashText(JSON.stringify(layers)).toString(HEXADECIMAL)}`
  const part: Part = { name: 'network', operation: 'whole', latencyKey, ...totalCosts(layers), input, output: [1, 1, classes] }
  return {
    name,
    input,
    classes,
    decisions,
    terms: [{ decisions: [], parts: [[part]] }],
    encoding: commaEncoding(decisions),
    weightSpecs: [...networkWeights(graph).values()],
    network(choices) {
      assertPath(
        { decisions },
        choices.map((choice) => (typeof choice === 'number' ? choice : choice.active)),
      )
      return graph
    },
    measurableOperations: () => [{ latencyKey, graph, macs: part.macs, parameters: part.parameters }],
  }
}

export { createGraphSpace }
