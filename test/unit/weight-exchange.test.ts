import { setImmediate as nextTurn } from 'node:timers/promises'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type PushResponse, type ShardPlan, velocityKey } from '../../protocol/index.ts'
import { createWeightExchange, type Differences, type Pulled } from '../../worker-agent/agent/weight-exchange.ts'
import type { CoordinatorClient } from '../../worker-agent/client/coordinator-client.ts'
import { CoordinatorError } from '../../worker-agent/client/requests.ts'
import { createLocalWeights, createModelShards } from '../fixtures/model-shards.ts'

const AGENT = { agentId: 'a0123456789ab' }
const SHARD_OF = { stem: 0, left: 0, right: 1, wide: 1, head: 2 } as const
const KEYS = Object.keys(SHARD_OF)
const PLAN: ShardPlan = { count: 3, shardOf: new Map(Object.entries(SHARD_OF)) }
/** A weight that tasks train by parts. */
const SLICED = new Map([['wide', [3, 2]]]) as ReadonlyMap<string, readonly [number, number]>
const sizeOf = (key: string) => SLICED.get(key)?.reduce((product, size) => product * size, 1) ?? 3
const START = new Map(
  KEYS.map((key, i) => [key, Float32Array.from({ length: sizeOf(key) }, (_, at) => [i - 1.3, 0.1 * i, 3 ** -i][at % 3] as number)]),
)
/** Other agents number their tasks from here. */
const OTHERS = 1000
const OTHERS_STEPS = [1, -1, 0.5]

type Encoding = 'fp32' | 'bf16' | 'int8'
type Settings = { encoding: Encoding; staleness: 'inverse' | 'none'; share: number }
type Command = { kind: string; n: number; keys: string[]; step: number }

/** The part of a weight that a task trains, by a number: the whole where weights are not sliced. */
function partOf(key: string, n: number): readonly number[] {
  const [rows, columns] = SLICED.get(key) ?? []
  return rows && columns ? [1 + (n % rows), 1 + (Math.floor(n / rows) % columns)] : [sizeOf(key)]
}

/** Whether an element is in a part. */
function isInside(key: string, part: readonly number[], index: number): boolean {
  const [, columns] = SLICED.get(key) ?? []
  return columns === undefined || (Math.floor(index / columns) < (part[0] as number) && index % columns < (part[1] as number))
}

