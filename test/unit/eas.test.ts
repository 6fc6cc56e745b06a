// EAS: what its policy computes against the equations in the file's header, written down a second time here, and what grows out of what.

import { describe, expect, it } from 'vitest'
import type { TrialWork } from '../../protocol/index.ts'
import { cheapestPath, boundedBy } from '../../strategies/evolution.ts'
import { type Assignment, findStrategy, type StrategyContext } from '../../strategies/index.ts'
import { makeContext, resultOutcome } from '../fixtures/searches.ts'

type State = {
  readonly alpha: number[][]
  readonly averageReward: number | null
  readonly parent: { readonly trial: number; readonly path: number[]; readonly score: number } | null
}

const strategy = findStrategy('eas')
/** Options of the blocks of the space of these tests. */
const [NARROW, WIDE, ZERO] = [0, 1, 2]
/** Of central differences of a function of about 1: their errors are of 1e-10. */
const STEP = 1e-5

const pathOf = ({ work }: Assignment) => (work as TrialWork).path
const stagesOf = ({ private: kept }: Assignment) => (kept as { readonly kept?: number[][] }).kept

function answer(state: unknown, assignment: Assignment, accuracy: number, context: StrategyContext) {
  const validation = { crossEntropy: 1, correct: Math.round(1e6 * accuracy), images: 1e6 }
  const result = { kind: 'trainArchitecture', end: 'finished', steps: 1, seconds: 1, validation, curve: [] } as const
  return strategy.absorb(state, assignment, resultOutcome({ ...result, curve: [] }), context)
}

/** One training after the other. */
function search(context: StrategyContext, accuracyOf: (path: readonly number[], number: number) => number) {
  const trials: { assignment: Assignment; accuracy: number; state: State; keeps: readonly number[] | undefined }[] = []
  let state: unknown = strategy.init(context)
  for (;;) {
    const proposal = strategy.propose(state, context)
    if (proposal.kind !== 'work') return trials
    const accuracy = accuracyOf(pathOf(proposal), trials.length)
    const absorbed = answer(proposal.state, proposal, accuracy, context)
    state = absorbed.state
    trials.push({ assignment: proposal, accuracy, state: state as State, keeps: absorbed.keeps })
  }
}

/** What an action may do, in a space of blocks that are narrow, wide or left out. */
function choices(path: readonly number[], isWidening: boolean): [decision: number, option: number][] {
  return path.flatMap((own, decision): [number, number][] => {
    if (isWidening) return own === NARROW ? [[decision, WIDE]] : []
    return own === ZERO ? [NARROW, WIDE].map((option) => [decision, option]) : []
  })
}

/** −A Σ ln p − β Σ H over the actions of one network. */
function loss(alpha: readonly (readonly number[])[], stages: readonly number[][], advantage: number, entropyWeight: number): number {
  let total = 0
  for (const [index, to] of stages.slice(1).entries()) {
    const from = stages[index] as number[]
    const changed = from.findIndex((own, decision) => own !== to[decision])
    const possible = choices(from, from[changed] === NARROW)
    const odds = possible.map(([decision, option]) => Math.exp(alpha[decision]?.[option] as number))
    const sum = odds.reduce((a, b) => a + b, 0)
    const taken = possible.findIndex(([decision, option]) => decision === changed && option === to[decision])
    total -= advantage * Math.log((odds[taken] as number) / sum)
    for (const odd of odds) total += entropyWeight * (odd / sum) * Math.log(odd / sum)
  }
  return total
}

describe('the policy', () => {
  it('takes steps of Adam along −(R − b) Σ ln p − β Σ H, with R = tan(π/2 accuracy)', () => {
    const [baselineRate, entropyWeight, rate, beta1, beta2, epsilon] = [0.2, 0.3, 0.05, 0.9, 0.99, 1e-4]
    const settings = { widerActions: 2, deeperActions: 2, round: 4, baselineRate, entropyWeight, learningRate: rate, beta1, beta2, epsilon }
    const context = makeContext({ targetMs: 100, blocks: 8, strategy: { name: 'eas', trials: 20, ...settings } })
    const trials = search(context, (path, number) => 0.3 + 0.03 * path.filter((own) => own !== ZERO).length + 0.03 * Math.sin(number))
    const zeros = () => context.space.decisions.map(({ options }) => options.map(() => 0))
    let [alpha, average, steps] = [zeros(), null as number | null, 0]
    const [first, second] = [zeros(), zeros()]
    for (const { assignment, accuracy, state } of trials) {
      const stages = stagesOf(assignment)
      if (stages) {
        const reward = Math.tan((Math.PI * (Math.round(1e6 * accuracy) / 1e6)) / 2)
        average = average === null ? reward : average + baselineRate * (reward - average)
        const advantage = reward - average
        steps++
        const before = alpha
        alpha = alpha.map((row, decision) =>
          row.map((value, option) => {
            const moved = (by: number) => before.map((own, d) => (d === decision ? own.with(option, value + by) : own))
            const at = (by: number) => loss(moved(by), stages, advantage, entropyWeight)
            const slope = (at(STEP) - at(-STEP)) / (2 * STEP)
            const [m, v] = [first[decision] as number[], second[decision] as number[]]
            m[option] = beta1 * (m[option] as number) + (1 - beta1) * slope
            v[option] = beta2 * (v[option] as number) + (1 - beta2) * slope ** 2
            const unbiased = Math.sqrt((v[option] as number) / (1 - beta2 ** steps))
            return value - (rate * (m[option] as number)) / (1 - beta1 ** steps) / (unbiased + epsilon)
          }),
        )
      }
      expect(state.averageReward ?? 0).toBeCloseTo(average ?? 0, 12)
      const error = Math.max(...state.alpha.flatMap((row, d) => row.map((value, o) => Math.abs(value - (alpha[d]?.[o] as number)))))
      expect(error).toBeLessThan(1e-6)
    }
    expect(steps).toBeGreaterThan(15)
    expect(Math.max(...alpha.flat())).toBeGreaterThan(0.05)
  })

  it('comes to favour the growths that were worth it', () => {
    const settings = { widerActions: 0, deeperActions: 3, round: 1000 }
    const context = makeContext({ targetMs: 100, blocks: 6, strategy: { name: 'eas', trials: 60, ...settings } })
    const trials = search(context, (path) => 0.3 + 0.1 * path.filter((own) => own === WIDE).length)
    const { alpha } = (trials.at(-1) as (typeof trials)[number]).state
    for (const row of alpha) expect(row[WIDE]).toBeGreaterThan(row[NARROW] as number)
    const wideOf = (some: typeof trials) =>
      some.reduce((sum, { assignment }) => sum + pathOf(assignment).filter((own) => own === WIDE).length, 0) / some.length
    expect(wideOf(trials.slice(-20))).toBeGreaterThan(wideOf(trials.slice(1, 21)) + 0.3)
  })
})

