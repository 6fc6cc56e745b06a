// HURRICANE and BN-NAS in spos: options left out, decisions in stages, batch-norms alone.

import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import * as z from 'zod'
import { latencyBounds } from '../../latency-lut/table/coverage.ts'
import { neededVersion, type TaskWork } from '../../protocol/index.ts'
import { keptOptions, optionScores, searchedDecisions } from '../../strategies/preselection.ts'
import { spos } from '../../strategies/spos.ts'
import { makeContext, resultOutcome, type SearchOptions } from '../fixtures/searches.ts'
import { runSharedWeights } from '../fixtures/shared-weight-runs.ts'

const fixture = new URL('../fixtures/shared-weight-options.json', import.meta.url)
const { optionScores: example } = z
  .object({ optionScores: z.object({ latencies: z.array(z.number()), scores: z.record(z.string(), z.array(z.number())) }) })
  .parse(JSON.parse(readFileSync(fixture, 'utf8')))

const contextWith = (strategy: object = {}, options: SearchOptions = {}) =>
  makeContext({
    blocks: 6,
    steps: 8,
    targetMs: 60,
    tasks: { weightSteps: 2 },
    strategy: { name: 'spos', images: 64, population: 6, generations: 4, parents: 4, ...strategy },
    ...options,
  })
const scoreOf = (path: readonly number[]) => path.filter((option) => option === 1).length / 8 + 0.1
const pathsOf = (work: TaskWork) => ('paths' in work ? work.paths : [])

describe('preselection', () => {
  // mb2k3, mb3k3, mb2k5, mb3k5 and zero.
  const context = contextWith({}, { kernels: [3, 5], blocks: 2 })
  const names = context.space.decisions[0]?.options.map(({ name }) => name)
  const order = ['mb2k3', 'mb3k3', 'mb2k5', 'mb3k5']
  const operationMs = context.space.decisions.map(() => names?.map((name) => example.latencies[order.indexOf(name)] ?? 0) ?? [])
  const measured = { ...context, latency: { fixedMs: 1, operationMs } }

  it.each(Object.entries(example.scores))('scores options as an independent computation in float64 does, exponent %s', (beta, expected) => {
    for (const row of optionScores(measured, Number(beta))) {
      for (const [option, name] of (names ?? []).entries()) {
        if (name === 'zero') expect(row[option]).toBeNull()
        else expect(row[option]).toBeCloseTo(expected[order.indexOf(name)] as number, 12)
      }
    }
  })

  it('keeps the best of them, fewer slow ones the more latency weighs, and what costs nothing', () => {
    const kept = (latencyWeight: number) => keptOptions(measured, { keep: 2, latencyWeight })[0]?.map((option) => names?.[option])
    expect(kept(0)?.toSorted()).toEqual(['mb2k5', 'mb3k5', 'zero'])
    expect(kept(2)?.toSorted()).toEqual(['mb2k3', 'mb3k3', 'zero'])
  })

  it('leaves options out of training and of the search', () => {
    const narrow = contextWith({ preselect: { keep: 1 } }, { kernels: [3, 5] })
    const kept = keptOptions(narrow, { keep: 1, latencyWeight: 1 })
    const { works } = runSharedWeights(spos, narrow, scoreOf)
    for (const path of works.flatMap(pathsOf)) {
      for (const [decision, option] of path.entries()) expect(kept[decision]).toContain(option)
    }
    // One option and Zero for each of six blocks.
    expect(new Set(works.flatMap(pathsOf).map(String)).size).toBeGreaterThan(10)
  })

  it('is refused where what it keeps is beyond the target', () => {
    const strategy = { preselect: { keep: 1, latencyWeight: 0 } }
    const { latency } = contextWith({}, { zero: false, kernels: [3, 5] })
    const targetMs = latencyBounds(latency).leastMs + 0.1
    expect(() => spos.init(contextWith(strategy, { zero: false, kernels: [3, 5], targetMs }))).toThrow(
      expect.objectContaining({ errors: [expect.objectContaining({ path: 'strategy.preselect' })] }),
    )
  })
})

