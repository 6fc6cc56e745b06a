// Latency of a space's operations, and of whole networks, on this machine: in inference form (batch-norm folded into the
// convolutions, fused activations) with freshly initialised weights, since only shapes matter to time.

import { assertPath, createRandom, largestPath, type Path, printArchitecture, seedState, type Space } from '../../search-space/index.ts'
import { coverSpace, pathLatencyMs } from '../coverage.ts'
import { type LatencyEntry, type LatencyTable, latencyTableSchema } from '../table.ts'
import { weightsOf } from '../tfjs/subjects.ts'
import { COMPANION_NETWORKS } from './limits.ts'
import { describeMachine } from './machine.ts'
import { measureGraphs, type MeasureSettings } from './measure.ts'

type ProfileOptions = MeasureSettings & {
  readonly space: Space
  /** Of the table; by default the space's and the backend's, as in `fashion-mini-wasm`. */
  readonly name?: string | undefined
}

/** A whole network next to the sum of its entries. */
type CheckedNetwork = {
  /** As in `fashion-mini:mb3k5,zero,mb6k3,…`. */
  readonly architecture: string
  readonly predictedMs: number
  readonly measuredMs: number
}

type CheckedProfile = {
  readonly table: LatencyTable
  readonly networks: readonly CheckedNetwork[]
  /** Mean of |predicted − measured| / measured over the networks; NaN for none. */
  readonly meanAbsoluteError: number
}

/** A seeded path, uniform over the operations of every block. */
function randomPaths(space: Space, count: number, seed: number): number[][] {
  const random = createRandom(seedState('latency-paths', seed))
  return Array.from({ length: count }, () => space.blocks.map((block) => random.integer(block.operations.length)))
}

/** Measures every operation of a space. The table covers the space. */
async function profileSpace(options: ProfileOptions): Promise<LatencyTable> {
  const { table } = await profileAndCheck(options, [])
  return table
}

/**
 * As profileSpace, with whole networks measured in the same rounds: says how well the sum of entries predicts them.
 * Throws SpaceError `choices` for a path that is not of the space.
 */
async function profileAndCheck(options: ProfileOptions, paths: readonly Path[]): Promise<CheckedProfile> {
  const { space, backend, batch, seed, name = `${space.name}-${backend.name}` } = options
  for (const path of paths) assertPath(space, path)
  const operations = space.measurableOperations()
  const graphs = [...operations.map(({ graph }) => graph), ...paths.map((path) => space.network(path))]
  const entries = await measureGraphs(graphs, weightsOf(space, seed), options)
  const table = latencyTableSchema.parse({
    name,
    ...describeMachine(backend),
    batch,
    inputShape: space.input,
    measuredAt: new Date().toISOString(),
    // Measured as it is here, an operation carries its share of what a run costs around it: see measure.ts.
    fixedMs: 0,
    entries: Object.fromEntries(operations.map(({ latencyKey }, index) => [latencyKey, entries[index]])),
  })
  const coverage = coverSpace(space, table)
  if (coverage.kind === 'missing')
    throw new Error(`space ${space.name} does not list all its operations as measurable: ${coverage.keys.join(', ')}`)
  const networks = paths.map((path, index) => ({
    architecture: printArchitecture(space, path),
    predictedMs: pathLatencyMs(coverage.latency, path),
    measuredMs: entries[operations.length + index]?.meanMs ?? Number.NaN,
  }))
  const errors = networks.map(({ predictedMs, measuredMs }) => Math.abs(predictedMs - measuredMs) / measuredMs)
  return { table, networks, meanAbsoluteError: errors.reduce((sum, error) => sum + error, 0) / errors.length }
}

/**
 * Latency of one whole network for one batch. Others take turns with it, as operations do: run over and over, a small
 * network would find all of itself in the caches, which the operations of a table never did.
 */
async function measureNetwork(options: MeasureSettings & { readonly space: Space; readonly path: Path }): Promise<LatencyEntry> {
  const { space, path, seed } = options
  assertPath(space, path)
  const companions = [largestPath(space), ...randomPaths(space, COMPANION_NETWORKS - 1, seed)]
  const graphs = [path, ...companions].map((each) => space.network(each))
  const [entry] = await measureGraphs(graphs, weightsOf(space, seed), options)
  return entry as LatencyEntry
}

export { type CheckedNetwork, type CheckedProfile, measureNetwork, profileAndCheck, type ProfileOptions, profileSpace, randomPaths }
