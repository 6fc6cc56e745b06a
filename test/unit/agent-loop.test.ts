import { setImmediate as nextTurn } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import type { LeaseRef, ShardPlan, Task, TaskWork } from '../../protocol/index.ts'
import { type AgentEvent, runAgent } from '../../worker-agent/agent/agent.ts'
import { createHeartbeats } from '../../worker-agent/agent/heartbeats.ts'
import type { Patience } from '../../worker-agent/agent/troubles.ts'
import { createWeightExchange } from '../../worker-agent/agent/weight-exchange.ts'
import type { CoordinatorClient, ReleaseReason } from '../../worker-agent/client/coordinator-client.ts'
import { CoordinatorError } from '../../worker-agent/client/requests.ts'
import { createLocalWeights, createModelShards } from '../fixtures/model-shards.ts'

// A coordinator and a trainer whose moods the real ones cannot be made to have at a given step.

const AGENT = 'a0123456789ab'
const KEYS = ['stem', 'left', 'right']
const PLAN: ShardPlan = { count: 2, shardOf: new Map(Object.entries({ stem: 0, left: 0, right: 1 })) }
const START = new Map(KEYS.map((key, i) => [key, Float32Array.of(1 + i, -i)]))
const PATIENCE: Patience = { troublesInARow: 5, firstMs: 1, longestMs: 4 }
/** What one step adds to each weight of its path. */
const STEP = 0.25
const STEPS = 8

const trainWork = (firstStep: number, operation: number, members?: number): TaskWork => ({
  kind: 'trainWeights',
  firstStep,
  paths: Array.from({ length: STEPS }, () => [operation]),
  ...(members === undefined ? {} : { round: { members, commonShare: 1, sharedOperations: [] } }),
})

type Mood = 'nan' | 'throws' | 'infinite-loss'

type Script = {
  readonly works: readonly TaskWork[]
  /** How training of a task goes, by task id; `times` bounds it. */
  readonly training?: ReadonlyMap<number, { mood: Mood; times: number }>
  readonly beforeStep?: (taskId: number, step: number, world: World) => Promise<void> | void
  readonly onPush?: (taskId: number, shard: number, world: World) => Promise<void> | void
  readonly onSubmit?: (taskId: number) => 'accepted' | 'duplicate'
  readonly heartbeat?: (taskId: number) => 'extended' | 'lost'
  readonly leaseMs?: number
  /** How often the coordinator has nothing yet before it hands out a task. */
  readonly waitsBefore?: (taskId: number) => number
  readonly patience?: Patience
}

type World = ReturnType<typeof createWorld>

