import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { latencyBounds, pathLatencyMs } from '../../latency-lut/table/coverage.ts'
import type { ResultOf, TaskWork } from '../../protocol/index.ts'
import { createRandom, seedState } from '../../search-space/index.ts'
import { boundedBy, cheapestPath, cross, isWithin, mutate, randomWithin, tryFor } from '../../strategies/evolution.ts'
import type { Attendance } from '../../strategies/index.ts'
import { spos } from '../../strategies/spos.ts'
import { makeContext, resultOutcome, type SearchOptions } from '../fixtures/searches.ts'

type Evaluation = Extract<TaskWork, { kind: 'evaluatePaths' }>

const contextWith = (strategy: object, targetMs = 30, options: SearchOptions = {}) =>
  makeContext({ blocks: 4, steps: 8, targetMs, strategy: { name: 'spos', images: 64, ...strategy }, ...options })

/** Accuracy that wants option 1 everywhere. */
const scoreOf = (path: readonly number[]) => path.filter((option) => option === 1).length / 8 + 0.25

/** Runs a search to its end; every evaluation in the order in which it was handed out. */
function runSearch(context: ReturnType<typeof contextWith>) {
  let state = spos.init(context)
  const evaluations: Evaluation[] = []
  for (;;) {
    const proposal = spos.propose(state, context)
    if (proposal.kind === 'done') return { state, evaluations }
    if (proposal.kind === 'wait') throw new Error('waits for nothing')
    const { work } = proposal
    const result: ResultOf<TaskWork['kind']> =
      work.kind === 'evaluatePaths'
        ? {
            kind: 'evaluatePaths',
            paths: work.paths.map((path) => ({ crossEntropy: 1, correct: Math.round(scoreOf(path) * 1000), images: 1000 })),
          }
        : { kind: 'trainWeights', loss: 1, correct: 1, images: 64 }
    if (work.kind === 'evaluatePaths') evaluations.push(work)
    state = spos.absorb(proposal.state, proposal, resultOutcome(result), context).state
  }
}

