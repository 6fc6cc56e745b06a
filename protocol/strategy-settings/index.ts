// Settings of every strategy, one file each; `name` tells them apart.

import * as z from 'zod'
import { type FpNasConfig, fpNasSchema } from './fp-nas.ts'
import { type ParsecConfig, parsecSchema } from './parsec.ts'
import { type ProxylessGradientConfig, proxylessGradientSchema } from './proxyless-gradient.ts'
import { type Baseline, type ProxylessReinforceConfig, proxylessReinforceSchema, type Reward } from './proxyless-reinforce.ts'

const strategyConfigSchema = z
  .discriminatedUnion('name', [proxylessGradientSchema, proxylessReinforceSchema, parsecSchema, fpNasSchema])
  .meta({ id: 'StrategyConfig' })
type StrategyConfig = z.infer<typeof strategyConfigSchema>
type StrategyName = StrategyConfig['name']

const strategyNames = strategyConfigSchema.options.map(({ shape }) => shape.name.value) as readonly StrategyName[]

export {
  type Baseline,
  type FpNasConfig,
  type ParsecConfig,
  type ProxylessGradientConfig,
  type ProxylessReinforceConfig,
  type Reward,
  type StrategyConfig,
  strategyConfigSchema,
  type StrategyName,
  strategyNames,
}
