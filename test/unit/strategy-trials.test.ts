// What strategies of trials compute: gradients against finite differences, what the predictor learns, and who goes on in a halving against
// the rule as the paper has it.

import { describe, expect, it } from 'vitest'
import { softmax, entropy } from '../../strategies/distribution.ts'
import { findStrategy } from '../../strategies/index.ts'
import { pairAgreement } from '../../strategies/predictor.ts'
import { fitRankingNetwork, pairSlopes } from '../../strategies/ranking-network.ts'
import { policyGradient } from '../../strategies/policy.ts'
import { createRandom, seedState } from '../../search-space/index.ts'
import type { TrialWork } from '../../protocol/index.ts'
import { makeContext, resultOutcome } from '../fixtures/searches.ts'

const STEP = 1e-6

describe('reinforce', () => {
  it('follows the gradient of −(A − b) ln p(a) − β H(p)', () => {
    const alpha = [0.3, -0.7, 1.1, 0]
    const [advantage, weight, option] = [0.4, 0.25, 2]
    const loss = (values: readonly number[]) => {
      const p = softmax(values)
      return -advantage * Math.log(p[option] as number) - weight * entropy(p)
    }
    const gradient = policyGradient(softmax(alpha), option, advantage, weight)
    for (const [i, slope] of gradient.entries()) {
      const moved = (by: number) => loss(alpha.with(i, (alpha[i] as number) + by))
      expect(slope).toBeCloseTo((moved(STEP) - moved(-STEP)) / (2 * STEP), 7)
    }
  })

  it('comes to favour the options of what was accurate, and takes steps for what it draws again without a training', () => {
    const context = makeContext({ targetMs: 100, strategy: { name: 'reinforce', trials: 27 } })
    const strategy = findStrategy('reinforce')
    let state = strategy.init(context)
    for (;;) {
      const proposal = strategy.propose(state, context)
      if (proposal.kind !== 'work') break
      const { path } = proposal.work as TrialWork
      const correct = 50 + 10 * path.filter((found) => found === 1).length
      const validation = { crossEntropy: 1, correct, images: 100 }
      const result = { kind: 'trainArchitecture', end: 'finished', steps: 1, seconds: 1, validation, curve: [] } as const
      state = strategy.absorb(proposal.state, proposal, resultOutcome({ ...result, curve: [] }), context).state
    }
    const { view } = strategy.describe(state, context)
    if (view.kind !== 'ranking' || !view.policy) throw new Error('expected a ranking with a policy')
    for (const row of view.policy.probabilities) expect(Math.max(...row)).toBe(row[1])
    expect(view.policy.entropy).toBeLessThan(view.policy.startEntropy)
    const { steps } = state as { steps: number[] }
    expect(steps[0]).toBeGreaterThan(27)
    expect(strategy.derive(state, context)).toEqual([1, 1, 1])
  })
})

describe('the ranking network', () => {
  it('has the slopes of the mean of −ln σ(f_a − f_b) over pairs in which a is better', () => {
    const values = Float64Array.from([0.2, -0.4, 0.9, 0.1])
    const scores = [0.7, 0.5, 0.6, 0.7]
    const loss = (f: Float64Array) => {
      let [sum, pairs] = [0, 0]
      for (const [a, better] of scores.entries()) {
        for (const [b, worse] of scores.entries()) {
          if (better <= worse) continue
          sum += Math.log(1 + Math.exp((f[b] as number) - (f[a] as number)))
          pairs += 1
        }
      }
      return sum / pairs
    }
    for (const [i, slope] of pairSlopes(values, scores).entries()) {
      const moved = (by: number) => loss(values.with(i, (values[i] as number) + by))
      expect(slope).toBeCloseTo((moved(STEP) - moved(-STEP)) / (2 * STEP), 7)
    }
  })

  it('orders architectures that it has not seen, the same every time', () => {
    const random = createRandom(seedState('ranking', 1))
    const options = [4, 4, 4, 4, 4]
    const worth = options.map((count) => Array.from({ length: count }, () => random.normal()))
    // A sum over decisions, and a pair that only counts together.
    const scoreOf = (path: readonly number[]) =>
      path.reduce((sum, option, d) => sum + (worth[d]?.[option] as number), 0) + (path[0] === 1 && path[3] === 2 ? 2 : 0)
    const draw = () => options.map((count) => random.integer(count))
    const examples = Array.from({ length: 80 }, draw).map((path) => ({ path, score: scoreOf(path) }))
    const fit = () =>
      fitRankingNetwork(examples, { options, hidden: 16, epochs: 100, learningRate: 0.02, weightDecay: 0.01 }, seedState('fit', 2))
    const unseen = Array.from({ length: 60 }, draw)
    const values = unseen.map(fit())
    expect(unseen.map(fit())).toEqual(values)
    const foretold = unseen.map((path, i) => ({ value: values[i] as number, score: scoreOf(path) }))
    expect(pairAgreement(foretold)).toBeGreaterThan(0.85)
  })

  it('agrees with an order by the share of its pairs, equals left out', () => {
    const told = (...pairs: readonly (readonly [number, number])[]) => pairAgreement(pairs.map(([value, score]) => ({ value, score })))
    expect(told([1, 1], [2, 2], [3, 1.5])).toBeCloseTo(2 / 3, 12)
    expect(told([1, 1], [2, 1])).toBeNull()
    expect(told()).toBeNull()
  })
})

