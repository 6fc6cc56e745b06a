import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import * as z from 'zod'
import { neededVersion, resultMismatch, type ResultOf, type TaskWork } from '../../protocol/index.ts'
import { entropy, softmax } from '../../strategies/distribution.ts'
import { adaptiveSamples, fpNas } from '../../strategies/fp-nas.ts'
import { effectiveSamples, importanceWeights, scoreGradient } from '../../strategies/importance.ts'
import type { Strategy, StrategyContext } from '../../strategies/index.ts'
import { costMultipliers } from '../../strategies/cost-multipliers.ts'
import { parsec } from '../../strategies/parsec.ts'
import { makeContext, resultOutcome, settingOf } from '../fixtures/searches.ts'

const losses = fc.array(fc.double({ min: 0, max: 9, noNaN: true }), { minLength: 1, maxLength: 12 })

describe('importance weights', () => {
  it('are the likelihoods, normalised', () => {
    // Two images each: likelihoods e^-2·0.5 and e^-2·1.
    const [a, b] = importanceWeights([0.5, 1], 2) as [number, number]
    expect(a / b).toBeCloseTo(Math.exp(-1) / Math.exp(-2), 12)
    expect(a + b).toBeCloseTo(1, 12)
    expect(importanceWeights([3], 256)).toEqual([1])
  })

  it('of equal losses are equal, and shifting all losses or their order changes nothing else', () => {
    fc.assert(
      fc.property(losses, fc.double({ min: -5, max: 5, noNaN: true }), (values, shift) => {
        const weights = importanceWeights(values, 7)
        const shifted = importanceWeights(
          values.map((value) => value + shift),
          7,
        )
        const turned = importanceWeights(values.toReversed(), 7).toReversed()
        for (const [k, weight] of weights.entries()) {
          expect(shifted[k]).toBeCloseTo(weight, 9)
          expect(turned[k]).toBeCloseTo(weight, 12)
        }
        expect(effectiveSamples(weights)).toBeGreaterThan(1 - 1e-9)
        expect(effectiveSamples(weights)).toBeLessThan(values.length + 1e-9)
      }),
    )
    expect(importanceWeights([2, 2, 2, 2], 256)).toEqual([0.25, 0.25, 0.25, 0.25])
    expect(effectiveSamples([0.25, 0.25, 0.25, 0.25])).toBe(4)
    // A gap of 0.1 on 256 images: the winner takes all.
    expect(effectiveSamples(importanceWeights([1, 1.1], 256))).toBeCloseTo(1, 9)
  })

  it('give the gradient of the marginal likelihood that the samples stand for', () => {
    // −log Σ_k p(A_k) L_k by alpha, when the samples are all architectures: then importance is p L / Σ p L.
    const alpha = [0.4, -0.3, 0.9]
    const likelihood = [0.2, 0.7, 0.5]
    const negative = (values: readonly number[]) => -Math.log(softmax(values).reduce((sum, p, i) => sum + p * (likelihood[i] as number), 0))
    const p = softmax(alpha)
    const joint = p.map((value, i) => value * (likelihood[i] as number))
    const posterior = joint.map((value) => value / joint.reduce((a, b) => a + b, 0))
    const gradient = scoreGradient(p, [0, 1, 2], posterior)
    for (const i of alpha.keys()) {
      const at = (step: number) => negative(alpha.map((value, j) => (i === j ? value + step : value)))
      expect(gradient[i]).toBeCloseTo((at(1e-6) - at(-1e-6)) / 2e-6, 8)
    }
  })
})

describe('latency beyond the target', () => {
  const context = { latency: { fixedMs: 1, operationMs: [[0, 1, 3]] }, config: { latency: { targetMs: 2 } } } as unknown as StrategyContext

  it('is taken from the multipliers in proportion, and nothing where all are within it', () => {
    const samples = [[0], [1], [2]].map((path) => ({ path }))
    // 1, 2 and 4 ms of 2: costs 0, 0 and 1.
    expect(costMultipliers(samples, 0.5, context)).toEqual([0, 0, 0.5])
    expect(costMultipliers([{ path: [0] }, { path: [1] }], 0.5, context)).toEqual([0, 0])
  })
})

