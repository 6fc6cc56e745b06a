import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import * as z from 'zod'
import type { AlphaState } from '../../strategies/adam.ts'
import { type BlockSample, updateAlpha } from '../../strategies/alpha-update.ts'
import { softmax } from '../../strategies/distribution.ts'
import type { LatencyLoss } from '../../protocol/index.ts'

const caseSchema = z.object({
  mode: z.literal('two'),
  lr: z.number(),
  betas: z.tuple([z.number(), z.number()]),
  eps: z.number(),
  regularizer: z.object({ type: z.literal('mul#log').nullable(), alpha: z.number().optional(), beta: z.number().optional() }),
  ref_ms: z.number(),
  fixed_ms: z.number(),
  latency_ms: z.array(z.array(z.number())),
  alpha0: z.array(z.array(z.number())),
  steps: z.array(
    z.object({
      pairs: z.array(z.array(z.int())),
      ce: z.number(),
      gate_grads: z.array(z.array(z.number())),
      skipped: z.array(z.boolean()),
      expected_ms: z.number(),
      alpha: z.array(z.array(z.number())),
    }),
  ),
  note: z.string(),
})

const fixture = new URL('../fixtures/alpha-example.json', import.meta.url)
const cases = z.array(caseSchema).parse(JSON.parse(readFileSync(fixture, 'utf8')))

function freshState(alpha: number[][]): AlphaState {
  const zeros = alpha.map((row) => row.map(() => 0))
  return { alpha, firstMoment: zeros, secondMoment: zeros, steps: alpha.map(() => 0) }
}

describe('the published update rule', () => {
  it.each(cases)('reproduces the worked example: $note', (example) => {
    const { alpha: a, beta: b } = example.regularizer
    const loss: LatencyLoss = a === undefined || b === undefined ? { kind: 'none' } : { kind: 'mul#log', a, b }
    let state = freshState(example.alpha0)
    for (const step of example.steps) {
      const samples: BlockSample[] = step.pairs.map((operations, block) => ({
        operations,
        gateGradients: step.skipped[block] ? null : (step.gate_grads[block] ?? null),
      }))
      const update = updateAlpha(state, samples, step.ce, {
        form: 'two',
        adam: { learningRate: example.lr, beta1: example.betas[0], beta2: example.betas[1], epsilon: example.eps },
        loss,
        targetMs: example.ref_ms,
        latency: { fixedMs: example.fixed_ms, operationMs: example.latency_ms },
      })
      expect(update.expectedMs).toBeCloseTo(step.expected_ms, 4)
      for (const [block, row] of step.alpha.entries()) {
        for (const [i, value] of row.entries()) expect(Math.abs((update.state.alpha[block]?.[i] ?? Number.NaN) - value)).toBeLessThan(1e-6)
      }
      state = update.state
    }
  })
})

const adam = { learningRate: 0.01, beta1: 0, beta2: 0.999, epsilon: 1e-8 }
const finite = fc.double({ min: -3, max: 3, noNaN: true })
const rowArbitrary = fc.array(finite, { minLength: 3, maxLength: 7 })

/** The loss as a function of alpha, gates replaced by their linearisation: what the gradient is checked against. */
function lossOf(
  alpha: number[][],
  gates: number[][],
  ce: number,
  latency: { fixedMs: number; operationMs: number[][] },
  loss: LatencyLoss,
  target: number,
): number {
  const p = alpha.map(softmax)
  const crossEntropy = ce + p.reduce((sum, row, b) => sum + row.reduce((part, value, j) => part + value * (gates[b]?.[j] ?? 0), 0), 0)
  const base = ce
  const expected =
    latency.fixedMs +
    p.reduce((sum, row, b) => sum + row.reduce((part, value, j) => part + value * (latency.operationMs[b]?.[j] ?? 0), 0), 0)
  switch (loss.kind) {
    case 'none':
      return crossEntropy
    case 'add#linear':
      return crossEntropy + (loss.lambda * (expected - target)) / target
    case 'mul#log':
      return loss.a * (crossEntropy - base + ce) * (Math.log(expected) / Math.log(target)) ** loss.b
    case 'add#abs':
      return crossEntropy + loss.lambda * Math.abs(expected / target - 1)
    default:
      return loss satisfies never
  }
}

