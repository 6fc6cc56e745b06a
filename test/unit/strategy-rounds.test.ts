import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { distributionOf, type TaskWork } from '../../protocol/index.ts'
import type { Attendance, Member } from '../../strategies/index.ts'
import { proxylessGradient } from '../../strategies/proxyless-gradient.ts'
import { createRandom, seedState } from '../../search-space/index.ts'
import { effectiveSteps, openRound, workOf } from '../../strategies/rounds.ts'
import { fillWithPaths } from '../../strategies/seat-steps.ts'
import { answerWork, makeContext, resultOutcome, type SearchOptions } from '../fixtures/searches.ts'

type State = ReturnType<typeof proxylessGradient.init>
type WeightWork = Extract<TaskWork, { kind: 'trainWeights' }>

const { init, propose, absorb, stateSchema, describe: describeState } = proxylessGradient

function makeMembers(count: number, changes: Partial<Member> = {}): Member[] {
  return Array.from({ length: count }, (_, i) => ({ agentId: `a${i}`, lanes: 1, stepsPerSecond: null, exchangeMs: null, ...changes }))
}

/** A search whose agents are driven by hand. */
function makeBench(options: SearchOptions, members: Member[]) {
  const context = makeContext({ blocks: 3, strategy: { warmupSteps: 0, archEvery: 10_000, evaluateEvery: 1_000_000 }, ...options })
  let state: State = init(context)
  let created = 0
  const out = new Map<number, { agentId: string; work: TaskWork; overdue: boolean }>()
  return {
    context,
    state: () => state,
    out,
    ask(asker: number, present = members) {
      const attendance: Attendance = {
        asker: members[asker] as Member,
        members: present,
        outstanding: [...out].map(([taskId, { agentId, overdue }]) => ({ taskId, agentId, overdue })),
        nextTaskId: created + 1,
        nowMs: 0,
      }
      const proposal = propose(stateSchema.parse(JSON.parse(JSON.stringify(state))), context, attendance)
      if (proposal.kind !== 'work') return proposal.kind
      created += 1
      state = proposal.state
      out.set(created, { agentId: (members[asker] as Member).agentId, work: proposal.work, overdue: false })
      return { taskId: created, work: proposal.work }
    },
    deliver(taskId: number) {
      const task = out.get(taskId)
      if (!task) throw new Error(`task ${taskId} is not out`)
      const absorbed = absorb(state, task, resultOutcome(answerWork(task.work, context.space, taskId)), context)
      if (absorbed.kind !== 'applied') throw new Error(`expected task ${taskId} to be applied, it was ${absorbed.kind}`)
      out.delete(taskId)
      state = absorbed.state
    },
  }
}

function task(answer: ReturnType<ReturnType<typeof makeBench>['ask']>): { taskId: number; work: WeightWork } {
  if (typeof answer === 'string' || answer.work.kind !== 'trainWeights')
    throw new Error(`expected weight work, got ${JSON.stringify(answer)}`)
  return { taskId: answer.taskId, work: answer.work }
}

const operationsOf = (work: WeightWork, block: number) => new Set(work.paths.map((path) => path[block] as number))