describe('the number of samples', () => {
  const settings = { lambda: 0.25, leastSamples: 2, mostSamples: 20 } as Parameters<typeof adaptiveSamples>[1]

  it('is λ times the entropy in nats, within its bounds', () => {
    // FBNetV2-F starts at 56.3 nats: 14 samples.
    const rows = Array.from({ length: 10 }, () => Array.from({ length: Math.round(Math.exp(5.63)) }, () => 0))
    expect(entropy(softmax(rows[0] as number[])) * 10).toBeCloseTo(56.3, 1)
    expect(adaptiveSamples(rows, settings)).toBe(14)
    expect(adaptiveSamples([[0, 50]], settings)).toBe(2)
    expect(adaptiveSamples([...rows, ...rows], settings)).toBe(20)
  })
})

const exampleSchema = z.object({
  settings: z.object({ temper: z.number(), targetMs: z.number(), fixedMs: z.number(), operationMs: z.array(z.array(z.number())) }),
  adam: z.object({ learningRate: z.number(), beta1: z.number(), beta2: z.number(), epsilon: z.number() }),
  steps: z.array(z.array(z.object({ path: z.array(z.number()), loss: z.number() }))),
  results: z.array(
    z.object({
      weight: z.number(),
      groups: z.array(z.array(z.number())).nullable(),
      start: z.array(z.array(z.number())),
      alpha: z.array(z.array(z.number())),
    }),
  ),
})
const example = exampleSchema.parse(JSON.parse(readFileSync(new URL('../fixtures/importance-example.json', import.meta.url), 'utf8')))

type Any = Strategy<{ alpha: number[][]; firstMoment: number[][]; secondMoment: number[][]; steps: number[]; groups?: number[][] }>
const members = { parsec: parsec as Any, 'fp-nas': fpNas as Any }

describe.each(['parsec', 'fp-nas'] as const)('%s', (name) => {
  const strategy = members[name]
  const settings = { temper: example.settings.temper, images: 64, maxStaleness: 1000, ...example.adam }

  it.each(example.results)(
    'has the alpha of the worked example after 25 steps, latency weighing $weight, groups $groups',
    ({ weight, groups, start, alpha }) => {
      const base = makeContext({
        blocks: 3,
        zero: false,
        targetMs: example.settings.targetMs,
        strategy: { name, ...settings, latencyWeight: weight, warmupSteps: 0, archEvery: 1 },
      })
      const { fixedMs, operationMs } = example.settings
      const decisions = operationMs.map((row, d) => ({
        name: `d${d}`,
        where: '',
        options: row.map((_, i) => ({ name: `o${i}`, isZero: false })),
      }))
      const context: StrategyContext = { ...base, space: { ...base.space, decisions }, latency: { fixedMs, operationMs } }
      const zeros = start.map((row) => row.map(() => 0))
      const moments = { firstMoment: zeros, secondMoment: zeros, steps: start.map(() => 0) }
      let state = { ...strategy.init(context), ...moments, alpha: start, ...(groups && { groups }) }
      for (const samples of example.steps) {
        const work: TaskWork = { kind: 'evaluatePaths', paths: samples.map(({ path }) => path), batches: { first: 0, count: 1 } }
        const paths = samples.map(({ loss }) => ({ crossEntropy: loss, correct: 1, images: 64 }))
        const absorbed = strategy.absorb(
          state,
          { work, private: { alphaVersion: 0 } },
          resultOutcome({ kind: 'evaluatePaths', paths }),
          context,
        )
        if (absorbed.kind !== 'applied') throw new Error(`expected it to be applied, got ${absorbed.kind}`)
        state = absorbed.state
      }
      for (const [d, row] of alpha.entries()) for (const [i, value] of row.entries()) expect(state.alpha[d]?.[i]).toBeCloseTo(value, 9)
    },
  )

  it('drops and counts samples that are too old, and remembers how many samples the weights amount to', () => {
    const context = makeContext({ blocks: 2, strategy: { name, ...settings, maxStaleness: 1, warmupSteps: 0, archEvery: 1 } })
    const state = { ...strategy.init(context), alphaVersion: 5 }
    const work: TaskWork = {
      kind: 'evaluatePaths',
      paths: [
        [0, 0],
        [1, 1],
      ],
      batches: { first: 0, count: 1 },
    }
    const outcome = resultOutcome({
      kind: 'evaluatePaths',
      paths: [
        { crossEntropy: 1, correct: 9, images: 64 },
        { crossEntropy: 1, correct: 9, images: 64 },
      ],
    })
    expect(strategy.absorb(state, { work, private: { alphaVersion: 3 } }, outcome, context)).toMatchObject({ kind: 'stale' })
    const absorbed = strategy.absorb(state, { work, private: { alphaVersion: 4 } }, outcome, context)
    expect(absorbed).toMatchObject({ kind: 'applied', state: { effectiveSamples: 2, alphaVersion: 6 } })
  })
})

