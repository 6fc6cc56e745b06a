// The families of spaces. What a space's settings are decides which family it is of: those of the first two have no tag.

import * as z from 'zod'
import type { Space } from '../space.ts'
import { type CellConfig, cellConfigSchema, cellFields, cellPresets } from './cell/config.ts'
import { createCellSpace } from './cell/space.ts'
import { type FixedNetwork, fixedNetworkSchema } from './fixed/config.ts'
import { gridConfigSchema, listConfigSchema, type MbconvConfig, mbconvFields, mbconvPresets } from './mbconv/config.ts'
import { createMbconvSpace } from './mbconv/space.ts'
import { planNetwork } from './plan-network.ts'

/** Stem, places in a row, head: what `planNetwork` makes a plan of. */
type PlannedConfig = MbconvConfig | FixedNetwork
type TaggedConfig = CellConfig
type SpaceConfig = PlannedConfig | TaggedConfig
/** Those that have something to choose: fixed networks have not. */
type SearchedFamily = 'mbconv' | TaggedConfig['family']

/** Families that are tagged, by their tag. */
const taggedFamilies: { readonly [Tag in TaggedConfig['family']]: (config: Extract<TaggedConfig, { family: Tag }>) => Space } = {
  cell: createCellSpace,
}

const configSchemas = [gridConfigSchema, listConfigSchema, fixedNetworkSchema, cellConfigSchema] as const

const presets = { ...mbconvPresets, ...cellPresets }
type PresetName = keyof typeof presets
const presetNames = Object.keys(presets) as [PresetName, ...PresetName[]]

const names = <Name extends string>(of: Readonly<Record<Name, unknown>>) => Object.keys(of) as [Name, ...Name[]]
const { family: _, ...cellSettings } = cellFields

/** A preset with some of its settings changed, family by family. */
const changedPresetSchemas = [
  z.strictObject({ ...z.object(mbconvFields).partial().shape, preset: z.enum(names(mbconvPresets)) }),
  z.strictObject({ ...z.object(cellSettings).partial().shape, preset: z.enum(names(cellPresets)) }),
] as const

function isPlanned(config: SpaceConfig): config is PlannedConfig {
  return !('family' in config)
}

/** Throws SpaceError `config` where settings contradict each other. */
function spaceOf(config: SpaceConfig): Space {
  return isPlanned(config) ? createMbconvSpace(planNetwork(config)) : taggedFamilies[config.family](config)
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
}
