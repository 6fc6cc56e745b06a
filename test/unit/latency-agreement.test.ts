import fc from 'fast-check'
import { describe, expect, test } from 'vitest'

import { agreementOf, correct, fitCorrection, kendallTau, pearsonCorrelation } from '../../latency-lut/table/agreement.ts'
import { judge, type ValidatedNetwork } from '../../latency-lut/profiler/node/validate.ts'

describe('agreement of predicted and measured latencies', () => {
  test('is what comes out by hand', () => {
    // Errors: +10 %, −20 %, +4 %, 0 %.
    const pairs = [
      { predictedMs: 11, measuredMs: 10 },
      { predictedMs: 16, measuredMs: 20 },
      { predictedMs: 31.2, measuredMs: 30 },
      { predictedMs: 40, measuredMs: 40 },
    ]
    const agreement = agreementOf(pairs)
    expect(agreement).toMatchObject({ networks: 4, kendall: 1, within5Pct: 50 })
    expect(agreement.rmseMs).toBeCloseTo(Math.sqrt((1 + 16 + 1.44 + 0) / 4), 12)
    expect(agreement.mapePct).toBeCloseTo((10 + 20 + 4) / 4, 9)
    // 10 % itself is within ±10 %.
    expect(agreementOf([{ predictedMs: 1.09, measuredMs: 1 }, ...pairs.slice(1)]).within10Pct).toBe(75)
  })

  // Values of scipy.stats for the same numbers.
  test('correlations are those of a statistics package, ties included', () => {
    expect(pearsonCorrelation([1, 2, 3, 4, 5, 6, 7], [10, 9, 2.5, 6, 4, 3, 2])).toBeCloseTo(-0.828503883588428, 12)
    expect(kendallTau([12, 2, 1, 12, 2], [1, 4, 7, 1, 0])).toBeCloseTo(-0.47140452079103173, 12)
    // Four pairs concordant, one tied in x, one in y: 4 / √(5 · 5).
    expect(kendallTau([1, 2, 2, 3], [1, 3, 2, 3])).toBeCloseTo(0.8, 12)
  })

  test('a constant tells nothing', () => {
    expect(pearsonCorrelation([1, 1, 1], [1, 2, 3])).toBeNaN()
    expect(kendallTau([1, 1, 1], [1, 2, 3])).toBeNaN()
  })

  test('orders do not depend on the units, and turn with them', () => {
    const values = fc.array(fc.tuple(fc.integer({ min: 0, max: 9 }), fc.integer({ min: 0, max: 9 })), { minLength: 2, maxLength: 30 })
    fc.assert(
      fc.property(values, (pairs) => {
        const x = pairs.map(([a]) => a)
        const y = pairs.map(([, b]) => b)
        const tau = kendallTau(x, y)
        if (Number.isNaN(tau)) return
        expect(Math.abs(tau)).toBeLessThanOrEqual(1 + 1e-12)
        expect(kendallTau(y, x)).toBeCloseTo(tau, 12)
        expect(
          kendallTau(
            x.map((value) => 3 * value + 7),
            y.map((value) => -(value ** 3)),
          ),
        ).toBeCloseTo(-tau, 12)
      }),
    )
  })
})

describe('an affine correction', () => {
  test('is the least-squares line', () => {
    // By hand: means 2 and 4, Σdxdy = 3, Σdx² = 2.
    const pairs = [
      { predictedMs: 1, measuredMs: 2 },
      { predictedMs: 2, measuredMs: 5 },
      { predictedMs: 3, measuredMs: 5 },
    ]
    expect(fitCorrection(pairs)).toEqual({ offsetMs: 1, factor: 1.5, networks: 3 })
  })

  test('finds a line again', () => {
    const line = fc.tuple(fc.double({ min: -1, max: 5, noNaN: true }), fc.double({ min: 0.5, max: 2, noNaN: true }))
    fc.assert(
      fc.property(line, ([offsetMs, factor]) => {
        const pairs = [3, 4, 6, 9].map((predictedMs) => ({ predictedMs, measuredMs: offsetMs + factor * predictedMs }))
        const found = fitCorrection(pairs)
        expect(found?.offsetMs).toBeCloseTo(offsetMs, 9)
        expect(found?.factor).toBeCloseTo(factor, 9)
        for (const { predictedMs, measuredMs } of pairs) expect(found && correct(predictedMs, found)).toBeCloseTo(measuredMs, 9)
      }),
    )
  })

  test('is refused where nothing differs, and where the slower is the faster', () => {
    const make = (...measured: number[]) => measured.map((measuredMs, index) => ({ predictedMs: index + 1, measuredMs }))
    expect(fitCorrection(make(3, 2, 1))).toBeNull()
    expect(fitCorrection([1, 2].map((measuredMs) => ({ predictedMs: 1, measuredMs })))).toBeNull()
  })

  test('is fitted to one half and judged on the other only', () => {
    const network = (index: number, half: ValidatedNetwork['half'], measuredMs: number): ValidatedNetwork => ({
      architecture: `s:${index}`,
      predictedMs: index + 1,
      measuredMs,
      stdMs: 0.1,
      count: 9,
      correctedMs: null,
      half,
    })
    // Fitted: exactly twice the sum and 1 more. Held out: the same but for one that takes twice as long.
    const networks = [0, 1, 2, 3].flatMap((index) => [
      network(index, 'fitted', 2 * (index + 1) + 1),
      network(index, 'held out', (2 * (index + 1) + 1) * (index === 3 ? 2 : 1)),
    ])
    const { correction, before, after, worst } = judge(networks)
    expect(correction).toEqual({ offsetMs: 1, factor: 2, networks: 4 })
    expect(before).toMatchObject({ networks: 4, within10Pct: 0 })
    expect(after).toMatchObject({ networks: 4, within5Pct: 75, within10Pct: 75, mapePct: 12.5, rmseMs: 4.5 })
    expect(worst[0]).toMatchObject({ architecture: 's:3', correctedMs: 9, measuredMs: 18, errorPct: -50 })
  })
})