/** One agent, its shards, and a network whose messages arrive when the test says so. */
function createWorld({ encoding, staleness, share }: Settings) {
  const shards = createModelShards({ plan: PLAN, start: START, sliced: SLICED, encoding, staleness })
  const weights = createLocalWeights(START, SLICED)
  const messages: (() => void)[] = []
  const inbox: Pulled[] = []
  const unsent: Differences[] = []
  const underWay = new Set<Promise<void>>()
  const answers: PushResponse[] = []
  const failures: unknown[] = []
  /** What training changed, times its share, of the tasks that finished. */
  const learnt = new Map(KEYS.map((key) => [key, new Float64Array(sizeOf(key))]))
  /** The largest number in any difference. */
  let largest = 0
  const moods = { refuse: false, loseAnswer: false }
  let task: { keys: string[]; n: number; learnt: Map<string, Float64Array> } | null = null
  let tasks = 0
  let others = OTHERS
  let openPulls = 0
  let openPushes = 0

  const hop = () => new Promise<void>((resolve) => void messages.push(resolve))
  const client: Pick<CoordinatorClient, 'pull' | 'push'> = {
    async pull(shard, held) {
      await hop()
      const answer = shards.pull(shard, held)
      await hop()
      return answer
    },
    async push(shard, { taskId }, tensors, baseVersions) {
      for (const { values } of tensors.values()) largest = Math.max(largest, ...values.map((value) => Math.abs(value)))
      await hop()
      if (moods.refuse) {
        moods.refuse = false
        await hop()
        throw new CoordinatorError('bad-numbers', 422, 'refused')
      }
      let answer = shards.push(shard, taskId, tensors, baseVersions)
      if (moods.loseAnswer) {
        moods.loseAnswer = false
        await hop()
        answer = shards.push(shard, taskId, tensors, baseVersions)
      }
      answers.push(answer)
      await hop()
      return answer
    },
  }
  const exchange = createWeightExchange({ client, agent: AGENT, encoding, plan: PLAN, weights })
  // 'right' is trained by this agent alone, the others are shared; of 'wide' the first column by all, the second by this agent.
  const shareAt = (key: string, index: number) => (key === 'right' || (key === 'wide' && index % 2 === 1) ? 1 : share)
  const shareOf = (key: string, part: readonly number[]) => {
    if (!SLICED.has(key)) return shareAt(key, 0)
    return { part, ofElements: Float64Array.from({ length: sizeOf(key) }, (_, i) => (isInside(key, part, i) ? shareAt(key, i) : 0)) }
  }

  const change = (key: string, step: number) => {
    const values = weights.values(key)
    const part = partOf(key, task?.n ?? 0)
    for (const [i, before] of values.entries()) {
      if (!isInside(key, part, i)) continue
      values[i] = before + step * (i + 1)
      const sum = task?.learnt.get(key)
      if (sum) sum[i] = (sum[i] as number) + (values[i] as number) - before
    }
  }
  const track = (promise: Promise<void>) => {
    const tracked: Promise<void> = promise
      .catch((error: unknown) => void failures.push(error))
      .finally(() => {
        underWay.delete(tracked)
      })
    underWay.add(tracked)
  }
  const push = () => {
    const differences = unsent.shift()
    if (!differences) return
    if (exchange.isDropped(differences)) {
      exchange.discard(differences.byKey.keys(), differences)
      return
    }
    openPushes += 1
    track(exchange.push(differences).finally(() => void (openPushes -= 1)))
  }
  const pull = (keys: string[]) => {
    openPulls += 1
    track(
      exchange
        .pull(keys)
        .then((pulled) => void inbox.push(pulled))
        .finally(() => void (openPulls -= 1)),
    )
  }
  const finish = async () => {
    if (!task) return
    const { keys, n, learnt: sums } = task
    task = null
    tasks += 1
    const finished = await exchange.finish({ taskId: tasks, members: 1 }, keys, (key) => shareOf(key, partOf(key, n)))
    if (finished.kind !== 'made') {
      exchange.discard(keys)
      return
    }
    unsent.push(finished.differences)
    for (const [key, sum] of sums) {
      const total = learnt.get(key) as Float64Array
      for (const [i, value] of sum.entries()) total[i] = (total[i] as number) + shareAt(key, i) * value
    }
  }
  const pushOthers = (keys: string[], n: number, step: number, taskId: number) => {
    for (const key of keys) {
      const shard = PLAN.shardOf.get(key) as number
      const part = partOf(key, n)
      const length = part.reduce((product, size) => product * size, 1)
      const values = Float32Array.from({ length }, (_, i) => step * (OTHERS_STEPS[i % 3] as number))
      const tensors = new Map([[key, { shape: part, values }]])
      shards.push(shard, taskId + shard * OTHERS, tensors, { [key]: Math.max(0, shards.version(key) - (n % 3)) })
    }
  }

  const run = async ({ kind, n, keys, step }: Command): Promise<void> => {
    switch (kind) {
      case 'train':
        if (task) {
          for (const key of task.keys) change(key, step)
        } else if (exchange.discarded(keys).length === 0) {
          task = { keys, n, learnt: new Map(keys.map((key) => [key, new Float64Array(sizeOf(key))])) }
          await exchange.begin(keys)
        }
        break
      case 'diverge':
        if (task) change(task.keys[0] as string, Number.NaN)
        break
      case 'finish':
        await finish()
        break
      case 'push':
        push()
        break
      case 'pull':
        pull(keys)
        break
      case 'adopt': {
        const [pulled] = inbox.splice(n % Math.max(1, inbox.length), 1)
        if (pulled) await exchange.adopt(pulled)
        break
      }
      case 'discard':
        exchange.discard(keys)
        break
      case 'adopt-and-discard': {
        const pulled = inbox.pop()
        const adopted = pulled && exchange.adopt(pulled)
        exchange.discard(keys)
        await adopted
        break
      }
      case 'finish-and-discard': {
        const finished = finish()
        exchange.discard(keys)
        await finished
        break
      }
      case 'others':
        others += 10 * OTHERS
        pushOthers(keys.slice(0, 1), n, step, others)
        break
      case 'steal':
        // Somebody else delivers the task that this agent is about to push, to one of its shards.
        for (const key of [...(unsent[0]?.byKey.keys() ?? [])].slice(0, 1)) {
          const shard = PLAN.shardOf.get(key) as number
          const part = SLICED.has(key) ? [1, 1] : [3]
          const tensors = new Map([
            [key, { shape: part, values: SLICED.has(key) ? Float32Array.of(step) : Float32Array.of(step, 0, -step) }],
          ])
          shards.push(shard, unsent[0]?.task.taskId as number, tensors, { [key]: shards.version(key) })
        }
        break
      case 'snapshot':
        shards.takeSnapshot()
        break
      case 'roll-back': {
        // What this agent has done and is doing is of before; others begin anew.
        const last = tasks + (task ? 1 : 0)
        shards.rollBack((taskId) => taskId <= last)
        break
      }
      case 'hear-of-it':
        exchange.discardAll()
        break
      case 'refuse':
        moods.refuse = true
        break
      case 'lose-answer':
        moods.loseAnswer = true
        break
      case 'network':
        // Several at once, in any order.
        for (let i = 0; i <= n % 4; i++) messages.splice((n + i) % Math.max(1, messages.length), 1)[0]?.()
        break
      default:
        throw new Error(`unknown command ${kind}`)
    }
    await nextTurn()
    const broken = KEYS.filter((key) => !task?.keys.includes(key) && exchange.discarded([key]).length === 0).filter((key) =>
      weights.values(key).some(Number.isNaN),
    )
    expect(broken, `weights that are not numbers after ${kind}`).toEqual([])
  }

  const settle = async () => {
    while (underWay.size > 0) {
      messages.shift()?.()
      await nextTurn()
    }
  }
  /** Ends the task, delivers everything, and takes in what the shards have. */
  const quiesce = async (): Promise<Pulled> => {
    await finish()
    moods.refuse = false
    while (unsent.length > 0) {
      push()
      await settle()
    }
    await settle()
    for (const pulled of inbox.splice(0)) await exchange.adopt(pulled)
    pull(KEYS)
    await settle()
    for (const pulled of inbox.splice(0)) await exchange.adopt(pulled)
    pull(KEYS)
    await settle()
    return inbox[0] ?? new Map()
  }

  return { shards, weights, exchange, run, quiesce, answers, failures, learnt, largest: () => largest }
}

