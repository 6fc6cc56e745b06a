// The last weight steps of `spos` on paths near the target: which paths, from which step on, and at which learning rate.

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { latencyBounds, pathLatencyMs } from '../../latency-lut/table/coverage.ts'
import type { WorkOf } from '../../protocol/index.ts'
import { architectureCosts, createRandom, seedState } from '../../search-space/index.ts'
import type { Attendance, StrategyContext } from '../../strategies/index.ts'
import { drawNear } from '../../strategies/near-target.ts'
import { drawPath, type Part } from '../../strategies/parts.ts'
import { spos } from '../../strategies/spos.ts'
import { makeContext, resultOutcome, type SearchOptions } from '../fixtures/searches.ts'

const BLOCKS = 8
const LEAST = 0.85
const contextOf = (strategy: object = {}, options: SearchOptions = {}) =>
  makeContext({ blocks: BLOCKS, steps: 200, strategy: { name: 'spos', images: 64, ...strategy }, ...options })

const plain = contextOf()
const { leastMs, mostMs } = latencyBounds(plain.latency)
const msOf = (path: readonly number[]) => pathLatencyMs(plain.latency, path)
const targetAt = (share: number) => leastMs + share * (mostMs - leastMs)

function partOf({ space }: StrategyContext, operations?: readonly number[]): Part {
  return space.decisions.map(({ options }) => {
    const own = operations ?? options.map((_, option) => option)
    return { operations: own, weights: own.map(() => 1) }
  })
}
const random = (seed: number) => createRandom(seedState('near', seed))

describe('a path near the target', () => {
  it('costs between the least share and all of it, whatever the target, and is not always the same', () => {
    fc.assert(
      fc.property(fc.double({ min: 0.45, max: 1, noNaN: true }), fc.nat(), (share, seed) => {
        const targetMs = targetAt(share)
        const context = contextOf({}, { targetMs })
        const [draw, source] = [drawNear(context, LEAST), random(seed)]
        const paths = Array.from({ length: 20 }, () => draw(partOf(context), true, source))
        for (const ms of paths.map(msOf)) {
          expect(ms).toBeLessThanOrEqual(targetMs + 1e-9)
          expect(ms).toBeGreaterThanOrEqual(LEAST * targetMs - 1e-9)
        }
        if (share < 0.9) expect(new Set(paths.map((path) => path.join())).size).toBeGreaterThan(1)
      }),
      { numRuns: 50 },
    )
  })

  it('keeps all bounds, and costs nearly as much as one of them allows', () => {
    const macsOf = (path: readonly number[]) => architectureCosts(plain.space, path).macs
    const atMost = macsOf(plain.space.decisions.map((_, decision) => (decision < BLOCKS / 2 ? 0 : 1)))
    const context = contextOf({}, { targetMs: targetAt(0.9), bounds: [{ cost: 'macs', atMost }] })
    const [draw, source] = [drawNear(context, LEAST), random(3)]
    for (const path of Array.from({ length: 50 }, () => draw(partOf(context), true, source))) {
      expect(macsOf(path)).toBeLessThanOrEqual(atMost)
      expect(msOf(path)).toBeLessThanOrEqual(targetAt(0.9) + 1e-9)
      expect(Math.max(macsOf(path) / atMost, msOf(path) / targetAt(0.9))).toBeGreaterThanOrEqual(LEAST - 1e-9)
    }
  })

  it('is near the slowest ones under a target that none reaches', () => {
    const context = contextOf({}, { targetMs: 1e9 })
    const path = drawNear(context, LEAST)(partOf(context), true, random(4))
    expect(msOf(path)).toBeGreaterThanOrEqual(LEAST * mostMs - 1e-9)
  })

  it('is an ordinary one of a part that has none', () => {
    const context = contextOf({}, { targetMs: targetAt(0.05) })
    const part = partOf(context, [0, 1])
    expect(drawNear(context, LEAST)(part, true, random(5))).toEqual(drawPath(part, true, random(5)))
  })
})

type WeightWork = WorkOf<'trainWeights'>