function createWorld(script: Script) {
  const shards = createModelShards({ plan: PLAN, start: START })
  const weights = createLocalWeights(START)
  const stop = new AbortController()
  const events: AgentEvent[] = []
  const requests: string[] = []
  const released: ({ taskId: number } & ReleaseReason)[] = []
  const queued: Task[] = script.works.map((work, i) => {
    return { taskId: i + 1, leaseId: `l${String(i).padStart(12, '0')}`, leaseMs: script.leaseMs ?? 60_000, work }
  })
  const tasks = new Map(queued.map((task) => [task.work, task]))
  const moods = new Map([...(script.training ?? [])].map(([taskId, { mood, times }]) => [taskId, { mood, times }]))
  const done = new Set<number>()
  const waited = new Map<number, number>()
  let isRevoked = false
  /** How often the search was taken back, and whether the push under way is of before the last time. */
  let rollbacks = 0
  let isStale = false
  let optimiserResets = 0
  const leaseIdOf = (taskId: number) => `l${String(rollbacks * 1000 + taskId).padStart(12, '0')}`

  const client: CoordinatorClient = {
    searchId: 's0123456789ab',
    bytes: { sent: 0, received: 0 },
    coordinatorVersion: () => Promise.reject(new Error('not asked for')),
    readSpace: () => Promise.reject(new Error('not asked for')),
    readBits: () => Promise.reject(new Error('not asked for')),
    register: () => Promise.reject(new Error('not asked for')),
    async lease() {
      await nextTurn()
      if (isRevoked) throw new CoordinatorError('unauthorized', 401, 'the token was revoked')
      const [next] = queued
      if (next && (waited.get(next.taskId) ?? 0) < (script.waitsBefore?.(next.taskId) ?? 0)) {
        waited.set(next.taskId, (waited.get(next.taskId) ?? 0) + 1)
        return { kind: 'wait', reason: 'paused', retryAfterMs: 1, retryAtMostMs: 2 }
      }
      const task = queued.shift()
      if (task) {
        requests.push(`lease ${task.taskId}`)
        const counted = rollbacks > 0 && { rollbacks }
        return { kind: 'task', task: { ...task, leaseId: leaseIdOf(task.taskId), pushRight: String(rollbacks), ...counted } }
      }
      return done.size === script.works.length
        ? { kind: 'finished', phase: 'finished' }
        : { kind: 'wait', reason: 'all-handed-out', retryAfterMs: 1 }
    },
    heartbeat: async ({ taskId }) => script.heartbeat?.(taskId) ?? 'extended',
    async release({ taskId, leaseId }, { reason, message } = { reason: 'stopping' }) {
      if (leaseId !== leaseIdOf(taskId)) return
      released.push({ taskId, reason, ...(message !== undefined && { message }) })
      const task = [...tasks.values()].find((other) => other.taskId === taskId)
      if (task && !done.has(taskId)) queued.push(task)
    },
    async submit({ taskId, leaseId }) {
      await nextTurn()
      requests.push(`submit ${taskId}`)
      if (leaseId !== leaseIdOf(taskId)) return { kind: 'duplicate' }
      done.add(taskId)
      return { kind: script.onSubmit?.(taskId) ?? 'accepted' }
    },
    readCheckpoint: () => Promise.reject(new Error('not asked for')),
    storeCheckpoint: () => Promise.reject(new Error('not asked for')),
    async pull(shard, held) {
      await nextTurn()
      requests.push(`pull ${shard}`)
      return shards.pull(shard, held)
    },
    async push(shard, { taskId, pushRight }, tensors, baseVersions) {
      await nextTurn()
      requests.push(`push ${taskId} ${shard}`)
      await script.onPush?.(taskId, shard, world)
      isStale = pushRight !== String(rollbacks)
      return shards.push(shard, taskId, tensors, baseVersions)
    },
  }

  const trainer = {
    keysOf: (work: TaskWork) =>
      work.kind === 'trainWeights' ? [...new Set(['stem', ...work.paths.map(([operation]) => String(KEYS[1 + (operation ?? 0)]))])] : KEYS,
    prefetch: () => undefined,
    resetOptimiser: () => void (optimiserResets += 1),
    async run(work: TaskWork, betweenSteps: (stepsLeft: number) => Promise<void>) {
      const taskId = tasks.get(work)?.taskId ?? 0
      const mood = moods.get(taskId)
      const isMoody = mood !== undefined && mood.times-- > 0
      for (let step = 0; step < STEPS; step++) {
        await script.beforeStep?.(taskId, step, world)
        await betweenSteps(STEPS - step)
        if (isMoody && mood.mood === 'throws' && step === 3) throw new Error('out of memory')
        for (const key of trainer.keysOf(work)) {
          const values = weights.values(key)
          for (const [i, value] of values.entries()) values[i] = isMoody && mood.mood === 'nan' ? Number.NaN : value + STEP
        }
      }
      const loss = isMoody && mood.mood !== 'throws' ? Number.POSITIVE_INFINITY : 1
      return { result: { kind: 'trainWeights' as const, loss, correct: 1, images: 16 }, peakBytes: 0 }
    },
  }

  const world = {
    shards,
    weights,
    stop,
    events,
    requests,
    released,
    revoke: () => {
      isRevoked = true
    },
    /** Takes the search back to its start. */
    rollBack() {
      rollbacks += 1
      shards.rollBack(() => isStale)
      done.clear()
      queued.splice(0, queued.length, ...tasks.values())
    },
    optimiserResets: () => optimiserResets,
    /** A task that waits for its delivery makes the last lease wait, which is nothing to see here. */
    kinds: () => events.map(({ kind }) => kind).filter((kind) => kind !== 'waiting'),
    /** Another agent adds `step` to a weight, from its present version. */
    pushOther(key: string, taskId: number, step: number) {
      const tensors = new Map([[key, { shape: [2], values: Float32Array.of(step, step) }]])
      shards.push(PLAN.shardOf.get(key) as number, taskId, tensors, { [key]: shards.version(key) })
    },
    finishElsewhere: (taskId: number) => void done.add(taskId),
    run: () =>
      runAgent({
        client,
        registration: { agentId: AGENT },
        trainer,
        exchange: createWeightExchange({ client, agent: { agentId: AGENT }, encoding: 'fp32', plan: PLAN, weights }),
        sharedWork: {
          keysOf: trainer.keysOf,
          shareOf: () => 1,
          isShared: (work) => work.kind === 'trainWeights' && work.round !== undefined,
          membersOf: () => 2,
        },
        heartbeats: createHeartbeats((ref: LeaseRef) => client.heartbeat(ref)),
        stop: stop.signal,
        onEvent: (event) => void events.push(event),
        patience: script.patience ?? PATIENCE,
      }),
  }
  return world
}