describe('two stages', () => {
  it('are halves of the decisions, the later one first', () => {
    expect(searchedDecisions({ stages: 2, stage: 0 }, 6)).toEqual({ from: 3, to: 6 })
    expect(searchedDecisions({ stages: 2, stage: 1 }, 6)).toEqual({ from: 0, to: 3 })
    expect([0, 1, 2].map((stage) => searchedDecisions({ stages: 3, stage }, 7))).toEqual([
      { from: 5, to: 7 },
      { from: 2, to: 5 },
      { from: 0, to: 2 },
    ])
  })

  it('train and search their own half, each with half of the steps and generations, and the second keeps what the first has found', () => {
    const context = contextWith({ stages: 2, generations: 4, mutation: 0.4 })
    const { works, state } = runSharedWeights(spos, context, scoreOf)
    expect(works.map(({ kind }) => kind).filter((kind, i, all) => kind !== all[i - 1])).toEqual([
      'trainWeights',
      'evaluatePaths',
      'trainWeights',
      'evaluatePaths',
    ])
    const second = works.findIndex(({ kind }, i) => kind === 'trainWeights' && works[i - 1]?.kind === 'evaluatePaths')
    const [first, last] = [works.slice(0, second), works.slice(second)].map((own) => ({
      trained: own.filter(({ kind }) => kind === 'trainWeights').flatMap(pathsOf),
      evaluated: own.filter(({ kind }) => kind === 'evaluatePaths').flatMap(pathsOf),
    })) as { trained: number[][]; evaluated: number[][] }[]
    expect([first?.trained.length, last?.trained.length]).toEqual([4, 4])
    expect([first?.evaluated.length, last?.evaluated.length]).toEqual([12, 12])
    const halves = (paths: readonly number[][], from: number) => new Set(paths.map((path) => path.slice(from, from + 3).join()))
    expect(halves([...first!.trained, ...first!.evaluated], 0).size).toBe(1)
    expect(halves(first!.evaluated, 3).size).toBe(12)
    const best = first!.evaluated.reduce((a, b) => (scoreOf(b) > scoreOf(a) ? b : a))
    expect(halves([...last!.trained, ...last!.evaluated], 3)).toEqual(new Set([best.slice(3).join()]))
    expect(halves(last!.evaluated, 0).size).toBe(12)
    // With other weights now, what the first stage has found is evaluated again.
    expect(last!.evaluated[0]).toEqual(best)
    expect(spos.derive(state, context)).toEqual(last!.evaluated.reduce((a, b) => (scoreOf(b) > scoreOf(a) ? b : a)))
    expect(spos.describe(state, context)).toMatchObject({ steps: { done: 24, total: 24, unit: 'architectures' } })
  })

  it('do not hold scores of one against those of the other', () => {
    const context = contextWith({ stages: 2, generations: 2 })
    // Whatever the first stage evaluates seems better than anything of the second.
    let evaluations = 0
    const { state } = runSharedWeights(spos, context, () => ((evaluations += 1) <= 6 ? 0.9 : 0.5))
    const ofSecond = state.evaluated.filter(({ index }) => index >= 6).map(({ path }) => path)
    expect(ofSecond).toContainEqual(spos.derive(state, context))
    expect(spos.describe(state, context).best[0]?.score).toBe(0.5)
  })

  it('end with what the first has found where nobody can evaluate in the second', () => {
    const context = contextWith({ stages: 2, generations: 2 })
    let state = spos.init(context)
    let found: number[] | null = null
    for (;;) {
      const proposal = spos.propose(state, context)
      if (proposal.kind !== 'work') break
      const { work } = proposal
      const isSecond = proposal.state.stage !== undefined
      if (isSecond) found ??= spos.derive(state, context)
      const result =
        work.kind === 'evaluatePaths'
          ? {
              kind: work.kind,
              paths: work.paths.map((path) => ({ crossEntropy: 1, correct: Math.round(scoreOf(path) * 100), images: 100 })),
            }
          : ({ kind: 'trainWeights', loss: 1, correct: 1, images: 64 } as const)
      const outcome =
        isSecond && work.kind === 'evaluatePaths'
          ? ({ kind: 'failure', reason: 'failed', attempts: 5 } as const)
          : resultOutcome(result as Parameters<typeof resultOutcome>[0])
      state = spos.absorb(proposal.state, proposal, outcome, context).state
    }
    expect(spos.derive(state, context)).toEqual(found)
  })

  it.each([
    [{ stages: 3, generations: 2 }, {}],
    [{ stages: 2, generations: 5 }, { blocks: 1 }],
  ])('are refused where there are fewer generations or decisions: %j', (strategy, options) => {
    expect(() => spos.init(contextWith(strategy, options))).toThrow(
      expect.objectContaining({ errors: [expect.objectContaining({ path: 'strategy.stages' })] }),
    )
  })
})

describe('batch-norms alone', () => {
  it('are what the work trains, which older agents are not handed', () => {
    const { works } = runSharedWeights(spos, contextWith({ trained: 'batch-norms' }), scoreOf)
    const weights = works.filter((work) => work.kind === 'trainWeights')
    expect(weights.map(({ trained }) => trained)).toEqual(weights.map(() => 'batch-norms'))
    expect(weights.map(neededVersion)).toEqual(weights.map(() => 4))
    expect(runSharedWeights(spos, contextWith({ trained: 'all' }), scoreOf).works).toEqual(
      runSharedWeights(spos, contextWith(), scoreOf).works,
    )
  })

  it('compare architectures by their scales, of which accuracies and fronts are none', () => {
    const context = contextWith({ score: 'batch-norms' })
    const { works, state, evaluated } = runSharedWeights(spos, context, (path) => 10 * scoreOf(path))
    expect(new Set(works.map(({ kind }) => kind))).toEqual(new Set(['trainWeights', 'batchNormScales']))
    const { best, view, fronts } = spos.describe(state, context)
    expect(best[0]?.score).toBe(Math.max(...evaluated.map((path) => 10 * scoreOf(path))))
    expect(view).toMatchObject({ kind: 'population', score: 'batch-norm scales' })
    expect(fronts).toBeUndefined()
  })
})