/** All weight steps of a search that these agents take turns in, each task answered at once. */
function weightTasks(context: StrategyContext, agents: readonly string[]): WeightWork[] {
  const members = agents.map((agentId) => ({ agentId, lanes: 1, stepsPerSecond: null, exchangeMs: null }))
  let state = spos.init(context)
  const tasks: WeightWork[] = []
  for (;;) {
    const asker = members[tasks.length % members.length] as Attendance['asker']
    const attendance = { asker, members, outstanding: [], nextTaskId: tasks.length, nowMs: 0 }
    const proposal = spos.propose(state, context, attendance)
    if (proposal.kind !== 'work' || proposal.work.kind !== 'trainWeights') return tasks
    tasks.push(proposal.work)
    const result = { kind: 'trainWeights', loss: 1, correct: 1, images: 64 } as const
    state = spos.absorb(proposal.state, proposal, resultOutcome(result), context).state
  }
}

/** Where the learning rate is at the first step of a task, in the steps of the search. */
const positionOf = ({ schedule, firstStep }: WeightWork) => schedule?.from ?? firstStep
const isNear = (targetMs: number) => (path: readonly number[]) => {
  const ms = msOf(path)
  return ms <= targetMs + 1e-9 && ms >= LEAST * targetMs - 1e-9
}

describe('spos with nearTarget', () => {
  const targetMs = targetAt(0.4)
  const nearTarget = { share: 0.25, least: LEAST, restart: 0.5 }

  it('trains on uniform paths first, and in the last share of the steps on near ones, with a learning rate that begins anew', () => {
    const tasks = weightTasks(contextOf({ nearTarget }, { targetMs, tasks: { weightSteps: 20 } }), ['a'])
    const [first, last] = [tasks.filter(({ firstStep }) => firstStep < 150), tasks.filter(({ firstStep }) => firstStep >= 150)]
    expect(first.map(positionOf)).toEqual([0, 20, 40, 60, 80, 100, 120, 140])
    expect(first.at(-1)?.paths).toHaveLength(10)
    expect(first.every(({ schedule }) => schedule === undefined)).toBe(true)
    expect(first.flatMap(({ paths }) => paths).every(isNear(targetMs))).toBe(false)
    expect(last.map(positionOf)).toEqual([100, 140, 180])
    expect(last.map(({ schedule }) => schedule?.counts)).toEqual([20, 20, 10])
    expect(last.flatMap(({ paths }) => paths)).toHaveLength(50)
    expect(last.flatMap(({ paths }) => paths).every(isNear(targetMs))).toBe(true)
  })

  it('follows the steps where all of them are near the target', () => {
    const tasks = weightTasks(contextOf({ nearTarget: { ...nearTarget, share: 1 } }, { targetMs, tasks: { weightSteps: 50 } }), ['a'])
    expect(tasks.map(positionOf)).toEqual([0, 50, 100, 150])
    expect(tasks.flatMap(({ paths }) => paths).every(isNear(targetMs))).toBe(true)
  })

  it('has as many effective steps with two agents, each within its part', () => {
    const tasks = weightTasks(contextOf({ nearTarget }, { targetMs, tasks: { weightSteps: 20 } }), ['a', 'b'])
    const counts = tasks.reduce((sum, { schedule, paths }) => sum + (schedule?.counts ?? paths.length), 0)
    expect(counts).toBeCloseTo(200, 6)
    const last = tasks.slice(tasks.findIndex(({ schedule }) => schedule?.perStep === 0))
    expect(positionOf(last[0] as WeightWork)).toBe(100)
    const share = (some: readonly WeightWork[]) => {
      const paths = some.flatMap((task) => task.paths)
      return paths.filter(isNear(targetMs)).length / paths.length
    }
    expect(share(last)).toBeGreaterThan(2 * share(tasks.slice(0, -last.length)))
  })

  it('is refused beside stages', () => {
    const context = contextOf({ nearTarget, stages: 2, population: 4, generations: 4, parents: 2 }, { targetMs })
    expect(() => spos.init(context)).toThrow(
      expect.objectContaining({ errors: [expect.objectContaining({ path: 'strategy.nearTarget' })] }),
    )
  })
})
