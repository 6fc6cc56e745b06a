// What `npm run chaos` checks a shard against, on a real shard: it agrees with what honest ones come to, and with nothing else.

import { beforeEach, describe, expect, it } from 'vitest'
import { type PushRight, velocityKey } from '../../protocol/index.ts'
import { readShard, type ShardState } from '../chaos/applied-pushes.ts'
import { createReplica, type Replica } from '../chaos/replica.ts'
import { call, createTestSearch, encodePush, keysOf, push, registerTestAgent, type TestSearch } from './api.ts'

const STEM = 'stem/conv/conv.filter'
const BIAS = 'classifier/conv/linear.bias'
const TASKS = 10

let search: TestSearch
let replica: Replica
let state: ShardState
const agents: string[] = []
/** Replaced by tests that change what is known of leases. */
let holders: Map<string, { taskId: number; agentId: string }>

/** What is told of the shard, and known of leases, in place of the truth. */
type Change = {
  readonly applied?: (rows: ShardState['applied']) => ShardState['applied']
  readonly holders?: (known: typeof holders) => unknown
}

const leaseOf = (taskId: number) => `l${String(taskId).padStart(12, '0')}`

/** Pushes as an agent does, seen by the replica; `isSeen` says whether the answer is too. */
async function pushSeen(taskId: number, bytes: Uint8Array<ArrayBuffer>, { members = 1, isSeen = true } = {}): Promise<void> {
  const agentId = agents[taskId % 2] as string
  const leaseId = leaseOf(taskId)
  const right: PushRight = {
    searchId: search.searchId,
    taskId,
    leaseId,
    agentId,
    tokenId: search.tokenId,
    options: '',
    members,
    velocities: true,
  }
  const sent = { shard: 0, right, bytes }
  holders.set(leaseId, { taskId, agentId })
  replica.sent(sent)
  const answer = await push(search, agentId, taskId, bytes, 0, { leaseId, members })
  if (isSeen) replica.answered(sent, answer)
}

const read = () =>
  readShard((path, json) => call(json === undefined ? 'GET' : 'POST', `${search.path}${path}`, { json }), 0, keysOf(search, 0))
const check = (changed: Partial<ShardState> = {}) => replica.check(0, { ...state, ...changed }, (leaseId) => holders.get(leaseId))

beforeEach(async () => {
  search = await createTestSearch()
  replica = createReplica(search.space, { seed: search.config.seed, shardBytes: search.config.weights.shardBytes })
  holders = new Map()
  agents.splice(0, 2, await registerTestAgent(search, 'one'), await registerTestAgent(search, 'other'))
  // Whole, late and clipped ones; every other answer gets lost.
  for (let taskId = TASKS; taskId >= 1; taskId--) {
    const bytes = encodePush(
      search,
      { [STEM]: 0, ...(taskId % 3 === 0 && { [BIAS]: 0 }) },
      (i) => Math.sin(taskId * i) * (taskId === 2 ? 1e6 : 0.1),
    )
    await pushSeen(taskId, bytes, { members: 1 + (taskId % 3), isSeen: taskId % 2 === 1 })
  }
  state = await read()
})

describe('what chaos takes the weights for', () => {
  it('is what they are bit for bit, however late and large the pushes were, and whether their answers were seen or not', async () => {
    check()
    expect(replica.applied).toBe(TASKS)
    await pushSeen(
      3,
      encodePush(search, { [STEM]: 0, [BIAS]: 0 }, (i) => Math.sin(3 * i) * 0.1),
    )
    await pushSeen(20, encodePush(search, { [velocityKey(STEM)]: 0, [STEM]: TASKS }, 0.25))
    state = await read()
    check()
    expect(replica.applied).toBe(TASKS + 1)
  })

  it('shows a weight that is off by its last bit, and a version that is off', () => {
    const stem = state.tensors.get(STEM)
    if (!stem) throw new Error('expected the stem')
    const values = stem.values.slice()
    new Int32Array(values.buffer)[3] = (new Int32Array(values.buffer)[3] as number) + 1
    expect(() => check({ tensors: new Map([...state.tensors, [STEM, { ...stem, values }]]) })).toThrow(`${STEM}[3] is`)
    expect(() => check({ versions: { ...state.versions, [BIAS]: 2 } })).toThrow(`${BIAS} has version 2 on shard 0`)
  })

  it.each<[string, Change, string]>([
    [
      'a push that was applied and is gone',
      { applied: (rows) => rows.slice(0, -1) },
      'acknowledged the push of task 1, and does not have it',
    ],
    ['a push under a lease that nobody was given', { holders: (known) => known.delete(leaseOf(5)) }, 'which had no lease'],
    [
      'a push of a task that another agent had',
      { holders: (known) => known.set(leaseOf(5), { taskId: 5, agentId: 'a000000000000' }) },
      'which had no lease',
    ],
    [
      'a push that nobody sent',
      { applied: (rows) => rows.map((row) => ({ ...row, leaseId: `${row.leaseId.slice(0, -3)}999` })) },
      'nobody has sent that',
    ],
    ['pushes in another order', { applied: (rows) => [...rows.slice(1), ...rows.slice(0, 1)] }, 'answered|sizes|revision'],
  ])('shows %s', (_, change, message) => {
    change.holders?.(holders)
    expect(() => check({ applied: change.applied?.(state.applied) ?? state.applied })).toThrow(new RegExp(message))
  })

  it('shows a push that was applied again after a check', () => {
    check()
    const [first, ...others] = state.applied
    if (!first) throw new Error('expected pushes')
    expect(() => check({ applied: [...others, { ...first, revision: 999 }] })).toThrow('has changed')
  })

  it('shows a push that is acknowledged twice', async () => {
    const right = { taskId: 1, leaseId: leaseOf(1), agentId: agents[1] as string }
    const answer = { kind: 'applied' as const, versions: {}, scales: {} }
    const sent = {
      shard: 0,
      bytes: new Uint8Array(),
      right: { ...right, searchId: '', tokenId: null, options: '', members: 1, velocities: false },
    }
    expect(() => replica.answered(sent, answer)).toThrow('shard 0 applied task 1 twice')
  })

  it('shows an answer with another factor than the push has', async () => {
    const bytes = encodePush(search, { [STEM]: TASKS }, 0.01)
    const agentId = agents[0] as string
    await pushSeen(30, bytes, { isSeen: false })
    const right = { searchId: '', taskId: 30, leaseId: leaseOf(30), agentId, tokenId: null, options: '', members: 1, velocities: true }
    replica.answered({ shard: 0, right, bytes }, { kind: 'applied', versions: { [STEM]: TASKS + 1 }, scales: { [STEM]: 0.5 } })
    state = await read()
    expect(() => check()).toThrow('to the push of task 30, which comes to')
  })
})
