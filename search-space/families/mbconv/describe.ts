// The parts of an MBConv architecture, and the same architecture as a fixed network, which can be trained, measured and searched with.

import type { ArchitecturePart } from '../../architecture-part.ts'
import type { Shape } from '../../layer-graph.ts'
import { fixedParts, optionParts, type Part, type Path } from '../../space.ts'
import type { FixedNetwork } from '../fixed/config.ts'
import { fixPlan } from '../fixed/fix-architecture.ts'
import { planNetwork } from '../plan-network.ts'
import type { MbconvConfig } from './config.ts'
import { STEM_KERNEL } from './plan.ts'
import { createMbconvSpace } from './space.ts'

/** Throws SpaceError `choices` if the path is not of this space. */
function describeMbconv(
  config: MbconvConfig | FixedNetwork,
  path: Path,
): { readonly parts: readonly ArchitecturePart[]; readonly network: FixedNetwork } {
  const plan = planNetwork(config)
  const { network } = fixPlan(config, path)
  const fixedPlan = planNetwork(network)
  const space = createMbconvSpace(fixedPlan)
  const names = [...(plan.first ? ['first'] : []), ...plan.places.map((place) => place.name)]
  const body = fixedPlan.places.map((planned, index): ArchitecturePart => {
    const { input, output, stride, shortcut } = planned
    const [chosen] = planned.candidates
    const [{ operation, macs, parameters, latencyKey }] = optionParts(space, index, 0) as [Part]
    const costs = { macs, parameters, latencyKey }
    const place = { part: names[index] ?? planned.name, operation, input, output }
    if (!chosen || chosen.kind === 'skip') return { ...place, ...costs }
    if (chosen.kind === 'projection') return { ...place, kernel: 1, stride, ...costs }
    const { kernel, expansion } = chosen
    return { ...place, kernel, stride, expansion, shortcut, ...costs }
  })
  const stemShape = fixedPlan.places[0]?.input ?? space.input
  const bodyShape = fixedPlan.places.at(-1)?.output ?? stemShape
  const headShape: Shape = [bodyShape[0], bodyShape[1], network.headWidth ?? bodyShape[2]]
  const shapes: Readonly<Record<string, Pick<ArchitecturePart, 'input' | 'output' | 'kernel' | 'stride'>>> = {
    stem: { input: space.input, output: stemShape, kernel: STEM_KERNEL, stride: network.stem.stride },
    head: { input: bodyShape, output: headShape, kernel: 1, stride: 1 },
    classifier: { input: headShape, output: [1, 1, network.classes] },
  }
  const fixed = fixedParts(space).flatMap(({ name, operation, macs, parameters, latencyKey }): ArchitecturePart[] => {
    const shape = shapes[name]
    return shape ? [{ part: name, operation, ...shape, macs, parameters, latencyKey }] : []
  })
  const parts = [...fixed.filter(({ part }) => part === 'stem'), ...body, ...fixed.filter(({ part }) => part !== 'stem')]
  return { parts, network }
}

export { describeMbconv }
