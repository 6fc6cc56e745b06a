import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { distributionOf, type TaskWork } from '../../protocol/index.ts'
import { createRandom, seedState } from '../../search-space/index.ts'
import type { StrategyContext } from '../../strategies/index.ts'
import { ALONE } from '../../strategies/rounds.ts'
import { proxylessGradient } from '../../strategies/proxyless-gradient.ts'
import { answerWork, makeContext, resultOutcome } from '../fixtures/searches.ts'

type State = ReturnType<typeof proxylessGradient.init>

const { init, propose, absorb, stateSchema, phase, describe: describeState, derive } = proxylessGradient

/** Everything that the strategy proposes when each result comes back at once; the state goes through JSON at every step. */
function runAlone(context: StrategyContext): { works: TaskWork[]; state: State } {
  const throughJson = (state: State) => stateSchema.parse(JSON.parse(JSON.stringify(state)))
  const works: TaskWork[] = []
  let state = throughJson(init(context))
  for (;;) {
    const proposal = propose(state, context)
    if (proposal.kind !== 'work') {
      expect(proposal.kind).toBe('done')
      return { works, state }
    }
    works.push(proposal.work)
    const absorbed = absorb(
      throughJson(proposal.state),
      proposal,
      resultOutcome(answerWork(proposal.work, context.space, works.length)),
      context,
    )
    if (absorbed.kind !== 'applied') throw new Error(`expected the result to be applied, it was ${absorbed.kind}`)
    state = throughJson(absorbed.state)
  }
}

const weightWorks = (works: readonly TaskWork[]) => works.filter((work) => work.kind === 'trainWeights')
const gateWorks = (works: readonly TaskWork[]) => works.filter((work) => work.kind === 'gateGradients')
const evaluations = (works: readonly TaskWork[]) => works.filter((work) => work.kind === 'evaluatePaths')

const schedules = fc.record({
  steps: fc.integer({ min: 1, max: 200 }),
  warmupSteps: fc.option(fc.nat({ max: 220 }), { nil: undefined }),
  archEvery: fc.integer({ min: 1, max: 12 }),
  evaluateEvery: fc.integer({ min: 1, max: 80 }),
  weightSteps: fc.integer({ min: 1, max: 30 }),
  architectureSteps: fc.integer({ min: 1, max: 8 }),
  form: fc.constantFrom('two' as const, 'full' as const),
})

function contextOf(schedule: typeof schedules extends fc.Arbitrary<infer S> ? S : never): StrategyContext {
  const { steps, weightSteps, architectureSteps, ...strategy } = schedule
  return makeContext({ blocks: 2, steps, strategy, tasks: { weightSteps, architectureSteps } })
}

/** What came of all work, with up to `most` tasks out that come back in any order. */
function runWith(context: StrategyContext, most: number, random: () => number): { counts: Record<string, number>; state: State } {
  const out = new Map<number, Extract<ReturnType<typeof propose>, { kind: 'work' }>>()
  const counts: Record<string, number> = {}
  let state = init(context)
  for (let nextTaskId = 1; ;) {
    const outstanding = [...out.keys()].map((taskId) => ({ taskId, agentId: 'alone', overdue: false }))
    const proposal = propose(state, context, { ...ALONE, outstanding, nextTaskId })
    if (proposal.kind === 'work' && out.size < most) {
      state = proposal.state
      out.set(nextTaskId++, proposal)
      continue
    }
    const ids = [...out.keys()]
    const id = ids[Math.floor(random() * ids.length)]
    const task = id === undefined ? undefined : out.get(id)
    if (id === undefined || !task) return { counts, state }
    out.delete(id)
    const absorbed = absorb(state, task, resultOutcome(answerWork(task.work, context.space, id)), context)
    counts[absorbed.kind] = (counts[absorbed.kind] ?? 0) + 1
    state = absorbed.state
  }
}

