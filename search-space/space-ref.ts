// How a space is named, and all the settings that a name stands for.

import * as z from 'zod'
import { type FixedNetwork, fixedNetworkSchema } from './families/fixed/config.ts'
import { gridConfigSchema, listConfigSchema, type MbconvConfig, mbconvFields, presetNames, presets } from './families/mbconv/config.ts'
import { SpaceError } from './space.ts'

/** All settings of a space: a stage plan with operations to choose from, or a fixed network. */
const spaceConfigSchema = z
  .union([gridConfigSchema, listConfigSchema, fixedNetworkSchema])
  .meta({ id: 'SpaceConfig', description: 'All settings of a space, or of a fixed network.' })
type SpaceConfig = MbconvConfig | FixedNetwork

/** A space as a user names it: a preset, a preset with some settings changed, or all settings. */
const spaceRefSchema = z
  .union([
    z.enum(presetNames),
    z.strictObject({ ...z.object(mbconvFields).partial().shape, preset: z.enum(presetNames) }),
    gridConfigSchema,
    listConfigSchema,
    fixedNetworkSchema,
  ])
  .meta({ id: 'SpaceRef', description: 'A preset name, a preset with settings changed, or all settings of a space or of a fixed network.' })
type SpaceRef = z.infer<typeof spaceRefSchema>

/** What `operations` takes the place of. */
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
  if (!('operations' in config)) return gridConfigSchema.parse(config)
  const field = gridFields.find((name) => name in changes)
  if (field) throw new SpaceError('config', `space.${field}`, `expected no ${field} where operations are listed`)
  return listConfigSchema.strip().parse(config)
}

export { resolveSpaceConfig, type SpaceConfig, spaceConfigSchema, type SpaceRef, spaceRefSchema }
