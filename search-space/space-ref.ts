// How a space is named, and all the settings that a name stands for.

import * as z from 'zod'
import { changedPresetSchemas, configSchemas, presetNames, presets, type SpaceConfig, taggedConfigSchema } from './families/index.ts'
import { gridConfigSchema, listConfigSchema } from './families/mbconv/config.ts'
import { SpaceError } from './space.ts'

/** All settings of a space of any family. */
const spaceConfigSchema = z.union(configSchemas).meta({ id: 'SpaceConfig', description: 'All settings of a space, or of a fixed network.' })

/** A space as a user names it: a preset, a preset with some settings changed, or all settings. */
const spaceRefSchema = z
  .union([z.enum(presetNames), ...changedPresetSchemas, ...configSchemas])
  .meta({ id: 'SpaceRef', description: 'A preset name, a preset with settings changed, or all settings of a space or of a fixed network.' })
type SpaceRef = z.infer<typeof spaceRefSchema>

/** What `operations` of an MBConv space takes the place of. */
const gridFields = ['kernels', 'expansions', 'zero'] as const

/**
 * All settings that a reference stands for. Changed presets get a name of their own unless they are given one. Throws
 * SpaceError `config` for changes that say in two ways what there is to choose from.
 */
function resolveSpaceConfig(ref: SpaceRef): SpaceConfig {
  if (typeof ref === 'string') return presets[ref]
  if (!('preset' in ref)) return ref
  const { preset, ...changes } = ref
  const config = { ...presets[preset], name: `${preset}-custom`, ...changes }
  if ('family' in config) return taggedConfigSchema.parse(config)
  if (!('operations' in config)) return gridConfigSchema.parse(config)
  const field = gridFields.find((name) => name in changes)
  if (field) throw new SpaceError('config', `space.${field}`, `expected no ${field} where operations are listed`)
  return listConfigSchema.strip().parse(config)
}

export { resolveSpaceConfig, type SpaceConfig, spaceConfigSchema, type SpaceRef, spaceRefSchema }
