import { describe, expect, it } from 'vitest'
import { resultMismatch, type TaskWork } from '../../protocol/index.ts'
import { softmax } from '../../strategies/distribution.ts'
import { proxylessReinforce } from '../../strategies/proxyless-reinforce.ts'
import { scoreGradient } from '../../strategies/importance.ts'
import { baselinesOf, rewardOf } from '../../strategies/rewards.ts'
import { makeContext, resultOutcome, type SearchOptions, settingOf } from '../fixtures/searches.ts'

describe('a reward', () => {
  it.each([
    [{ kind: 'accuracy' } as const, 0.5, 20, 0.5],
    [{ kind: 'product', exponent: 0.1 } as const, 0.5, 10, 0.5],
    [{ kind: 'product', exponent: 0.1 } as const, 0.5, 20, 0.5 * 2 ** -0.1],
    [{ kind: 'product', exponent: 0.1 } as const, 0.5, 5, 0.5 * 2 ** 0.1],
    [{ kind: 'bound', exponent: 1 } as const, 0.5, 20, 0.25],
    [{ kind: 'bound', exponent: 1 } as const, 0.5, 5, 0.5],
  ])('%j of %d and %d ms, target 10 ms: %d', (reward, accuracy, latencyMs, wanted) => {
    expect(rewardOf(reward, accuracy, latencyMs, 10)).toBeCloseTo(wanted, 12)
  })
})

describe('a baseline', () => {
  it('leave-one-out is the mean of the others', () => {
    expect(baselinesOf({ kind: 'leave-one-out' }, [1, 2, 6], null)).toEqual({ baselines: [4, 3.5, 1.5], average: null })
  })

  it('moving average begins with the first mean, and moves before it is used', () => {
    const slow = { kind: 'moving-average', rate: 0.25 } as const
    expect(baselinesOf(slow, [1, 3], null)).toEqual({ baselines: [2, 2], average: 2 })
    expect(baselinesOf(slow, [5, 7], 2)).toEqual({ baselines: [3, 3], average: 3 })
  })
})

describe('the gradient', () => {
  const alpha = [0.3, -0.7, 1.1]
  const rewards = [0.2, 0.9, 0.4]
  const expected = (values: readonly number[]) => softmax(values).reduce((sum, p, i) => sum + p * (rewards[i] as number), 0)

  it('of one sample is its advantage times p less one-hot', () => {
    const p = softmax(alpha)
    const [a, b, c] = scoreGradient(p, [1], [2]) as [number, number, number]
    expect(a).toBeCloseTo(2 * (p[0] as number), 12)
    expect(b).toBeCloseTo(2 * ((p[1] as number) - 1), 12)
    expect(c).toBeCloseTo(2 * (p[2] as number), 12)
  })

  it.each([0, 0.5])('averaged over everything that can be sampled is that of the expected reward, with a baseline of %d', (baseline) => {
    const p = softmax(alpha)
    const mean = [0, 0, 0]
    for (const [i, probability] of p.entries()) {
      const one = scoreGradient(p, [i], [(rewards[i] as number) - baseline])
      for (const [j, value] of one.entries()) mean[j] = (mean[j] as number) + probability * value
    }
    const step = 1e-6
    for (const j of alpha.keys()) {
      const at = (shift: number) => expected(alpha.map((value, i) => (i === j ? value + shift : value)))
      expect(mean[j]).toBeCloseTo(-(at(step) - at(-step)) / (2 * step), 8)
    }
  })
})

