import { describe, expect, it } from 'vitest'
import {
  distributionOf,
  ProblemError,
  resultMismatch,
  type SearchConfigInput,
  type StepWork,
  type TaskResult,
  type TaskWork,
} from '../../protocol/index.ts'
import type { StrategyContext } from '../../strategies/index.ts'
import { proxylessGradient } from '../../strategies/proxyless-gradient.ts'
import { answerWork, makeContext, resultOutcome, type SearchOptions, settingOf } from '../fixtures/searches.ts'

const { init, propose, absorb } = proxylessGradient

/** The first work of a kind, and the state after proposing it. */
function firstWork<K extends TaskWork['kind']>(context: StrategyContext, kind: K) {
  let state = init(context)
  for (let proposal = propose(state, context); proposal.kind === 'work'; proposal = propose(state, context)) {
    state = proposal.state
    if (proposal.work.kind === kind) return { state, work: proposal.work as Extract<TaskWork, { kind: K }> }
  }
  throw new Error(`expected ${kind} to be proposed`)
}

type ProxylessGradientOptions = Partial<Extract<NonNullable<SearchConfigInput['strategy']>, { name: 'proxyless-g' }>>
type GateResult = Extract<TaskResult, { kind: 'gateGradients' }>

function gateCase(options: Omit<SearchOptions, 'strategy'> & { strategy?: ProxylessGradientOptions } = {}) {
  const context = makeContext({
    blocks: 2,
    steps: 8,
    tasks: { architectureSteps: 2, weightSteps: 2 },
    strategy: { warmupSteps: 0, archEvery: 1, ...options.strategy },
    ...options,
  })
  const { state, work } = firstWork(context, 'gateGradients')
  return { context, state, work, result: answerWork(work, context.space) as GateResult }
}

const ofKind = (kind: StepWork['kind']): TaskResult => {
  const counts = { correct: 1, images: 2 }
  if (kind === 'trainWeights') return { kind, loss: 1, ...counts }
  if (kind === 'trainMixtures') return { kind, loss: 1, ...counts }
  if (kind === 'score') return { kind, paths: [{ values: [1], seconds: [1] }] }
  if (kind === 'batchNormScales') return { kind, scales: [1] }
  if (kind === 'evaluatePaths') return { kind, paths: [{ crossEntropy: 1, ...counts }] }
  if (kind === 'mixtureGradients') return { kind, steps: [{ crossEntropy: 1, ...counts, gradients: [] }] }
  return { kind, steps: [{ crossEntropy: 1, ...counts, gateGradients: [] }] }
}

describe('a result that does not answer its task', () => {
  const kinds = ['trainWeights', 'gateGradients', 'evaluatePaths'] as const
  it.each(kinds.flatMap((asked) => kinds.filter((kind) => kind !== asked).map((answered) => [asked, answered] as const)))(
    'is refused: %s answered by %s',
    (asked, answered) => {
      const { context } = gateCase()
      const { work } = firstWork(context, asked)
      expect(resultMismatch(work, ofKind(answered), settingOf(context.space))).toEqual({
        path: 'result.kind',
        message: `expected ${asked}, got ${answered}`,
      })
    },
  )

  it('is refused: another number of steps', () => {
    const { context, work, result } = gateCase()
    expect(resultMismatch(work, { ...result, steps: result.steps.slice(1) }, settingOf(context.space))).toEqual({
      path: 'result.steps',
      message: 'expected 2 steps, got 1',
    })
  })

  it('is refused: another number of blocks', () => {
    const { context, work, result } = gateCase()
    result.steps[1]?.gateGradients.pop()
    expect(resultMismatch(work, result, settingOf(context.space))).toEqual({
      path: 'result.steps[1].gateGradients',
      message: 'expected 2 blocks, got 1',
    })
  })

  it('is refused: another number of gates', () => {
    const { context, work, result } = gateCase({ zero: false })
    result.steps[0]?.gateGradients[1]?.push(0)
    expect(resultMismatch(work, result, settingOf(context.space))).toEqual({
      path: 'result.steps[0].gateGradients[1]',
      message: 'expected 2 numbers, got 3 numbers',
    })
  })

  it('is refused: null where gradients are wanted, and gradients where the active operation is Zero', () => {
    // Zero is operation 2; block 0 is sure to choose it, block 1 sure not to.
    const { context, work, result } = gateCase({
      strategy: {
        warmupSteps: 0,
        archEvery: 1,
        initialAlpha: [
          [-80, -80, 80],
          [80, -80, -80],
        ],
      },
    })
    expect(result.steps[0]?.gateGradients[0]).toBeNull()
    const missing = structuredClone(result)
    missing.steps[0]!.gateGradients[1] = null
    expect(resultMismatch(work, missing, settingOf(context.space))).toEqual({
      path: 'result.steps[0].gateGradients[1]',
      message: 'expected 2 numbers, got null',
    })
    const extra = structuredClone(result)
    extra.steps[0]!.gateGradients[0] = [0, 0]
    expect(resultMismatch(work, extra, settingOf(context.space))).toEqual({
      path: 'result.steps[0].gateGradients[0]',
      message: 'expected null, got 2 numbers',
    })
  })

  it('is refused: another number of evaluated paths', () => {
    const { context } = gateCase()
    const { work } = firstWork(context, 'evaluatePaths')
    const one = { crossEntropy: 1, correct: 1, images: 2 }
    expect(resultMismatch(work, { kind: 'evaluatePaths', paths: [one, one] }, settingOf(context.space))).toMatchObject({
      path: 'result.paths',
    })
  })
})