/** Waits until `condition` holds, a bounded number of turns. */
async function until(condition: () => boolean): Promise<void> {
  for (let turns = 0; !condition(); turns++) {
    if (turns > 100_000) throw new Error('the condition never came true')
    await nextTurn()
  }
}

/** Every task has moved the weights of its path once, whatever went wrong on the way. */
function expectTrained(world: World, works: readonly TaskWork[]): void {
  for (const [index, key] of KEYS.entries()) {
    const tasks = works.filter((work) => work.kind === 'trainWeights' && (index === 0 || work.paths[0]?.[0] === index - 1)).length
    const start = START.get(key) as Float32Array
    expect(world.shards.value(key), key).toEqual(start.map((value) => value + tasks * STEPS * STEP))
    expect(world.weights.values(key).every(Number.isFinite), key).toBe(true)
  }
}

describe('an agent whose task comes to nothing', () => {
  const works = [trainWork(0, 0), trainWork(8, 0), trainWork(16, 1)]

  it('gives a task back whose numbers are not finite, and the weights are those of the shards again', async () => {
    const world = createWorld({ works, training: new Map([[2, { mood: 'nan', times: 1 }]]) })
    expect(await world.run()).toEqual({ kind: 'finished', phase: 'finished' })
    expect(world.kinds().toSorted()).toEqual(['refused', 'task', 'task', 'task'])
    expect(world.released).toEqual([{ taskId: 2, reason: 'bad-numbers', message: 'training gave a result that is not finite' }])
    expectTrained(world, works)
  })

  it('abandons the task that trains while the one before it is refused, and does both again', async () => {
    let isRefused = false
    const world = createWorld({
      works,
      // The refusal arrives while task 2 is at its third step.
      beforeStep: (taskId, step) => (taskId === 2 && step === 2 && !isRefused ? until(() => isRefused).then(() => nextTurn()) : undefined),
      onPush: (taskId, shard) => {
        if (taskId !== 1 || shard !== 0 || isRefused) return
        isRefused = true
        throw new CoordinatorError('bad-numbers', 422, 'tensor stem: element 0 is too large')
      },
    })
    expect(await world.run()).toEqual({ kind: 'finished', phase: 'finished' })
    expect(world.kinds().slice(0, 2)).toEqual(['refused', 'abandoned'])
    expect(world.released).toEqual([
      { taskId: 1, reason: 'failed', message: 'tensor stem: element 0 is too large' },
      { taskId: 2, reason: 'stopping' },
    ])
    expectTrained(world, works)
  })

  it('gives up a finished task too if the one before it is refused after that', async () => {
    let isRefused = false
    const world = createWorld({
      works,
      onPush: async (taskId, _, { requests }) => {
        if (taskId !== 1 || isRefused) return
        isRefused = true
        // Long enough for task 2 to be finished.
        for (let i = 0; i < 60; i++) await nextTurn()
        requests.push('refused')
        throw new CoordinatorError('bad-numbers', 422, 'tensor stem: element 0 is too large')
      },
    })
    expect(await world.run()).toEqual({ kind: 'finished', phase: 'finished' })
    expect(world.kinds().slice(0, 2)).toEqual(['refused', 'abandoned'])
    expectTrained(world, works)
  })

  it('goes on after a task that cannot be trained, and after a while tries it again', async () => {
    const world = createWorld({
      works: [trainWork(0, 0)],
      training: new Map([[1, { mood: 'throws', times: 2 }]]),
      patience: { troublesInARow: 5, firstMs: 100, longestMs: 150 },
    })
    expect(await world.run()).toEqual({ kind: 'finished', phase: 'finished' })
    expect(world.kinds()).toEqual(['failed', 'backing-off', 'failed', 'backing-off', 'task'])
    expect(world.events[0]).toEqual({ kind: 'failed', taskId: 1, message: 'out of memory' })
    const pauses = world.events.flatMap((event) => (event.kind === 'backing-off' ? [event.delayMs] : []))
    expect(pauses[0]).toBeLessThanOrEqual(100)
    expect(pauses[1]).toBeGreaterThan(100)
    expectTrained(world, [trainWork(0, 0)])
  })

  it('waits longer and longer while all its tasks come to nothing, and never ends', async () => {
    const world = createWorld({ works: [trainWork(0, 0)], training: new Map([[1, { mood: 'infinite-loss', times: 9 }]]) })
    expect(await world.run()).toEqual({ kind: 'finished', phase: 'finished' })
    const pauses = world.events.flatMap((event) => (event.kind === 'backing-off' ? [[event.inARow, event.delayMs]] : []))
    expect(pauses).toEqual([
      [5, 1],
      [6, 2],
      [7, 4],
      [8, 4],
      [9, 4],
    ])
    expectTrained(world, [trainWork(0, 0)])
  })

  it('asks more and more seldom while there is nothing, up to what the coordinator says, and anew after a task', async () => {
    const world = createWorld({ works: [trainWork(0, 0), trainWork(8, 0)], waitsBefore: () => 6 })
    expect(await world.run()).toEqual({ kind: 'finished', phase: 'finished' })
    const waits = world.events.flatMap((event) => (event.kind === 'waiting' && event.reason === 'paused' ? [event.waitMs] : []))
    const full = [1, 1.25, 1.5625, 1.953125, 2, 2]
    for (const [i, ms] of [...full, ...full].entries()) {
      expect(waits[i]).toBeLessThanOrEqual(ms)
      expect(waits[i]).toBeGreaterThan(0.75 * ms)
    }
    expect(new Set(waits).size).toBe(12)
  })

  it('stops while it waits', async () => {
    const world = createWorld({ works: [trainWork(0, 0)], training: new Map([[1, { mood: 'nan', times: 1000 }]]) })
    const ended = world.run()
    await until(() => world.kinds().includes('backing-off'))
    world.stop.abort(new Error('stopped'))
    expect(await ended).toEqual({ kind: 'interrupted' })
  })

  it('does the other tasks beside one that it does not understand', async () => {
    // Operation 7 has no weights here.
    const world = createWorld({ works: [trainWork(0, 7), ...works] })
    const ended = world.run()
    await until(() => world.kinds().filter((kind) => kind === 'task').length === works.length)
    world.stop.abort(new Error('stopped'))
    expect(await ended).toEqual({ kind: 'interrupted' })
    expect(world.events.find(({ kind }) => kind === 'failed')).toMatchObject({ taskId: 1, message: expect.stringContaining('no shard') })
    expectTrained(world, works)
  })

  it('ends where the coordinator wants nothing more from it', async () => {
    const world = createWorld({ works, beforeStep: (taskId, step, { revoke }) => (taskId === 2 && step === 0 ? revoke() : undefined) })
    await expect(world.run()).rejects.toMatchObject({ code: 'unauthorized' })
  })
})

