// What holds for every strategy. The table of cases names them all, or does not compile; those that are toys of the tests are beside
// them, since they use what no strategy of today does: rows, views of candidates, trials.

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  type Candidate,
  distributionOf,
  recipeSchema,
  resultMismatch,
  type StrategyName,
  type TaskOutcome,
  type TaskWork,
  trainsWeights,
  weightStepsOf,
} from '../../protocol/index.ts'
import { type Assignment, findStrategy, rowsOver, type Strategy, type StrategyContext } from '../../strategies/index.ts'
import { ALONE } from '../../strategies/rounds.ts'
import { answerWork, makeContext, resultOutcome, type SearchOptions, settingOf } from '../fixtures/searches.ts'
import { createToyStrategy, sealed } from '../fixtures/toy-strategy.ts'

const STEPS = 20
/** Of the supernets below: 4 of 20 steps warm up, and every second one after that is due an architecture step. */
const ARCHITECTURE_STEPS = 8
/** More tasks than any of the searches below has. */
const MOST_TASKS = 200

const registered: { readonly [Name in StrategyName]: SearchOptions } = {
  'proxyless-g': { steps: STEPS, strategy: { name: 'proxyless-g', warmupSteps: 4, archEvery: 2, evaluateEvery: 6 } },
  'proxyless-r': {
    steps: STEPS,
    strategy: { name: 'proxyless-r', warmupSteps: 4, archEvery: 2, evaluateEvery: 6, samples: 3, images: 64 },
  },
  parsec: {
    steps: STEPS,
    strategy: { name: 'parsec', warmupSteps: 4, archEvery: 2, evaluateEvery: 6, samples: 3, images: 64, weightSamples: 3 },
  },
  'fp-nas': {
    steps: STEPS,
    strategy: { name: 'fp-nas', warmupSteps: 4, archEvery: 2, evaluateEvery: 6, lambda: 2, images: 64, jointFrom: 0.5 },
  },
  darts: { steps: STEPS, strategy: { name: 'darts', order: 'second', warmupSteps: 4, archEvery: 2, evaluateEvery: 6 } },
  'one-shot': { steps: STEPS, targetMs: 30, strategy: { name: 'one-shot', candidates: 10, images: 64, candidatesPerTask: 3 } },
  spos: {
    steps: STEPS,
    targetMs: 30,
    strategy: { name: 'spos', population: 4, generations: 3, parents: 2, images: 64, candidatesPerTask: 3 },
  },
  random: { steps: 1, targetMs: 30, strategy: { name: 'random', trials: 8 } },
  'aging-evolution': { steps: 1, targetMs: 30, strategy: { name: 'aging-evolution', trials: 12, population: 3, sample: 2 } },
  'local-search': { steps: 1, targetMs: 30, strategy: { name: 'local-search', trials: 12, starts: 2 } },
  reinforce: { steps: 1, targetMs: 30, strategy: { name: 'reinforce', trials: 12, entropyWeight: 0.01 } },
  predictor: { steps: 1, targetMs: 30, strategy: { name: 'predictor', trials: 12, starts: 4, every: 3, pool: 20, hidden: 4, epochs: 10 } },
  eas: { steps: 1, targetMs: 30, strategy: { name: 'eas', trials: 12, round: 3 } },
  'successive-halving': {
    steps: 1,
    targetMs: 30,
    strategy: {
      name: 'successive-halving',
      trials: 12,
      eta: 2,
      recipe: { epochs: 4 },
      proposer: { name: 'aging-evolution', population: 3, sample: 2 },
    },
  },
}
/** The same with options that change what they do: others' ways to train and search with shared weights, scores without training in front. */
const changed: { readonly [name: string]: SearchOptions } = {
  'spos, by annealing': {
    steps: STEPS,
    targetMs: 30,
    strategy: {
      name: 'spos',
      population: 4,
      generations: 3,
      parents: 2,
      images: 64,
      candidatesPerTask: 3,
      search: 'annealing',
      annealing: { restarts: 1, moves: 20 },
      nearTarget: { share: 0.5 },
    },
  },
  'spos, in two stages, by batch-norms': {
    steps: STEPS,
    targetMs: 30,
    blocks: 4,
    strategy: {
      name: 'spos',
      population: 4,
      generations: 4,
      parents: 2,
      candidatesPerTask: 3,
      preselect: { keep: 2 },
      stages: 2,
      trained: 'batch-norms',
      score: 'batch-norms',
    },
  },
  'random, warmed up': {
    steps: 1,
    targetMs: 30,
    strategy: { name: 'random', trials: 8, scores: { names: ['naswot'], warmup: 10, perTask: 4 } },
  },
  'aging-evolution, with scores': {
    steps: 1,
    targetMs: 30,
    strategy: {
      name: 'aging-evolution',
      trials: 12,
      population: 3,
      sample: 2,
      scores: { names: ['synflow', 'naswot'], warmup: 7, perTask: 3, moves: 0.75 },
    },
  },
  'local-search, with scores': {
    steps: 1,
    targetMs: 30,
    strategy: { name: 'local-search', trials: 12, starts: 2, scores: { names: ['params'], warmup: 0, moves: 1 } },
  },
}
const toys = {
  'toy ranking': createToyStrategy('ranking'),
  'toy population': createToyStrategy('population'),
  'toy trials': createToyStrategy('population', recipeSchema.parse({ steps: 10 })),
}