const commandOf = (...kinds: string[]): fc.Arbitrary<Command> =>
  fc.record({
    kind: fc.constantFrom(...kinds),
    n: fc.nat({ max: 20 }),
    keys: fc.subarray(KEYS, { minLength: 1 }),
    step: fc.double({ min: -0.5, max: 0.5, noNaN: true }),
  })

const settings = fc.record<Settings>({
  encoding: fc.constantFrom<Encoding>('fp32', 'bf16', 'int8'),
  staleness: fc.constantFrom<'inverse' | 'none'>('inverse', 'none'),
  share: fc.constantFrom(1, 0.5, 1 / 3),
})

/** Long enough for pulls, pushes and tasks to overlap several times over. */
const LONG = { minLength: 30, maxLength: 150, size: 'max' } as const

/** Far above float32's rounding of a few hundred sums near 1, and bfloat16's of one. */
const tolerance = (encoding: Encoding, values: Float32Array) =>
  (encoding === 'fp32' ? 1e-5 : 2 ** -6) * (1 + Math.max(...values.map((value) => Math.abs(value))))

const distance = (a: ArrayLike<number>, b: ArrayLike<number>) =>
  Math.max(...Array.from(a, (value, i) => Math.abs(value - (b[i] as number))))

/** What happens on a good day, most of it the network at work. */
const ORDINARY = [
  'train',
  'train',
  'train',
  'finish',
  'finish',
  'push',
  'push',
  'pull',
  'adopt',
  'network',
  'network',
  'network',
  'network',
]
const TROUBLE = ['diverge', 'discard', 'adopt-and-discard', 'finish-and-discard', 'steal', 'refuse', 'lose-answer']

