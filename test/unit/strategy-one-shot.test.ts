import { describe, expect, it } from 'vitest'
import { pathLatencyMs } from '../../latency-lut/table/coverage.ts'
import { type ResultOf, type TaskWork, type WeightMixtures, weightStepsOf, trainsWeights } from '../../protocol/index.ts'
import { createRandom, seedState } from '../../search-space/index.ts'
import { dropOperations, oneShot } from '../../strategies/one-shot.ts'
import { makeContext, resultOutcome, type SearchOptions } from '../fixtures/searches.ts'

type Evaluation = Extract<TaskWork, { kind: 'evaluatePaths' }>

const contextWith = (strategy: object = {}, options: SearchOptions = {}) =>
  makeContext({ blocks: 4, steps: 40, targetMs: 8, ...options, strategy: { name: 'one-shot', images: 64, candidates: 12, ...strategy } })

/** Accuracy that wants option 1 everywhere. */
const scoreOf = (path: readonly number[]) => path.filter((option) => option === 1).length / 8 + 0.25

function runSearch(context: ReturnType<typeof contextWith>) {
  let state = oneShot.init(context)
  const trained: WeightMixtures[] = []
  const evaluations: Evaluation[] = []
  for (;;) {
    const proposal = oneShot.propose(state, context)
    if (proposal.kind === 'done') return { state, trained, evaluations }
    if (proposal.kind === 'wait') throw new Error('waits for nothing')
    const { work } = proposal
    if (work.kind === 'trainMixtures') trained.push(work)
    if (work.kind === 'evaluatePaths') evaluations.push(work)
    const result: ResultOf<'trainMixtures' | 'evaluatePaths'> = trainsWeights(work)
      ? { kind: 'trainMixtures', loss: 1, correct: 1, images: 64 * weightStepsOf(work) }
      : {
          kind: 'evaluatePaths',
          paths: (work as Evaluation).paths.map((path) => ({ crossEntropy: 1, correct: Math.round(scoreOf(path) * 1000), images: 1000 })),
        }
    state = oneShot.absorb(proposal.state, proposal, resultOutcome(result), context).state
  }
}

describe('One-Shot', () => {
  it('trains all operations, then ranks random architectures within the bound on the same images, none twice', () => {
    const context = contextWith()
    const { state, trained, evaluations } = runSearch(context)
    expect(trained.reduce((sum, work) => sum + work.steps, 0)).toBe(40)
    for (const { mixture } of trained) expect(mixture).toBeUndefined()
    const paths = evaluations.flatMap((work) => work.paths)
    expect(paths).toHaveLength(12)
    expect(new Set(paths.map((path) => path.join())).size).toBe(12)
    for (const path of paths) expect(pathLatencyMs(context.latency, path)).toBeLessThanOrEqual(8)
    expect(new Set(evaluations.map(({ batches }) => JSON.stringify(batches)))).toEqual(new Set(['{"first":0,"count":1}']))
    const best = Math.max(...paths.map(scoreOf))
    expect(scoreOf(oneShot.derive(state, context))).toBe(best)
    const { view, steps } = oneShot.describe(state, context)
    expect(view).toMatchObject({ kind: 'ranking', score: 'accuracy', scored: 12 })
    expect(steps).toEqual({ done: 12, total: 12, unit: 'architectures' })
  })

  it('drops nothing at first and more and more to the end, and never all operations of a block', () => {
    const context = contextWith({ pathDropout: 0.5 }, { steps: 2000, tasks: { weightSteps: 20 } })
    const { trained } = runSearch(context)
    expect(trained[0]?.dropped).toBeUndefined()
    const operations = context.space.decisions.reduce((sum, { options }) => sum + options.length, 0)
    for (const { dropped = [] } of trained) {
      for (const step of dropped) {
        for (const [block, out] of step.entries()) expect(out.length).toBeLessThan(context.space.decisions[block]?.options.length ?? 0)
      }
    }
    const shareOf = (works: readonly WeightMixtures[]) => {
      const steps = works.flatMap(({ dropped = [] }) => dropped)
      return steps.flat(2).length / (steps.length * operations)
    }
    const share = { early: shareOf(trained.slice(2, 12)), late: shareOf(trained.slice(-10)) }
    // A block of k = 3: of r^(1/3) each, all of them with probability r, where one stays after all.
    const expected = (position: number) => (0.5 * position) ** (1 / 3) - (0.5 * position) / 3
    expect(share.early).toBeCloseTo(expected(0.07), 1)
    expect(share.late).toBeCloseTo(expected(0.95), 1)
    expect(share.early).toBeLessThan(share.late)
  })

  it('drops each operation with the k-th root of the rate, and leaves one where all were dropped', () => {
    const random = createRandom(seedState('drops'))
    const draws = Array.from({ length: 20_000 }, () => dropOperations(2, 0.16, random))
    const share = (count: number) => draws.filter(({ length }) => length === count).length / draws.length
    expect(share(0)).toBeCloseTo(0.6 * 0.6, 1)
    // One by one, or both and one of them kept.
    expect(share(1)).toBeCloseTo(2 * 0.4 * 0.6 + 0.16, 1)
    expect(share(2)).toBe(0)
    expect(draws.filter(([first]) => first === 0).length / draws.length).toBeCloseTo(share(1) / 2, 1)
    expect(dropOperations(1, 0.9, random)).toEqual([])
    expect(dropOperations(7, 0, random)).toEqual([])
  })

  it.each([
    [{}, 0.5, {}, 'latency.targetMs'],
    [{ images: 64_000, candidatesPerTask: 5 }, 30, {}, 'strategy.candidatesPerTask'],
    [{}, 200, { blocks: 40, tasks: { weightSteps: 1000 } }, 'tasks.weightSteps'],
  ])('refuses %j at %d ms with %j, the field named', (strategy, targetMs, options, field) => {
    const context = contextWith(strategy, { targetMs, ...options })
    expect(() => oneShot.init(context)).toThrow(expect.objectContaining({ errors: [expect.objectContaining({ path: field })] }))
  })
})
