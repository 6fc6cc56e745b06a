// Latency of a space's operations, and of whole networks, on this machine: in inference form (batch-norm folded into the
// convolutions, fused activations) with freshly initialised weights, since only shapes matter to time.

import {
  assertPath,
  createRandom,
  largestPath,
  type Path,
  printArchitecture,
  randomPath,
  seedState,
  type Space,
} from '../../../search-space/index.ts'
import { coverSpace, pathLatencyMs, type SpaceLatency } from '../../table/coverage.ts'
import { entryOf } from '../../table/rounds.ts'
import { weightsOf } from '../network-weights.ts'
import { correct } from '../../table/agreement.ts'
import { type Correction, type LatencyEntry, type LatencyTable, latencyTableSchema } from '../../table/table.ts'
import { type OperationPlan, planAlone, planInContext } from './context.ts'
import { COMPANION_NETWORKS } from './limits.ts'
import { describeMachine } from './machine.ts'
import { measure, type Measurement, type MeasureSettings } from './measure.ts'
import type { Runtime } from '../runtimes/runtime.ts'

type ProfileOptions = MeasureSettings & {
  readonly space: Space
  /** Of the table; by default the space's and the runtime's, as in `fashion-mini-tfjs-wasm`. */
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
  return Array.from({ length: count }, () => randomPath(space, random))
}

/** Draws per path that is wanted; a space with fewer architectures than paths would never give them all. */
const DRAWS_PER_PATH = 50

/** Seeded paths as randomPaths draws them, each once: `count` of them, or fewer where the space hardly has more. */
function differentPaths(space: Space, count: number, seed: number): number[][] {
  const different = new Map<string, number[]>()
  for (const path of randomPaths(space, count * DRAWS_PER_PATH, seed)) {
    if (different.size === count) break
    different.set(path.join(), path)
  }
  return [...different.values()]
}

/** How operations are to be measured so that their sum is the time of a network. */
function planOperations(space: Space, runtime: Runtime): OperationPlan {
  const operations = space.measurableOperations()
  return runtime.measures === 'alone' ? planAlone(operations) : planInContext(operations, space.input)
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
  const { space, runtime, batch, seed, name = `${space.name}-${runtime.recorded.name}` } = options
  for (const path of paths) assertPath(space, path)
  const operations = space.measurableOperations()
  const plan = planOperations(space, runtime)
  const ownWeights = weightsOf(space, seed)
  const { samples, quality } = await measure(
    {
      graphs: [...plan.graphs, ...paths.map((path) => space.network(path))],
      weights: (key, shape) => plan.weights(key) ?? ownWeights(key, shape),
      interpret: (all) => [...plan.interpret(all).operations, ...all.slice(plan.graphs.length)],
    },
    options,
  )
  const { operations: operationSamples, fixedMs } = plan.interpret(samples)
  const table = latencyTableSchema.parse({
    name,
    ...describeMachine(runtime),
    batch,
    inputShape: space.input,
    measuredAt: new Date().toISOString(),
    fixedMs,
    quality,
    entries: Object.fromEntries(operations.map(({ latencyKey }, index) => [latencyKey, entryOf(operationSamples[index] ?? [])])),
  })
  const coverage = coverSpace(space, table)
  if (coverage.kind === 'missing')
    throw new Error(`space ${space.name} does not list all its operations as measurable: ${coverage.keys.join(', ')}`)
  const networks = paths.map((path, index) => ({
    architecture: printArchitecture(space, path),
    predictedMs: pathLatencyMs(coverage.latency, path),
    measuredMs: entryOf(samples[plan.graphs.length + index] ?? []).meanMs,
  }))
  const errors = networks.map(({ predictedMs, measuredMs }) => Math.abs(predictedMs - measuredMs) / measuredMs)
  return { table, networks, meanAbsoluteError: errors.reduce((sum, error) => sum + error, 0) / errors.length }
}

/** Latency of whole networks for one batch, in the order of the paths. Throws SpaceError `choices` for a path of another space. */
async function measureNetworks(
  options: MeasureSettings & { readonly space: Space; readonly paths: readonly Path[] },
): Promise<{ readonly entries: LatencyEntry[]; readonly quality: Measurement['quality'] }> {
  const { space, paths, seed } = options
  for (const path of paths) assertPath(space, path)
  const graphs = paths.map((path) => space.network(path))
  const { samples, quality } = await measure({ graphs, weights: weightsOf(space, seed), interpret: (all) => all }, options)
  return { entries: samples.map(entryOf), quality }
}

/**
 * Latency of one whole network for one batch. Others take turns with it, as operations do: run over and over, a small
 * network would find all of itself in the caches, which the operations of a table never did.
 */
async function measureNetwork(options: MeasureSettings & { readonly space: Space; readonly path: Path }): Promise<LatencyEntry> {
  const { space, path, seed } = options
  assertPath(space, path)
  const companions = [largestPath(space), ...randomPaths(space, COMPANION_NETWORKS - 1, seed)]
  const { entries } = await measureNetworks({ ...options, paths: [path, ...companions] })
  return entries[0] as LatencyEntry
}

/** A whole network beside a table that was measured before. */
type Beside = {
  readonly measuredMs: number
  /** By the table. */
  readonly predictedMs: number
  /** By its operations, measured again in the same rounds as the network, with the table's correction. */
  readonly predictedNowMs: number
  /** How many times as long operations take now. */
  readonly pace: number
  /** What the network would take at the speed that the machine had when the table was measured. */
  readonly measuredAtPaceMs: number
}

/**
 * The pace is that of operations, so that what the table's correction adds to their sums is no part of it. Throws SpaceError `choices` for a
 * path that is not of the space.
 *
 * @param sums by the table without its correction
 */
async function measureBeside(
  options: Omit<ProfileOptions, 'name'>,
  sums: SpaceLatency,
  correction: Correction | undefined,
  path: Path,
): Promise<Beside> {
  const { networks } = await profileAndCheck(options, [path])
  const { predictedMs: sumNowMs, measuredMs } = networks[0] as CheckedNetwork
  const sumMs = pathLatencyMs(sums, path)
  const pace = sumNowMs / sumMs
  const predictedMs = correction ? correct(sumMs, correction) : sumMs
  const predictedNowMs = pace * predictedMs
  return { measuredMs, predictedMs, predictedNowMs, pace, measuredAtPaceMs: measuredMs / pace }
}

export {
  type Beside,
  type CheckedNetwork,
  type CheckedProfile,
  differentPaths,
  measureBeside,
  measureNetwork,
  measureNetworks,
  profileAndCheck,
  type ProfileOptions,
  profileSpace,
  randomPaths,
}
