// What the files of a network hold: checkpoints of its training, and the trained model.

import { elementCount, type Path, type Space, weightKeys } from '../../search-space/index.ts'
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
  const shapes = new Map(space.weightSpecs.map(({ key, shape }) => [key, shape]))
  const graph = space.network(path)
  return {
    weights: new Map(weightKeys(graph).map((key) => [key, shapes.get(key) ?? []])),
    gammas: graph.layers.flatMap((layer) => (layer.kind === 'batchNorm' ? [layer.gamma] : [])),
  }
}

/** About: weights, velocities and, with one, their moving average, with their header. */
function checkpointBytes({ averageDecay }: Pick<Recipe, 'averageDecay'>, { weights }: NetworkShapes): number {
  const copies = averageDecay > 0 ? 3 : 2
  const floats = [...weights.values()].reduce((sum, shape) => sum + elementCount(shape), 0)
  return HEADER_BYTES + copies * (floats * FLOAT_BYTES + weights.size * HEADER_BYTES_PER_TENSOR)
}

export { checkpointBytes, modelShapes, type ModelShapes, networkShapes, type NetworkShapes }
