// Comparing architectures: what is compared, and what its figures come to.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { pathLatencyMs } from '../../latency-lut/table/coverage.ts'
import { listCandidates, mobileNetV2 } from '../../models/compare/candidates.ts'
import { openExperimentFolder } from '../../models/compare/experiment-folder.ts'
import { renderComparison } from '../../models/compare/report.ts'
import { type Compared, speedUpAtEqualAccuracy, spreadOf, summarise } from '../../models/compare/summary.ts'
import { createSpace, parseArchitecture, SpaceError } from '../../search-space/index.ts'
import { mbconvBlocks } from '../fixtures/mbconv-blocks.ts'

describe('candidates', () => {
  const wanted = {
    space: 'fashion-mini',
    architectures: [{ name: 'at 2 ms', encoding: 'fashion-mini:mb3k5,zero,mb6k3,mb3k3,mb6k7,zero' }],
    randomCount: 3,
    randomSeed: 1,
    latency: null,
    uniform: ['mb6k3'],
    largest: true,
    mobileNetWidths: [0.35, 1],
  } as const

  test('come from flags, from chance, from the space and from MobileNetV2, each with its costs', () => {
    const candidates = listCandidates(wanted)
    expect(candidates.map(({ name }) => name)).toEqual([
      'at 2 ms',
      'random 1',
      'random 2',
      'random 3',
      'mb6k3 only',
      'largest',
      'MobileNetV2 0.35',
      'MobileNetV2 1',
    ])
    const largest = candidates[5]
    expect(candidates[4]).toMatchObject({ group: 'uniform', architecture: 'fashion-mini:mb6k3,mb6k3,mb6k3,mb6k3,mb6k3,mb6k3' })
    for (const { macs, parameters, group } of candidates.slice(0, 4)) {
      expect(macs).toBeLessThanOrEqual(largest?.macs ?? 0)
      expect(parameters).toBeGreaterThan(0)
      expect(['searched', 'random']).toContain(group)
    }
    for (const { space, architecture } of candidates) expect(() => parseArchitecture(createSpace(space), architecture)).not.toThrow()
  })

  test('are the same for the same seed and others for another', () => {
    const encodings = (randomSeed: number) => listCandidates({ ...wanted, randomSeed }).map(({ architecture }) => architecture)
    expect(encodings(1)).toEqual(encodings(1))
    expect(encodings(1).slice(1, 4)).not.toEqual(encodings(2).slice(1, 4))
  })

  test('by a table random ones have the latency of each that is named', () => {
    const space = createSpace('fashion-mini')
    const latency = { fixedMs: 1, operationMs: space.decisions.map(({ options }) => options.map((_, option) => option)) }
    const architectures = [wanted.architectures[0], { name: 'fast', encoding: 'fashion-mini:mb3k3,mb3k3,mb3k5,mb3k3,mb3k3,mb3k3' }]
    const all = listCandidates({ ...wanted, architectures, latency, randomCount: 2, uniform: [], largest: false, mobileNetWidths: [] })
    expect(all.map(({ name }) => name)).toEqual([
      'at 2 ms',
      'fast',
      'random 1 like at 2 ms',
      'random 2 like at 2 ms',
      'random 1 like fast',
      'random 2 like fast',
    ])
    expect(new Set(all.map(({ architecture }) => architecture)).size).toBe(all.length)
    const msOf = ({ architecture }: { readonly architecture: string }) => pathLatencyMs(latency, parseArchitecture(space, architecture))
    const [first, second, ...random] = all.map(msOf) as [number, number, ...number[]]
    for (const [index, ms] of random.entries()) expect(Math.abs(ms / (index < 2 ? first : second) - 1)).toBeLessThanOrEqual(0.1)
  })

  test('an architecture of another space is refused', () => {
    const architectures = [{ name: 'x', encoding: 'fashion-mini:mb3k5' }]
    expect(() => listCandidates({ ...wanted, architectures })).toThrow(SpaceError)
    expect(() => listCandidates({ ...wanted, uniform: ['mb4k4'] })).toThrow(SpaceError)
  })
})

describe('MobileNetV2 for images of any size', () => {
  const rowsAtEnd = (side: number) => mbconvBlocks(mobileNetV2([side, side, 3], 10, 1)).at(-1)?.output[0]

  test('keeps 7 rows at the end, and all strides at 224×224', () => {
    expect(rowsAtEnd(224)).toBe(7)
    expect(rowsAtEnd(28)).toBe(7)
    expect(rowsAtEnd(32)).toBe(8)
    expect(rowsAtEnd(96)).toBe(12)
    const published = mbconvBlocks('mobilenet-v2')
    const same = mbconvBlocks(mobileNetV2([224, 224, 3], 1000, 1))
    expect(same.map(({ output }) => output)).toEqual(published.map(({ output }) => output))
  })
})