describe('the schedule', () => {
  it.each([
    ['256 tasks out and the staleness of today', 256, undefined],
    ['tasks out of which none may be behind', 256, 0],
    ['a few tasks out', 8, 2],
  ])('drops no architecture step, in whatever order results come, with %s', (_, most, maxStaleness) => {
    const strategy = { warmupSteps: 0, archEvery: 1, ...(maxStaleness !== undefined && { maxStaleness }) }
    const context = makeContext({ blocks: 2, steps: 600, strategy, tasks: { weightSteps: 1, architectureSteps: 1 } })
    const random = createRandom(seedState('order', 1))
    const { counts, state } = runWith(context, most, () => random.uniform())
    expect(counts['stale']).toBeUndefined()
    expect(state.architectureStepsDone).toBe(600)
    expect(state.architectureStepsDropped).toBeUndefined()
  })

  it('proposes every weight step and every architecture step exactly once, in order, and then is done', () => {
    fc.assert(
      fc.property(schedules, (schedule) => {
        const context = contextOf(schedule)
        const { works, state } = runAlone(context)
        const warmup = Math.min(schedule.steps, schedule.warmupSteps ?? Math.round(schedule.steps / 10))
        let weightStep = 0
        for (const work of weightWorks(works)) {
          expect(work.firstStep).toBe(weightStep)
          expect(work.paths.length).toBeLessThanOrEqual(schedule.weightSteps)
          weightStep += work.paths.length
        }
        expect(weightStep).toBe(schedule.steps)
        let architectureStep = 0
        for (const work of gateWorks(works)) {
          expect(work.firstStep).toBe(architectureStep)
          expect(work.steps.length).toBeLessThanOrEqual(schedule.architectureSteps)
          architectureStep += work.steps.length
        }
        expect(architectureStep).toBe(Math.floor((schedule.steps - warmup) / schedule.archEvery))
        const description = distributionOf(describeState(state, context))
        expect(description.weightSteps).toEqual({ done: schedule.steps, total: schedule.steps })
        expect(description.architectureSteps.done).toBe(architectureStep)
      }),
    )
  })

  it('never lets architecture steps run ahead of the ratio, nor fall behind by more than a task of each kind', () => {
    fc.assert(
      fc.property(schedules, (schedule) => {
        const { works } = runAlone(contextOf(schedule))
        const warmup = Math.min(schedule.steps, schedule.warmupSteps ?? Math.round(schedule.steps / 10))
        let weightSteps = 0
        let architectureSteps = 0
        for (const work of works) {
          if (work.kind === 'trainWeights') weightSteps += work.paths.length
          if (work.kind === 'gateGradients') architectureSteps += work.steps.length
          const due = Math.floor(Math.max(0, weightSteps - warmup) / schedule.archEvery)
          expect(architectureSteps).toBeLessThanOrEqual(due)
          expect(due - architectureSteps).toBeLessThan(schedule.architectureSteps + Math.ceil(schedule.weightSteps / schedule.archEvery))
        }
      }),
    )
  })

  it('evaluates every evaluateEvery weight steps, and once more at the end where that is not one of them', () => {
    const images = (steps: number) => {
      const { works } = runAlone(makeContext({ steps, strategy: { evaluateEvery: 10, evaluateImages: 123 }, tasks: { weightSteps: 5 } }))
      let done = 0
      return works.flatMap((work) => {
        if (work.kind === 'trainWeights') done += work.paths.length
        return work.kind === 'evaluatePaths' ? [[done, work.images]] : []
      })
    }
    // The warm-up ends at step 4, and with it a task, so evaluations come at the first end of a task past 10, 20, ….
    expect(images(30)).toEqual([
      [14, 123],
      [24, 123],
      [30, 123],
    ])
    // Two that fall on the same step are one.
    expect(images(24)).toEqual([
      [14, 123],
      [24, 123],
    ])
  })

  it('ends with an evaluation of the architecture as the last architecture steps have left it', () => {
    fc.assert(
      fc.property(schedules, (schedule) => {
        const context = contextOf(schedule)
        const { works, state } = runAlone(context)
        const last = works.at(-1)
        expect(last?.kind).toBe('evaluatePaths')
        expect(last?.kind === 'evaluatePaths' && last.paths).toEqual([derive(state, context)])
      }),
      { numRuns: 50 },
    )
  })

  it('evaluates the most probable path', () => {
    const context = makeContext({
      blocks: 2,
      strategy: {
        initialAlpha: [
          [0, 1, 0],
          [0, 0, 2],
        ],
        warmupSteps: 12,
      },
    })
    const { works, state } = runAlone(context)
    expect(evaluations(works)[0]?.paths).toEqual([[1, 2]])
    expect(derive(state, context)).toEqual([1, 2])
  })

  it('hands out work without waiting for results: all of it can be outstanding at once', () => {
    const context = makeContext({ steps: 40 })
    let state = init(context)
    let tasks = 0
    for (let proposal = propose(state, context); proposal.kind === 'work'; proposal = propose(state, context)) {
      state = proposal.state
      tasks += 1
    }
    expect(tasks).toBe(runAlone(context).works.length)
    expect(describeState(state, context).steps.done).toBe(0)
  })

  it('is in its warm-up until those steps are done, and searching after', () => {
    const context = makeContext({ steps: 12, strategy: { warmupSteps: 4 }, tasks: { weightSteps: 2 } })
    const phases: string[] = []
    let state = init(context)
    phases.push(phase(state, context))
    for (let task = 1; task <= 3; task++) {
      const proposal = propose(state, context)
      if (proposal.kind !== 'work') throw new Error('expected work')
      const absorbed = absorb(proposal.state, proposal, resultOutcome(answerWork(proposal.work, context.space, task)), context)
      if (absorbed.kind !== 'applied') throw new Error('expected it to be applied')
      state = absorbed.state
      phases.push(phase(state, context))
    }
    expect(phases).toEqual(['waiting', 'warmup', 'searching', 'searching'])
  })
})