describe('the full form', () => {
  const losses: LatencyLoss[] = [
    { kind: 'none' },
    { kind: 'add#linear', lambda: 0.4 },
    { kind: 'mul#log', a: 0.2, b: 0.3 },
    { kind: 'add#abs', lambda: 0.4, margin: 1e-9 },
  ]
  it.each(losses)('follows the gradient of the loss by finite differences: $kind', (loss) => {
    fc.assert(
      fc.property(rowArbitrary, rowArbitrary, fc.double({ min: 0.1, max: 3, noNaN: true }), (alphaRow, gateRow, ce) => {
        const size = Math.min(alphaRow.length, gateRow.length)
        const alpha = [alphaRow.slice(0, size), alphaRow.slice(0, size).toReversed()]
        // The rule linearises around the sampled step: the expected gate term is subtracted so that CE there is `ce`.
        const raw = [gateRow.slice(0, size), gateRow.slice(0, size).toReversed()]
        const gates = raw.map((row, b) => {
          const p = softmax(alpha[b] as number[])
          const mean = row.reduce((sum, g, j) => sum + g * (p[j] ?? 0), 0)
          return row.map((g) => g - mean)
        })
        const latency = { fixedMs: 5, operationMs: alpha.map((row, b) => row.map((_, j) => 1 + j + b)) }
        const target = 7.3
        // Adam with beta2 = 0 and its first step moves alpha by rate · g / (|g| + eps): a large eps makes that rate · g / eps.
        const probe = { learningRate: 1, beta1: 0, beta2: 0, epsilon: 1e9 }
        const samples = alpha.map((row, b) => ({ operations: row.map((_, j) => j), gateGradients: gates[b] as number[] }))
        const settings = { form: 'full' as const, adam: probe, loss, targetMs: target, latency }
        const updated = updateAlpha(freshState(alpha), samples, ce, settings).state.alpha
        for (const [b, row] of alpha.entries()) {
          for (const [j, value] of row.entries()) {
            const h = 1e-5
            const shifted = (delta: number) => alpha.map((r, rb) => r.map((v, rj) => (rb === b && rj === j ? v + delta : v)))
            const numeric =
              (lossOf(shifted(h), gates, ce, latency, loss, target) - lossOf(shifted(-h), gates, ce, latency, loss, target)) / (2 * h)
            const analytic = (value - (updated[b]?.[j] ?? Number.NaN)) * 1e9
            expect(Math.abs(analytic - numeric)).toBeLessThan(1e-5)
          }
        }
      }),
      { numRuns: 50 },
    )
  })
})

describe('the two-path form', () => {
  it('keeps the probability of every operation outside the pair', () => {
    fc.assert(
      fc.property(rowArbitrary, finite, finite, (row, g0, g1) => {
        const samples = [{ operations: [2, 0], gateGradients: [g0, g1] }]
        const latency = { fixedMs: 2, operationMs: [row.map((_, j) => j)] }
        const settings = { form: 'two' as const, adam, loss: { kind: 'add#linear' as const, lambda: 1 }, targetMs: 3, latency }
        const after = softmax(updateAlpha(freshState([row]), samples, 1, settings).state.alpha[0] as number[])
        const before = softmax(row)
        for (const [j, p] of before.entries()) if (j !== 0 && j !== 2) expect(after[j]).toBeCloseTo(p, 12)
      }),
    )
  })

  it('leaves alpha and its optimiser state alone where the active operation is Zero', () => {
    const state = freshState([
      [0.1, 0.2],
      [0.3, 0.4],
    ])
    const samples = [
      { operations: [1, 0], gateGradients: null },
      { operations: [0, 1], gateGradients: [0.5, -0.5] },
    ]
    const latency = {
      fixedMs: 2,
      operationMs: [
        [1, 0],
        [1, 2],
      ],
    }
    const { state: after, updatedBlocks } = updateAlpha(state, samples, 1, {
      form: 'two',
      adam,
      loss: { kind: 'none' },
      targetMs: 3,
      latency,
    })
    expect(after.alpha[0]).toEqual([0.1, 0.2])
    expect(after.steps).toEqual([0, 1])
    expect(updatedBlocks).toBe(1)
    expect(after.alpha[1]?.[0]).toBeLessThan(0.3)
  })
})
