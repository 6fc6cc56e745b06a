// Single path one-shot (Guo et al. 2020, arXiv 1904.00420): the weights of a supernet are trained on paths drawn uniformly, and then an
// evolution looks for the architecture that does best with them (their algorithm 1). The first generation is random; each further one
// is, half and half, crossovers of two of the best so far and mutations of one of them, and random ones where no new ones are found.
// The target latency is a hard bound: an architecture beyond it is never evaluated. Evaluations use the statistics of their own
// mini-batches in batch-norms, which is what re-estimating them for each candidate comes to.

import * as z from 'zod'
import { invalidField, MAX_TASK_STEPS, type ResultOf, type TaskOutcome } from '../protocol/index.ts'
import { createRandom, type Random, type RandomState, seedState } from '../search-space/index.ts'
import { refuseHours } from './budget.ts'
import { candidateOf, SHOWN } from './candidates.ts'
import { batchesOf, metricOf } from './evaluations.ts'
import { boundedBy, checkBound, cross, fastestPath, mutate, randomWithin, tryFor } from './evolution.ts'
import { ALONE, type Attendance, untakenPlaces } from './rounds.ts'
import { settingsOf } from './settings.ts'
import type { Absorbed, Assignment, Description, Proposal, Strategy, StrategyContext } from './strategy.ts'
import { absorbWeights, proposeWeights, weightPhaseShape } from './weight-phase.ts'

/** Of all generations together: each is about twenty numbers in one row of storage. */
const MAX_CANDIDATES = 10_000

const count = z.int().min(0)
const path = z.array(count)
const evaluatedSchema = z.strictObject({
  /** In the order in which candidates were made, from 0. */
  index: count,
  path,
  /** Accuracy, 0 to 1; null where nobody could evaluate it. */
  score: z.number().nullable(),
})
type Evaluated = z.infer<typeof evaluatedSchema>

const stateSchema = z.strictObject({
  ...weightPhaseShape,
  /** Generations that were begun. */
  generation: count,
  /** Of the last one: those that have not been handed out. */
  queue: z.array(path),
  /** Handed out, all generations together. */
  proposed: count,
  /** By `index`: everything that has come back. */
  evaluated: z.array(evaluatedSchema),
})
type State = z.infer<typeof stateSchema>

const settings = (context: StrategyContext) => settingsOf(context, 'spos')

/** Mini-batches that each architecture is evaluated on. */
const batchesOfCandidate = (context: StrategyContext) => batchesOf(context, settings(context).images)

/** Throws ProblemError `invalid-request`. */
function checkSettings(context: StrategyContext): void {
  const { population, generations, parents, candidatesPerTask } = settings(context)
  refuseHours(context)
  checkBound(boundedBy(context))
  if (parents > population) throw invalidField('strategy.parents', `expected at most the population of ${population}, got ${parents}`)
  if (population * generations > MAX_CANDIDATES) {
    throw invalidField(
      'strategy.generations',
      `expected at most ${MAX_CANDIDATES} architectures in all generations, got ${population * generations}`,
    )
  }
  const steps = candidatesPerTask * batchesOfCandidate(context)
  if (steps > MAX_TASK_STEPS) {
    throw invalidField('strategy.candidatesPerTask', `expected at most ${MAX_TASK_STEPS} mini-batches in one task, got ${steps}`)
  }
}

/** Best first; of equals the one that was made first. */
function ranked({ evaluated }: State): Evaluated[] {
  return evaluated.filter(({ score }) => score !== null).toSorted((a, b) => (b.score as number) - (a.score as number))
}

/** The architectures of the next generation; fewer than the population where the bound leaves no others. */
function nextGeneration(state: State, context: StrategyContext, random: Random): number[][] {
  const { population, parents, mutation } = settings(context)
  const bounded = boundedBy(context)
  const names = new Set(state.evaluated.map((candidate) => candidate.path.join()))
  const known = { has: (candidate: readonly number[]) => names.has(candidate.join()) }
  const best = ranked(state).slice(0, parents)
  const made: number[][] = []
  const add = (found: number[] | null) => {
    if (!found) return
    names.add(found.join())
    made.push(found)
  }
  const parent = () => (best[random.integer(best.length)] as Evaluated).path
  if (best.length > 0) {
    const half = Math.floor(population / 2)
    for (let i = 0; i < half; i++) add(tryFor(bounded, known, () => cross(parent(), parent(), random)))
    for (let i = half; i < population; i++) add(tryFor(bounded, known, () => mutate(context.space, parent(), mutation, random)))
  }
  while (made.length < population) {
    const found = tryFor(bounded, known, () => randomWithin(bounded, random) ?? fastestPath(bounded))
    if (!found) break
    add(found)
  }
  return made
}

