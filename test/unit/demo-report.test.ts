// How much of what the demo gains may be chance.

import { describe, expect, it } from 'vitest'
import { gainOver } from '../../demo/report.ts'

const trained = (...accuracies: number[]) => ({
  architecture: 'mine',
  accuracies,
  accuracy: accuracies.reduce((sum, accuracy) => sum + accuracy / accuracies.length, 0),
})

describe('the gain over random architectures', () => {
  it('has the chance of architectures and of seeds in its standard error', () => {
    const random = [trained(0.8, 0.82), trained(0.84, 0.84), trained(0.85, 0.87)]
    const { difference, standardError } = gainOver(random, trained(0.88, 0.9))
    expect(difference).toBeCloseTo(0.89 - (0.81 + 0.84 + 0.86) / 3, 12)
    // Means .81 .84 .86 differ by a variance of 6.333e-4; pairs of seeds by 2e-4, 0, 2e-4 and 2e-4.
    const means = ((0.81 - 0.836666666666) ** 2 + (0.84 - 0.836666666666) ** 2 + (0.86 - 0.836666666666) ** 2) / 2
    expect(standardError).toBeCloseTo(Math.sqrt(means / 3 + 1.5e-4 / 2), 9)
  })

  it('is said without one where each was trained once', () => {
    expect(gainOver([trained(0.8), trained(0.84)], trained(0.88)).standardError).toBeNaN()
  })
})
