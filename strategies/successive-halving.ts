// Asynchronous successive halving (ASHA; Li et al. 2018, arXiv 1810.05934, algorithm 2): every architecture is trained for a few epochs, one
// of η goes on for η times as many, and so on up to all epochs of the recipe. Nobody waits for a rung to be full: whoever asks gets
//
//   the best, on the highest rung that has one, of those among its first ⌊n/η⌋ (n: scored there) that have not gone on yet;
//   else a new architecture on the lowest rung.
//
// Where new ones come from is another strategy that trains architectures one by one, the proposer. It is run as it is, learns what its
// architectures come to on the lowest rung, where all can be compared, and never knows of the others. Its work of other kinds is passed on.
//
// A trial that goes on does so from its checkpoint, with the learning rate of the whole recipe, so that one that is trained to the
// end is what a training by itself would be. (The paper's rate may depend on the rung; checkpoints could not be gone on from then.)

import * as z from 'zod'
import {
  type Candidate,
  DEFAULT_EPOCHS,
  invalidField,
  type RankingView,
  type ResultOf,
  type StrategyName,
  type TrialWork,
} from '../protocol/index.ts'
import { candidateOf, SHOWN } from './candidates.ts'
import { describeFronts, frontsSchema, withCandidates } from './pareto-fronts.ts'
import { settingsOf } from './settings.ts'
import type { Absorbed, Assignment, Description, Strategy, StrategyContext } from './strategy.ts'

const count = z.int().min(0)

const rungSchema = z.strictObject({
  scored: count,
  /** Diverged or given up. */
  failed: count,
  /** Handed out, and not back yet. */
  out: count,
  /** Those that may be among the first ⌊n/η⌋ of the rung at some time, best first. */
  top: z.array(z.strictObject({ trial: count, score: z.number(), promoted: z.boolean() })),
})
type Rung = z.infer<typeof rungSchema>

const stateSchema = z.strictObject({
  /** Of the proposer. */
  proposer: z.unknown(),
  rungs: z.array(rungSchema),
  /** One entry a trial, those of higher rungs first, then by score. */
  best: z.array(z.strictObject({ trial: count, rung: count, score: z.number(), path: z.array(count) })),
  /** Of those trained to the end: accuracies of different epochs cannot be compared. */
  fronts: frontsSchema,
})
type State = z.infer<typeof stateSchema>

/** Kept beside a task: the rung that it takes its trial to, null for what is no trial, and what the proposer keeps beside it. */
const keptSchema = z.strictObject({ rung: count.nullable(), proposer: z.unknown().optional() })

const settings = (context: StrategyContext) => settingsOf(context, 'successive-halving')

/** Epochs of each rung, rising; the last has all of the recipe. */
function rungEpochs(context: StrategyContext): number[] {
  const { leastEpochs, eta, recipe } = settings(context)
  const all = recipe.epochs ?? DEFAULT_EPOCHS
  const epochs: number[] = []
  for (let rung = leastEpochs; rung < all; rung *= eta) epochs.push(rung)
  return [...epochs, all]
}

/** What the proposer sees: the same search, with its own settings. */
function proposerContext(context: StrategyContext): StrategyContext {
  const { trials, recipe, proposer } = settings(context)
  return { ...context, config: { ...context.config, strategy: { ...proposer, trials, recipe } } }
}

const workKey = (trial: number) => `rungs/${String(trial).padStart(6, '0')}`

const isTrial = (work: Assignment['work']): work is TrialWork & { trial: number } =>
  work.kind === 'trainArchitecture' && work.trial !== undefined

/** The rung with one more result; entries that can never be among its first are left out. */
function withScore(rung: Rung, trial: number, score: number, most: number): Rung {
  // Of equals the one that came first stays in front.
  const top = [...rung.top, { trial, score, promoted: false }].toSorted((a, b) => b.score - a.score).slice(0, most)
  return { ...rung, scored: rung.scored + 1, top }
}

function withPromoted(rung: Rung, trial: number): Rung {
  return { ...rung, top: rung.top.map((entry) => (entry.trial === trial ? { ...entry, promoted: true } : entry)) }
}

const withOneOut = (rung: Rung): Rung => ({ ...rung, out: rung.out + 1 })