function evolve(state: State, context: StrategyContext): Proposal<State> {
  const { generations, candidatesPerTask } = settings(context)
  let { queue, generation } = state
  const random = createRandom(state.random as RandomState)
  if (queue.length === 0) {
    // The next generation is made from all of the last one.
    if (state.evaluated.length < state.proposed) return { kind: 'wait' }
    if (generation >= generations) return { kind: 'done' }
    queue = nextGeneration(state, context, random)
    generation += 1
    if (queue.length === 0) return { kind: 'done' }
  }
  const paths = queue.slice(0, candidatesPerTask)
  const next = { queue: queue.slice(paths.length), generation, proposed: state.proposed + paths.length, random: random.state() }
  return {
    kind: 'work',
    work: { kind: 'evaluatePaths', paths, batches: { first: 0, count: batchesOfCandidate(context) } },
    private: { from: state.proposed, generation },
    state: { ...state, ...next },
  }
}

const privateSchema = z.strictObject({ from: count, generation: count })

/** See strategy.ts. */
const spos: Strategy<State> = {
  stateSchema,
  init(context) {
    checkSettings(context)
    return {
      random: seedState('strategy', context.config.seed),
      weightStepsProposed: 0,
      weightStepsDone: 0,
      batchesProposed: 0,
      rounds: [],
      generation: 0,
      queue: [],
      proposed: 0,
      evaluated: [],
    }
  },
  propose(state, context, attendance: Attendance = ALONE) {
    const { steps } = context.config.training
    const rounds = state.rounds ?? []
    if (state.weightStepsProposed < steps || untakenPlaces(rounds).length > 0) {
      const proposal = proposeWeights(
        state,
        context,
        attendance,
        () => ({
          probabilities: context.space.decisions.map(({ options }) => options.map(() => 1 / options.length)),
          uniform: true,
          end: steps,
        }),
        state.weightStepsProposed >= steps,
      )
      return proposal ?? { kind: 'wait' }
    }
    // Weights that are still being trained would make the first candidates look worse than the last.
    const isTraining = attendance.outstanding.some(({ taskId }) => rounds.some(({ seats }) => seats.some((seat) => seat.taskId === taskId)))
    return isTraining ? { kind: 'wait' } : evolve(state, context)
  },
  absorb(state, { work, private: kept }: Assignment, outcome: TaskOutcome): Absorbed<State> {
    if (work.kind === 'trainWeights') {
      if (outcome.kind === 'failure') return { kind: 'given-up', series: 'training', state }
      return absorbWeights(state, work, outcome.result as ResultOf<'trainWeights'>)
    }
    const { from, generation } = privateSchema.parse(kept)
    const { paths } = work as Extract<typeof work, { kind: 'evaluatePaths' }>
    const answers = outcome.kind === 'failure' ? [] : (outcome.result as ResultOf<'evaluatePaths'>).paths
    const own = paths.map((candidate, i): Evaluated => {
      const answer = answers[i]
      return { index: from + i, path: candidate, score: answer ? answer.correct / answer.images : null }
    })
    const evaluated = [...state.evaluated, ...own].toSorted((a, b) => a.index - b.index)
    const next = { ...state, evaluated, generation: Math.max(state.generation, generation) }
    if (outcome.kind === 'failure') return { kind: 'given-up', series: 'validation', state: next }
    return { kind: 'applied', series: 'validation', metric: metricOf(answers), state: next }
  },
  derive: (state, context) => ranked(state)[0]?.path ?? fastestPath(boundedBy(context)),
  describe(state, context): Description {
    const { steps } = context.config.training
    const { population, generations } = settings(context)
    const isTraining = state.evaluated.length === 0
    const candidates = ranked(state)
      .slice(0, SHOWN)
      .map(({ path: found, score }) => candidateOf(context, found, { score }))
    return {
      phase: state.weightStepsDone + state.evaluated.length === 0 ? 'waiting' : isTraining ? 'warmup' : 'searching',
      steps: isTraining
        ? { done: Math.round(state.weightStepsDone), total: steps, unit: 'steps' }
        : { done: state.evaluated.length, total: population * generations, unit: 'architectures' },
      best: candidates,
      view: { kind: 'population', score: 'accuracy', generation: Math.max(0, state.generation - 1), candidates },
    }
  },
}

export { spos }
