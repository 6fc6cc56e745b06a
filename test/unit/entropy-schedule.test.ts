import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { updateAlpha } from '../../strategies/alpha-update.ts'
import { entropy, softmax } from '../../strategies/distribution.ts'
import { entropyGradient, entropyPull } from '../../strategies/entropy-schedule.ts'

const rows = fc.array(fc.double({ min: -4, max: 4, noNaN: true }), { minLength: 2, maxLength: 9 })
const plainAdam = { learningRate: 0.1, beta1: 0, beta2: 0, epsilon: 1e-15 }

describe('the schedule of entropy', () => {
  it('the gradient of entropy is that of central differences', () => {
    fc.assert(
      fc.property(rows, (alpha) => {
        const gradient = entropyGradient(softmax(alpha))
        for (const [j, value] of gradient.entries()) {
          const at = (shift: number) => entropy(softmax(alpha.map((a, i) => (i === j ? a + shift : a))))
          expect(value).toBeCloseTo((at(1e-5) - at(-1e-5)) / 2e-5, 7)
        }
      }),
    )
  })

  it('pulls by how far entropy is above a line from its start to its end', () => {
    const schedule = { end: 0.1, weight: 2 }
    // Halfway the line is at 2 · (1 − 0.9 / 2) = 1.1 nats.
    expect(entropyPull(schedule, { mean: 1.65, start: 2, progress: 0.5 })).toBeCloseTo(2 * (1.65 / 1.1 - 1), 12)
    expect(entropyPull(schedule, { mean: 1.65, start: 2, progress: 1.5 })).toBeCloseTo(2 * (1.65 / 0.2 - 1), 12)
    expect(entropyPull(schedule, { mean: 1.1, start: 2, progress: 0.4 })).toBe(0)
    expect(entropyPull(schedule, { mean: 2, start: 2, progress: -1 })).toBe(0)
    // Nothing to choose from, nothing to pull.
    expect(entropyPull(schedule, { mean: 0, start: 0, progress: 1 })).toBe(0)
  })

  const alpha = [[0.4, 0.1, -0.2]]
  const state = { alpha, firstMoment: [[0, 0, 0]], secondMoment: [[0, 0, 0]], steps: [0] }
  const settings = { loss: { kind: 'none' }, targetMs: 1, latency: { fixedMs: 0, operationMs: [[1, 1, 1]] }, entropyPull: 3 } as const

  it('enters an architecture step beside the loss, in both forms', () => {
    // Without a gradient of the loss, Adam with no memory moves each alpha by its rate against the sign of the gradient of entropy.
    const gradient = entropyGradient(softmax(alpha[0] as number[]))
    expect(gradient.map(Math.sign)).toEqual([-1, -1, 1].map((sign, j) => (j === 1 ? Math.sign(gradient[1] as number) : sign)))
    const full = updateAlpha(state, [{ operations: [2, 0, 1], gateGradients: [0, 0, 0] }], 1, {
      form: 'full',
      adam: plainAdam,
      ...settings,
    })
    for (const [j, value] of (alpha[0] as number[]).entries()) {
      expect(full.state.alpha[0]?.[j]).toBeCloseTo(value - 0.1 * Math.sign(gradient[j] as number), 12)
    }
    const two = updateAlpha(state, [{ operations: [2, 0], gateGradients: [0, 0] }], 1, { form: 'two', adam: plainAdam, ...settings })
    const [before, after] = [softmax(alpha[0] as number[]), softmax(two.state.alpha[0] as number[])]
    expect(after[1]).toBeCloseTo(before[1] as number, 12)
    expect((two.state.alpha[0] as number[])[0]! - (two.state.alpha[0] as number[])[2]!).toBeCloseTo(0.4 + 0.2 + 0.2, 12)
  })

  it('adds to the gradient of the loss, weighed by the pull', () => {
    const gates = [0.5, -0.25, 0.125]
    const p = softmax(alpha[0] as number[])
    const mean = p.reduce((sum, value, j) => sum + value * (gates[j] as number), 0)
    const ofEntropy = entropyGradient(p)
    const adam = { learningRate: 0.1, beta1: 0, beta2: 0.5, epsilon: 1e-8 }
    const updated = updateAlpha(state, [{ operations: [0, 1, 2], gateGradients: gates }], 1, { form: 'full', adam, ...settings })
    for (const [j, value] of p.entries()) {
      const gradient = value * ((gates[j] as number) - mean) + 3 * (ofEntropy[j] as number)
      expect(updated.state.firstMoment[0]?.[j]).toBeCloseTo(gradient, 12)
    }
  })
})
