// An architecture of a search with everything that is known of it: what each part computes, costs and takes by the latency
// table that the search has pinned, and how probable its operations are.

import { findEntry, pathLatencyMs, predictedPart, type SpaceLatency } from '../latency-lut/table/coverage.ts'
import type { LatencyTable } from '../latency-lut/table/table.ts'
import {
  type ArchitectureDocument,
  type ArchitecturePart,
  createSpace,
  describeArchitecture,
  mostProbablePaths,
  mostProbableWithin,
  optionParts,
  type Part,
  type Path,
  type Space,
} from '../search-space/index.ts'
import { type Architecture, knownView, type SearchStatus } from '../protocol/index.ts'
import { CliError } from '../command-line/exit-codes.ts'
import { printable } from '../command-line/text-layout.ts'
import { latencyOfSpace } from './space-latency.ts'

type DerivedBlock = Architecture['blocks'][number] & Omit<ArchitecturePart, 'part'>
/** A part that every architecture of the space has. */
type DerivedFixedPart = ArchitecturePart & { readonly latencyMs: number }

type DerivedArchitecture = Omit<Architecture, 'blocks'> & {
  readonly format: ArchitectureDocument['format']
  readonly searchId: string
  /** Of the whole path: the product over its blocks; left out where the search has no distribution. */
  readonly probability?: number
  /** As the authors of its space write it, where they have a form for it. */
  readonly published?: string
  readonly input: ArchitectureDocument['input']
  readonly classes: number
  readonly blocks: readonly DerivedBlock[]
  readonly fixedParts: readonly DerivedFixedPart[]
  readonly latencyTable: { readonly name: string; readonly version: string }
  /** The same architecture as a space with one operation per block: what `--space` and a search's `space` take. */
  readonly network: ArchitectureDocument['network']
}

/** Where latency is no sum over blocks, this many of the most probable architectures are looked at. */
const MOST_LOOKED_AT = 4096
/** Share of the target that an architecture has to use to count as one for it. */
const LEAST_TARGET_SHARE = 0.95

/** The space of a search and what its operations take. Throws CliError `failure` where the table is not the one it started with. */
function latencyOfSearch(status: SearchStatus, table: LatencyTable): { space: Space; complete: LatencyTable; latency: SpaceLatency } {
  const space = createSpace(status.space)
  const lacking = (keys: readonly string[]) =>
    new CliError('failure', `latency table ${table.name} lacks ${keys.join(', ')}, which the search started with`)
  return { space, ...latencyOfSpace(space, table, status.config.latency.missing, lacking) }
}

/** Of what may be derived. Throws CliError `conflict` for a search that has none. */
function probabilitiesOf({ searchId, view, space }: SearchStatus): readonly (readonly number[])[] {
  const known = knownView(view)
  if (known?.kind === 'distribution') return createSpace(space).derivable?.(known.probabilities) ?? known.probabilities
  throw new CliError('conflict', `search ${searchId} has no probabilities of operations: it shows a ${printable(view.kind)}`)
}

/**
 * The most probable path that takes the target latency, or up to a twentieth less. What is the most probable in every block by
 * itself usually takes less than the search expects: a skipped block is one operation, its alternatives share what is left.
 * Throws CliError `conflict` where there is none.
 */
function pathAtTarget(status: SearchStatus, table: LatencyTable): Path {
  const { latency } = latencyOfSearch(status, table)
  const { targetLatencyMs } = status
  const least = LEAST_TARGET_SHARE * targetLatencyMs
  const probabilities = probabilitiesOf(status)
  const found = latency.joint
    ? mostProbablePaths(probabilities, MOST_LOOKED_AT).find(({ path }) => {
        const ms = pathLatencyMs(latency, path)
        return ms >= least && ms <= targetLatencyMs
      })
    : mostProbableWithin(probabilities, latency.operationMs, {
        least: least - latency.fixedMs,
        most: targetLatencyMs - latency.fixedMs,
      })
  if (found) return found.path
  throw new CliError(
    'conflict',
    `no architecture of probability above 0 takes ${(LEAST_TARGET_SHARE * targetLatencyMs).toFixed(3)} to ${targetLatencyMs.toFixed(3)} ms by table ${table.name}`,
  )
}

/** What an option that acts in many places computes in all of them together. */
function inManyPlaces(operation: string, own: readonly Part[]): ArchitecturePart {
  const sum = (field: 'macs' | 'parameters') => own.reduce((total, part) => total + part[field], 0)
  return { part: '', operation, macs: sum('macs'), parameters: sum('parameters'), latencyKey: null }
}

/**
 * Turns paths of a search's space into documents.
 *
 * @param table the one that the search has pinned, at that version
 */
function deriveArchitectures(status: SearchStatus, table: LatencyTable, paths: readonly Path[]): DerivedArchitecture[] {
  const { space, complete, latency } = latencyOfSearch(status, table)
  const view = knownView(status.view)
  const probabilities = view?.kind === 'distribution' ? view.probabilities : null
  const predicted = predictedPart(space, complete)
  const { name, version } = status.latencyTable
  return paths.map((path) => {
    const document = describeArchitecture(status.space, path)
    const parts = new Map(document.parts.map((part) => [part.part, part]))
    const blocks = space.decisions.map(({ name: place, options }, index): DerivedBlock => {
      const operation = path[index] as number
      const own = optionParts(space, index, operation)
      const alone = own.length === 1 ? parts.get(own[0]?.name ?? '') : undefined
      const { part: _, ...described } = alone ?? inManyPlaces(options[operation]?.name ?? '', own)
      return {
        block: place,
        ...(probabilities && { probability: probabilities[index]?.[operation] ?? 0 }),
        latencyMs: latency.operationMs[index]?.[operation] ?? 0,
        ...(predicted?.operations[index]?.[operation] ? { predicted: true as const } : {}),
        ...described,
      }
    })
    const inBlocks = new Set(path.flatMap((option, index) => optionParts(space, index, option).map((part) => part.name)))
    const fixedParts = document.parts.filter(({ part }) => !inBlocks.has(part))
    return {
      format: document.format,
      searchId: status.searchId,
      encoding: document.architecture,
      ...(document.published !== undefined && { published: document.published }),
      path: [...path],
      ...(probabilities && { probability: blocks.reduce((product, block) => product * (block.probability ?? 0), 1) }),
      latencyMs: pathLatencyMs(latency, path),
      macs: document.macs,
      parameters: document.parameters,
      input: document.input,
      classes: document.classes,
      blocks,
      fixedParts: fixedParts.map((part) => ({ ...part, latencyMs: latencyOf(complete, part) })),
      latencyTable: { name, version },
      network: document.network,
    }
  })
}

function latencyOf(table: LatencyTable, { latencyKey }: ArchitecturePart): number {
  return latencyKey === null ? 0 : (findEntry(table, latencyKey)?.meanMs ?? 0)
}

export { type DerivedArchitecture, deriveArchitectures, pathAtTarget, probabilitiesOf }
