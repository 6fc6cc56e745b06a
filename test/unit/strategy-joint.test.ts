// Decisions that are taken together: FP-NAS's second half.

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createRandom, seedState } from '../../search-space/index.ts'
import { entropy, softmax } from '../../strategies/distribution.ts'
import { fpNas } from '../../strategies/fp-nas.ts'
import {
  combinationsOf,
  drawArchitecture,
  drawWithin,
  groupsByPlace,
  groupsOf,
  joinAlpha,
  marginals,
  mostProbable,
  totalEntropy,
} from '../../strategies/joint-distribution.ts'
import { answerWork, makeContext, resultOutcome } from '../fixtures/searches.ts'

const decision = (name: string, options: number) => ({
  name,
  where: '',
  options: Array.from({ length: options }, (_, i) => ({ name: `${i}`, isZero: false })),
})

/** Places with the numbers of options of their variables, and alpha of each. */
const spaces = fc
  .array(fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 3 }), { minLength: 1, maxLength: 3 })
  .filter((places) => places.some(({ length }) => length > 1))
  .chain((places) => {
    const decisions = places.flatMap((variables, p) => variables.map((options, v) => decision(`row${p}.${v}`, options)))
    const row = (length: number) => fc.array(fc.double({ min: -6, max: 6, noNaN: true }), { minLength: length, maxLength: length })
    return fc.tuple(...decisions.map(({ options }) => row(options.length))).map((alpha) => ({ decisions, alpha }))
  })

describe('the joint distribution that a factorised one becomes', () => {
  it('is the same, to 1e-9: of every architecture, of every decision by itself, and in its entropy', () => {
    fc.assert(
      fc.property(spaces, ({ decisions, alpha }) => {
        const space = { decisions }
        const groups = groupsByPlace(space, 'field')
        const joint = groupsOf({ alpha: joinAlpha(alpha, groups), groups }, space)
        const single = groupsOf({ alpha }, space)
        expect(totalEntropy(joint)).toBeCloseTo(totalEntropy(single), 9)
        const probabilities = marginals(joint, space)
        for (const [d, row] of alpha.entries()) {
          for (const [i, p] of softmax(row).entries()) expect(Math.abs((probabilities[d]?.[i] ?? 0) - p)).toBeLessThan(1e-9)
        }
        const random = createRandom(seedState('joint'))
        for (let n = 0; n < 20; n++) {
          const path = decisions.map(({ options }) => random.integer(options.length))
          const apart = path.reduce((product, option, d) => product * (softmax(alpha[d] as number[])[option] as number), 1)
          const together = combinationsOf(joint, path).reduce((product, c, g) => product * (joint[g]?.probabilities[c] as number), 1)
          expect(Math.abs(together - apart)).toBeLessThan(1e-9)
        }
      }),
    )
  })

  it('has 720 logits where the 23 of five variables were, as FP-NAS counts them', () => {
    const sizes = [720, 23]
    const variables = [3, 2, 2, 6, 10]
    const alpha = variables.map((length) => Array.from({ length }, () => 0))
    const [joined] = joinAlpha(alpha, [[0, 1, 2, 3, 4]])
    expect([joined?.length, alpha.flat().length]).toEqual(sizes)
    expect(entropy(softmax(joined as number[]))).toBeCloseTo(Math.log(720), 12)
  })

  it('is drawn by its probabilities, within a part by those of its combinations, and its most probable architecture is that of a group', () => {
    const space = { decisions: [decision('a.x', 2), decision('a.y', 2), decision('b.x', 3)] }
    // Both or neither; x and y by themselves are even.
    const groups = [[0, 1], [2]]
    const alpha = [
      [Math.log(0.44), Math.log(0.06), Math.log(0.1), Math.log(0.4)],
      [0, 0, Math.log(2)],
    ]
    const joint = groupsOf({ alpha, groups }, space)
    expect(mostProbable(joint)).toEqual([0, 0, 2])
    expect(combinationsOf(joint, [1, 0, 2])).toEqual([2, 2])
    const random = createRandom(seedState('draws'))
    const DRAWS = 20_000
    const share = (draw: () => number[], wanted: (path: number[]) => boolean) =>
      Array.from({ length: DRAWS }, draw).filter(wanted).length / DRAWS
    expect(
      share(
        () => drawArchitecture(joint, random),
        ([x, y]) => x === y,
      ),
    ).toBeCloseTo(0.84, 1)
    const part = [
      { operations: [0, 1], weights: [0.5, 0.5] },
      { operations: [1], weights: [0.46] },
      { operations: [0, 2], weights: [0.25, 0.5] },
    ]
    const within = () => drawWithin(joint, part, random)
    expect(share(within, ([, y, z]) => y === 1 && z !== 1)).toBe(1)
    expect(share(within, ([x]) => x === 1)).toBeCloseTo(0.4 / 0.46, 1)
    expect(share(within, ([, , z]) => z === 2)).toBeCloseTo(2 / 3, 1)
  })
})

