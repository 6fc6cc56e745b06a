// An architecture as a document for people and other programs: what each part computes and costs. `network` is the same
// architecture as a fixed network, which is a space like any other: it can be trained, measured and searched with.

import { printArchitecture } from '../../encoding.ts'
import { fixArchitecture } from '../fixed/fix-architecture.ts'
import type { FixedNetwork } from '../fixed/config.ts'
import type { Shape } from '../../layer-graph.ts'
import { createMbconvSpace } from './space.ts'
import { planNetwork } from '../plan-network.ts'
import { STEM_KERNEL } from './plan.ts'
import { architectureCosts, fixedParts, optionParts, type Part, type Path } from '../../space.ts'
import { resolveSpaceConfig, type SpaceRef } from '../../space-ref.ts'

type ArchitecturePart = {
  /** As the space calls the part: `stem`, `stage1.2`, `head`, … */
  readonly part: string
  /** `conv`, `zero`, `identity`, or the name of an MBConv such as `mb6k5`. */
  readonly operation: string
  readonly input: Shape
  readonly output: Shape
  /** Where the part is a convolution or an MBConv. */
  readonly kernel?: number
  readonly stride?: number
  readonly expansion?: number
  readonly shortcut?: boolean
  /** Multiply-accumulates for one image. */
  readonly macs: number
  readonly parameters: number
  /** Key of its entry in a latency table; null costs nothing. */
  readonly latencyKey: string | null
}

type ArchitectureDocument = {
  readonly format: 'gatehouse-architecture/1'
  /** As printArchitecture writes it. */
  readonly architecture: string
  readonly input: Shape
  readonly classes: number
  readonly macs: number
  readonly parameters: number
  readonly parts: readonly ArchitecturePart[]
  readonly network: FixedNetwork
}

/** Throws SpaceError `choices` if the path is not of this space. */
function describeArchitecture(ref: SpaceRef, path: Path): ArchitectureDocument {
  const plan = planNetwork(resolveSpaceConfig(ref))
  const { network } = fixArchitecture(ref, path)
  const fixedPlan = planNetwork(network)
  const space = createMbconvSpace(fixedPlan)
  const only = network.blocks.map(() => 0)
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
  return {
    format: 'gatehouse-architecture/1',
    architecture: printArchitecture(createMbconvSpace(plan), path),
    input: space.input,
    classes: space.classes,
    ...architectureCosts(space, only),
    parts,
    network,
  }
}

export { type ArchitectureDocument, type ArchitecturePart, describeArchitecture }