describe('an evolution', () => {
  it('evaluates within the bound only, nothing twice, all on the same images, and finds what is best', () => {
    const context = contextWith({ population: 6, generations: 6, parents: 3, mutation: 0.3, candidatesPerTask: 4 }, 8)
    const { latency } = context
    const bounds = latencyBounds(latency)
    expect(bounds.leastMs).toBeLessThan(8)
    expect(bounds.mostMs).toBeGreaterThan(8)
    const { state, evaluations } = runSearch(context)
    const paths = evaluations.flatMap((work) => work.paths)
    expect(new Set(paths.map((path) => path.join())).size).toBe(paths.length)
    for (const path of paths) expect(pathLatencyMs(latency, path)).toBeLessThanOrEqual(8)
    expect(new Set(evaluations.map(({ batches }) => JSON.stringify(batches)))).toEqual(new Set(['{"first":0,"count":1}']))
    // A generation is cut into tasks of four at most.
    expect(evaluations.slice(0, 2).map((work) => work.paths.length)).toEqual([4, 2])
    const best = Math.max(...paths.map(scoreOf))
    expect(scoreOf(spos.derive(state, context))).toBe(best)
    const { best: shown, view } = spos.describe(state, context)
    expect(shown[0]).toMatchObject({ score: best, meetsConstraint: true })
    expect(view).toMatchObject({ kind: 'population', generation: 5 })
  })

  it('does better than as many random architectures, by the mean of ten seeds', () => {
    const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length
    const bests = (strategy: object) =>
      Array.from({ length: 10 }, (_, seed) => {
        const context = contextWith(strategy, 60, { blocks: 8, seed })
        return scoreOf(spos.derive(runSearch(context).state, context))
      })
    const evolved = bests({ population: 10, generations: 8, parents: 4, mutation: 0.15 })
    const random = bests({ population: 80, generations: 1, parents: 4 })
    expect(mean(evolved)).toBeGreaterThan(mean(random))
  })

  it('waits until the weights are trained and a generation is back', () => {
    const context = contextWith({ population: 2, generations: 2, parents: 1, candidatesPerTask: 2 })
    const member = { agentId: 'a', lanes: 1, stepsPerSecond: null, exchangeMs: null }
    const attendance = (...tasks: number[]): Attendance => ({
      asker: member,
      members: [member],
      outstanding: tasks.map((taskId) => ({ taskId, agentId: 'a', overdue: false })),
      nextTaskId: 10 + tasks.length,
      nowMs: 0,
    })
    let state = spos.init(context)
    const tasks: { work: TaskWork; private?: unknown }[] = []
    while (state.weightStepsProposed < 8) {
      const proposal = spos.propose(state, context, attendance())
      if (proposal.kind !== 'work') throw new Error(proposal.kind)
      tasks.push(proposal)
      state = proposal.state
    }
    const last = state.rounds?.at(-1)?.seats[0]?.taskId as number
    expect(spos.propose(state, context, attendance(last)).kind).toBe('wait')
    const first = spos.propose(state, context, attendance())
    if (first.kind !== 'work') throw new Error(first.kind)
    expect(first.work.kind).toBe('evaluatePaths')
    expect(spos.propose(first.state, context, attendance()).kind).toBe('wait')
    // What nobody could evaluate is not waited for, and never the best.
    const failed = spos.absorb(first.state, first, { kind: 'failure', reason: 'expired', attempts: 5 }, context)
    expect(failed.kind).toBe('given-up')
    expect(spos.propose(failed.state, context, attendance()).kind).toBe('work')
    expect(spos.describe(failed.state, context).best).toEqual([])
  })

  it.each([
    [{}, 0.5, 'latency.targetMs'],
    [{ population: 5, parents: 6 }, 30, 'strategy.parents'],
    [{ population: 1000, generations: 1000 }, 30, 'strategy.generations'],
    [{ images: 64_000, candidatesPerTask: 5 }, 30, 'strategy.candidatesPerTask'],
  ])('refuses %j at %d ms, the field named', (strategy, targetMs, field) => {
    const context = contextWith(strategy, targetMs)
    expect(() => spos.init(context)).toThrow(expect.objectContaining({ errors: [expect.objectContaining({ path: field })] }))
  })
})

describe('architectures made of others', () => {
  const { space, latency } = contextWith({})
  const bounds = latencyBounds(latency)
  const path = fc.tuple(...space.decisions.map(({ options }) => fc.nat(options.length - 1)))
  const random = (seed: number) => createRandom(seedState('evolution', seed))

  it('have each decision from one of their parents, or a change', () => {
    fc.assert(
      fc.property(path, path, fc.nat(), (one, other, seed) => {
        for (const [decision, option] of cross(one, other, random(seed)).entries())
          expect([one[decision], other[decision]]).toContain(option)
        expect(mutate({ space, bounds: [] }, one, 0, random(seed))).toEqual(one)
        for (const [decision, option] of mutate({ space, bounds: [] }, one, 1, random(seed)).entries())
          expect(space.decisions[decision]?.options[option]).toBeDefined()
      }),
    )
  })

  it('are within a bound that leaves any, and there are none where it leaves none', () => {
    fc.assert(
      fc.property(fc.double({ min: 0, max: 1, noNaN: true }), fc.nat(), (share, seed) => {
        const bounded = boundedBy(contextWith({}, bounds.leastMs + share ** 4 * (bounds.mostMs - bounds.leastMs) + 1e-9))
        const found = randomWithin(bounded, random(seed))
        expect(found && isWithin(bounded, found)).toBe(true)
      }),
    )
    const nothing = boundedBy(contextWith({}, bounds.leastMs - 0.01))
    expect(randomWithin(nothing, random(1))).toBeNull()
    expect(pathLatencyMs(latency, cheapestPath(nothing))).toBeCloseTo(bounds.leastMs, 9)
    expect(tryFor(nothing, { has: () => false }, () => cheapestPath(nothing))).toBeNull()
  })
})