type Case = { readonly name: string; readonly strategy: Strategy<unknown>; readonly options: SearchOptions }
const cases: Case[] = [
  ...Object.entries(registered).map(([name, options]) => ({ name, strategy: findStrategy(name as StrategyName), options })),
  ...Object.entries(changed).map(([name, options]) => {
    const { name: strategy } = options.strategy as { name: StrategyName }
    return { name, strategy: findStrategy(strategy), options }
  }),
  ...Object.entries(toys).map(([name, toy]) => ({ name, strategy: sealed(toy), options: { steps: STEPS } })),
]

type Task = Assignment & { readonly taskId: number }
type Step = { readonly act: 'propose' | 'result' | 'failure'; readonly pick: number }
type Run = { readonly state: unknown; readonly context: StrategyContext; readonly log: readonly { task: Task; outcome: TaskOutcome }[] }

/** Architectures that a task gives a score. */
const architecturesOf = (work: TaskWork) =>
  work.kind === 'evaluatePaths' || work.kind === 'batchNormScales' ? work.paths.length : work.kind === 'trainArchitecture' ? 1 : 0

const throughJson = <T>(value: T): T => JSON.parse(JSON.stringify(value)) as T

/** Architecture steps that a task stands for, whichever strategy it is of. */
const architectureStepsOf = (work: TaskWork) => {
  if (work.kind === 'mixtureGradients') return work.steps
  if (work.kind === 'gateGradients') return work.steps.length
  return work.kind === 'evaluatePaths' && work.batches ? 1 : 0
}