describe('weight steps of importance', () => {
  const settings = { name: 'parsec', samples: 3, weightSamples: 4, warmupSteps: 0, archEvery: 1 } as const

  it('have as many paths on each mini-batch as are asked for, with the temper of a mini-batch, and remember how many they amount to', () => {
    const context = makeContext({ blocks: 2, strategy: settings, tasks: { weightSteps: 5 } })
    const state = parsec.init(context)
    const proposal = parsec.propose(state, context)
    if (proposal.kind !== 'work' || proposal.work.kind !== 'trainWeights') throw new Error('expected weight steps')
    const { work } = proposal
    expect(work.paths).toHaveLength(20)
    expect(work.samples).toEqual({ count: 4, temper: context.config.training.batchSize })
    expect(neededVersion(work)).toBe(3)
    const result: ResultOf<'trainWeights'> = { kind: 'trainWeights', loss: 1, correct: 1, images: 320, effectiveSamples: 2.5 }
    expect(resultMismatch(work, result, settingOf(context.space))).toBeNull()
    for (const effectiveSamples of [undefined, 5]) {
      expect(resultMismatch(work, { ...result, effectiveSamples }, settingOf(context.space))).toMatchObject({
        path: 'result.effectiveSamples',
      })
    }
    const absorbed = parsec.absorb(proposal.state, proposal, resultOutcome(result), context)
    expect(absorbed.state.weightStepsDone).toBe(5)
    expect(parsec.describe(absorbed.state, context).view).toMatchObject({ effectiveWeightSamples: 2.5 })
  })

  it('take the temper of the settings, and are cut where a task would hold too many paths', () => {
    const strategy = { ...settings, weightSamples: 100, temper: 7 }
    const context = makeContext({ blocks: 2, steps: 100, strategy, tasks: { weightSteps: 50 } })
    const proposal = parsec.propose(parsec.init(context), context)
    if (proposal.kind !== 'work' || proposal.work.kind !== 'trainWeights') throw new Error('expected weight steps')
    expect(proposal.work.samples).toEqual({ count: 100, temper: 7 })
    expect(proposal.work.paths).toHaveLength(1000)
  })

  it('are single paths by default, which every agent knows', () => {
    const context = makeContext({ blocks: 2, strategy: { ...settings, weightSamples: undefined }, tasks: { weightSteps: 5 } })
    const proposal = parsec.propose(parsec.init(context), context)
    expect(proposal).toMatchObject({ kind: 'work', work: { kind: 'trainWeights' } })
    expect(proposal.kind === 'work' && neededVersion(proposal.work)).toBe(1)
  })
})