describe('a round', () => {
  it('gives two agents different operations of every block, the same number of steps, and mini-batches of their own', () => {
    const bench = makeBench({ steps: 1000, tasks: { weightSteps: 20 } }, makeMembers(2))
    const [a, b] = [task(bench.ask(0)), task(bench.ask(1))]
    for (let block = 0; block < 3; block++) {
      const inBoth = [...operationsOf(a.work, block)].filter((operation) => operationsOf(b.work, block).has(operation))
      expect(inBoth).toEqual([])
    }
    expect([a.work.paths.length, b.work.paths.length]).toEqual([20, 20])
    expect([a.work.firstStep, b.work.firstStep].toSorted((x, y) => x - y)).toEqual([0, 20])
    expect(a.work.round).toEqual({ members: 2, commonShare: 2 ** -0.5, sharedOperations: [], velocities: false })
    expect(a.work.schedule).toEqual(b.work.schedule)
  })

  it('tells each agent what the others may train, where options share weights', () => {
    const random = createRandom(seedState('parts'))
    const probabilities = [
      [0.5, 0.5],
      [0.2, 0.3, 0.5],
    ]
    const plan = { probabilities, uniform: true, members: makeMembers(2), weightSteps: 20, from: 0, end: 1000, firstBatch: 0 }
    const round = openRound(plan, random)
    const worksWith = (optionsShareWeights: boolean) =>
      round.seats.map((seat) => workOf(round, seat, { weightSteps: 20, momentum: 0.9, fill: fillWithPaths(), optionsShareWeights }, random))
    for (const [seat, work] of worksWith(true).entries()) {
      expect(work.round?.parts).toEqual(round.seats.map(({ part }) => part.map(({ operations }) => operations)))
      for (const path of work.kind === 'trainWeights' ? work.paths : []) {
        for (const [decision, option] of path.entries()) expect(work.round?.parts?.[seat]?.[decision]).toContain(option)
      }
    }
    expect(worksWith(false).map((work) => work.round?.parts)).toEqual([undefined, undefined])
  })

  it('counts effective steps: what one agent alone would need for the same', () => {
    expect(effectiveSteps([20])).toBe(20)
    expect(effectiveSteps([20, 20])).toBeCloseTo(40 * 2 ** -0.1, 9)
    // One that hardly takes part hardly counts as a second learner.
    expect(effectiveSteps([20, 1])).toBeGreaterThan(20)
    const bench = makeBench({ steps: 1000, tasks: { weightSteps: 20 } }, makeMembers(2))
    for (const { taskId } of [task(bench.ask(0)), task(bench.ask(1))]) bench.deliver(taskId)
    expect(bench.state().weightStepsDone).toBeCloseTo(effectiveSteps([20, 20]), 9)
    // The next round begins where the rate of this one ends.
    const next = task(bench.ask(1))
    expect(next.work.schedule?.from).toBeCloseTo(effectiveSteps([20, 20]), 9)
    expect(next.work.firstStep).toBeGreaterThanOrEqual(40)
  })

  it('lets an agent begin the next round while the other is busy with this one, but not run further ahead', () => {
    const bench = makeBench({ steps: 1000 }, makeMembers(2))
    const slow = task(bench.ask(1))
    const first = task(bench.ask(0))
    bench.deliver(first.taskId)
    const second = task(bench.ask(0))
    bench.deliver(second.taskId)
    expect(bench.ask(0)).toBe('wait')
    bench.deliver(slow.taskId)
    expect(typeof bench.ask(0)).toBe('object')
  })

  it('does not wait for an agent whose task is overdue', () => {
    const bench = makeBench({ steps: 1000 }, makeMembers(2))
    const slow = task(bench.ask(1))
    for (let i = 0; i < 2; i++) bench.deliver(task(bench.ask(0)).taskId)
    expect(bench.ask(0)).toBe('wait')
    const out = bench.out.get(slow.taskId)
    if (out) out.overdue = true
    expect(typeof bench.ask(0, makeMembers(1))).toBe('object')
  })

  it('hands the seat of an agent that is gone to one that would have to wait', () => {
    const bench = makeBench({ steps: 1000 }, makeMembers(2))
    const first = task(bench.ask(0))
    bench.deliver(first.taskId)
    // The second agent never came for its seat; with the first one alone again, a round opens without it …
    const second = task(bench.ask(0))
    bench.deliver(second.taskId)
    const third = task(bench.ask(0))
    // … or its seat is taken over: the same part of the same round.
    expect(third.work.schedule?.from).toBe(first.work.schedule?.from)
    for (let block = 0; block < 3; block++) {
      expect([...operationsOf(third.work, block)].filter((operation) => operationsOf(first.work, block).has(operation))).toEqual([])
    }
  })

  it('gives a slow agent fewer steps, and a part of the operations in proportion', () => {
    const [fast, slow] = makeMembers(2) as [Member, Member]
    const bench = makeBench({ steps: 10_000, tasks: { weightSteps: 24 } }, [
      { ...fast, stepsPerSecond: 30 },
      { ...slow, stepsPerSecond: 10 },
    ])
    const [a, b] = [task(bench.ask(0)), task(bench.ask(1))]
    expect([a.work.paths.length, b.work.paths.length]).toEqual([36, 12])
  })

  it('is shorter with more agents, and longer where the exchange of weights takes longer', () => {
    const lengthWith = (count: number, changes: Partial<Member> = {}) =>
      task(makeBench({ steps: 10_000, tasks: { weightSteps: 24 } }, makeMembers(count, changes)).ask(0)).work.paths.length
    expect([1, 2, 4, 8, 16].map((count) => lengthWith(count))).toEqual([24, 24, 7, 2, 2])
    expect(lengthWith(4, { stepsPerSecond: 50, exchangeMs: 500 })).toBe(38)
    // Nobody to exchange with.
    expect(lengthWith(1, { stepsPerSecond: 50, exchangeMs: 5000 })).toBe(24)
  })

  it('moves velocities where an agent uses each operation fewer times than a velocity remembers', () => {
    // Three operations for each block, so one and a half for each of two agents; momentum 0.9 remembers ten steps.
    const movesWith = (weightSteps: number) =>
      task(makeBench({ steps: 10_000, tasks: { weightSteps } }, makeMembers(2)).ask(0)).work.round?.velocities
    expect([4, 14, 16, 100].map(movesWith)).toEqual([true, true, false, false])
  })

  it('gives the lanes of one agent different operations, and says how they merge', () => {
    const bench = makeBench({ steps: 1000, tasks: { weightSteps: 10 } }, makeMembers(1, { lanes: 3 }))
    const { work } = task(bench.ask(0))
    expect(work.lanes?.count).toBe(3)
    expect(work.paths).toHaveLength(30)
    expect(work.round).toBeUndefined()
    const merge = work.lanes?.mergeEvery ?? 0
    for (let begin = 0; begin < work.paths.length; begin += 3 * merge) {
      for (let block = 0; block < 3; block++) {
        const lanes = [0, 1, 2].map(
          (lane) =>
            new Set(work.paths.slice(begin, begin + 3 * merge).flatMap((path, i) => (i % 3 === lane ? [path[block] as number] : []))),
        )
        // Three operations in each block, one for each lane.
        expect(lanes.map((operations) => operations.size)).toEqual([1, 1, 1])
        expect(new Set(lanes.flatMap((operations) => [...operations])).size).toBe(3)
      }
    }
  })

  it('says what share of an operation is pushed that more agents train than there are operations', () => {
    const bench = makeBench({ steps: 1000 }, makeMembers(6))
    const works = makeMembers(6).map((_, i) => task(bench.ask(i)).work)
    for (const { paths, round } of works) {
      expect(round?.members).toBe(6)
      // Six agents, three operations a block: two for each.
      expect(round?.sharedOperations).toHaveLength(3)
      for (const { block, operation, share } of round?.sharedOperations ?? []) {
        expect(share).toBeCloseTo(2 ** -0.25, 9)
        expect(paths.every((path) => path[block] === operation)).toBe(true)
      }
    }
  })
})

