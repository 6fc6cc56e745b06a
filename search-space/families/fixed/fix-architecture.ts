// Any architecture as a fixed network: the same layers, with every width, kernel and stride written out, and where its
// weights are to be found in the space that it is of.

import type { FixedBlock, FixedNetwork } from './config.ts'
import { FIXED_PREFIXES, type NetworkPlan } from '../mbconv/plan.ts'
import { planNetwork } from '../plan-network.ts'
import { isPlanned } from '../index.ts'
import type { MbconvConfig } from '../mbconv/config.ts'
import { type Path, SpaceError } from '../../space.ts'
import { resolveSpaceConfig, type SpaceRef } from '../../space-ref.ts'

const MAX_NAME_LENGTH = 64
const NAME_SUFFIX = '-fixed'

/** For each part of a network what its weight keys begin with, before the slash. */
type WeightPrefixes = {
  readonly stem: string
  /** As `FixedNetwork.blocks`; null for a skipped block, which has no weights. */
  readonly blocks: readonly (string | null)[]
  readonly head: string | null
  readonly classifier: string
}

type FixedArchitecture = {
  readonly network: FixedNetwork
  /** Of the architecture's own space, not of `network`'s. */
  readonly prefixes: WeightPrefixes
}

function chosenBlocks(plan: NetworkPlan, path: Path): { block: FixedBlock; prefix: string | null }[] {
  if (path.length !== plan.places.length) {
    throw new SpaceError('choices', 'path', `expected ${plan.places.length} operations, one per block, got ${path.length}`)
  }
  return plan.places.map((place, index) => {
    const chosen = place.candidates[path[index] as number]
    if (!chosen) throw new SpaceError('choices', `path[${index}]`, `block ${place.name} has no operation ${path[index]}`)
    const { stride, shortcut } = place
    const width = place.output[2]
    const prefix = chosen.kind === 'skip' ? null : `${place.name}/${chosen.name}`
    if (chosen.name === 'zero') return { block: 'zero', prefix }
    if (chosen.kind !== 'mbconv') return { block: { operation: 'identity', stride, width } as FixedBlock, prefix }
    const { expansion, kernel } = chosen
    return { block: { expansion, kernel, stride, width, shortcut } as FixedBlock, prefix }
  })
}

/** Throws SpaceError `choices` if the path is not of this space. The network's name is the space's with `-fixed` behind it. */
function fixPlan(config: MbconvConfig | FixedNetwork, path: Path): FixedArchitecture {
  const plan = planNetwork(config)
  const first = plan.first && {
    block: { expansion: 1, kernel: plan.first.kernel, stride: 1, width: plan.first.width, shortcut: false } as FixedBlock,
    prefix: FIXED_PREFIXES.first,
  }
  const blocks = [...(first ? [first] : []), ...chosenBlocks(plan, path)]
  const isFixed = 'blocks' in config
  return {
    network: {
      name: isFixed ? config.name : `${config.name.slice(0, MAX_NAME_LENGTH - NAME_SUFFIX.length)}${NAME_SUFFIX}`,
      input: [...plan.input],
      classes: plan.classes,
      stem: { ...plan.stem } as FixedNetwork['stem'],
      blocks: blocks.map(({ block }) => block),
      headWidth: plan.headWidth,
      batchNormEpsilon: plan.epsilon,
    },
    prefixes: {
      stem: FIXED_PREFIXES.stem,
      blocks: blocks.map(({ prefix }) => prefix),
      head: plan.headWidth === null ? null : FIXED_PREFIXES.head,
      classifier: FIXED_PREFIXES.classifier,
    },
  }
}

/** As `fixPlan`. Throws SpaceError `config` for a space whose family has no such form. */
function fixArchitecture(ref: SpaceRef, path: Path): FixedArchitecture {
  const config = resolveSpaceConfig(ref)
  if (isPlanned(config)) return fixPlan(config, path)
  throw new SpaceError('config', 'space', `networks of the family ${config.family} have no form as a fixed network of MBConvs`)
}

/** The only path of a fixed network. */
function onlyPath(network: FixedNetwork): number[] {
  return network.blocks.map(() => 0)
}

export { type FixedArchitecture, fixArchitecture, fixPlan, onlyPath, type WeightPrefixes }
