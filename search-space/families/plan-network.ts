import type { FixedNetwork } from './fixed/config.ts'
import { planFixed } from './fixed/plan.ts'
import type { MbconvConfig } from './mbconv/config.ts'
import { type NetworkPlan, planStages } from './mbconv/plan.ts'

/** Throws SpaceError `config` where settings contradict each other. */
function planNetwork(config: MbconvConfig | FixedNetwork): NetworkPlan {
  return 'blocks' in config ? planFixed(config) : planStages(config)
}

export { planNetwork }
