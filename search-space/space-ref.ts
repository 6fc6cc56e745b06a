// How a space is named, and all the settings that a name stands for.

import * as z from 'zod'
import { type FixedNetwork, fixedNetworkSchema } from './fixed-network-config.ts'
import { type MbconvConfig, mbconvConfigSchema, mbconvFields, presetNames, presets } from './mbconv-config.ts'

/** All settings of a space: a stage plan with operations to choose from, or a fixed network. */
const spaceConfigSchema = z
  .union([mbconvConfigSchema, fixedNetworkSchema])
  .meta({ id: 'SpaceConfig', description: 'All settings of a space, or of a fixed network.' })
type SpaceConfig = MbconvConfig | FixedNetwork

/** A space as a user names it: a preset, a preset with some settings changed, or all settings. */
const spaceRefSchema = z
  .union([
    z.enum(presetNames),
    z.strictObject({ ...z.object(mbconvFields).partial().shape, preset: z.enum(presetNames) }),
    mbconvConfigSchema,
    fixedNetworkSchema,
  ])
  .meta({ id: 'SpaceRef', description: 'A preset name, a preset with settings changed, or all settings of a space or of a fixed network.' })
type SpaceRef = z.infer<typeof spaceRefSchema>

/** All settings that a reference stands for. Changed presets get a name of their own unless they are given one. */
function resolveSpaceConfig(ref: SpaceRef): SpaceConfig {
  if (typeof ref === 'string') return presets[ref]
  if (!('preset' in ref)) return ref
  const { preset, ...changes } = ref
  return mbconvConfigSchema.parse({ ...presets[preset], name: `${preset}-custom`, ...changes })
}

export { resolveSpaceConfig, type SpaceConfig, spaceConfigSchema, type SpaceRef, spaceRefSchema }