const rolledBack = [...ORDINARY, ...ORDINARY, 'pull', 'adopt', 'others', 'others', 'snapshot', 'roll-back']

const commandLists = fc.oneof(
  fc.array(commandOf(...ORDINARY, ...ORDINARY, 'others', 'others'), LONG),
  fc.array(commandOf(...ORDINARY, ...ORDINARY, 'pull', 'adopt', 'adopt', 'steal', 'steal'), LONG),
  fc.array(commandOf(...ORDINARY, ...ORDINARY, ...ORDINARY, 'pull', 'adopt', 'others', 'others', ...TROUBLE), LONG),
  // An agent of before there were rollbacks never hears of one.
  fc.array(commandOf(...rolledBack), LONG),
  fc.array(commandOf(...rolledBack, 'hear-of-it', ...TROUBLE), LONG),
)

describe('the exchange of weights, whatever overlaps', () => {
  it('ends with the weights of the shards, and knows that it has them', () =>
    fc.assert(
      fc.asyncProperty(settings, commandLists, async (how, commands) => {
        const world = createWorld(how)
        for (const command of commands) await world.run(command)
        const again = await world.quiesce()
        expect(
          world.failures.filter((error) => !(error instanceof CoordinatorError && error.code === 'bad-numbers')),
          'failures',
        ).toEqual([])
        expect(world.exchange.discarded(KEYS)).toEqual([])
        for (const key of KEYS) {
          const value = world.shards.value(key)
          expect(distance(world.weights.values(key), value), key).toBeLessThan(tolerance(how.encoding, value))
        }
        expect([...again.keys()], 'pulled although it is held').toEqual([])
      }),
      { numRuns: 200 },
    ))

  it('gives the shards each share of what was learnt once, to one rounding', () =>
    fc.assert(
      fc.asyncProperty(
        settings,
        fc.array(commandOf(...ORDINARY, ...ORDINARY, 'others', 'others'), LONG),
        async ({ encoding, share }, commands) => {
          const world = createWorld({ encoding, share, staleness: 'none' })
          const others = new Map(KEYS.map((key) => [key, new Float64Array(sizeOf(key))]))
          for (const command of commands) {
            await world.run(command)
            const [key] = command.keys
            if (command.kind !== 'others' || key === undefined) continue
            const sum = others.get(key) as Float64Array
            let at = 0
            for (const i of sum.keys()) {
              if (isInside(key, partOf(key, command.n), i))
                sum[i] = (sum[i] as number) + Math.fround(command.step * (OTHERS_STEPS[at++ % 3] as number))
            }
          }
          await world.quiesce()
          for (const key of KEYS) {
            const own = world.shards.applied(key).map((value, i) => value - (others.get(key)?.[i] as number))
            const wanted = world.learnt.get(key) as Float64Array
            // A task's difference is less than 8 here; what bfloat16 keeps back of the last one is a 512th of it, bytes a 254th: half of their scale.
            expect(distance(own, wanted), key).toBeLessThan({ fp32: 1e-4, bf16: 2 ** -6, int8: 8 / 254 }[encoding])
            const moved = world.shards.value(key).map((value, i) => value - (START.get(key)?.[i] as number))
            expect(distance(moved, world.shards.applied(key)), key).toBeLessThan(1e-4)
          }
        },
      ),
      { numRuns: 150 },
    ))

  it('leaves an agent that is alone as a single process would be, bit for bit, and has nothing to pull', () =>
    fc.assert(
      fc.asyncProperty(fc.array(commandOf(...ORDINARY), LONG), async (commands) => {
        const world = createWorld({ encoding: 'fp32', staleness: 'inverse', share: 1 })
        const plain = new Map([...START].map(([key, values]) => [key, values.slice()]))
        let task: Command | null = null
        for (const command of commands) {
          await world.run(command)
          if (command.kind === 'finish') task = null
          if (command.kind !== 'train') continue
          if (!task) {
            task = command
            continue
          }
          for (const key of task.keys) {
            const values = plain.get(key) as Float32Array
            for (const [i, value] of values.entries()) if (isInside(key, partOf(key, task.n), i)) values[i] = value + command.step * (i + 1)
          }
        }
        for (const key of KEYS) expect(world.weights.values(key), key).toEqual(plain.get(key))
        expect((await world.quiesce()).size).toBe(0)
        for (const key of KEYS) expect(world.weights.values(key), key).toEqual(plain.get(key))
        for (const answer of world.answers) expect(answer).toMatchObject({ kind: 'applied', scales: {} })
      }),
      { numRuns: 200 },
    ))

  it('never counts own pushes as staleness, also where weights were given up in between', () =>
    fc.assert(
      fc.asyncProperty(
        fc.array(commandOf(...ORDINARY, ...ORDINARY, 'pull', 'adopt', 'discard', 'adopt-and-discard', 'refuse'), LONG),
        async (commands) => {
          const world = createWorld({ encoding: 'fp32', staleness: 'inverse', share: 1 })
          for (const command of commands) await world.run(command)
          await world.quiesce()
          for (const answer of world.answers) expect(answer).toMatchObject({ kind: 'applied', scales: {} })
        },
      ),
      { numRuns: 200 },
    ))
})