describe('an architecture step', () => {
  type Evaluation = Extract<TaskWork, { kind: 'evaluatePaths' }>
  const setUp = (strategy: Partial<Extract<SearchOptions['strategy'], { name: 'proxyless-r' }>> = {}) => {
    const context = makeContext({
      blocks: 2,
      steps: 8,
      zero: false,
      strategy: { name: 'proxyless-r', warmupSteps: 0, archEvery: 1, samples: 4, images: 130, evaluateEvery: 8, ...strategy },
    })
    let state = proxylessReinforce.init(context)
    for (let proposal = proxylessReinforce.propose(state, context); proposal.kind === 'work';) {
      state = proposal.state
      if (proposal.work.kind === 'evaluatePaths' && proposal.work.batches) {
        return { context, state, assignment: { ...proposal, work: proposal.work as Evaluation } }
      }
      proposal = proxylessReinforce.propose(state, context)
    }
    throw new Error('expected an architecture step')
  }
  const answer = (work: Evaluation, correct: readonly number[]) => ({
    kind: 'evaluatePaths' as const,
    paths: work.paths.map((_, k) => ({ crossEntropy: 1, correct: correct[k] as number, images: 100 })),
  })

  it('evaluates its samples on the same mini-batches of the architecture share, each step on the next ones', () => {
    const { context, state, assignment } = setUp()
    expect(assignment.work.paths).toHaveLength(4)
    // 130 images are two mini-batches of 64.
    expect(assignment.work.batches).toEqual({ first: 0, count: 2 })
    let next = proxylessReinforce.propose(state, context)
    while (next.kind === 'work' && !(next.work.kind === 'evaluatePaths' && next.work.batches)) {
      next = proxylessReinforce.propose(next.state, context)
    }
    expect(next).toMatchObject({ work: { batches: { first: 2, count: 2 } } })
  })

  it('moves alpha of each block by one step of Adam, towards what was rewarded', () => {
    const { context, state, assignment } = setUp({ reward: { kind: 'accuracy' }, learningRate: 0.25 })
    const work: Evaluation = {
      ...assignment.work,
      paths: [
        [0, 1],
        [0, 1],
        [1, 1],
        [1, 1],
      ],
    }
    const absorbed = proxylessReinforce.absorb(state, { ...assignment, work }, resultOutcome(answer(work, [90, 80, 20, 10])), context)
    if (absorbed.kind !== 'applied') throw new Error('expected it to be applied')
    const moved = absorbed.state.alpha.map((row, block) => row.map((value, i) => value - (state.alpha[block]?.[i] as number)))
    // Adam's first step with β1 = 0 is the rate, whatever the gradient: up for operation 0 of the first block.
    expect(moved[0]?.[0]).toBeCloseTo(0.25, 5)
    expect(moved[0]?.[1]).toBeCloseTo(-0.25, 5)
    // In the second block all had the same operation: leave-one-out advantages sum to 0, and nothing is learnt.
    for (const value of moved[1] as number[]) expect(Math.abs(value)).toBeLessThan(1e-6)
    expect(absorbed.metric).toEqual({ loss: 1, correct: 200, images: 400 })
    expect(absorbed).toMatchObject({ series: 'architecture', state: { alphaVersion: 1, architectureStepsDone: 1 } })
  })

  it('is dropped and counted once alpha has moved on by more than maxStaleness versions', () => {
    const { context, state, assignment } = setUp({ maxStaleness: 2 })
    const result = answer(assignment.work, [1, 2, 3, 4])
    expect(proxylessReinforce.absorb({ ...state, alphaVersion: 2 }, assignment, resultOutcome(result), context).kind).toBe('applied')
    const stale = proxylessReinforce.absorb({ ...state, alphaVersion: 3 }, assignment, resultOutcome(result), context)
    expect(stale).toMatchObject({ kind: 'stale', state: { alpha: state.alpha, architectureStepsDone: 0, architectureStepsDropped: 1 } })
  })

  it('is refused where it does not answer for every sample', () => {
    const { context, assignment } = setUp()
    const result = answer(assignment.work, [1, 2, 3, 4])
    expect(resultMismatch(assignment.work, { ...result, paths: result.paths.slice(1) }, settingOf(context.space))).toEqual({
      path: 'result.paths',
      message: 'expected 4 paths, got 3',
    })
  })

  it('asks for no more mini-batches than a task may have', () => {
    expect(() => setUp({ images: 1_000_000 })).toThrow('strategy.images: expected at most 1000 mini-batches of 64')
  })
})
