// The status of a search, computed from what is stored.

import { pathLatencyMs } from '../../latency-lut/table/coverage.ts'
import { architectureCosts, printArchitecture } from '../../search-space/index.ts'
import type { Architecture, DistributionView, SearchStatus, SearchSummary, SearchView } from '../../protocol/index.ts'
import { boundStatus } from '../../strategies/index.ts'
import { isSetAside } from './agents.ts'
import type { OpenSearch } from './open.ts'
import { listSnapshots } from './snapshots.ts'
import { standingOf } from './standing.ts'
import { searchWarnings } from './warnings.ts'
import type { AgentRecord, Recent, SearchSetup } from './stored.ts'

function summarise(recent: readonly Recent[]): { loss: number | null; accuracy: number | null } {
  if (recent.length === 0) return { loss: null, accuracy: null }
  const images = recent.reduce((sum, entry) => sum + entry.images, 0)
  return {
    loss: recent.reduce((sum, entry) => sum + entry.loss * entry.images, 0) / images,
    accuracy: recent.reduce((sum, entry) => sum + entry.correct, 0) / images,
  }
}

/** Per second over the last results; null before there are two of them. */
function rates(recent: readonly Recent[]): { stepsPerSecond: number | null; imagesPerSecond: number | null } {
  const first = recent[0]
  const last = recent.at(-1)
  if (!first || !last || last.atMs <= first.atMs) return { stepsPerSecond: null, imagesPerSecond: null }
  const seconds = (last.atMs - first.atMs) / 1000
  // The first result marks when counting starts; its own work lies before that.
  const counted = recent.slice(1)
  return {
    stepsPerSecond: counted.reduce((sum, entry) => sum + entry.steps, 0) / seconds,
    imagesPerSecond: counted.reduce((sum, entry) => sum + entry.images, 0) / seconds,
  }
}

function msAtRate(steps: number, stepsPerSecond: number | null): number | null {
  return stepsPerSecond ? (steps / stepsPerSecond) * 1000 : null
}

/** @param known view of the search, where it has been made already */
function currentArchitecture(search: OpenSearch, known?: SearchView): Architecture {
  const { store, strategy, context, setup } = search
  const { space } = context
  const state = store.readState()
  const path = strategy.derive(state.strategy, context)
  const view = known ?? strategy.describe(state.strategy, context).view
  return {
    encoding: printArchitecture(space, path),
    path,
    blocks: space.decisions.map(({ name, options }, index) => {
      const operation = path[index] as number
      return {
        block: name,
        operation: options[operation]?.name ?? '',
        ...(view.kind === 'distribution' && { probability: view.probabilities[index]?.[operation] ?? 0 }),
        latencyMs: setup.latency.operationMs[index]?.[operation] ?? 0,
        ...(setup.predicted?.operations[index]?.[operation] ? { predicted: true as const } : {}),
      }
    }),
    latencyMs: pathLatencyMs(setup.latency, path),
    ...architectureCosts(space, path),
  }
}

/** The pinned table, and how much of what was taken from it is no measurement. */
function latencyTableStatus({ table, predicted }: SearchSetup): SearchStatus['latencyTable'] {
  const { name, version, device, runtime, batch } = table
  const shown = { name, version, device: device.name, runtime: runtime.name, batch }
  if (!predicted) return shown
  const { count, rmseMs, mapePct } = predicted
  return { ...shown, predicted: { count, rmseMs, mapePct } }
}

/** Of weights, both ways together; null before there was a weight step. */
function bytesPerStep(agents: readonly Pick<AgentRecord, 'steps' | 'bytesSent' | 'bytesReceived'>[]): number | null {
  const steps = agents.reduce((sum, agent) => sum + agent.steps, 0)
  const bytes = agents.reduce((sum, agent) => sum + agent.bytesSent + agent.bytesReceived, 0)
  return steps > 0 ? bytes / steps : null
}

function agentStatus(agent: AgentRecord): SearchStatus['agents'][number] {
  const { trainMs, idleMs, asked: _, exchangeMs: __, protocol: ___, kinds: ____, lastClippedTaskId: _____, ...shown } = agent
  const wallMs = trainMs + idleMs
  return { ...shown, isSetAside: isSetAside(agent), idleShare: wallMs > 0 ? idleMs / wallMs : null, bytesPerStep: bytesPerStep([agent]) }
}