describe('a search of one seed', () => {
  it('proposes the same work every time, and other work with another seed', () => {
    const run = (seed: number) => runAlone(makeContext({ seed, steps: 60 }))
    expect(run(1)).toEqual(run(1))
    expect(run(1).works).not.toEqual(run(2).works)
  })

  it('can be replayed from its result log: alpha comes out bit for bit the same', () => {
    fc.assert(
      fc.property(schedules, fc.infiniteStream(fc.nat({ max: 3 })), (schedule, order) => {
        const context = contextOf(schedule)
        let state = init(context)
        const outstanding: { taskId: number; work: TaskWork }[] = []
        const log: { taskId: number; work: TaskWork }[] = []
        let created = 0
        let done = false
        // Up to four agents, whose results come back in any order.
        while (!done || outstanding.length > 0) {
          const proposal = outstanding.length < 4 && !done ? propose(state, context) : null
          if (proposal?.kind === 'done') done = true
          if (proposal?.kind === 'work') {
            created += 1
            state = proposal.state
            outstanding.push({ taskId: created, work: proposal.work })
            continue
          }
          const [task] = outstanding.splice((order.next().value as number) % Math.max(1, outstanding.length), 1)
          if (!task) continue
          const absorbed = absorb(state, task, resultOutcome(answerWork(task.work, context.space, task.taskId)), context)
          state = absorbed.state
          log.push(task)
        }
        let replayed = init(context)
        for (const { taskId, work } of structuredClone(log)) {
          const absorbed = absorb(replayed, { work }, resultOutcome(answerWork(work, context.space, taskId)), context)
          replayed = absorbed.state
        }
        for (const key of [
          'alpha',
          'firstMoment',
          'secondMoment',
          'steps',
          'alphaVersion',
          'weightStepsDone',
          'architectureStepsDone',
          'skippedBlocks',
        ] as const) {
          expect(replayed[key]).toEqual(state[key])
        }
      }),
      { numRuns: 60 },
    )
  })
})
