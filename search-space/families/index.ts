// The families of spaces. What a space's settings are decides which family it is of: those of the first two have no tag.

import * as z from 'zod'
import type { Space } from '../space.ts'
import { type AggregationConfig, aggregationConfigSchema, aggregationFields, aggregationPresets } from './aggregation/config.ts'
import { createAggregationSpace } from './aggregation/space.ts'
import { type CellConfig, cellConfigSchema, cellFields, cellPresets } from './cell/config.ts'
import { createCellSpace } from './cell/space.ts'
import { type DartsConfig, dartsConfigSchema, dartsFields, dartsPresets } from './darts/config.ts'
import { createDartsSpace } from './darts/space.ts'
import { type FbnetV2Config, fbnetV2ConfigSchema, fbnetV2Fields, fbnetV2Presets } from './fbnet-v2/config.ts'
import { createFbnetV2Space } from './fbnet-v2/space.ts'
import { type FixedNetwork, fixedNetworkSchema } from './fixed/config.ts'
import { type GraphConfig, graphConfigSchema } from './graph/config.ts'
import { createGraphSpace } from './graph/space.ts'
import { gridConfigSchema, listConfigSchema, type MbconvConfig, mbconvFields, mbconvPresets } from './mbconv/config.ts'
import { createMbconvSpace } from './mbconv/space.ts'
import { planNetwork } from './plan-network.ts'
import { type PyramidTreeConfig, pyramidTreeConfigSchema, pyramidTreeFields, pyramidTreePresets } from './pyramid-tree/config.ts'
import { createPyramidTreeSpace } from './pyramid-tree/space.ts'

/** Stem, places in a row, head: what `planNetwork` makes a plan of. */
type PlannedConfig = MbconvConfig | FixedNetwork
type TaggedConfig = AggregationConfig | CellConfig | DartsConfig | FbnetV2Config | GraphConfig | PyramidTreeConfig
type SpaceConfig = PlannedConfig | TaggedConfig
/** Those that have something to choose: networks that are written out have not. */
type SearchedFamily = 'mbconv' | Exclude<TaggedConfig, GraphConfig>['family']

type Tag = TaggedConfig['family']
type Creator<Of extends Tag> = (config: Extract<TaggedConfig, { family: Of }>) => Space

/** Families that are tagged, by their tag. */
const taggedFamilies: { readonly [Of in Tag]: Creator<Of> } = {
  aggregation: createAggregationSpace,
  cell: createCellSpace,
  darts: createDartsSpace,
  'fbnet-v2': createFbnetV2Space,
  graph: createGraphSpace,
  'pyramid-tree': createPyramidTreeSpace,
}

const taggedConfigSchema = z.discriminatedUnion('family', [
  cellConfigSchema,
  fbnetV2ConfigSchema,
  dartsConfigSchema,
  aggregationConfigSchema,
  graphConfigSchema,
  pyramidTreeConfigSchema,
])
const configSchemas = [gridConfigSchema, listConfigSchema, fixedNetworkSchema, ...taggedConfigSchema.options] as const

const presets = { ...mbconvPresets, ...cellPresets, ...fbnetV2Presets, ...dartsPresets, ...aggregationPresets, ...pyramidTreePresets }
type PresetName = keyof typeof presets
const presetNames = Object.keys(presets) as [PresetName, ...PresetName[]]

const names = <Name extends string>(of: Readonly<Record<Name, unknown>>) => Object.keys(of) as [Name, ...Name[]]
const { family: _cell, ...cellSettings } = cellFields
const { family: _fbnetV2, ...fbnetV2Settings } = fbnetV2Fields
const { family: _darts, ...dartsSettings } = dartsFields
const { family: _aggregation, ...aggregationSettings } = aggregationFields
const { family: _pyramidTree, ...pyramidTreeSettings } = pyramidTreeFields

/** A preset with some of its settings changed, family by family. */
const changedPresetSchemas = [
  z.strictObject({ ...z.object(mbconvFields).partial().shape, preset: z.enum(names(mbconvPresets)) }),
  z.strictObject({ ...z.object(cellSettings).partial().shape, preset: z.enum(names(cellPresets)) }),
  z.strictObject({ ...z.object(fbnetV2Settings).partial().shape, preset: z.enum(names(fbnetV2Presets)) }),
  z.strictObject({ ...z.object(dartsSettings).partial().shape, preset: z.enum(names(dartsPresets)) }),
  z.strictObject({ ...z.object(aggregationSettings).partial().shape, preset: z.enum(names(aggregationPresets)) }),
  z.strictObject({ ...z.object(pyramidTreeSettings).partial().shape, preset: z.enum(names(pyramidTreePresets)) }),
] as const

/** Typed by the tag alone: for settings of any family, it takes settings of any family. */
function creatorOf<Of extends Tag>(family: Of): Creator<Of> {
  return taggedFamilies[family]
}

function isPlanned(config: SpaceConfig): config is PlannedConfig {
  return !('family' in config)
}

/** Throws SpaceError `config` where settings contradict each other. */
function spaceOf(config: SpaceConfig): Space {
  return isPlanned(config) ? createMbconvSpace(planNetwork(config)) : creatorOf(config.family)(config)
}

export {
  changedPresetSchemas,
  configSchemas,
  isPlanned,
  type PlannedConfig,
  presetNames,
  type PresetName,
  presets,
  type SearchedFamily,
  type SpaceConfig,
  spaceOf,
  taggedConfigSchema,
}