function searchSummary(search: OpenSearch, nowMs?: number): SearchSummary {
  const { setup, store } = search
  return {
    searchId: setup.searchId,
    name: setup.config.name,
    phase: standingOf(search, store.readState(), nowMs).phase,
    space: setup.space.name,
    createdAtMs: setup.createdAtMs,
  }
}

/** Beside the rest of the status, for readers that do not know views. */
function fieldsOfDistribution(view: SearchView): Partial<Omit<DistributionView, 'kind'>> {
  if (view.kind !== 'distribution') return {}
  const { kind: _, ...fields } = view
  return fields
}

/**
 * Everything that `GET /v1/searches/:id` answers.
 *
 * @param nowMs left out: nothing is said of how long agents have been silent
 */
function searchStatus(search: OpenSearch, nowMs?: number): SearchStatus {
  const { store, setup, strategy, context } = search
  const state = store.readState()
  const { steps, leftMs, best, view, fronts = [] } = strategy.describe(state.strategy, context)
  const summary = searchSummary(search, nowMs)
  const standing = standingOf(search, state, nowMs)
  const { phase } = standing
  const { done, total } = steps
  const current = currentArchitecture(search, view)
  const { targetMs } = setup.config.latency
  const rate = rates(state.recent.trainWeights)
  const ended = state.finishedAtMs !== null
  const running = phase === 'warmup' || phase === 'searching'
  const outstanding = store.outstandingTasks()
  const queued = outstanding.filter((task) => task.lease === null).length
  const started = state.startedAtMs !== null
  const progress = phase === 'finished' ? 1 : done / total
  const lastEvaluation = state.recent.evaluatePaths.at(-1)
  const { created, done: tasksDone, stale, failed, expiredLeases, duplicates, rolledBack } = state.counts
  const snapshots = listSnapshots(search)
  return {
    ...summary,
    ...standing,
    startedAtMs: state.startedAtMs,
    finishedAtMs: state.finishedAtMs,
    progress,
    timeLeftMs: running ? (leftMs ?? msAtRate(total - done, rate.stepsPerSecond)) : null,
    stepsPerSecond: ended ? null : rate.stepsPerSecond,
    imagesPerSecond: ended ? null : rate.imagesPerSecond,
    bytesPerStep: bytesPerStep([...store.agents(), ...(state.foldedAgents ? [state.foldedAgents] : [])]),
    training: summarise(state.recent.trainWeights),
    architecture: summarise(state.recent.gateGradients),
    validation: { ...summarise(lastEvaluation ? [lastEvaluation] : []), atStep: lastEvaluation?.steps ?? null },
    steps,
    view,
    ...fieldsOfDistribution(view),
    targetLatencyMs: targetMs,
    constraint: { bound: targetMs, value: current.latencyMs, isMet: current.latencyMs <= targetMs },
    warnings: started ? searchWarnings({ view, progress, ended: phase === 'finished', currentMs: current.latencyMs, targetMs }) : [],
    bounds: boundStatus(context, current.path, view.kind === 'distribution' ? view.probabilities : null),
    best: [...best],
    ...(fronts.some(({ points }) => points.length > 0) && { fronts: [...fronts] }),
    current,
    space: setup.space,
    blocks: context.space.decisions.map(({ name, options }) => ({ name, operations: options.map((option) => option.name) })),
    agents: store.agents().map(agentStatus),
    datasetFingerprint: state.datasetFingerprint,
    ...(state.foldedAgents && { foldedAgents: state.foldedAgents }),
    tasks: {
      created,
      leased: outstanding.length - queued,
      queued,
      done: tasksDone,
      stale,
      failed,
      lastFailure: state.lastFailure,
      expiredLeases,
      duplicates,
      ...(rolledBack !== undefined && { rolledBack }),
    },
    ...(snapshots.length > 0 && { snapshots }),
    ...(state.rollbacks && { rollbacks: state.rollbacks }),
    latencyTable: latencyTableStatus(setup),
    config: setup.config,
  }
}

export { currentArchitecture, searchStatus, searchSummary }
