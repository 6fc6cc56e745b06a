// Settings of every strategy, one file each; `name` tells them apart.

import * as z from 'zod'
import { type AgingEvolutionConfig, agingEvolutionSchema } from './aging-evolution.ts'
import { type DartsConfig, dartsSchema } from './darts.ts'
import { easSchema } from './eas.ts'
import { type FpNasConfig, fpNasSchema } from './fp-nas.ts'
import { type LocalSearchConfig, localSearchSchema } from './local-search.ts'
import { type OneShotConfig, oneShotSchema } from './one-shot.ts'
import { type ParsecConfig, parsecSchema } from './parsec.ts'
import { type ProxylessGradientConfig, proxylessGradientSchema } from './proxyless-gradient.ts'
import { type Baseline, type ProxylessReinforceConfig, proxylessReinforceSchema, type Reward } from './proxyless-reinforce.ts'
import { predictorSchema } from './predictor.ts'
import { type RandomTrialsConfig, randomTrialsSchema } from './random-trials.ts'
import { reinforceSchema } from './reinforce.ts'
import { annealingSchema, type SposConfig, sposSchema } from './spos.ts'
import { successiveHalvingSchema } from './successive-halving.ts'

const strategyConfigSchema = z
  .discriminatedUnion('name', [
    proxylessGradientSchema,
    proxylessReinforceSchema,
    parsecSchema,
    fpNasSchema,
    dartsSchema,
    sposSchema,
    oneShotSchema,
    randomTrialsSchema,
    agingEvolutionSchema,
    localSearchSchema,
    reinforceSchema,
    predictorSchema,
    successiveHalvingSchema,
    easSchema,
  ])
  .meta({ id: 'StrategyConfig' })
type StrategyConfig = z.infer<typeof strategyConfigSchema>
type StrategyName = StrategyConfig['name']

/** Names of the settings of a strategy. */
function strategyFields(wanted: StrategyName): readonly string[] {
  const found = strategyConfigSchema.options.find(({ shape }) => shape.name.value === wanted)
  return Object.keys(found?.shape ?? {})
}

const strategyNames = strategyConfigSchema.options.map(({ shape }) => shape.name.value) as readonly StrategyName[]

export {
  type AgingEvolutionConfig,
  annealingSchema,
  type Baseline,
  type DartsConfig,
  type OneShotConfig,
  type LocalSearchConfig,
  type RandomTrialsConfig,
  type FpNasConfig,
  type ParsecConfig,
  type ProxylessGradientConfig,
  type ProxylessReinforceConfig,
  type Reward,
  type SposConfig,
  type StrategyConfig,
  strategyConfigSchema,
  strategyFields,
  type StrategyName,
  strategyNames,
}