describe('a gate gradient', () => {
  it('is dropped and counted once alpha has moved on by more than maxStaleness versions', () => {
    const { context, state, work, result } = gateCase({ zero: false, strategy: { warmupSteps: 0, archEvery: 1, maxStaleness: 3 } })
    const fresh = absorb({ ...state, alphaVersion: work.alphaVersion + 3 }, { work }, resultOutcome(result), context)
    expect(fresh.kind).toBe('applied')
    const old = { ...state, alphaVersion: work.alphaVersion + 4 }
    const stale = absorb(old, { work }, resultOutcome(result), context)
    expect(stale).toEqual({ kind: 'stale', series: 'architecture', state: { ...old, architectureStepsDropped: 2 } })
  })

  it('moves alpha by one step of Adam: the learning rate, against its sign, for the sampled pair only', () => {
    const { context, state, work, result } = gateCase({
      blocks: 1,
      zero: false,
      expansions: [1, 2, 3],
      tasks: { architectureSteps: 1, weightSteps: 2 },
      loss: { kind: 'none' },
      strategy: { warmupSteps: 0, archEvery: 1, learningRate: 0.25, initialAlpha: [[0, 0, 0]] },
    })
    const choice = work.steps[0]![0]!
    result.steps[0]!.gateGradients[0] = [2, -1]
    const absorbed = absorb(state, { work }, resultOutcome(result), context)
    if (absorbed.kind !== 'applied') throw new Error('expected it to be applied')
    // Adam's first step with β1 = 0 is the learning rate; the shift is −ln((e^−0.25 + e^0.25)/2).
    const shift = Math.log(Math.cosh(0.25))
    const alpha = absorbed.state.alpha[0] as number[]
    expect(alpha[choice.active]).toBeCloseTo(-0.25 - shift, 6)
    expect(alpha[choice.inactive[0] as number]).toBeCloseTo(0.25 - shift, 6)
    expect(alpha[[0, 1, 2].find((operation) => operation !== choice.active && operation !== choice.inactive[0]) as number]).toBe(0)
    expect(absorbed.state.alphaVersion).toBe(1)
    expect(absorbed.state.steps).toEqual([1])
  })

  it('takes no update where Zero is active, and counts the block', () => {
    const { context, state, work, result } = gateCase({
      strategy: {
        warmupSteps: 0,
        archEvery: 1,
        initialAlpha: [
          [-80, -80, 80],
          [1, 0, -80],
        ],
      },
    })
    const absorbed = absorb(state, { work }, resultOutcome(result), context)
    if (absorbed.kind !== 'applied') throw new Error('expected it to be applied')
    expect(absorbed.state.alpha[0]).toEqual([-80, -80, 80])
    expect(absorbed.state.alpha[1]).not.toEqual([1, 0, -80])
    expect(absorbed.state.steps).toEqual([0, 2])
    expect(absorbed.state.skippedBlocks).toBe(2)
  })

  it('of a block that has one option, or would leave its bounds, is not counted as of one where Zero was active', () => {
    const { context, state, work, result } = gateCase({
      zero: false,
      loss: { kind: 'mul#log', a: 100, b: 100 },
      strategy: { warmupSteps: 0, archEvery: 1, learningRate: 10 },
    })
    for (const step of result.steps) step.gateGradients = step.gateGradients.map((row) => row && row.map(() => 1e19))
    const absorbed = absorb(state, { work }, resultOutcome(result), context)
    if (absorbed.kind !== 'applied') throw new Error('expected it to be applied')
    expect(absorbed.state.skippedBlocks).toBe(0)
  })

  // b = 1: alpha would leave its bounds; b = 50: the square of the gradient overflows; b = 100: the gradient itself.
  it.each([1, 50, 100])('never brings alpha or its optimiser out of the numbers, however large it is: b = %i', (b) => {
    const loss = { kind: 'mul#log', a: 100, b } as const
    const { context, state, work, result } = gateCase({
      zero: false,
      targetMs: 1.0001,
      loss,
      strategy: { warmupSteps: 0, archEvery: 1, learningRate: 10 },
    })
    for (const step of result.steps) {
      step.crossEntropy = 1e20
      step.gateGradients = step.gateGradients.map((gates) => gates?.map((_, i) => (i === 0 ? 1e20 : -1e20)) ?? null)
    }
    let current = state
    for (let i = 0; i < 40; i++) {
      const absorbed = absorb(current, { work: { ...work, alphaVersion: current.alphaVersion } }, resultOutcome(result), context)
      if (absorbed.kind !== 'applied') throw new Error('expected it to be applied')
      current = absorbed.state
      const numbers = [...current.alpha, ...current.firstMoment, ...current.secondMoment].flat()
      expect(numbers.every(Number.isFinite)).toBe(true)
      expect(Math.max(...current.alpha.flat().map(Math.abs))).toBeLessThanOrEqual(80)
    }
    expect(distributionOf(proxylessGradient.describe(current, context)).probabilities.flat().every(Number.isFinite)).toBe(true)
  })

  it('gives the mean loss and the sums of its steps as its metric', () => {
    const { context, state, work, result } = gateCase()
    const absorbed = absorb(state, { work }, resultOutcome(result), context)
    const mean = ((result.steps[0]?.crossEntropy as number) + (result.steps[1]?.crossEntropy as number)) / 2
    expect(absorbed.kind === 'applied' && absorbed.metric).toEqual({ loss: expect.closeTo(mean, 12) as number, correct: 6, images: 128 })
  })
})

describe('a starting alpha', () => {
  const starting = (initialAlpha: number[][]) => makeContext({ blocks: 2, strategy: { initialAlpha } })

  it('is taken as it is', () => {
    expect(
      init(
        starting([
          [1, 2, 3],
          [4, 5, 6],
        ]),
      ).alpha,
    ).toEqual([
      [1, 2, 3],
      [4, 5, 6],
    ])
  })

  it.each([
    [[[1, 2, 3]], 'strategy.initialAlpha', 'expected 2 rows, one per decision, got 1'],
    [
      [
        [1, 2, 3],
        [4, 5],
      ],
      'strategy.initialAlpha[1]',
      'expected 3 numbers, one per option of stage1.2, got 2',
    ],
  ])('is refused where it does not fit the space: %j', (initialAlpha, path, message) => {
    const attempt = () => init(starting(initialAlpha))
    expect(attempt).toThrow(ProblemError)
    try {
      attempt()
    } catch (error) {
      expect((error as ProblemError).code).toBe('invalid-request')
      expect((error as ProblemError).errors).toEqual([{ path, message }])
    }
  })
})
