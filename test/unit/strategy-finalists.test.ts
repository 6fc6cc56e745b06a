import { describe, expect, it } from 'vitest'
import { pathLatencyMs } from '../../latency-lut/table/coverage.ts'
import type { ResultOf, TaskWork } from '../../protocol/index.ts'
import { darts } from '../../strategies/darts.ts'
import { ALONE, type Attendance } from '../../strategies/rounds.ts'
import { parsec } from '../../strategies/parsec.ts'
import { proxylessGradient } from '../../strategies/proxyless-gradient.ts'
import type { Strategy, StrategyContext } from '../../strategies/index.ts'
import { answerWork, makeContext, resultOutcome } from '../fixtures/searches.ts'

type Evaluation = Extract<TaskWork, { kind: 'evaluatePaths' }>
const FINALISTS = { count: 6, images: 200 }
/** Loss and accuracy that want option 1 everywhere. */
const lossOf = (path: readonly number[]) => 2 - path.filter((option) => option === 1).length / 4
const correctOf = (path: readonly number[]) => 300 + 100 * path.filter((option) => option === 1).length

const contextOf = (name: 'proxyless-g' | 'parsec', strategy: object = {}, targetMs = 8): StrategyContext =>
  makeContext({ blocks: 4, steps: 12, targetMs, strategy: { name, warmupSteps: 2, archEvery: 2, finalists: FINALISTS, ...strategy } })

function answer(work: TaskWork, context: StrategyContext): ResultOf<TaskWork['kind']> {
  if (work.kind !== 'evaluatePaths') return answerWork(work, context.space, 1)
  return {
    kind: 'evaluatePaths',
    paths: work.paths.map((path) => ({ crossEntropy: lossOf(path), correct: correctOf(path), images: 1000 })),
  }
}

/** To its end, each result back at once; everything that was handed out. */
function run<State>(strategy: Strategy<State>, context: StrategyContext, loses: (work: TaskWork) => boolean = () => false) {
  let state = strategy.init(context)
  const works: TaskWork[] = []
  for (;;) {
    const proposal = strategy.propose(state, context)
    if (proposal.kind === 'done') return { state, works, derived: strategy.derive(state, context) }
    if (proposal.kind === 'wait') throw new Error('waits for nothing')
    works.push(proposal.work)
    const outcome = loses(proposal.work)
      ? ({ kind: 'failure', reason: 'gave up' } as unknown as Parameters<typeof strategy.absorb>[2])
      : resultOutcome(answer(proposal.work, context))
    const stored = strategy.stateSchema.parse(JSON.parse(JSON.stringify(proposal.state)))
    state = strategy.absorb(stored, proposal, outcome, context).state
  }
}

const isFinal = (work: TaskWork): work is Evaluation => work.kind === 'evaluatePaths' && work.paths.length > 1