describe('what is trained', () => {
  it('is the cheapest network, then what grows out of the best one within the bound, which is chosen anew after every round', () => {
    const context = makeContext({ targetMs: 7, blocks: 5, strategy: { name: 'eas', trials: 25, round: 5 } })
    const { of, atMost } = boundedBy(context).bounds[0] as ReturnType<typeof boundedBy>['bounds'][number]
    const trials = search(context, (path, number) => 0.2 + 0.1 * path.filter((own) => own !== ZERO).length + 0.01 * Math.cos(number))
    expect(new Set(trials.map(({ assignment }) => pathOf(assignment).join())).size).toBe(trials.length)
    const [root, ...children] = trials
    expect(root?.assignment.work).toMatchObject({ start: 'scratch', isParent: true, path: cheapestPath(boundedBy(context)) })
    const bestOf = (from: number, to: number) =>
      trials.slice(from, to).reduce((best, { accuracy }, i) => (accuracy > (trials[best]?.accuracy ?? 0) ? from + i : best), from)
    let [parent, since, fromParent, fromOthers] = [0, 1, 0, 0]
    for (const [i, { assignment, keeps }] of children.entries()) {
      const { start, path, trial } = assignment.work as TrialWork
      const number = i + 1
      expect(trial).toBe(number)
      expect(of.of(path)).toBeLessThanOrEqual(atMost)
      if (typeof start !== 'string') {
        expect(start.path).toEqual(pathOf((trials[start.trial] as (typeof trials)[number]).assignment))
        for (const [decision, own] of start.path.entries()) if (own !== ZERO) expect([own, WIDE]).toContain(path[decision])
        // That has nothing new to grow into: then out of the best one since it was chosen.
        if (start.trial === parent) fromParent++
        else {
          expect(start.trial).toBe(bestOf(since, number))
          fromOthers++
        }
      }
      const candidate = bestOf(since, number + 1)
      if (number % 5 === 0) {
        if ((trials[candidate]?.accuracy ?? 0) > (trials[parent]?.accuracy ?? 0)) parent = candidate
        since = number + 1
        expect(keeps).toEqual([parent])
      } else expect(keeps).toEqual([parent, candidate])
    }
    expect(fromParent).toBeGreaterThan(10)
    expect(fromOthers).toBeGreaterThan(0)
    expect(parent).toBeGreaterThan(0)
  })

  it('waits for the first result, and begins with a random network where that is a failure', () => {
    const context = makeContext({ targetMs: 30, strategy: { name: 'eas', trials: 4 } })
    const first = strategy.propose(strategy.init(context), context)
    if (first.kind !== 'work') throw new Error('expected a trial')
    expect(strategy.propose(first.state, context)).toEqual({ kind: 'wait', isLong: true })
    const failed = strategy.absorb(first.state, first, { kind: 'failure', reason: 'expired', attempts: 5 }, context)
    const second = strategy.propose(failed.state, context)
    if (second.kind !== 'work') throw new Error('expected a trial')
    expect(second.work).toMatchObject({ start: 'scratch' })
    expect(pathOf(second)).not.toEqual(pathOf(first))
    const { state } = answer(second.state, second, 0.5, context)
    expect((state as State).parent).toMatchObject({ trial: 1, path: pathOf(second) })
  })

  it('is refused in a space where nothing grows', () => {
    const context = makeContext({ kernels: [3, 5], expansions: [2], zero: false, strategy: { name: 'eas', trials: 4 } })
    expect(() => strategy.init(context)).toThrow('expected a space whose blocks can be left out, or be as they are and wider')
  })
})
