import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import * as z from 'zod'
import { type ResultOf, resultMismatch, type TaskWork } from '../../protocol/index.ts'
import { darts } from '../../strategies/darts.ts'
import { softmax } from '../../strategies/distribution.ts'
import type { StrategyContext } from '../../strategies/index.ts'
import { answerWork, makeContext, resultOutcome, type SearchOptions, settingOf, START_MS } from '../fixtures/searches.ts'

type Gradients = Extract<TaskWork, { kind: 'mixtureGradients' }>

const numbers = z.array(z.array(z.number()))
const exampleSchema = z.object({
  settings: z.object({ targetMs: z.number(), fixedMs: z.number(), operationMs: numbers }),
  adam: z.object({ learningRate: z.number(), beta1: z.number(), beta2: z.number(), epsilon: z.number(), alphaDecay: z.number() }),
  steps: z.array(z.object({ crossEntropy: z.number(), gradients: numbers })),
  results: z.array(
    z.object({
      loss: z.discriminatedUnion('kind', [
        z.object({ kind: z.literal('none') }),
        z.object({ kind: z.literal('add#linear'), lambda: z.number() }),
        z.object({ kind: z.literal('mul#log'), a: z.number(), b: z.number() }),
      ]),
      start: numbers,
      alpha: numbers,
    }),
  ),
})
const example = exampleSchema.parse(JSON.parse(readFileSync(new URL('../fixtures/mixture-example.json', import.meta.url), 'utf8')))

const contextWith = (strategy: object = {}, options: SearchOptions = {}) =>
  makeContext({ steps: 8, ...options, strategy: { name: 'darts', warmupSteps: 0, archEvery: 1, evaluateEvery: 100, ...strategy } })

/** The first piece of work of a kind, and the state then. */
function firstOf(context: StrategyContext, kind: TaskWork['kind']) {
  let state = darts.init(context)
  for (let turn = 0; turn < 20; turn++) {
    const proposal = darts.propose(state, context)
    if (proposal.kind !== 'work') throw new Error(proposal.kind)
    if (proposal.work.kind === kind) return { work: proposal.work, state: proposal.state, before: state }
    state = darts.absorb(proposal.state, proposal, resultOutcome(answerWork(proposal.work, context.space)), context).state
  }
  throw new Error(`no ${kind}`)
}

describe('an architecture step of DARTS', () => {
  it.each(example.results)(
    'leads to the alpha of the worked example after 25 of them, latency loss $loss.kind',
    ({ loss, start, alpha }) => {
      const { settings, adam, steps } = example
      const base = makeContext({ targetMs: settings.targetMs, loss, strategy: { name: 'darts', maxStaleness: 1000, ...adam } })
      const decisions = start.map((row, d) => ({
        name: `d${d}`,
        where: '',
        options: row.map((_, i) => ({ name: `o${i}`, isZero: i === 0 })),
      }))
      const { fixedMs, operationMs } = settings
      const context: StrategyContext = { ...base, space: { ...base.space, decisions }, latency: { fixedMs, operationMs } }
      let state = { ...darts.init(context), alpha: start }
      // A task may hold several of them.
      for (let at = 0; at < steps.length; at += 5) {
        const some = steps.slice(at, at + 5).map((step) => ({ ...step, correct: 1, images: 64 }))
        const work: Gradients = {
          kind: 'mixtureGradients',
          firstStep: at,
          steps: some.length,
          mixture: state.alpha.map(softmax),
          alphaVersion: 0,
        }
        const result: ResultOf<'mixtureGradients'> = { kind: 'mixtureGradients', steps: some }
        expect(resultMismatch(work, result, settingOf(context.space))).toBeNull()
        const absorbed = darts.absorb(state, { work }, resultOutcome(result), context)
        if (absorbed.kind !== 'applied') throw new Error(`expected it to be applied, got ${absorbed.kind}`)
        state = absorbed.state
      }
      for (const [d, row] of alpha.entries()) for (const [i, value] of row.entries()) expect(state.alpha[d]?.[i]).toBeCloseTo(value, 7)
    },
  )

  it('asks for gradients of the mixture that alpha is now, after the weight step that comes next if of the second order', () => {
    const first = firstOf(contextWith({ order: 'first' }, { tasks: { weightSteps: 2, architectureSteps: 2 } }), 'mixtureGradients')
    expect(first.work).toEqual({
      kind: 'mixtureGradients',
      firstStep: 0,
      steps: 2,
      mixture: first.before.alpha.map(softmax),
      alphaVersion: 0,
    })
    const second = firstOf(contextWith({ order: 'second' }, { tasks: { weightSteps: 2, architectureSteps: 2 } }), 'mixtureGradients')
    expect(second.work).toMatchObject({ unrolled: { firstBatch: 2, position: 2 } })
  })

  it('drops and counts gradients that are too old', () => {
    const context = contextWith({ maxStaleness: 1 })
    const { work, state } = firstOf(context, 'mixtureGradients')
    const outcome = resultOutcome(answerWork(work, context.space))
    expect(darts.absorb({ ...state, alphaVersion: 1 }, { work }, outcome, context).kind).toBe('applied')
    expect(darts.absorb({ ...state, alphaVersion: 2 }, { work }, outcome, context).kind).toBe('stale')
  })

  it('is refused where a task would not fit a row of the log, or the loss has no value', () => {
    const refusal = (path: string) => expect.objectContaining({ errors: [expect.objectContaining({ path })] })
    expect(() => darts.init(contextWith({}, { blocks: 30, tasks: { architectureSteps: 1000 } }))).toThrow(
      refusal('tasks.architectureSteps'),
    )
    expect(() => darts.init(contextWith({}, { targetMs: 0.5, loss: { kind: 'mul#log' } }))).toThrow(refusal('latency.targetMs'))
  })
})