/** An exchange without delays, on one weight. */
function createPair({ encoding = 'fp32', share = 1 }: { encoding?: Encoding; share?: number } = {}) {
  const shards = createModelShards({ plan: PLAN, start: START, encoding })
  const weights = createLocalWeights(START)
  const answers: PushResponse[] = []
  const moods = { loseAnswer: false }
  const client: Pick<CoordinatorClient, 'pull' | 'push'> = {
    pull: async (shard, held) => shards.pull(shard, held),
    async push(shard, { taskId }, tensors, baseVersions) {
      if (moods.loseAnswer) shards.push(shard, taskId, tensors, baseVersions)
      const answer = shards.push(shard, taskId, tensors, baseVersions)
      answers.push(answer)
      return answer
    },
  }
  const exchange = createWeightExchange({ client, agent: AGENT, encoding, plan: PLAN, weights })
  const stem = () => weights.values('stem')[0] as number
  let tasks = 0
  const train = (step: number) => {
    const values = weights.values('stem')
    values[0] = (values[0] as number) + step
  }
  const task = async (step: number): Promise<Differences> => {
    await exchange.begin(['stem'])
    train(step)
    tasks += 1
    const finished = await exchange.finish({ taskId: tasks, members: 1 }, ['stem'], () => share)
    if (finished.kind !== 'made') throw new Error(`expected differences, the task was ${finished.kind}`)
    return finished.differences
  }
  const pushOther = (step: number) => {
    tasks += 1
    const tensors = new Map([['stem', { shape: [3], values: Float32Array.of(step, 0, 0) }]])
    shards.push(0, OTHERS + tasks, tensors, { stem: shards.version('stem') })
  }
  return { shards, weights, exchange, answers, moods, stem, train, task, pushOther }
}

