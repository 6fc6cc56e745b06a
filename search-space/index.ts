import { createMbconvSpace } from './mbconv.ts'
import { resolveSpaceConfig, type SpaceRef } from './mbconv-config.ts'
import type { Space } from './space.ts'

/** The space that a reference stands for. Throws SpaceError `config` or ZodError where its settings make no sense. */
function createSpace(ref: SpaceRef): Space {
  return createMbconvSpace(resolveSpaceConfig(ref))
}

export { parseArchitecture, printArchitecture } from './encoding.ts'
export { elementCount, initialWeights } from './initialise.ts'
export { latencyKey, type LatencyOperation } from './latency-key.ts'
export type { Layer, LayerGraph, MixedLayer, PrimitiveLayer, Shape, WeightSpec } from './layer-graph.ts'
export { mbconvConfigSchema, presetNames, presets, resolveSpaceConfig, type SpaceRef, spaceRefSchema } from './mbconv-config.ts'
export { createRandom, type Random, type RandomState, randomStateSchema, seedState } from './random.ts'
export {
  architectureCosts,
  assertPath,
  type Block,
  type Choice,
  largestPath,
  type MeasurableOperation,
  type Operation,
  type Path,
  type Space,
  SpaceError,
} from './space.ts'
export { createSpace }