describe('a weight step of DARTS', () => {
  it('trains all operations with their probabilities, from the first one on', () => {
    const context = contextWith({}, { tasks: { weightSteps: 3 } })
    const { work, before } = firstOf(context, 'trainMixtures')
    expect(work).toEqual({ kind: 'trainMixtures', firstStep: 0, steps: 3, mixture: before.alpha.map(softmax) })
  })

  it('is divided among agents by images alone: each trains all operations, and has its own velocities', () => {
    const context = contextWith({}, { tasks: { weightSteps: 3 } })
    const member = (agentId: string) => ({ agentId, lanes: 1, stepsPerSecond: null, exchangeMs: null })
    const members = [member('a'), member('b')]
    const seats = members.map((asker, i) => ({ asker, members, outstanding: [], nextTaskId: i + 1, nowMs: START_MS }))
    let state = darts.init(context)
    const works = seats.map((attendance) => {
      const proposal = darts.propose(state, context, attendance)
      if (proposal.kind !== 'work' || proposal.work.kind !== 'trainMixtures') throw new Error('expected a mixture')
      state = proposal.state
      return proposal.work
    })
    const operations = context.space.decisions.reduce((sum, { options }) => sum + options.length, 0)
    for (const { round, steps, dropped } of works) {
      expect(round?.members).toBe(2)
      expect(round?.velocities).toBe(false)
      expect(round?.sharedOperations).toHaveLength(operations)
      for (const { share } of round?.sharedOperations ?? []) expect(share).toBe(round?.commonShare)
      expect(dropped).toBeUndefined()
      expect(steps).toBeGreaterThan(0)
    }
    expect(works[1]?.firstStep).toBe((works[0]?.firstStep ?? 0) + (works[0]?.steps ?? 0))
  })
})

describe('a result of mixture gradients that does not answer its task', () => {
  const context = contextWith()
  const { work } = firstOf(context, 'mixtureGradients')
  const answer = () => answerWork(work, context.space) as ResultOf<'mixtureGradients'>
  it.each([
    ['result.steps', (result: ResultOf<'mixtureGradients'>) => void result.steps.pop()],
    ['result.steps[0].gradients', (result: ResultOf<'mixtureGradients'>) => void result.steps[0]?.gradients.pop()],
    ['result.steps[0].gradients[1]', (result: ResultOf<'mixtureGradients'>) => void result.steps[0]?.gradients[1]?.push(1)],
  ])('is refused, %s named', (path, spoil) => {
    const result = answer()
    spoil(result)
    expect(resultMismatch(work, result, settingOf(context.space))).toMatchObject({ path })
  })
})