describe('the exchange of one weight', () => {
  it('moves a weight by what others have learnt while a task trains on it, and the task keeps what it has', async () => {
    const { exchange, stem, train, pushOther, shards } = createPair()
    const start = stem()
    await exchange.begin(['stem'])
    train(0.25)
    pushOther(8)
    await exchange.adopt(await exchange.pull(['stem']))
    expect(stem()).toBeCloseTo(start + 8.25)
    train(0.25)
    const finished = await exchange.finish({ taskId: 1, members: 1 }, ['stem'], () => 1)
    if (finished.kind !== 'made') throw new Error(finished.kind)
    await exchange.push(finished.differences)
    expect(shards.value('stem')[0]).toBeCloseTo(start + 8.5)
  })

  it('counts only the pushes of others that a difference does not contain as its staleness', async () => {
    const { exchange, answers, task, pushOther } = createPair()
    pushOther(1)
    await exchange.push(await task(0.25))
    await exchange.push(await task(0.25))
    expect(answers.map(({ scales }) => scales)).toEqual([{ stem: 0.5 }, { stem: 0.5 }])
  })

  it('adds to a pull what it has pushed since, as much as the shard took of it', async () => {
    const { exchange, stem, task, pushOther, shards, answers } = createPair()
    const start = stem()
    pushOther(1)
    const pulled = await exchange.pull(['stem'])
    pushOther(2)
    await exchange.push(await task(0.75))
    expect(answers[0]?.scales['stem']).toBeCloseTo(1 / 3)
    await exchange.adopt(pulled)
    expect(stem()).toBeCloseTo(start + 1 + 0.25)
    await exchange.adopt(await exchange.pull(['stem']))
    expect(stem()).toBe(shards.value('stem')[0])
    expect(stem()).toBeCloseTo(start + 3 + 0.25)
  })

  it('ignores a pull that a newer one has overtaken', async () => {
    const { exchange, stem, pushOther } = createPair()
    const start = stem()
    pushOther(1)
    const older = await exchange.pull(['stem'])
    pushOther(1)
    await exchange.adopt(await exchange.pull(['stem']))
    await exchange.adopt(older)
    expect(stem()).toBeCloseTo(start + 2)
  })

  it('ignores a pull from before a discard, and pulls whatever the version then', async () => {
    const { exchange, stem, weights, pushOther } = createPair()
    const start = stem()
    pushOther(1)
    const older = await exchange.pull(['stem'])
    exchange.discard(['stem'])
    weights.write('stem', Float32Array.of(Number.NaN, 0, 0))
    await exchange.adopt(older)
    expect(exchange.discarded(['stem', 'left'])).toEqual(['stem'])
    // Also one that arrives while a pull is being adopted.
    await exchange.adopt(await exchange.pull(['stem']))
    pushOther(0)
    const adopted = exchange.adopt(await exchange.pull(['stem']))
    exchange.discard(['stem'])
    await adopted
    expect(exchange.discarded(['stem', 'left'])).toEqual(['stem'])
    await expect(exchange.begin(['stem'])).rejects.toThrow('pulled before it is trained')
    await exchange.adopt(await exchange.pull(['stem']))
    expect(exchange.discarded(['stem', 'left'])).toEqual([])
    expect(stem()).toBeCloseTo(start + 1)
  })

  it('takes a difference back that somebody else had delivered and that is pulled already', async () => {
    const { exchange, stem, task, shards } = createPair()
    const differences = await task(0.25)
    const { values } = differences.byKey.get('stem') ?? { values: new Float32Array() }
    shards.push(0, differences.task.taskId, new Map([['stem', { shape: [3], values }]]), { stem: 0 })
    await exchange.adopt(await exchange.pull(['stem']))
    await exchange.push(differences)
    await exchange.adopt(await exchange.pull(['stem']))
    expect(stem()).toBe(shards.value('stem')[0])
  })

  it('keeps the bits of a weight that the shard turns out to have as it is', async () => {
    const { exchange, stem, train, task, moods, answers } = createPair()
    moods.loseAnswer = true
    await exchange.push(await task(0.1))
    expect(answers.map(({ kind }) => kind)).toEqual(['duplicate'])
    await exchange.begin(['stem'])
    train(1e-8)
    train(0.3)
    const before = stem()
    const pulled = await exchange.pull(['stem'])
    expect([...pulled.keys()]).toEqual(['stem'])
    await exchange.adopt(pulled)
    expect(stem()).toBe(before)
  })

  it.each([1, 0.5, 1 / 3])('loses nothing to bfloat16 over many small steps, with a share of %f', async (share) => {
    const { exchange, shards, task } = createPair({ encoding: 'bf16', share })
    const step = 0.001234
    for (let i = 0; i < 300; i++) {
      await exchange.push(await task(step))
    }
    // The weight itself is stored as float32 after each of them.
    expect(Math.abs((shards.applied('stem')[0] as number) - 300 * share * step)).toBeLessThan(share * step * 2 ** -8 + 300 * 2 ** -24)
  })

  it('says so where two of its operations on local weights overlap', async () => {
    const { exchange } = createPair()
    const first = exchange.begin(['stem'])
    await expect(exchange.begin(['left'])).rejects.toThrow('must not overlap')
    await first
  })
})