describe('fp-nas from coarse to fine', () => {
  const contextWith = (strategy: object, blocks = 3) =>
    makeContext({
      blocks,
      steps: 40,
      tasks: { weightSteps: 4 },
      strategy: { name: 'fp-nas', warmupSteps: 4, archEvery: 2, evaluateEvery: 100, lambda: 2, images: 64, ...strategy },
    })

  it('takes decisions together once the share of weight steps is done, with the same probabilities and Adam anew', () => {
    const context = contextWith({ jointFrom: 0.5 })
    let state = fpNas.init(context)
    let joined = 0
    for (let turn = 0; turn < 200; turn++) {
      const proposal = fpNas.propose(state, context)
      if (proposal.kind !== 'work') break
      const before = fpNas.describe(proposal.state, context)
      const { state: next } = fpNas.absorb(proposal.state, proposal, resultOutcome(answerWork(proposal.work, context.space, turn)), context)
      state = next
      if (!state.groups || joined > 0) continue
      joined = state.weightStepsDone
      expect(proposal.work.kind).toBe('trainWeights')
      expect(state.groups).toEqual([[0, 1, 2]])
      expect(state.alpha.map(({ length }) => length)).toEqual([27])
      expect(state.steps).toEqual([0])
      expect(state.firstMoment.flat().every((value) => value === 0)).toBe(true)
      const after = fpNas.describe(state, context)
      if (before.view.kind !== 'distribution' || after.view.kind !== 'distribution') throw new Error('expected a distribution')
      for (const [b, row] of before.view.probabilities.entries()) {
        for (const [o, p] of row.entries()) {
          expect(after.view.probabilities[b]?.[o]).toBeCloseTo(p, 9)
          expect(softmax(after.view.alpha[b] ?? [])[o]).toBeCloseTo(p, 9)
        }
      }
      expect(after.view.entropy.total).toBeCloseTo(before.view.entropy.total, 9)
    }
    expect(joined).toBe(20)
    // What came after moved it as a whole.
    expect(state.steps[0]).toBeGreaterThan(5)
    expect(totalEntropy(groupsOf(state, context.space))).toBeLessThan(
      marginals(groupsOf(state, context.space), context.space).reduce((sum, row) => sum + entropy(row), 0),
    )
  })

  it('is refused where every decision is by itself, and stays as it is without the setting', () => {
    expect(() => fpNas.init(contextWith({ jointFrom: 0.5 }, 1))).toThrow(
      expect.objectContaining({ errors: [expect.objectContaining({ path: 'strategy.jointFrom' })] }),
    )
    const many = Array.from({ length: 8 }, (_, i) => decision(`row.${i}`, 4))
    expect(() => groupsByPlace({ decisions: many }, 'field')).toThrow(/at most 16384 combinations .* got 65536/)
    expect(fpNas.init(contextWith({})).groups).toBeUndefined()
  })
})