describe('finalists', () => {
  it('are the most probable architectures within the target, and the one that does best is derived', () => {
    const initialAlpha = Array.from({ length: 4 }, () => [2, 1.9, 1.8, 0])
    const context = contextOf('proxyless-g', { initialAlpha: undefined }, 6)
    const { space, latency } = context
    const alpha = space.decisions.map(({ options }) => options.map((_, j) => initialAlpha[0]?.[j] ?? -5))
    const started = contextOf('proxyless-g', { initialAlpha: alpha, learningRate: 1e-9 }, 6)
    const { works, derived, state } = run(proxylessGradient, started)
    const finals = works.filter(isFinal)
    expect(works.at(-1)).toBe(finals.at(-1))
    const paths = finals.flatMap((work) => work.paths)
    expect(paths.length).toBe(FINALISTS.count)
    expect(new Set(paths.map(String)).size).toBe(FINALISTS.count)
    for (const path of paths) expect(pathLatencyMs(latency, path)).toBeLessThanOrEqual(6)
    // Every architecture within the target that was left out is less probable than those.
    const weightOf = (path: readonly number[]) => path.reduce((sum, option, row) => sum + (alpha[row]?.[option] as number), 0)
    const all = space.decisions.reduce<number[][]>((made, { options }) => made.flatMap((path) => options.map((_, j) => [...path, j])), [[]])
    const within = all
      .filter((path) => pathLatencyMs(latency, path) <= 6)
      .map(weightOf)
      .toSorted((a, b) => b - a)
    expect(paths.map(weightOf)).toEqual(within.slice(0, FINALISTS.count).map((weight) => expect.closeTo(weight, 6)))
    expect(correctOf(derived)).toBe(Math.max(...paths.map(correctOf)))
    // A status shows them, best first.
    const { best } = proxylessGradient.describe(state, started)
    expect(best[0]).toMatchObject({ path: derived, score: correctOf(derived) / 1000, meetsConstraint: true })
    expect(best.map(({ score }) => score)).toEqual(best.map(({ score }) => score).toSorted((a, b) => (b as number) - (a as number)))
    // Of two with as many images right, the surer one.
    const second = paths[1]
    const found = { accuracy: 0.5, loss: 1.1 }
    const scores = [
      { index: 0, found },
      { index: 1, found: { ...found, loss: 1 } },
    ]
    const evaluated = { ...state, finalists: { paths, proposed: 2, scores } }
    expect(proxylessGradient.derive(evaluated, started)).toEqual(second)
  })

  describe('with random ones beside them', () => {
    /** What alpha wants, none of which does well. */
    const initialAlpha = Array.from({ length: 4 }, () => [0, -5, 5])
    const mixed = (finalists: object) =>
      contextOf('proxyless-g', { initialAlpha, learningRate: 1e-9, finalists: { ...FINALISTS, ...finalists } }, 9)
    const all = (context: StrategyContext) =>
      context.space.decisions
        .reduce<number[][]>((made, { options }) => made.flatMap((path) => options.map((_, j) => [...path, j])), [[]])
        .filter((path) => pathLatencyMs(context.latency, path) <= 9)
    const best = (context: StrategyContext) => Math.min(...all(context).map(lossOf))

    it('go on with those that a regression on the options of all says are best, in a second round', () => {
      const context = mixed({ sampled: 20, smoothing: 0.9 })
      const { works, derived, state } = run(proxylessGradient, context)
      const paths = works.filter(isFinal).flatMap((work) => work.paths)
      expect(paths.length).toBe(FINALISTS.count + 20 + FINALISTS.count)
      expect(new Set(paths.map(String)).size).toBe(paths.length)
      for (const path of paths) expect(pathLatencyMs(context.latency, path)).toBeLessThanOrEqual(9)
      expect(lossOf(derived)).toBe(best(context))
      expect(paths.slice(-FINALISTS.count).map(String)).toContain(String(derived))
      expect(proxylessGradient.propose(state, context).kind).toBe('done')
      // Without them, all are what alpha wants, as far as the target allows.
      expect(lossOf(run(proxylessGradient, mixed({})).derived)).toBeGreaterThan(best(context))
    })

    it('are not misled by one that does too well for its options', () => {
      const context = mixed({ sampled: 40 })
      const { state } = run(proxylessGradient, context)
      const { paths, scores } = state.finalists as NonNullable<typeof state.finalists>
      const lucky = paths.findIndex((path) => lossOf(path) === 2)
      const changed = scores.map((score) => (score.index === lucky ? { ...score, found: { loss: 0.5, accuracy: 1 } } : score))
      const told = { ...state, finalists: { ...state.finalists, paths, scores: changed, proposed: paths.length } }
      expect(proxylessGradient.derive(told, context)).toEqual(paths[lucky])
      expect(lossOf(proxylessGradient.derive(told, mixed({ sampled: 40, smoothing: 1 })))).toBe(best(context))
    })

    it('are none in a space whose derivation leaves options out', () => {
      const finalists = { count: 3, images: 200, sampled: 20, smoothing: 0.9 }
      const strategy = { name: 'darts', warmupSteps: 2, archEvery: 2, finalists } as const
      const { works, state } = run(darts, makeContext({ space: 'darts-mini', targetMs: 500, steps: 4, strategy }))
      expect(works.filter(isFinal).flatMap(({ paths }) => paths).length).toBe(3)
      expect(state.finalists).not.toHaveProperty('predicted')
    })

    it('are refused where a regression would have hundreds of coefficients', () => {
      const wide = { blocks: 60, kernels: [3 as const, 5 as const, 7 as const], expansions: [2, 3], targetMs: 1e6 }
      const init = (finalists: object) => () =>
        proxylessGradient.init(makeContext({ ...wide, strategy: { name: 'proxyless-g', finalists: { ...FINALISTS, ...finalists } } }))
      expect(init({})).not.toThrow()
      for (const field of ['sampled', 'smoothing']) {
        const errors = [expect.objectContaining({ path: `strategy.finalists.${field}` })]
        expect(init({ [field]: 1 })).toThrow(expect.objectContaining({ errors }))
      }
    })

    it('choose the second round when the first has come back from everybody', () => {
      const context = mixed({ sampled: 20 })
      const second = { ...ALONE, outstanding: [{ taskId: 7, agentId: 'other', overdue: false }] }
      let state = proxylessGradient.init(context)
      let waited = false
      for (;;) {
        const { finalists } = state
        const isFirstRoundOut = finalists?.proposed === FINALISTS.count + 20 && !finalists.predicted
        if (isFirstRoundOut && !waited) {
          expect(proxylessGradient.propose(state, context, second).kind).toBe('wait')
          waited = true
        }
        const proposal = proxylessGradient.propose(state, context)
        if (proposal.kind !== 'work') break
        state = proxylessGradient.absorb(proposal.state, proposal, resultOutcome(answer(proposal.work, context)), context).state
      }
      expect(waited).toBe(true)
      expect(state.finalists).toMatchObject({ predicted: true, proposed: 2 * FINALISTS.count + 20 })
    })
  })

  it('wait for all that is outstanding, and so does the last evaluation', () => {
    const context = contextOf('proxyless-g', { evaluateEvery: 1000 })
    let state = proxylessGradient.init(context)
    const busy: Attendance = { ...ALONE, outstanding: [{ taskId: 7, agentId: 'other', overdue: false }] }
    const seen: string[] = []
    for (;;) {
      let proposal = proxylessGradient.propose(state, context, busy)
      if (proposal.kind === 'wait') {
        seen.push('wait')
        proposal = proxylessGradient.propose(state, context)
      }
      if (proposal.kind !== 'work') break
      const { work } = proposal
      seen.push(work.kind === 'evaluatePaths' ? (isFinal(work) ? 'finalists' : 'evaluation') : 'steps')
      state = proxylessGradient.absorb(proposal.state, proposal, resultOutcome(answer(work, context)), context).state
    }
    expect(seen.filter((kind) => kind !== 'steps')).toEqual(['wait', 'evaluation', 'wait', 'finalists'])
  })

  it('are shared by the agents that are there, and counted as no architecture steps', () => {
    const context = contextOf('parsec', { samples: 3, images: 64 })
    let state = parsec.init(context)
    const members = ['a', 'b', 'c'].map((agentId) => ({ ...ALONE.asker, agentId }))
    const sizes: number[] = []
    for (;;) {
      const alone = parsec.propose(state, context)
      if (alone.kind !== 'work') break
      const proposal =
        isFinal(alone.work) && alone.work.batches?.first === 0 ? parsec.propose(state, context, { ...ALONE, members }) : alone
      if (proposal.kind !== 'work') break
      if (state.architectureStepsDone === 5) sizes.push(...(proposal.work.kind === 'evaluatePaths' ? [proposal.work.paths.length] : []))
      const { alphaVersion } = state
      state = parsec.absorb(proposal.state, proposal, resultOutcome(answer(proposal.work, context)), context).state
      if (state.finalists) expect(state.alphaVersion).toBe(alphaVersion)
    }
    expect(state.architectureStepsDone).toBe(5)
    // The last evaluation of the most probable one, and then two of six each.
    expect(sizes).toEqual([1, 2, 2, 2])
  })

  it('that nobody could evaluate leave the most probable architecture', () => {
    const context = contextOf('proxyless-g')
    const { derived } = run(proxylessGradient, context, isFinal)
    const { derived: without } = run(proxylessGradient, contextOf('proxyless-g', { finalists: undefined }))
    expect(derived).toEqual(without)
  })
})
