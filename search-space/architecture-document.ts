// An architecture as a document for people and other programs: what each part computes and costs.

import type { ArchitecturePart } from './architecture-part.ts'
import { printArchitecture } from './encoding.ts'
import type { FixedNetwork } from './families/fixed/config.ts'
import { isPlanned, spaceOf } from './families/index.ts'
import { describeMbconv } from './families/mbconv/describe.ts'
import type { Shape } from './layer-graph.ts'
import { architectureCosts, type Path, partsOf } from './space.ts'
import { resolveSpaceConfig, type SpaceRef } from './space-ref.ts'

type ArchitectureDocument = {
  readonly format: 'gatehouse-architecture/1'
  /** As printArchitecture writes it. */
  readonly architecture: string
  /** As the authors of its space write it, where they have a form for it. */
  readonly published?: string
  readonly input: Shape
  readonly classes: number
  readonly macs: number
  readonly parameters: number
  readonly parts: readonly ArchitecturePart[]
  /** The same architecture as a fixed network, which is a space like any other; null where its family has no such form. */
  readonly network: FixedNetwork | null
}

/** Throws SpaceError `choices` if the path is not of this space. */
function describeArchitecture(ref: SpaceRef, path: Path): ArchitectureDocument {
  const config = resolveSpaceConfig(ref)
  const space = spaceOf(config)
  const { network, parts } = isPlanned(config)
    ? describeMbconv(config, path)
    : { network: null, parts: partsOf(space, path).map(({ name, ...part }) => ({ part: name, ...part })) }
  const published = space.encoding.publish?.(path) ?? null
  return {
    format: 'gatehouse-architecture/1',
    architecture: printArchitecture(space, path),
    ...(published !== null && { published }),
    input: space.input,
    classes: space.classes,
    ...architectureCosts(space, path),
    parts,
    network,
  }
}

export { type ArchitectureDocument, type ArchitecturePart, describeArchitecture }
