// Turns a user's configuration and a latency table into the fixed setup of a search, or refuses with every field named.

import { coverSpace, latencyBounds, predictedPart, type SpaceLatency } from '../../latency-lut/table/coverage.ts'
import { fillMissing, type Refused } from '../../latency-lut/table/prediction.ts'
import type { LatencyTable } from '../../latency-lut/table/table.ts'
import { createSpace, elementCount, resolveSpaceConfig, type Space, SpaceError, withSmallerInput } from '../../search-space/index.ts'
import { MAX_SHARD_BYTES, MAX_SHARDS, invalidField, planShards, ProblemError, type SearchConfig } from '../../protocol/index.ts'
import {
  findStrategy,
  type RecordedCosts,
  rowsOver,
  type Strategy,
  type StrategyContext,
  type StrategyRows,
} from '../../strategies/index.ts'
import type { SearchStore } from './store.ts'
import type { SearchSetup } from './stored.ts'

/** How many missing keys a refusal lists. */
const MAX_KEYS_NAMED = 50
/** Beyond this a table holds no milliseconds, and sums of it may no longer be numbers. */
const MAX_LATENCY_MS = 1e12
const FLOAT_BYTES = 4

/** Throws ProblemError `invalid-request` in place of SpaceError. */
function orRefuse(open: () => Space): Space {
  try {
    return open()
  } catch (error) {
    if (!(error instanceof SpaceError)) throw error
    throw new ProblemError('invalid-request', error.message, [{ path: error.field, message: error.message }])
  }
}

/** Throws ProblemError `invalid-request` where weights cannot be trained on smaller images as the settings want it. */
function checkResolution({ space, training }: SearchConfig): void {
  const { reducedResolution } = training
  if (reducedResolution) orRefuse(() => withSmallerInput(space, reducedResolution.divisor, 'training.reducedResolution.divisor'))
}

/** Throws ProblemError `missing-latencies` that names the keys, up to a number of them. */
function refuseMissing(message: string, missing: readonly Refused[]): never {
  const named = missing.slice(0, MAX_KEYS_NAMED)
  const more = missing.length > named.length ? ` and ${missing.length - named.length} more` : ''
  throw new ProblemError(
    'missing-latencies',
    `${message}: ${named.map(({ key }) => key).join(', ')}${more}. Measure them with \`latency-lut profile\`.`,
    named.map(({ key, reason }) => ({ path: `entries.${key}`, message: reason })),
  )
}

/** The table as it is, or with what it lacks predicted, if that is wanted and can be done. */
function completeTable(space: Space, table: LatencyTable, missing: SearchConfig['latency']['missing']): LatencyTable {
  if (missing === 'refuse') return table
  const { table: filled, refused } = fillMissing(space, table)
  if (refused.length === 0) return filled
  refuseMissing(
    `latency table ${table.name} lacks ${refused.length} operations that space ${space.name} needs and that cannot be predicted from its entries`,
    refused,
  )
}

function checkLatency(space: Space, table: LatencyTable): SpaceLatency {
  const coverage = coverSpace(space, table)
  if (coverage.kind === 'covered') {
    const { mostMs } = latencyBounds(coverage.latency)
    if (mostMs <= MAX_LATENCY_MS) return coverage.latency
    throw invalidField(
      'latency.table',
      `by table ${table.name} the slowest architecture takes ${mostMs} ms; expected at most ${MAX_LATENCY_MS}`,
    )
  }
  const { keys } = coverage
  refuseMissing(
    `latency table ${table.name} lacks ${keys.length} operations that space ${space.name} needs (latency.missing: "predict" would predict them)`,
    keys.map((key) => ({ key, reason: 'missing' })),
  )
}

/** What does not fit a message, an isolate or a row of storage is refused here, not found out when an agent comes. */
function checkSizes(space: Space, config: SearchConfig): void {
  for (const spec of space.weightSpecs) {
    const bytes = elementCount(spec.shape) * FLOAT_BYTES
    if (bytes > MAX_SHARD_BYTES) throw invalidField('space', `weight ${spec.key} has ${bytes} bytes; expected at most ${MAX_SHARD_BYTES}`)
  }
  const { count } = planShards(space, config.weights.shardBytes)
  if (count > MAX_SHARDS) {
    throw invalidField(
      'weights.shardBytes',
      `${count} shards of ${config.weights.shardBytes} bytes would be needed; expected at most ${MAX_SHARDS} (shardBytes may be up to ${MAX_SHARD_BYTES})`,
    )
  }
}

/** Setup of a new search. Throws ProblemError `invalid-request` or `missing-latencies`. */
function createSetup(searchId: string, config: SearchConfig, table: LatencyTable & { version: string }, nowMs: number): SearchSetup {
  const space = orRefuse(() => createSpace(config.space))
  checkResolution(config)
  checkSizes(space, config)
  const complete = completeTable(space, table, config.latency.missing)
  const latency = checkLatency(space, complete)
  const predicted = predictedPart(space, complete)
  const { entries: _, ...pinned } = table
  return {
    searchId,
    createdAtMs: nowMs,
    config,
    space: resolveSpaceConfig(config.space),
    table: pinned,
    latency: {
      fixedMs: latency.fixedMs,
      operationMs: latency.operationMs.map((row) => [...row]),
      ...(latency.joint && { joint: latency.joint.map(({ decisions, ms }) => ({ decisions: [...decisions], ms: [...ms] })) }),
    },
    ...(predicted === null ? {} : { predicted: { ...predicted, operations: predicted.operations.map((row) => [...row]) } }),
  }
}

function strategyContext(setup: SearchSetup, rows: StrategyRows, recordedCosts?: RecordedCosts): StrategyContext {
  return { space: createSpace(setup.space), latency: setup.latency, config: setup.config, rows, ...(recordedCosts && { recordedCosts }) }
}

/**
 * Stores a new search with its strategy's first state. Throws ProblemError `invalid-request`.
 *
 * @param openStore called once nothing can be refused any more, so that a refusal leaves no storage behind
 * @param given the strategy, where it is not the one that the settings name
 * @param recordedCosts where recorded trainings are simulated
 */
function startSearch(openStore: () => SearchStore, setup: SearchSetup, given?: Strategy<unknown>, recordedCosts?: RecordedCosts): void {
  const { config } = setup
  const texts = new Map<string, string>()
  const strategy = (given ?? findStrategy(config.strategy.name)).init(strategyContext(setup, rowsOver(texts), recordedCosts))
  const store = openStore()
  store.transaction(() => {
    store.writeSetup(setup)
    for (const [key, text] of texts) store.rows.put(key, JSON.parse(text))
    store.writeState({
      strategy,
      intent: 'running',
      startedAtMs: null,
      finishedAtMs: null,
      datasetFingerprint: config.dataset.fingerprint ?? null,
      counts: { created: 0, done: 0, stale: 0, failed: 0, expiredLeases: 0, duplicates: 0, agents: 0 },
      lastFailure: null,
      gateSizes: [],
      recent: { trainWeights: [], gateGradients: [], evaluatePaths: [] },
    })
  })
}

export { createSetup, startSearch, strategyContext }