describe.each(cases)('$name', ({ strategy, options }) => {
  const fixed = makeContext(options)
  const fresh = (): StrategyContext => ({ ...fixed, rows: rowsOver(new Map()) })
  const answer = ({ work, taskId }: Task) => answerWork(work, fixed.space, taskId)

  /** Does what the steps say, over and over, until the search is over; the state is stored between any two calls. */
  function run(steps: readonly Step[]): Run {
    const context = fresh()
    let state = strategy.init(context)
    const outstanding: Task[] = []
    const log: { task: Task; outcome: TaskOutcome }[] = []
    for (let turn = 0; ; turn++) {
      expect(turn).toBeLessThan(4 * MOST_TASKS)
      state = strategy.stateSchema.parse(throughJson(state))
      const nextTaskId = log.length + outstanding.length + 1
      const out = outstanding.map(({ taskId }) => ({ taskId, agentId: ALONE.asker.agentId, overdue: false }))
      const proposal = strategy.propose(state, context, { ...ALONE, outstanding: out, nextTaskId })
      if (proposal.kind === 'wait') expect(outstanding, 'waits for nothing').not.toEqual([])
      if (proposal.kind === 'done' && outstanding.length === 0) return { state, context, log }
      const { act, pick } = steps[turn % steps.length] as Step
      if (proposal.kind === 'work' && (act === 'propose' || outstanding.length === 0)) {
        const { state: next, ...assignment } = proposal
        state = next
        outstanding.push({ ...throughJson(assignment), taskId: nextTaskId })
        continue
      }
      const [task] = outstanding.splice(pick % outstanding.length, 1)
      if (!task) continue
      const result = answer(task)
      expect(resultMismatch(task.work, result, settingOf(fixed.space))).toBeNull()
      const outcome: TaskOutcome = act === 'failure' ? { kind: 'failure', reason: 'expired', attempts: 5 } : resultOutcome(result)
      const before = throughJson(state)
      const absorbed = strategy.absorb(state, task, outcome, context)
      expect(throughJson(state), 'absorb changed what it was given').toEqual(before)
      if (outcome.kind === 'failure') expect(absorbed.kind).toBe('given-up')
      else expect(absorbed.kind).toMatch(/applied|noted|stale/)
      state = absorbed.state
      log.push({ task, outcome })
      expect(strategy.derive(state, context)).toHaveLength(fixed.space.decisions.length)
    }
  }

  /** What was heard is enough to come to the same, bit for bit. */
  function expectReplay({ state, context, log }: Run): void {
    const again = fresh()
    let replayed = strategy.init(again)
    for (const { task, outcome } of throughJson(log)) replayed = strategy.absorb(replayed, task, outcome, again).state
    expect(strategy.describe(replayed, again)).toEqual(strategy.describe(state, context))
    expect(again.rows.scan('', '', MOST_TASKS)).toEqual(context.rows.scan('', '', MOST_TASKS))
  }

  const stepsOf = (...acts: Step['act'][]) =>
    fc.array(fc.record({ act: fc.constantFrom(...acts), pick: fc.nat({ max: 6 }) }), { minLength: 1, maxLength: 60 })

  it('comes to its end, whatever order results come in, and can be stored between any two calls', () => {
    fc.assert(
      fc.property(stepsOf('propose', 'propose', 'result'), (steps) => {
        const found = run(steps)
        const description = strategy.describe(found.state, found.context)
        expect(description.steps.done).toBe(description.steps.total)
        for (const { points } of description.fronts ?? []) {
          expect(points.length).toBeGreaterThan(0)
          for (const [i, point] of points.entries()) {
            const before = points[i - 1]
            if (before) expect(point.value > before.value && point.score > before.score).toBe(true)
          }
        }
        if (description.view.kind === 'distribution') {
          const { weightSteps, architectureSteps, probabilities } = description.view
          expect(weightSteps).toEqual({ done: STEPS, total: STEPS })
          expect(architectureSteps.done).toBe(ARCHITECTURE_STEPS)
          for (const row of probabilities) expect(row.reduce((sum, p) => sum + p, 0)).toBeCloseTo(1, 12)
        } else {
          const { candidates } = description.view
          expect(candidates.length).toBeGreaterThan(4)
          const epochsOf = ({ epochs = Number.MAX_VALUE }: Candidate) => epochs
          expect(candidates).toEqual(candidates.toSorted((a, b) => epochsOf(b) - epochsOf(a) || (b.score ?? -1) - (a.score ?? -1)))
        }
        expectReplay(found)
      }),
      { numRuns: 20 },
    )
  })

  it('comes to its end in a bounded number of steps whatever fails, in whatever order, and neither does it again nor counts it', () => {
    fc.assert(
      fc.property(stepsOf('propose', 'propose', 'result', 'failure'), (steps) => {
        const found = run(steps)
        const failed = found.log.flatMap(({ task, outcome }) => (outcome.kind === 'failure' ? [task.work] : []))
        const lost = (count: (work: TaskWork) => number) => failed.reduce((sum, work) => sum + count(work), 0)
        const description = strategy.describe(found.state, found.context)
        if (description.view.kind === 'distribution') {
          const { weightSteps, architectureSteps } = distributionOf(description)
          const lostSteps = lost((work) => (trainsWeights(work) ? weightStepsOf(work) : 0))
          expect(weightSteps).toEqual({ done: STEPS - lostSteps, total: STEPS })
          expect(architectureSteps.done).toBe(ARCHITECTURE_STEPS - lost(architectureStepsOf))
        } else {
          const handedOut = found.log.reduce((sum, { task }) => sum + architecturesOf(task.work), 0)
          if (handedOut > 0) expect(description.steps).toMatchObject({ done: handedOut, total: handedOut })
          expect(description.view.candidates.length).toBeLessThanOrEqual(handedOut - lost(architecturesOf))
        }
        expectReplay(found)
      }),
      { numRuns: 40 },
    )
  })

  it('describes and derives at any time, the very first included', () => {
    const context = fresh()
    const state = strategy.init(context)
    const { steps } = strategy.describe(state, context)
    expect([strategy.phase(state, context), steps.done]).toEqual(['waiting', 0])
    expect(steps.total).toBeGreaterThan(0)
    expect(strategy.derive(state, context)).toHaveLength(fixed.space.decisions.length)
  })
})