describe('the exchange of a weight that tasks train by parts', () => {
  const KEY = 'wide'
  const count = sizeOf(KEY)
  const inPart = (part: readonly number[]) => Float64Array.from({ length: count }, (_, i) => (isInside(KEY, part, i) ? 1 : 0))

  function createPartWorld(encoding: Encoding) {
    const shards = createModelShards({ plan: PLAN, start: START, sliced: SLICED, encoding })
    const weights = createLocalWeights(START, SLICED)
    const pushed: { shape: readonly number[]; length: number }[] = []
    const client: Pick<CoordinatorClient, 'pull' | 'push'> = {
      pull: async (shard, held) => shards.pull(shard, held),
      async push(shard, { taskId }, tensors, baseVersions) {
        for (const { shape, values } of tensors.values()) pushed.push({ shape, length: values.length })
        return shards.push(shard, taskId, tensors, baseVersions)
      },
    }
    const exchange = createWeightExchange({ client, agent: AGENT, encoding, plan: PLAN, weights })
    let tasks = 0
    const task = async (part: readonly number[], change: (i: number) => number) => {
      tasks += 1
      await exchange.begin([KEY])
      const values = weights.values(KEY)
      for (const [i, value] of values.entries()) if (isInside(KEY, part, i)) values[i] = value + change(i)
      const finished = await exchange.finish({ taskId: tasks, members: 1 }, [KEY], () => ({ part, ofElements: inPart(part) }))
      if (finished.kind !== 'made') throw new Error(finished.kind)
      await exchange.push(finished.differences)
    }
    return { shards, weights, pushed, task }
  }

  it.each(['fp32', 'bf16', 'int8'] as const)(
    'sends the part alone, and what no task has trained does not move, in %s',
    async (encoding) => {
      const { shards, weights, pushed, task } = createPartWorld(encoding)
      // Rounding keeps something back of every element; the next tasks train the first one alone.
      await task([3, 2], (i) => 0.1 + i / 7)
      const after = shards.value(KEY).slice()
      const local = weights.values(KEY).slice()
      for (let i = 0; i < 3; i++) await task([1, 1], () => 0.001)
      expect(pushed.map(({ shape, length }) => [...shape, length])).toEqual([[3, 2, 6], ...Array.from({ length: 3 }, () => [1, 1, 1])])
      expect([...shards.value(KEY).subarray(1)]).toEqual([...after.subarray(1)])
      expect([...weights.values(KEY).subarray(1)]).toEqual([...local.subarray(1)])
      expect(shards.value(KEY)[0]).not.toBe(after[0])
    },
  )

  it('gives what int8 kept back of an element with the next difference that has it in its part', async () => {
    const { shards, task } = createPartWorld('int8')
    const step = (i: number) => 0.013 * (i + 1)
    for (let i = 0; i < 40; i++) await task(i % 2 === 0 ? [3, 2] : [2, 1], step)
    for (const [i, value] of shards.applied(KEY).entries()) {
      const times = isInside(KEY, [2, 1], i) ? 40 : 20
      // Half a step of the last scale, 0.078 / 127, and float32 sums.
      expect(Math.abs(value - times * step(i))).toBeLessThan(0.078 / 127)
    }
  })
})

