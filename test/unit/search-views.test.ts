// A strategy without a distribution, from its description to what people read: the status as JSON, and the text of the CLI. The page
// is tested in test/e2e/dashboard-page.test.ts.

import { describe, expect, it } from 'vitest'
import { deriveArchitectures, pathAtTarget } from '../../gatehouse/derived-architecture.ts'
import { renderStatus, renderStatusLine } from '../../gatehouse/render-status.ts'
import { knownView, parseAnswer, type SearchStatus, searchStatusSchema } from '../../protocol/index.ts'
import { createSpace, parseArchitecture } from '../../search-space/index.ts'
import { makeTable, START_MS } from '../fixtures/searches.ts'
import { startToySearch } from '../fixtures/toy-search.ts'

const TRIALS = 30

function finished(view: 'ranking' | 'population', options = {}): SearchStatus {
  const toy = startToySearch(view, { steps: TRIALS, ...options })
  for (let task = 0; toy.work(); task++) expect(task).toBeLessThan(2 * TRIALS)
  return toy.status()
}

const scoreOf = (path: readonly number[]) => path.filter((option) => option === 0).length / path.length

describe.each(['ranking', 'population'] as const)('a search that shows a %s', (kind) => {
  it('has its candidates in the status, best first, with what they cost and whether that is within the target', () => {
    const status = finished(kind, { targetMs: 5 })
    expect(status).toMatchObject({ phase: 'finished', progress: 1, steps: { done: TRIALS, total: TRIALS, unit: 'architectures' } })
    const view = knownView(status.view)
    if (view?.kind !== kind) throw new Error(`expected a ${kind}`)
    expect(view.candidates).toHaveLength(5)
    expect(view.candidates).toEqual(status.best)
    const space = createSpace(status.space)
    for (const { path, score, encoding, latencyMs, meetsConstraint } of view.candidates) {
      expect(parseArchitecture(space, encoding)).toEqual(path)
      expect(score).toBe(scoreOf(path))
      // Stem and classifier take 2.25 ms; the operations of a block 1.5 ms, 1.75 ms and nothing.
      expect(latencyMs).toBeCloseTo(2.25 + path.reduce((sum, option) => sum + ([1.5, 1.75, 0][option] as number), 0), 9)
      expect(meetsConstraint).toBe(latencyMs <= 5)
    }
    const scores = view.candidates.map(({ score }) => score ?? 0)
    expect(scores).toEqual(scores.toSorted((a, b) => b - a))
    const [best] = status.best
    expect(status.current).toMatchObject({ encoding: best?.encoding, path: best?.path, latencyMs: best?.latencyMs })
    expect(status.current.blocks.map(({ probability }) => probability)).toEqual([undefined, undefined, undefined])
    expect(status.constraint).toEqual({ bound: 5, value: best?.latencyMs, isMet: (best?.latencyMs ?? 0) <= 5 })
    for (const field of ['alpha', 'probabilities', 'entropy', 'expectedLatencyMs', 'weightSteps']) expect(status).not.toHaveProperty(field)
  })

  it('is a table on the screen, and one line in a log', () => {
    const status = finished(kind)
    const [best] = status.best
    const screen = renderStatus(status, 120, START_MS)
    expect(screen).toContain('30 of 30 architectures')
    expect(screen).toContain(kind === 'ranking' ? '\nranking   30 scored by accuracy\n' : '\nalive     5 candidates, generation 25\n')
    expect(screen).toMatch(new RegExp(`${(best?.score ?? 0).toFixed(2)} .*${best?.encoding}`))
    expect(screen).not.toMatch(/entropy|expected|NaN|undefined/)
    const line = renderStatusLine(status)
    expect(line).toContain('30/30 architectures')
    expect(line).toContain(kind === 'ranking' ? '30 scored  best accuracy' : 'generation 25  best accuracy')
  })

  it('can be derived from, but has no probabilities to derive by', () => {
    const status = finished(kind)
    const table = makeTable(createSpace(status.space))
    const [derived] = deriveArchitectures(status, table, [status.current.path])
    expect(derived).toMatchObject({ encoding: status.current.encoding, latencyMs: status.current.latencyMs })
    expect(derived).not.toHaveProperty('probability')
    expect(() => pathAtTarget(status, table)).toThrow(/has no probabilities of operations: it shows a/)
  })
})

it('what is made by a change says what it was made from', () => {
  const view = knownView(finished('population').view)
  if (view?.kind !== 'population') throw new Error('expected a population')
  const parents = view.candidates.flatMap(({ parent }) => (parent === undefined ? [] : [parent]))
  expect(parents.length).toBeGreaterThan(0)
  for (const parent of parents) expect(parent).toMatch(/^tiny:/)
})

it('a ranking says what its strategy knows beside it: rungs, the policy, what was foretold', () => {
  const status = finished('ranking')
  const view = knownView(status.view)
  if (view?.kind !== 'ranking') throw new Error('expected a ranking')
  const [first, ...others] = view.candidates.map((candidate, i) => (i > 1 ? { ...candidate, epochs: 2 } : candidate))
  const shown = parseAnswer(searchStatusSchema, {
    ...status,
    view: {
      ...view,
      candidates: [first, ...others],
      rungs: [
        { epochs: 2, scored: 30, failed: 1, promoted: 10, bestScore: 0.5 },
        { epochs: 6, scored: 9, failed: 0, promoted: 0, bestScore: 0.75 },
      ],
      policy: { probabilities: [[0.5, 0.5]], entropy: 0.69, startEntropy: 1.1 },
      predictions: { fits: 3, examples: 40, agreement: 0.8 },
    },
  })
  const screen = renderStatus(shown, 160, START_MS)
  expect(screen).toMatch(/rungs +2(\.00)? epochs: 30, 10 on, 1 failed, best 0\.50+; 6(\.00)? epochs: 9, best 0\.750?/)
  expect(screen).toMatch(/policy +entropy 0\.690? nats per decision, 1\.10 at the start/)
  expect(screen).toMatch(/predictor +3 fits, the last on 40 results; 80.0 % of pairs foretold in their order/)
  expect(screen).toContain('after 2 epochs')
})

describe('a view of a newer version', () => {
  const newer = { ...finished('ranking'), view: { kind: 'landscape', heights: [1, 2, 3] } }

  it('does not keep the rest of a status from being read and shown', () => {
    const read = parseAnswer(searchStatusSchema, newer)
    expect(knownView(read.view)).toBeNull()
    const screen = renderStatus(read, 100, START_MS)
    expect(screen).toContain('"landscape" is not known to this version of gatehouse')
    expect(screen).toContain('30 of 30 architectures')
    expect(renderStatusLine(read)).toContain('view landscape')
  })

  it('is not an excuse for one that is broken', () => {
    const broken = { ...newer, view: { kind: 'ranking', candidates: 'none' } }
    expect(searchStatusSchema.safeParse(broken).success).toBe(false)
  })
})