test('a spread is that of a sample', () => {
  expect(spreadOf([0.8, 0.9, 0.85])).toEqual({ mean: expect.closeTo(0.85, 12), std: expect.closeTo(0.05, 12), least: 0.8, most: 0.9 })
  expect(spreadOf([0.5])).toEqual({ mean: 0.5, std: null, least: 0.5, most: 0.5 })
  expect(() => spreadOf([])).toThrow()
})

const [base] = listCandidates({
  space: 'fashion-mini',
  architectures: [],
  latency: null,
  randomCount: 1,
  randomSeed: 0,
  uniform: [],
  largest: false,
  mobileNetWidths: [],
})
const record = (validation: number, test: number | null = null) => ({ candidate: 'x', seed: 1, validation, test, seconds: 1 })
const compared = (values: readonly { latencyMs: number; accuracies: number[] }[]): Compared[] =>
  summarise(
    values.map(({ latencyMs, accuracies }) => ({
      ...(base as NonNullable<typeof base>),
      latenciesMs: [latencyMs],
      trainings: accuracies.map((accuracy) => record(accuracy)),
    })),
  )

test('what counts is the median latency, and the test split where it was evaluated', () => {
  const result = { ...(base as NonNullable<typeof base>), latenciesMs: [5, 1, 2], trainings: [record(0.9, 0.8), record(0.9, 0.82)] }
  expect(summarise([result])[0]).toMatchObject({ latencyMs: 2, accuracy: { mean: expect.closeTo(0.81, 12) } })
})

test('the front is what no other beats, in mean accuracy and latency', () => {
  const results = compared([
    { latencyMs: 1, accuracies: [0.8, 0.82] },
    { latencyMs: 2, accuracies: [0.95, 0.85] },
    { latencyMs: 2.5, accuracies: [0.88, 0.88] },
    { latencyMs: 0.5, accuracies: [0.5, 0.6] },
  ])
  expect(results.map(({ isOnFront }) => isOnFront)).toEqual([true, true, false, true])
})

test('speed at equal accuracy is read off the line between the neighbours', () => {
  const others = compared([
    { latencyMs: 2, accuracies: [0.8] },
    { latencyMs: 6, accuracies: [0.9] },
  ])
  const ours = (accuracy: number) => compared([{ latencyMs: 1, accuracies: [accuracy] }])[0] as Compared
  expect(speedUpAtEqualAccuracy(ours(0.85), others)).toBeCloseTo(4, 12)
  expect(speedUpAtEqualAccuracy(ours(0.8), others)).toBeCloseTo(2, 12)
  expect(speedUpAtEqualAccuracy(ours(0.95), others)).toBeNull()
})

test('a table says how much faster a network is than MobileNetV2, also where that never gets as accurate', () => {
  const results = compared([
    { latencyMs: 1, accuracies: [0.85] },
    { latencyMs: 1.5, accuracies: [0.95] },
    { latencyMs: 9, accuracies: [0.96] },
    { latencyMs: 2, accuracies: [0.8] },
    { latencyMs: 6, accuracies: [0.9] },
  ]).map((result, i) => ({ ...result, name: `n${i}`, group: i < 3 ? ('random' as const) : ('MobileNetV2' as const) }))
  const lines = renderComparison(results, 'test').split('\n')
  const speedOf = (name: string) => /(>? ?[\d.]+) ×/.exec(lines.find((line) => line.includes(` ${name} `)) ?? '')?.[1] ?? null
  expect(['n0', 'n1', 'n2', 'n3'].map(speedOf)).toEqual([expect.stringMatching(/^ ?4\.00$/), '> 4.00', null, null])
})

test('a comparison that was broken off repeats nothing, and other settings are another training', () => {
  const path = mkdtempSync(join(tmpdir(), 'gatehouse-compare-test-'))
  try {
    const known = { candidate: 'random 1', seed: 3, validation: 0.875, test: null, seconds: 4 }
    openExperimentFolder(path).writeTraining(['recipe', 1], known)
    const again = openExperimentFolder(path)
    expect(again.readTraining(['recipe', 1])).toEqual(known)
    expect(again.readTraining(['recipe', 2])).toBeNull()
    expect(again.readLatency('wasm')).toBeNull()
    again.writeLatency('wasm', 'random 1', 1.5)
    expect(again.readLatency('wasm')).toBe(1.5)
  } finally {
    rmSync(path, { recursive: true })
  }
})