describe('an agent whose search is taken back', () => {
  const works = [trainWork(0, 0), trainWork(8, 1), trainWork(16, 0)]

  it.each([
    ['while it trains', 0],
    ['while the task before is delivered', 1],
  ])('%s goes on from the weights that there are then, and nothing of before counts', async (_, place) => {
    let isBack = false
    const rollBack = (world: World) => {
      if (isBack) return
      isBack = true
      // What it holds came from weights that are no more.
      world.pushOther('stem', 100, 1024)
      world.rollBack()
    }
    const world = createWorld({
      works,
      beforeStep: (taskId, step) => void (place === 0 && taskId === 2 && step === 3 && rollBack(world)),
      onPush: (taskId) => void (place === 1 && taskId === 2 && rollBack(world)),
    })
    expect(await world.run()).toEqual({ kind: 'finished', phase: 'finished' })
    expect(isBack).toBe(true)
    // To the last bit: each task has counted once, from the start.
    expectTrained(world, works)
    for (const key of KEYS) expect(world.weights.values(key)).toEqual(world.shards.value(key))
    expect(world.optimiserResets()).toBeGreaterThan(0)
    // What it was at is given up, or a duplicate; it is nobody's failure.
    expect(world.kinds()).toContain('abandoned')
    expect(world.kinds()).not.toContain('failed')
    expect(world.kinds()).not.toContain('refused')
  })
})

