// What is compared: architectures of one space, and MobileNetV2 at several widths for the same images.

import type { SpaceLatency } from '../../latency-lut/table/coverage.ts'
import { randomOfEqualLatency } from '../../latency-lut/table/equal-latency.ts'
import {
  architectureCosts,
  createRandom,
  createSpace,
  largestPath,
  parseArchitecture,
  type Path,
  printArchitecture,
  randomPath,
  presets,
  seedState,
  type Space,
  type SpaceRef,
} from '../../search-space/index.ts'

/** How a candidate came about; one colour each in a plot. */
type CandidateGroup = 'searched' | 'random' | 'uniform' | 'largest' | 'MobileNetV2'

type Candidate = {
  /** Unique among those compared. */
  readonly name: string
  readonly group: CandidateGroup
  readonly space: SpaceRef
  readonly architecture: string
  /** Multiply-accumulates for one image. */
  readonly macs: number
  readonly parameters: number
}

type Wanted = {
  readonly space: SpaceRef
  /** Name and encoding, of the space. */
  readonly architectures: readonly { readonly name: string; readonly encoding: string }[]
  /** In all; with `latency` for each of `architectures`, and of its latency. */
  readonly randomCount: number
  /** Of the space by a latency table; null: random architectures take as long as they may. */
  readonly latency: SpaceLatency | null
  readonly randomSeed: number
  /** Operations, such as `mb6k3`, of architectures that have the one in every block. */
  readonly uniform: readonly string[]
  readonly largest: boolean
  /** Width multipliers of MobileNetV2. */
  readonly mobileNetWidths: readonly number[]
}

/** Rows that MobileNetV2 has at its end at 224×224 (Sandler et al. 2018, table 2). */
const LEAST_ROWS = 7
/** Its strides of 2: the stem and four of its stages. */
const MOBILENET_STRIDED_STAGES: ReadonlySet<number> = new Set([0, 1, 2, 4])

/**
 * MobileNetV2 for images of any size: of its five strides of 2 only as many, from the first on, as leave 7 rows at the end.
 * At 224×224 that is the published network; smaller images keep what detail they have.
 */
function mobileNetV2(input: readonly [number, number, number], classes: number, widthMult: number): SpaceRef {
  const published = presets['mobilenet-v2']
  let rows = Math.min(input[0], input[1])
  const strideFor = (): 1 | 2 => {
    if (rows / 2 < LEAST_ROWS) return 1
    rows /= 2
    return 2
  }
  const stem = { ...published.stem, stride: strideFor() }
  const stages = published.stages.map((stage, index) => ({ ...stage, stride: MOBILENET_STRIDED_STAGES.has(index) ? strideFor() : 1 }))
  return {
    preset: 'mobilenet-v2',
    name: `mobilenet-v2-${widthMult}`,
    input: [...input],
    classes,
    widthMult,
    stem,
    stages,
  }
}

function candidate(name: string, group: CandidateGroup, ref: SpaceRef, space: Space, path: Path): Candidate {
  return { name, group, space: ref, architecture: printArchitecture(space, path), ...architectureCosts(space, path) }
}

/** Throws SpaceError where an encoding is not of the space. */
function listCandidates(wanted: Wanted): Candidate[] {
  const { space: ref, architectures, randomCount, randomSeed, latency, uniform, largest, mobileNetWidths } = wanted
  const space = createSpace(ref)
  const random = createRandom(seedState('compare', randomSeed))
  const named = architectures.map(({ name, encoding }) => ({ name, path: parseArchitecture(space, encoding) }))
  const drawn = latency
    ? named.flatMap(({ name, path }) =>
        randomOfEqualLatency(space, latency, path, randomCount, random).map((other, i) => ({
          name: `random ${i + 1} like ${name}`,
          path: other,
        })),
      )
    : Array.from({ length: randomCount }, (_, i) => ({ name: `random ${i + 1}`, path: randomPath(space, random) }))
  return [
    ...named.map(({ name, path }) => candidate(name, 'searched', ref, space, path)),
    ...drawn.map(({ name, path }) => candidate(name, 'random', ref, space, path)),
    ...uniform.map((operation) => {
      const encoding = `${space.name}:${space.decisions.map(() => operation).join(',')}`
      return candidate(`${operation} only`, 'uniform', ref, space, parseArchitecture(space, encoding))
    }),
    ...(largest ? [candidate('largest', 'largest', ref, space, largestPath(space))] : []),
    ...mobileNetWidths.map((width) => {
      const network = mobileNetV2(space.input, space.classes, width)
      const made = createSpace(network)
      return candidate(`MobileNetV2 ${width}`, 'MobileNetV2', network, made, largestPath(made))
    }),
  ]
}

export { type Candidate, type CandidateGroup, listCandidates, mobileNetV2 }