describe('velocities', () => {
  const VELOCITY = velocityKey('left')
  const start = new Map([...START, [VELOCITY, Float32Array.of(0, 0, 0)]])

  function createVelocityWorld() {
    const shards = createModelShards({ plan: { ...PLAN, shardOf: new Map([...PLAN.shardOf, [VELOCITY, 0]]) }, start })
    const weights = createLocalWeights(start)
    const client: Pick<CoordinatorClient, 'pull' | 'push'> = {
      pull: (shard, held) => Promise.resolve(shards.pull(shard, held)),
      push: (shard, { taskId }, tensors, baseVersions) => Promise.resolve(shards.push(shard, taskId, tensors, baseVersions)),
    }
    const exchange = createWeightExchange({ client, agent: AGENT, encoding: 'fp32', plan: PLAN, weights })
    const train = async (taskId: number, to: number, share: number) => {
      await exchange.begin([VELOCITY])
      weights.values(VELOCITY).fill(to)
      const finished = await exchange.finish({ taskId, members: 2 }, [VELOCITY], () => share)
      if (finished.kind !== 'made') throw new Error(`expected differences, got ${finished.kind}`)
      await exchange.push(finished.differences)
    }
    return { shards, weights, exchange, train }
  }

  it('made before any was exchanged count from zero', async () => {
    const { shards, weights, train } = createVelocityWorld()
    weights.values(VELOCITY).fill(5)
    await train(1, 7, 1)
    expect([...shards.value(VELOCITY)]).toEqual([7, 7, 7])
  })

  it('of several agents with one operation are averaged', async () => {
    const { shards, weights, train } = createVelocityWorld()
    await train(1, 4, 1 / 2)
    // The shard has the other one's half when this agent pulls.
    shards.push(0, 1001, new Map([[VELOCITY, { shape: [3], values: Float32Array.of(1, 1, 1) }]]), { [VELOCITY]: shards.version(VELOCITY) })
    expect([...shards.value(VELOCITY)]).toEqual([3, 3, 3])
    expect([...weights.values(VELOCITY)]).toEqual([2, 2, 2])
  })

  it('that the task under way has used stay, element by element, and the others become the shard’s', async () => {
    const { shards, weights, exchange } = createVelocityWorld()
    await exchange.begin([VELOCITY])
    weights.values(VELOCITY)[0] = 7
    shards.push(0, 1001, new Map([[VELOCITY, { shape: [3], values: Float32Array.of(1, 2, 3) }]]), { [VELOCITY]: 0 })
    await exchange.adopt(await exchange.pull([VELOCITY]))
    expect([...weights.values(VELOCITY)]).toEqual([7, 2, 3])
    // A second pull finds the same elements unused.
    shards.push(0, 1002, new Map([[VELOCITY, { shape: [3], values: Float32Array.of(1, 1, 1) }]]), { [VELOCITY]: 1 })
    await exchange.adopt(await exchange.pull([VELOCITY]))
    expect([...weights.values(VELOCITY)]).toEqual([7, 3, 4])
  })

  it('that were given up are pulled anew, weights are kept', async () => {
    const { weights, exchange, train } = createVelocityWorld()
    await train(1, 4, 1)
    await exchange.begin(['left'])
    exchange.discardVelocities()
    expect(exchange.discarded([VELOCITY, 'left'])).toEqual([VELOCITY])
    weights.values(VELOCITY).fill(0)
    await exchange.adopt(await exchange.pull([VELOCITY]))
    expect([...weights.values(VELOCITY)]).toEqual([4, 4, 4])
  })
})