describe('an agent on ordinary days', () => {
  const works = [trainWork(0, 0), trainWork(8, 1), trainWork(16, 0)]

  it('asks for nothing beyond lease, pull, push and submit when it is alone', async () => {
    const world = createWorld({ works })
    expect(await world.run()).toEqual({ kind: 'finished', phase: 'finished' })
    expectTrained(world, works)
    const count = (kind: string) => world.requests.filter((request) => request.startsWith(kind)).length
    // Two of the tasks touch shard 0 alone, the other one both.
    expect([count('lease'), count('pull'), count('push'), count('submit')]).toEqual([3, 4, 4, 3])
    expect(world.released).toEqual([])
  })

  it('takes a duplicate for an answer like others', async () => {
    const world = createWorld({ works, onSubmit: (taskId) => (taskId === 2 ? 'duplicate' : 'accepted') })
    expect(await world.run()).toEqual({ kind: 'finished', phase: 'finished' })
    expect(world.events.flatMap((event) => (event.kind === 'task' ? [event.outcome] : []))).toEqual(['accepted', 'duplicate', 'accepted'])
    expect(world.kinds()).toEqual(['task', 'task', 'task'])
  })

  it('leaves a task whose lease is lost before training to whoever has it now', async () => {
    let isLost = false
    const world = createWorld({
      works,
      leaseMs: 9,
      heartbeat: (taskId) => {
        if (taskId !== 2 || isLost) return 'extended'
        isLost = true
        return 'lost'
      },
      // Task 2 is leased while task 1 has a step to go, and its lease ends before that is done.
      beforeStep: (taskId, step, { requests }) =>
        taskId === 1 && step === STEPS - 1 ? until(() => isLost && requests.includes('lease 2')) : undefined,
    })
    const ended = world.run()
    await until(() => world.kinds().includes('lease-lost'))
    world.finishElsewhere(2)
    expect(await ended).toEqual({ kind: 'finished', phase: 'finished' })
    expect(world.kinds()).toEqual(['lease-lost', 'task', 'task'])
  })

  it('gives its lease back when it is stopped in the middle of a task', async () => {
    const world = createWorld({
      works,
      beforeStep: (taskId, step, { stop }) => (taskId === 1 && step === 4 ? stop.abort(new Error('stopped')) : undefined),
    })
    expect(await world.run()).toEqual({ kind: 'interrupted' })
    // The first pull took long, so the second task was leased already.
    expect(world.released.toSorted((a, b) => a.taskId - b.taskId)).toEqual([
      { taskId: 1, reason: 'stopping' },
      { taskId: 2, reason: 'stopping' },
    ])
  })
})

describe('an agent that is stopped', () => {
  it('still delivers the task that it has just finished', async () => {
    const works = [trainWork(0, 0), trainWork(8, 0)]
    const world = createWorld({
      works,
      onPush: (taskId, _, { stop }) => (taskId === 1 ? stop.abort(new Error('stopped')) : undefined),
    })
    expect(await world.run()).toEqual({ kind: 'interrupted' })
    expect(world.requests).toContain('submit 1')
    expect(world.released.map(({ taskId }) => taskId)).toEqual([2])
  })
})

describe('an agent whose task others work on too', () => {
  it('takes in what they have pushed between two of its steps', async () => {
    const works = [trainWork(0, 0, 2), trainWork(8, 0, 2)]
    const seen: number[] = []
    let isOtherThere = false
    const world = createWorld({
      works,
      beforeStep: async (taskId, step, { pushOther, weights, requests }) => {
        if (taskId !== 2) return
        seen.push(weights.values('stem')[0] as number)
        if (isOtherThere) return
        // The other agent pushes when this one has leased its second task and not yet delivered its first.
        isOtherThere = true
        pushOther('stem', 1000, 100)
        await until(() => requests.includes('submit 1'))
      },
    })
    expect(await world.run()).toEqual({ kind: 'finished', phase: 'finished' })
    const jumps = seen.slice(1).map((value, i) => value - (seen[i] as number))
    const at = jumps.findIndex((jump) => jump > 50)
    expect(at, `${seen}`).toBeGreaterThanOrEqual(0)
    expect(at, `${seen}`).toBeLessThan(STEPS / 2)
    expect(jumps.filter((jump) => jump !== STEP)).toHaveLength(1)
    // The first task's push came after the other's, so it was stale by one and halved; the second one's was not.
    expect(world.shards.value('stem')[0]).toBe(1 + 100 + STEPS * STEP * 0.5 + STEPS * STEP)
    const pulls = world.requests.slice(world.requests.indexOf('submit 1')).filter((request) => request.startsWith('pull 0'))
    expect(pulls.length).toBeLessThanOrEqual(2)
  })
})
