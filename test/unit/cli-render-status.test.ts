// The screen of a search: complete, no wider than the terminal, and safe to print.

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { renderStatus, renderStatusLine } from '../../gatehouse/render-status.ts'
import { wrapText } from '../../command-line/text-layout.ts'
import { distributionOf, type SearchStatus, searchConfigSchema, searchStatusSchema } from '../../protocol/index.ts'
import { presets } from '../../search-space/index.ts'

const NOW_MS = 1_800_000_000_000

function makeAgent(changes: Partial<SearchStatus['agents'][number]> = {}): SearchStatus['agents'][number] {
  return {
    agentId: 'a0123456789ab',
    tokenId: 't0123456789ab',
    name: 'workstation',
    device: 'NVIDIA RTX 4090',
    backend: 'webgpu',
    lanes: 1,
    registeredAtMs: NOW_MS - 60_000,
    lastSeenAtMs: NOW_MS - 3000,
    imagesPerSecond: 812.4,
    idleShare: 0.012,
    peakBytes: 31_457_280,
    tasksDone: 41,
    duplicates: 0,
    refusedPushes: 0,
    clipped: 0,
    isSetAside: false,
    steps: 820,
    bytesSent: 164_000_000,
    bytesReceived: 82_000_000,
    bytesPerStep: 300_000,
    ...changes,
  }
}

function makeStatus(changes: Partial<SearchStatus> = {}): SearchStatus {
  const version = 'c'.repeat(64)
  return searchStatusSchema.parse({
    searchId: 's0123456789ab',
    name: 'my search',
    phase: 'searching',
    createdAtMs: NOW_MS - 120_000,
    startedAtMs: NOW_MS - 60_000,
    finishedAtMs: null,
    progress: 0.432,
    timeLeftMs: 190_000,
    stepsPerSecond: 12.7,
    imagesPerSecond: 812.4,
    bytesPerStep: 300_000,
    training: { loss: 0.412, accuracy: 0.861 },
    architecture: { loss: 0.433, accuracy: 0.85 },
    validation: { loss: null, accuracy: null, atStep: null },
    steps: { done: 4320, total: 10_000, unit: 'steps' },
    view: {
      kind: 'distribution',
      alpha: [[0, 0]],
      alphaVersion: 1200,
      probabilities: [[0.5, 0.5]],
      entropy: { total: 1.3, mean: 1.3, perBlock: [1.3], start: 1.79 },
      expectedLatencyMs: 2.31,
      weightSteps: { done: 4320, total: 10_000 },
      architectureSteps: { done: 864, skippedBlocks: 12 },
    },
    targetLatencyMs: 2,
    constraint: { bound: 2, value: 2.2, isMet: false },
    best: [],
    current: {
      encoding: 'fashion-mini:mb3k5,zero,mb6k3',
      path: [0],
      blocks: [{ block: 'stage1.1', operation: 'mb3k5', probability: 0.5, latencyMs: 0.28 }],
      latencyMs: 2.2,
      macs: 3_240_000,
      parameters: 55_100,
    },
    space: presets['fashion-mini'],
    blocks: [{ name: 'stage1.1', operations: ['mb3k5', 'zero'] }],
    agents: [makeAgent()],
    tasks: { created: 433, leased: 1, queued: 0, done: 432, stale: 2, expiredLeases: 1, duplicates: 0, failed: 0, lastFailure: null },
    latencyTable: { name: 'my-cpu', version, device: 'a CPU', runtime: 'tfjs-wasm', batch: 1 },
    config: searchConfigSchema.parse({
      space: 'fashion-mini',
      dataset: { name: 'fashion-mnist' },
      latency: { targetMs: 2, table: { name: 'my-cpu', version } },
    }),
    ...changes,
  })
}

describe('costs', () => {
  test('are shown with their bounds, and as fronts of what was evaluated', () => {
    const text = renderStatus(
      makeStatus({
        bounds: [
          { cost: 'latencyMs', atMost: 2, value: 2.2, expected: 2.31, isMet: false },
          { cost: 'macs', atMost: 3e6, value: 3_240_000, expected: 3_500_000, isMet: false },
          { cost: 'weightBytes', atMost: 250_000, value: 220_400, isMet: true },
        ],
        fronts: [
          {
            cost: 'latencyMs',
            points: [
              { encoding: 'x:a', path: [0], value: 1.25, score: 0.5 },
              { encoding: 'x:b', path: [1], value: 2.5, score: 0.625 },
            ],
          },
          { cost: 'recorded:energy', points: [{ encoding: 'x:a', path: [0], value: 31, score: 0.5 }] },
        ],
      }),
      200,
      NOW_MS,
    )
    expect(text).toContain('bound     MACs 3.24 M now, at most 3.00 M (+8.0 %, not kept); 3.50 M expected')
    expect(text).toContain('bound     weights 220 kB now, at most 250 kB (−11.8 %, kept)')
    expect(text).toContain('front     accuracy by latency: 50.0 % at 1.25 ms, 62.5 % at 2.50 ms')
    expect(text).toContain('front     accuracy by recorded:energy: 50.0 % at 31.0')
  })
})