/** In a replay from the log, nothing has been handed out. */
const withOneBack = (rung: Rung): Rung => ({ ...rung, out: Math.max(0, rung.out - 1) })

/** Trials that were ever handed out for a rung. */
const arrivedAt = ({ scored, failed, out }: Rung) => scored + failed + out

const replace = (rungs: readonly Rung[], index: number, change: (rung: Rung) => Rung) =>
  rungs.map((rung, i) => (i === index ? change(rung) : rung))

/** Who may go on now, of the highest rung that has one; the highest of all has nowhere to go on to. */
function promotable({ rungs }: State, eta: number): { trial: number; rung: number } | null {
  for (let rung = rungs.length - 2; rung >= 0; rung--) {
    const { scored, top } = rungs[rung] as Rung
    const found = top.slice(0, Math.floor(scored / eta)).find(({ promoted }) => !promoted)
    if (found) return { trial: found.trial, rung }
  }
  return null
}

/** Trainings that have ended, of all rungs. */
function endedOf({ rungs }: Pick<State, 'rungs'>): number {
  return rungs.reduce((sum, { scored, failed }) => sum + scored + failed, 0)
}

/** How many trainings each rung will have seen at the end, as far as can be known: all trials, then as many as may go on from the rung before. */
function arrivals({ rungs }: Pick<State, 'rungs'>, trials: number, eta: number): number[] {
  const arriving = [trials]
  for (const [below, rung] of rungs.slice(1).entries()) {
    const sound = (arriving[below] as number) - (rungs[below] as Rung).failed
    arriving.push(Math.max(arrivedAt(rung), Math.floor(sound / eta)))
  }
  return arriving
}

/** Trials that may still go on, those of the highest rung first. */
function waitingTrials(state: State, trials: number, eta: number): number[] {
  const going = arrivals(state, trials, eta).slice(1)
  return state.rungs
    .slice(0, -1)
    .map(({ top }, rung) => top.slice(0, going[rung]).flatMap(({ trial, promoted }) => (promoted ? [] : [trial])))
    .toReversed()
    .flat()
}