describe('successive halving', () => {
  const ETA = 3
  const TRIALS = 20
  const context = () =>
    makeContext({
      targetMs: 100,
      strategy: { name: 'successive-halving', trials: TRIALS, eta: ETA, recipe: { epochs: 9 }, proposer: { name: 'random' } },
    })
  const scoreAt = (trial: number, rung: number) => 1000 + ((trial * 37 + rung * 11) % 101)

  it.each([1, 4])('hands out what algorithm 2 of the paper does, with %d agents', (agents) => {
    const own = context()
    const strategy = findStrategy('successive-halving')
    let state = strategy.init(own)
    /** Scores by rung and trial, as the rule sees them. */
    const scored = [new Map<number, number>(), new Map<number, number>(), new Map<number, number>()]
    const promoted = [new Set<number>(), new Set<number>()]
    let begun = 0
    /** get_job of the paper: from the top rung down, the best of the first ⌊n/η⌋ that is not promoted; else a new one. */
    const expected = (): { trial: number; rung: number } | null => {
      for (const rung of [1, 0]) {
        const order = [...(scored[rung] as Map<number, number>)].toSorted(([, a], [, b]) => b - a)
        const found = order.slice(0, Math.floor(order.length / ETA)).find(([trial]) => !promoted[rung]?.has(trial))
        if (!found) continue
        promoted[rung]?.add(found[0])
        return { trial: found[0], rung: rung + 1 }
      }
      return begun < TRIALS ? { trial: begun++, rung: 0 } : null
    }
    const rungOf = ({ epochs = 9 }: TrialWork) => [1, 3, 9].indexOf(epochs)
    const out: { work: TrialWork; private?: unknown }[] = []
    let handedOut = 0
    for (let turn = 0; turn < 1000; turn++) {
      const proposal = out.length < agents ? strategy.propose(state, own) : null
      if (proposal?.kind === 'work') {
        const work = proposal.work as TrialWork
        expect({ trial: work.trial, rung: rungOf(work) }).toEqual(expected())
        state = proposal.state
        out.push({ work, private: proposal.private })
        handedOut += 1
        continue
      }
      if (proposal) expect(expected()).toBeNull()
      const [first] = out.splice((turn * 7) % Math.max(1, out.length), 1)
      if (!first) break
      const [trial, rung] = [first.work.trial as number, rungOf(first.work)]
      const validation = { crossEntropy: 1, correct: scoreAt(trial, rung), images: 2000 }
      scored[rung]?.set(trial, validation.correct)
      const result = { kind: 'trainArchitecture' as const, end: 'finished' as const, steps: 1, seconds: 1, validation, curve: [] }
      state = strategy.absorb(state, first, resultOutcome(result), own).state
    }
    const { steps, best, fronts } = strategy.describe(state, own)
    expect(steps).toMatchObject({ done: handedOut, total: handedOut })
    const top = [...(scored[2] as Map<number, number>).values()]
    expect(top.length).toBeGreaterThanOrEqual(2)
    expect(best[0]?.score).toBe(Math.max(...top) / 2000)
    // Accuracies of fewer epochs are on no front.
    const onFronts = (fronts ?? []).flatMap(({ points }) => points.map(({ score }) => Math.round(score * 2000)))
    expect(fronts).toHaveLength(3)
    expect(onFronts).toContain(Math.max(...top))
    expect(onFronts.filter((score) => !top.includes(score))).toEqual([])
  })

  it('wants a recipe that rungs fit into', () => {
    const strategy = findStrategy('successive-halving')
    const asked = (recipe: object, leastEpochs = 1) =>
      makeContext({ targetMs: 100, strategy: { name: 'successive-halving', recipe, leastEpochs, proposer: { name: 'random' } } })
    expect(() => strategy.init(asked({ steps: 100 }))).toThrow(/recipe.epochs/)
    expect(() => strategy.init(asked({ epochs: 4 }, 4))).toThrow(/fewer than the 4 epochs/)
  })
})