describe('the log-likelihood of held-out images', () => {
  it('compares architectures that as many images are right of', () => {
    const context = contextWith({ score: 'log-likelihood', generations: 1 })
    let state = spos.init(context)
    const losses = new Map<string, number>()
    for (;;) {
      const proposal = spos.propose(state, context)
      if (proposal.kind !== 'work') break
      const { work } = proposal
      const result =
        work.kind === 'evaluatePaths'
          ? {
              kind: work.kind,
              paths: work.paths.map((path) => {
                const crossEntropy = 2 - scoreOf(path)
                losses.set(path.join(), crossEntropy)
                return { crossEntropy, correct: 50, images: 100 }
              }),
            }
          : ({ kind: 'trainWeights', loss: 1, correct: 1, images: 64 } as const)
      state = spos.absorb(proposal.state, proposal, resultOutcome(result as Parameters<typeof resultOutcome>[0]), context).state
    }
    const least = Math.min(...losses.values())
    expect(least).toBeLessThan(Math.max(...losses.values()))
    expect(losses.get(spos.derive(state, context).join())).toBe(least)
    const { best, view, fronts } = spos.describe(state, context)
    expect(best[0]?.score).toBe(-least)
    expect(view).toMatchObject({ kind: 'population', score: 'log-likelihood' })
    expect(fronts).toBeUndefined()
  })
})

describe('a first generation of its own size', () => {
  const run = (strategy: object) => {
    const context = contextWith(
      { population: 4, generations: 3, parents: 2, firstGeneration: 20, ...strategy },
      { targetMs: 1e6, steps: 4 },
    )
    return { ...runSharedWeights(spos, context, (path) => path.reduce((sum, option) => sum + option, 0) / 100), context }
  }

  it('is followed by ones of the usual size', () => {
    const { state, context } = run({})
    expect(state.evaluated.length).toBe(20 + 4 + 4)
    expect(new Set(state.evaluated.map(({ path }) => path.join())).size).toBe(28)
    expect(spos.describe(state, context).steps).toMatchObject({ done: 28, total: 28 })
  })

  it('begins each stage', () => {
    const { state, context } = run({ stages: 2 })
    expect(state.stage).toMatchObject({ number: 1, from: 20 + 4 })
    expect(state.evaluated.length).toBe(20 + 4 + 20)
    expect(spos.describe(state, context).steps).toMatchObject({ done: 44, total: 44 })
  })

  it('counts among all that are evaluated, which have a bound', () => {
    const context = contextWith({ population: 1000, generations: 2, firstGeneration: 9001 }, { targetMs: 1e6 })
    expect(() => spos.init(context)).toThrow(
      expect.objectContaining({ errors: [expect.objectContaining({ path: 'strategy.generations' })] }),
    )
  })
})

describe('smoothed scores', () => {
  /** What options add, and one path that does by far too well for them. */
  const lucky = [0, 0, 0, 0, 0, 1]
  const adds = (path: readonly number[]) => path.reduce((sum, option, decision) => sum + (option === 1 ? 0.02 * (decision + 1) : 0), 0.2)
  const score = (path: readonly number[]) => (path.join() === lucky.join() ? 0.95 : adds(path))
  const run = (smoothing: object) =>
    runSharedWeights(
      spos,
      contextWith({ population: 60, generations: 2, parents: 20, ...smoothing }, { targetMs: 1e6, steps: 2 }),
      (path) => score(path),
    )

  it('answer what its options say is best, not what a single path came to', () => {
    const context = contextWith({ smoothing: 1 }, { targetMs: 1e6 })
    const { state } = run({})
    const evaluated = [...state.evaluated, { index: state.evaluated.length, path: lucky, score: score(lucky) }]
    expect(spos.derive({ ...state, evaluated }, contextWith({}, { targetMs: 1e6 }))).toEqual(lucky)
    const smoothed = spos.derive({ ...state, evaluated }, context)
    const best = Math.max(...state.evaluated.map(({ path }) => adds(path)))
    expect(adds(smoothed)).toBeCloseTo(best, 12)
    // What a person sees is what was measured.
    expect(spos.describe({ ...state, evaluated }, context).best[0]).toMatchObject({ score: score(smoothed) })
  })

  it('are refused where a regression would have thousands of coefficients', () => {
    const of = (blocks: number) => contextWith({ smoothing: 0.5 }, { blocks, kernels: [3, 5, 7], expansions: [2, 3], targetMs: 1e6 })
    expect(() => spos.init(of(20))).not.toThrow()
    expect(() => spos.init(of(60))).toThrow(expect.objectContaining({ errors: [expect.objectContaining({ path: 'strategy.smoothing' })] }))
  })
})