/** @param strategyOf of a name: the registry, which has this strategy too */
function createSuccessiveHalving(strategyOf: (name: StrategyName) => Strategy<unknown>): Strategy<State> {
  const proposerOf = (context: StrategyContext) => strategyOf(settings(context).proposer.name)
  /** Above all that may go on from a rung, however many come to it. */
  const mostPromoted = (context: StrategyContext) => Math.max(1, Math.floor(settings(context).trials / settings(context).eta))

  const absorbTrial = (
    state: State,
    work: TrialWork & { trial: number },
    { rung, result }: { rung: number; result: ResultOf<'trainArchitecture'> | null },
    context: StrategyContext,
  ): State => {
    const back = replace(state.rungs, rung, withOneBack)
    if (!result?.validation) return { ...state, rungs: replace(back, rung, (own) => ({ ...own, failed: own.failed + 1 })) }
    const { correct, images } = result.validation
    const score = correct / images
    if (rung === 0) context.rows.put(workKey(work.trial), work)
    const best = [...state.best.filter(({ trial }) => trial !== work.trial), { trial: work.trial, rung, score, path: work.path }]
      .toSorted((a, b) => b.rung - a.rung || b.score - a.score)
      .slice(0, SHOWN)
    const isFull = rung === state.rungs.length - 1
    const fronts = isFull ? withCandidates(state.fronts, [{ path: work.path, score }], context) : state.fronts
    return { ...state, best, fronts, rungs: replace(back, rung, (own) => withScore(own, work.trial, score, mostPromoted(context))) }
  }

  return {
    stateSchema,
    init(context) {
      const { recipe, leastEpochs } = settings(context)
      if (recipe.steps !== undefined) throw invalidField('strategy.recipe.steps', 'expected recipe.epochs: rungs are counted in epochs')
      const rungs = rungEpochs(context)
      if (rungs.length < 2) {
        throw invalidField('strategy.leastEpochs', `expected fewer than the ${rungs[0]} epochs of the recipe, got ${leastEpochs}`)
      }
      const empty = { scored: 0, failed: 0, out: 0, top: [] }
      const proposer = proposerOf(context).init(proposerContext(context))
      return { proposer, rungs: rungs.map(() => empty), best: [], fronts: [] }
    },
    propose(state, context, attendance) {
      const { eta } = settings(context)
      const epochs = rungEpochs(context)
      const next = promotable(state, eta)
      if (next) {
        const { epochs: _, ...work } = context.rows.get(workKey(next.trial)) as TrialWork
        const rung = next.rung + 1
        return {
          kind: 'work',
          // The last rung is the recipe itself.
          work: rung < epochs.length - 1 ? { ...work, epochs: epochs[rung] as number } : work,
          private: { rung },
          state: {
            ...state,
            rungs: replace(
              replace(state.rungs, next.rung, (own) => withPromoted(own, next.trial)),
              rung,
              withOneOut,
            ),
          },
        }
      }
      const proposal = proposerOf(context).propose(state.proposer, proposerContext(context), attendance)
      if (proposal.kind === 'wait') return proposal
      if (proposal.kind === 'done') return state.rungs.some(({ out }) => out > 0) ? { kind: 'wait', isLong: true } : proposal
      const { work } = proposal
      return {
        kind: 'work',
        work: isTrial(work) ? { ...work, epochs: epochs[0] as number } : work,
        private: { rung: isTrial(work) ? 0 : null, ...(proposal.private !== undefined && { proposer: proposal.private }) },
        state: {
          ...state,
          proposer: proposal.state,
          ...(isTrial(work) && { rungs: replace(state.rungs, 0, withOneOut) }),
        },
      }
    },
    absorb(state, { work, private: kept }, outcome, context): Absorbed<State> {
      const { rung, proposer: proposerKept } = keptSchema.parse(kept)
      const { trials, eta } = settings(context)
      const isOfProposer = rung === null || rung === 0
      const heard = isOfProposer
        ? proposerOf(context).absorb(state.proposer, { work, private: proposerKept }, outcome, proposerContext(context))
        : null
      const told = heard ? { ...state, proposer: heard.state } : state
      if (rung === null || !isTrial(work)) {
        if (!heard) throw new Error('expected a trial on a rung')
        return { ...heard, state: told, keeps: waitingTrials(told, trials, eta) }
      }
      const result = outcome.kind === 'result' ? (outcome.result as ResultOf<'trainArchitecture'>) : null
      const next = absorbTrial(told, work, { rung, result }, context)
      const shared = { series: 'validation', state: next, keeps: waitingTrials(next, trials, eta) } as const
      if (!result) return { kind: 'given-up', ...shared }
      if (!result.validation) return { kind: 'stale', ...shared }
      const { crossEntropy: loss, correct, images } = result.validation
      return { kind: 'applied', metric: { loss, correct, images }, ...shared }
    },
    derive: (state, context) => [...(state.best[0]?.path ?? proposerOf(context).derive(state.proposer, proposerContext(context)))],
    phase: (state) => (endedOf(state) === 0 ? 'waiting' : 'searching'),
    describe(state, context): Description {
      const { trials, eta } = settings(context)
      const epochs = rungEpochs(context)
      const done = endedOf(state)
      const candidates = state.best.map(({ path, score, rung }): Candidate => ({
        ...candidateOf(context, path, { score }),
        ...(rung < epochs.length - 1 && { epochs: epochs[rung] as number }),
      }))
      const { view: proposed } = proposerOf(context).describe(state.proposer, proposerContext(context))
      const { policy, predictions } = proposed.kind === 'ranking' ? proposed : ({} as Partial<RankingView>)
      return {
        steps: { done, total: arrivals(state, trials, eta).reduce((sum, arriving) => sum + arriving, 0), unit: 'trainings' },
        best: candidates,
        view: {
          kind: 'ranking',
          score: 'accuracy',
          scored: state.rungs[0]?.scored ?? 0,
          candidates,
          ...(policy && { policy }),
          ...(predictions && { predictions }),
          rungs: state.rungs.map(({ scored, failed, top }, rung) => ({
            epochs: epochs[rung] as number,
            scored,
            failed,
            promoted: state.rungs[rung + 1] ? arrivedAt(state.rungs[rung + 1] as Rung) : 0,
            bestScore: top[0]?.score ?? null,
          })),
        },
        get fronts() {
          return describeFronts(state.fronts, context)
        },
      }
    },
  }
}

export { createSuccessiveHalving }