describe('the screen of a search', () => {
  test('shows phase, progress, time left, losses, entropy, latency, tasks and agents', () => {
    const text = renderStatus(makeStatus(), 100, NOW_MS)
    for (const part of [
      'my search  s0123456789ab',
      'searching',
      '43.2 %  4,320 of 10,000 steps, about 3 min 10 s left',
      '0.412    86.1 %',
      '1.30 nats per block, 1.79 at the start',
      '2.31 ms expected, target 2.00 ms (+15.5 %)',
      '12.7 steps per second, 812 images per second',
      '300 kB of weights per step; 164 MB pushed, 82.0 MB pulled',
      '432 done, 1 with agents, 2 stale, 1 lease expired',
      'fashion-mini:mb3k5,zero,mb6k3',
      'workstation',
      '3 s ago',
    ]) {
      expect(text).toContain(part)
    }
  })

  test('says how many tasks were given up, and why the last one was, in words that cannot move the cursor', () => {
    const { tasks } = makeStatus()
    const failure = { taskId: 17, kind: 'trainWeights', atMs: NOW_MS, reason: 'expired' as const, attempts: 5 }
    const textOf = (changes: object) =>
      renderStatus(makeStatus({ tasks: { ...tasks, failed: 2, lastFailure: { ...failure, ...changes } } }), 300, NOW_MS)
    expect(textOf({})).toContain('2 given up; task 17 (trainWeights) was given up after 5 attempts: its agents were not heard of any more')
    expect(textOf({ reason: 'failed', message: 'out of\x1b[2J memory' })).toMatch(/after 5 attempts: out of\P{Cc}* memory/u)
  })

  test('says what it can be taken back to, and that it was', () => {
    const snapshots = [2, 3].map((number) => ({ number, atMs: NOW_MS, steps: 1000 * number, results: 90 * number, bytes: 1e6 }))
    const { tasks } = makeStatus()
    expect(renderStatus(makeStatus(), 200, NOW_MS)).not.toContain('snapshots')
    expect(renderStatus(makeStatus({ snapshots }), 200, NOW_MS)).toContain('snapshots 2 at 2,000, 3 at 3,000 steps\n')
    const rollbacks = [{ number: 1, snapshot: 3, atMs: Date.UTC(2026, 10, 30, 12), steps: 3000, results: 40 }]
    const text = renderStatus(makeStatus({ snapshots, rollbacks, tasks: { ...tasks, rolledBack: 40 } }), 200, NOW_MS)
    expect(text).toMatch(/3 at 3,000 steps; taken back to snapshot 3 on 2026-11-30 .*; 40 results count no more/)
  })

  test('says how many samples and paths of a mini-batch are in effect, where there are any', () => {
    const { view } = makeStatus()
    const weighed = makeStatus({ view: { ...distributionOf({ view }), effectiveSamples: 3.25, effectiveWeightSamples: 1.5 } })
    expect(renderStatus(weighed, 120, NOW_MS)).toMatch(/samples +3\.25 in effect.*\n *paths +1\.50 of each mini-batch in effect/)
    expect(renderStatus(makeStatus(), 120, NOW_MS)).not.toContain('in effect')
  })

  test('no line is wider than the terminal, whatever the names and numbers', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 40, max: 140 }),
        fc.string({ minLength: 1, maxLength: 100 }),
        fc.nat(100_000_000),
        fc.constantFrom('waiting', 'warmup', 'searching', 'paused', 'finished', 'stopped'),
        (width, name, done, phase) => {
          const status = makeStatus({
            name,
            phase,
            steps: { done, total: 100_000_000, unit: 'steps' },
            progress: done / 100_000_000,
            agents: Array.from({ length: 20 }, () => makeAgent({ name, device: name, imagesPerSecond: done })),
          })
          for (const line of renderStatus(status, width, NOW_MS).split('\n')) expect(line.length).toBeLessThanOrEqual(width)
        },
      ),
    )
  })

  test('says how many threads an agent trains in, where there are several', () => {
    const agents = [makeAgent({ backend: 'wasm', lanes: 16 }), makeAgent({ name: 'gpu' })]
    const lines = renderStatus(makeStatus({ agents }), 120, NOW_MS).split('\n')
    expect(lines.find((line) => line.includes('workstation'))).toContain('wasm × 16 ')
    expect(lines.find((line) => line.includes('gpu'))).toContain('webgpu ')
  })

  test('a name cannot move the cursor or break a line', () => {
    const status = makeStatus({ name: 'evil\x1b[2J\n', agents: [makeAgent({ name: 'a\rb', device: '\x1b]0;title\x07' })] })
    expect(renderStatus(status, 100, NOW_MS)).not.toMatch(/[^\P{C}\n]/u)
  })

  test('a finished search says how long it took, a paused one promises nothing', () => {
    expect(renderStatus(makeStatus({ phase: 'finished', finishedAtMs: NOW_MS, progress: 1 }), 100, NOW_MS)).toContain('took 1 min 0 s')
    expect(renderStatus(makeStatus({ phase: 'paused' }), 100, NOW_MS)).not.toContain('left')
  })

  test('a log line holds the same figures', () => {
    expect(renderStatusLine(makeStatus())).toBe(
      'searching  43.2 %  4,320/10,000 steps  loss 0.412  accuracy 86.1 %  entropy 1.30  expected 2.31 ms (target 2.00 ms)  1 agent  3 min 10 s left',
    )
  })
})

test('wrapped text loses nothing but spaces', () => {
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom('a', 'b', ',', ' ') }), fc.integer({ min: 5, max: 40 }), (text, width) => {
      const lines = wrapText(text, width)
      expect(lines.join('').replaceAll(' ', '')).toBe(text.replaceAll(' ', ''))
      for (const line of lines) expect(line.length).toBeLessThanOrEqual(width)
    }),
  )
})