describe('a search of several agents', () => {
  it('ends after the effective steps that it was given, whoever comes, goes and is slow', () => {
    const actions = fc.array(fc.record({ agent: fc.nat({ max: 3 }), act: fc.constantFrom('ask', 'ask', 'deliver', 'vanish') }), {
      minLength: 20,
      maxLength: 120,
    })
    fc.assert(
      fc.property(actions, fc.integer({ min: 1, max: 60 }), fc.integer({ min: 1, max: 4 }), (list, steps, lanes) => {
        const members = makeMembers(4).map((member, i) => (i === 2 ? { ...member, lanes } : member))
        const bench = makeBench({ steps, strategy: { warmupSteps: Math.floor(steps / 3), archEvery: 7, evaluateEvery: 25 } }, members)
        const seen = new Set<number>()
        for (const { agent, act } of list) {
          const mine = [...bench.out].filter(([, { agentId }]) => agentId === (members[agent] as Member).agentId).map(([id]) => id)
          if (act === 'ask') {
            const present = members.filter(
              (member, i) => i === agent || [...bench.out.values()].some(({ agentId }) => agentId === member.agentId),
            )
            const answer = bench.ask(agent, present)
            if (typeof answer === 'object' && answer.work.kind === 'trainWeights') {
              for (const [i] of answer.work.paths.entries()) {
                expect(seen.has(answer.work.firstStep + i)).toBe(false)
                seen.add(answer.work.firstStep + i)
              }
            }
          } else if (act === 'deliver' && mine[0] !== undefined) bench.deliver(mine[0])
        }
        // Whatever is out comes back, and one agent ends the search.
        for (const taskId of bench.out.keys()) bench.deliver(taskId)
        for (let i = 0; ; i++) {
          expect(i).toBeLessThan(500)
          const answer = bench.ask(0, members.slice(0, 1))
          if (answer === 'done') break
          if (typeof answer === 'string') throw new Error(`nothing is out, and the answer is ${answer}`)
          bench.deliver(answer.taskId)
        }
        const { weightSteps, architectureSteps } = distributionOf(describeState(bench.state(), bench.context))
        expect(bench.state().weightStepsDone).toBeCloseTo(steps, 6)
        expect(weightSteps).toEqual({ done: steps, total: steps })
        expect(architectureSteps.done).toBe(Math.floor((steps - Math.floor(steps / 3)) / 7))
      }),
      { numRuns: 60 },
    )
  })
})
