import { describe, expect, it } from 'vitest'
import type { DistributionView } from '../../protocol/index.ts'
import { searchWarnings } from '../../rules/search/warnings.ts'

function judge(mean: number, expectedLatencyMs: number, more: { progress?: number; ended?: boolean; currentMs?: number } = {}) {
  const { progress = 0.7, ended = false, currentMs = expectedLatencyMs } = more
  const view = {
    kind: 'distribution',
    alpha: [],
    alphaVersion: 1,
    probabilities: [],
    entropy: { total: mean, mean, perBlock: [mean], start: 1.87 },
    expectedLatencyMs,
    weightSteps: { done: 1, total: 2 },
    architectureSteps: { done: 1, skippedBlocks: 0 },
  } satisfies DistributionView
  return searchWarnings({ view, progress, ended, currentMs, targetMs: 2 })
}
const kinds = (...given: Parameters<typeof judge>) => judge(...given).map(({ kind }) => kind)

describe('warnings of a search', () => {
  it('are given once alpha has had time to move', () => {
    expect(kinds(1.86, 4.57, { progress: 0.59 })).toEqual([])
    expect(kinds(1.86, 4.57, { progress: 0.6 })).toEqual(['flat', 'off-target'])
    expect(kinds(1.86, 4.57, { progress: 1, ended: true })).toEqual(['flat', 'off-target'])
  })

  it('say how flat and how far from the target it is', () => {
    const [flat, off] = judge(1.86, 4.57)
    expect(flat?.message).toContain('entropy 1.86 of 1.87 nats')
    expect(off?.message).toContain('latency expected 4.57 ms, 129 % above the target of 2.00 ms')
  })

  it('are sharper at the end, and then of the architecture that comes of it', () => {
    expect(kinds(1.0, 2.2)).toEqual([])
    expect(kinds(1.0, 2.2, { progress: 1, ended: true })).toEqual(['flat', 'off-target'])
    expect(kinds(0.9, 2.2, { progress: 1, ended: true, currentMs: 2.05 })).toEqual([])
    expect(judge(0.9, 2, { progress: 1, ended: true, currentMs: 1.5 })[0]?.message).toContain('25 % below the target')
  })

  it('are not given where there is nothing to choose, or no distribution', () => {
    expect(
      searchWarnings({
        view: { kind: 'ranking', score: 'accuracy', candidates: [], scored: 0 },
        progress: 1,
        ended: true,
        currentMs: 9,
        targetMs: 2,
      }),
    ).toEqual([])
  })
})
