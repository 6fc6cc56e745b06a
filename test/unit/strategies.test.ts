// What holds for every strategy. The table of cases names them all, or does not compile.

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { resultMismatch, type StrategyName, type TaskOutcome, type TaskWork } from '../../protocol/index.ts'
import { type Assignment, findStrategy } from '../../strategies/index.ts'
import { answerWork, makeContext, resultOutcome, type SearchOptions } from '../fixtures/searches.ts'

const cases: { readonly [Name in StrategyName]: SearchOptions } = {
  'proxyless-g': { steps: 20, strategy: { name: 'proxyless-g', warmupSteps: 4, archEvery: 2, evaluateEvery: 6 } },
  'proxyless-r': { steps: 20, strategy: { name: 'proxyless-r', warmupSteps: 4, archEvery: 2, evaluateEvery: 6, samples: 3, images: 64 } },
  parsec: { steps: 20, strategy: { name: 'parsec', warmupSteps: 4, archEvery: 2, evaluateEvery: 6, samples: 3, images: 64 } },
  random: { steps: 1, targetMs: 30, strategy: { name: 'random', trials: 8 } },
  'aging-evolution': { steps: 1, targetMs: 30, strategy: { name: 'aging-evolution', trials: 12, population: 3, sample: 2 } },
  'local-search': { steps: 1, targetMs: 30, strategy: { name: 'local-search', trials: 12, starts: 2 } },
  spos: {
    steps: 20,
    targetMs: 30,
    strategy: { name: 'spos', population: 4, generations: 3, parents: 2, images: 64, candidatesPerTask: 3 },
  },
  'fp-nas': { steps: 20, strategy: { name: 'fp-nas', warmupSteps: 4, archEvery: 2, evaluateEvery: 6, lambda: 2, images: 64 } },
}
/** More tasks than any of the searches above has. */
const MOST_TASKS = 200

type Task = Assignment & { taskId: number }

/** Architecture steps that a task stands for, whichever strategy it is of. */
const architectureStepsOf = (work: TaskWork) =>
  work.kind === 'gateGradients' ? work.steps.length : work.kind === 'evaluatePaths' && work.batches ? 1 : 0

const throughJson = <T>(value: T): T => JSON.parse(JSON.stringify(value)) as T

