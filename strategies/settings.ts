import type { StrategyConfig, StrategyName } from '../protocol/index.ts'
import type { StrategyContext } from './strategy.ts'

/** The settings of a search's strategy, which has that name: a strategy is only ever run with its own. */
function settingsOf<Name extends StrategyName>({ config }: StrategyContext, name: Name): Extract<StrategyConfig, { name: Name }> {
  const { strategy } = config
  if (strategy.name !== name) throw new Error(`expected the settings of ${name}, got those of ${strategy.name}`)
  return strategy as Extract<StrategyConfig, { name: Name }>
}

export { settingsOf }
