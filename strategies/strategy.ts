// One interface for every search algorithm. A strategy is pure: its state is plain JSON, time and randomness are in its
// arguments or its state, so a search can be stored between any two calls and replayed from its result log.

import type * as z from 'zod'
import type { SpaceLatency } from '../latency-lut/table/coverage.ts'
import type { Space } from '../search-space/index.ts'
import type { RecordedCosts } from './costs.ts'
import type { Attendance } from './rounds.ts'
import type { StrategyRows } from './rows.ts'
import type { Candidate, Front, MetricSeries, Phase, SearchConfig, SearchView, TaskOutcome, TaskWork } from '../protocol/index.ts'

/** What stays the same during a search, and the strategy's own rows. */
type StrategyContext = {
  readonly space: Space
  readonly latency: SpaceLatency
  readonly config: SearchConfig
  /** Where recorded trainings are simulated: what else has been measured of the architectures. */
  readonly recordedCosts?: RecordedCosts | undefined
  /**
   * Stored together with the state: what `init` and `absorb` write is kept with the state that they answer, what `propose` writes only
   * where it answers work. `derive` and `describe` read only.
   */
  readonly rows: StrategyRows
}

/** Work for an agent, and what the coordinator keeps beside it until its result is there. */
type Assignment = {
  readonly work: TaskWork
  /** Plain JSON; no agent sees it. */
  readonly private?: unknown
}

type Proposal<State> =
  | ({ readonly kind: 'work'; readonly state: State } & Assignment)
  /** Nothing to hand out until more results arrive; `isLong`: of whole trainings, so that it is no use to ask again soon. */
  | { readonly kind: 'wait'; readonly isLong?: true }
  /** All work has been proposed; the search ends with its last outstanding task. */
  | { readonly kind: 'done' }

type Absorbed<State> = {
  readonly state: State
  /**
   * Numbers of trials whose checkpoints it may go on from, those that it would miss most first. Checkpoints of others are deleted, but for
   * those of outstanding tasks. One that is not there any more costs time and changes no number: its trial begins anew.
   */
  readonly keeps?: readonly number[]
} &
  /** `series`: which of the search's curves the task belongs to. */
  (
    | { readonly kind: 'applied'; readonly series: MetricSeries; readonly metric: AbsorbedMetric }
    /** Applied as well, and no number of a curve. */
    | { readonly kind: 'noted' }
    /** Too old to be used; counted, not applied. */
    | { readonly kind: 'stale'; readonly series: MetricSeries }
    /** The answer to a failure: it is known that no result will come. */
    | { readonly kind: 'given-up'; readonly series: MetricSeries }
  )

type AbsorbedMetric = { readonly loss: number; readonly correct: number; readonly images: number }

/** Of a search that goes on. */
type StrategyPhase = Extract<Phase, 'waiting' | 'warmup' | 'searching'>

type Description = {
  /** What has results; `unit` for people. Curves are drawn over `done`. */
  readonly steps: { readonly done: number; readonly total: number; readonly unit: string }
  /** Of a search by hours, those that are left as far as they have been counted, milliseconds. */
  readonly leftMs?: number
  /** Best first; empty while nothing is known of any. */
  readonly best: readonly Candidate[]
  readonly view: SearchView
  /** Of a strategy that evaluates candidates; made when it is read. */
  readonly fronts?: readonly Front[] | undefined
}

type Strategy<State> = {
  readonly stateSchema: z.ZodType<State>
  /** Throws ProblemError `invalid-request` where the configuration does not fit the space. */
  init(context: StrategyContext): State
  /** The next piece of work for the agent that asks. Without `attendance`: for one that is alone. */
  propose(state: State, context: StrategyContext, attendance?: Attendance): Proposal<State>
  /**
   * Takes in what became of a piece of work: a result that answers it (resultMismatch), or that it was given up, since agent after agent
   * failed at it. Called at most once for each piece of work that was proposed. A search has to come to its end whatever fails.
   */
  absorb(state: State, assignment: Assignment, outcome: TaskOutcome, context: StrategyContext): Absorbed<State>
  /**
   * The state with what it has learnt replaced by what another one has learnt, that `absorb` came to from the same log without some results; what it
   * has proposed stays. Absent where results cannot be taken back.
   */
  relearnt?(state: State, learnt: State): State
  /** The architecture as of now, one operation index per block. */
  derive(state: State, context: StrategyContext): number[]
  /** Asked for with every result, so that it is not part of `describe`. */
  phase(state: State, context: StrategyContext): StrategyPhase
  describe(state: State, context: StrategyContext): Description
}

export type { Absorbed, AbsorbedMetric, Assignment, Description, Proposal, Strategy, StrategyContext }
