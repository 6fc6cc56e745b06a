import { spaceOf } from './families/index.ts'
import { resolveSpaceConfig, type SpaceRef } from './space-ref.ts'
import type { Space } from './space.ts'

/** The space that a reference stands for. Throws SpaceError `config` or ZodError where its settings make no sense. */
function createSpace(ref: SpaceRef): Space {
  return spaceOf(resolveSpaceConfig(ref))
}

export { type ArchitectureDocument, type ArchitecturePart, describeArchitecture } from './architecture-document.ts'
export { peakActivationBytes } from './activation-bytes.ts'
export {
  costRange,
  costsOfParts,
  type DecisionCosts,
  evenProbabilities,
  expectedCost,
  expectedCostSlopes,
  pathCost,
} from './decision-costs.ts'
export { parseArchitecture, printArchitecture } from './encoding.ts'
export { type FixedArchitecture, fixArchitecture, onlyPath, type WeightPrefixes } from './families/fixed/fix-architecture.ts'
export { type FixedNetwork, fixedNetworkSchema } from './families/fixed/config.ts'
export { elementCount, initialWeights } from './initialise.ts'
export { latencyKey, type LatencyOperation, readLevels, type TreeLevelForm } from './latency-key.ts'
export type { Layer, LayerGraph, MixedLayer, PrimitiveLayer, Shape, WeightSpec } from './layer-graph.ts'
export { presetNames, type PresetName, presets } from './families/index.ts'
export {
  layerCosts,
  layerExamples,
  layerInputs,
  type LayerKind,
  layerKinds,
  type LayerOf,
  layerShape,
  layerWeights,
  type WeightName,
} from './layers/index.ts'
export { type Activation, activations } from './layers/activation.ts'
export { LayerGraphError } from './layers/layer.ts'
export { poolPadding } from './layers/pool.ts'
export { RefusedLayerError } from './layers/refusal.ts'
export { mostProbablePaths, mostProbableWithin, type ProbablePath } from './most-probable.ts'
export { fromNetConfig, type NetConfig, toNetConfig } from './families/mbconv/net-config.ts'
export { Net2NetError } from './net2net/channel-maps.ts'
export { deepen, growable } from './net2net/deepen.ts'
export { type Growth, growthsOf, inheritWeights } from './net2net/growth.ts'
export { type GrownNetwork, primitiveLayers } from './net2net/network.ts'
export { widen } from './net2net/widen.ts'
export { isTreeNet, type PublishedNetwork, publishNetwork, readPublished } from './published-network.ts'
export { treeStateNames } from './families/pyramid-tree/state-names.ts'
export { combineBranches } from './combine-branches.ts'
export { combinationAt, combinationIndex } from './combinations.ts'
export { withSmallerInput } from './smaller-input.ts'
export { createRandom, hashText, type Random, type RandomState, randomStateSchema, seedState } from './random.ts'
export {
  architectureCosts,
  assertPath,
  type Choice,
  type CostTerm,
  type Decision,
  fixedParts,
  isAdditive,
  largestPath,
  type MeasurableOperation,
  type Option,
  optionCounts,
  optionParts,
  type Part,
  type Path,
  randomPath,
  type Space,
  SpaceError,
} from './space.ts'
export { type Better, paretoFront, type Point } from './pareto-front.ts'
export { resolveSpaceConfig, type SpaceConfig, spaceConfigSchema, type SpaceRef, spaceRefSchema } from './space-ref.ts'
export { type Box, boxOf, cellsOf, isWhole, sliceBegin, sliceValues, visitRows } from './weight-slices.ts'
export { createWeightUse, type UsedOptions, usedOptions } from './weight-use.ts'
export { commonWeights, joinWeights, networkWeights, weightKeys, type WeightOwner, weightOwners } from './weight-keys.ts'
export { createSpace }