describe.each(Object.entries(cases))('%s', (name, options) => {
  const strategy = findStrategy(name as StrategyName)
  const context = makeContext(options)
  const answer = ({ work }: Assignment, taskId: number) => answerWork(work, context.space, taskId)

  /** What a search has found, without what it is about to do. */
  const found = (state: unknown) => {
    const { view } = strategy.describe(state, context)
    return view.kind === 'distribution' ? { alpha: view.alpha } : { candidates: view.candidates, derived: strategy.derive(state, context) }
  }

  it('comes to its end, whatever order results come in, and can be stored between any two calls', () => {
    fc.assert(
      fc.property(fc.array(fc.nat({ max: 6 }), { minLength: 1, maxLength: 60 }), (order) => {
        let state = strategy.init(context)
        const outstanding: Task[] = []
        const log: Task[] = []
        for (let turn = 0; ; turn++) {
          expect(turn).toBeLessThan(3 * MOST_TASKS)
          state = strategy.stateSchema.parse(throughJson(state))
          const proposal = strategy.propose(state, context)
          if (proposal.kind === 'wait') expect(outstanding, 'waits for nothing').not.toEqual([])
          if (proposal.kind === 'done' && outstanding.length === 0) break
          const pick = order[turn % order.length] as number
          if (proposal.kind === 'work' && (pick < 3 || outstanding.length === 0)) {
            const { state: next, ...assignment } = proposal
            state = next
            outstanding.push({ ...throughJson(assignment), taskId: log.length + outstanding.length + 1 })
            continue
          }
          const [task] = outstanding.splice(pick % outstanding.length, 1)
          if (!task) continue
          const result = answer(task, task.taskId)
          expect(resultMismatch(task.work, result, context.space)).toBeNull()
          const given = state
          const before = throughJson(given)
          state = strategy.absorb(given, task, resultOutcome(result), context).state
          expect(throughJson(given), 'absorb changed what it was given').toEqual(before)
          log.push(task)
          expect(strategy.derive(state, context)).toHaveLength(context.space.decisions.length)
        }
        const { view, steps } = strategy.describe(state, context)
        if (view.kind === 'distribution') {
          expect(view.weightSteps).toEqual({ done: 20, total: 20 })
          expect(view.architectureSteps.done).toBe(8)
          for (const row of view.probabilities) expect(row.reduce((sum, p) => sum + p, 0)).toBeCloseTo(1, 12)
        } else {
          expect(steps.done).toBe(steps.total)
          expect(view.candidates.length).toBeGreaterThan(0)
        }

        // The log is enough to come to the same distribution, bit for bit.
        let replayed = strategy.init(context)
        for (const entry of throughJson(log))
          replayed = strategy.absorb(replayed, entry, resultOutcome(answer(entry, entry.taskId)), context).state
        expect(found(replayed)).toEqual(found(state))
      }),
      { numRuns: 20 },
    )
  })

  it('comes to its end in a bounded number of steps whatever fails, comes late or comes twice, and replays from what it heard', () => {
    const step = fc.record({ act: fc.constantFrom('propose', 'propose', 'result', 'failure'), pick: fc.nat({ max: 6 }) })
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 60 }), (steps) => {
        let state = strategy.init(context)
        const outstanding: Task[] = []
        const log: { task: Task; outcome: TaskOutcome }[] = []
        for (let turn = 0; ; turn++) {
          expect(turn).toBeLessThan(4 * MOST_TASKS)
          state = strategy.stateSchema.parse(throughJson(state))
          const proposal = strategy.propose(state, context)
          if (proposal.kind === 'wait') expect(outstanding, 'waits for nothing').not.toEqual([])
          if (proposal.kind === 'done' && outstanding.length === 0) break
          const { act, pick } = steps[turn % steps.length] as { act: string; pick: number }
          if (proposal.kind === 'work' && (act === 'propose' || outstanding.length === 0)) {
            const { state: next, ...assignment } = proposal
            state = next
            outstanding.push({ ...throughJson(assignment), taskId: log.length + outstanding.length + 1 })
            continue
          }
          const [task] = outstanding.splice(pick % outstanding.length, 1)
          if (!task) continue
          const outcome: TaskOutcome =
            act === 'failure' ? { kind: 'failure', reason: 'expired', attempts: 5 } : resultOutcome(answer(task, task.taskId))
          const before = throughJson(state)
          const absorbed = strategy.absorb(state, task, outcome, context)
          expect(throughJson(state), 'absorb changed what it was given').toEqual(before)
          if (outcome.kind === 'failure') expect(absorbed.kind).toBe('given-up')
          else expect(absorbed.kind).toMatch(/applied|stale/)
          state = absorbed.state
          log.push({ task, outcome })
          expect(strategy.derive(state, context)).toHaveLength(context.space.decisions.length)
        }
        const lost = (count: (work: TaskWork) => number) =>
          log.reduce((sum, { task, outcome }) => sum + (outcome.kind === 'failure' ? count(task.work) : 0), 0)
        const { view } = strategy.describe(state, context)
        // Everything was handed out, and what failed was not done: neither again, nor counted.
        if (view.kind === 'distribution') {
          expect(view.weightSteps).toEqual({ done: 20 - lost((work) => (work.kind === 'trainWeights' ? work.paths.length : 0)), total: 20 })
          expect(view.architectureSteps.done).toBe(8 - lost(architectureStepsOf))
        } else {
          const handedOut = log.reduce((sum, { task: { work } }) => sum + (work.kind === 'evaluatePaths' ? work.paths.length : 0), 0)
          const failed = lost((work) => (work.kind === 'evaluatePaths' ? work.paths.length : 0))
          expect(view.candidates).toHaveLength(Math.min(10, handedOut - failed))
        }

        let replayed = strategy.init(context)
        for (const { task, outcome } of throughJson(log)) replayed = strategy.absorb(replayed, task, outcome, context).state
        expect(found(replayed)).toEqual(found(state))
      }),
      { numRuns: 40 },
    )
  })

  it('describes and derives at any time, the very first included', () => {
    const state = strategy.init(context)
    expect(strategy.describe(state, context)).toMatchObject({ phase: 'waiting', steps: { done: 0, total: 20 } })
    expect(strategy.derive(state, context)).toHaveLength(context.space.decisions.length)
  })
})
