// What the files of a network hold: checkpoints of its training, and the trained model.

import { elementCount, networkWeights, type Path, type Space } from '../../search-space/index.ts'
import { type Recipe, statisticsKeys } from '../../protocol/index.ts'

const FLOAT_BYTES = 4
/** Name, shape and place of a tensor in the header, and the settings and reports beside them. */
const HEADER_BYTES_PER_TENSOR = 150
const HEADER_BYTES = 64 * 1024

/** What a checkpoint and a model of a network have to hold. */
type NetworkShapes = {
  readonly weights: ReadonlyMap<string, readonly number[]>
  /** Keys of the batch-norms' gammas. */
  readonly gammas: readonly string[]
}

/** Shape of every tensor of a file. */
type ModelShapes = ReadonlyMap<string, readonly number[]>

/** Of a trained model: weights, and the statistics of each batch-norm. */
function modelShapes({ weights, gammas }: NetworkShapes): ModelShapes {
  const wanted = new Map(weights)
  for (const gamma of gammas) {
    const { mean, variance } = statisticsKeys(gamma)
    const shape = weights.get(gamma) ?? []
    wanted.set(mean, shape).set(variance, shape)
  }
  return wanted
}

function networkShapes(space: Space, path: Path): NetworkShapes {
  const graph = space.network(path)
  return {
    weights: new Map([...networkWeights(graph)].map(([key, { shape }]) => [key, shape])),
    gammas: graph.layers.flatMap((layer) => (layer.kind === 'batchNorm' ? [layer.gamma] : [])),
  }
}

/** About: weights, moments of the optimiser and, where they are kept, moving average and best weights, with their header. */
function checkpointBytes(recipe: Pick<Recipe, 'averageDecay' | 'keep' | 'optimiser'>, { weights }: NetworkShapes): number {
  const copies = 2 + [recipe.optimiser === 'adamw', recipe.averageDecay > 0, recipe.keep === 'best'].filter(Boolean).length
  const floats = [...weights.values()].reduce((sum, shape) => sum + elementCount(shape), 0)
  return HEADER_BYTES + copies * (floats * FLOAT_BYTES + weights.size * HEADER_BYTES_PER_TENSOR)
}

export { checkpointBytes, modelShapes, type ModelShapes, networkShapes, type NetworkShapes }
