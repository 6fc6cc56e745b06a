// Searches of real processes, which are killed, held still, cut off, slowed down, left without a disk and told a wrong time, at moments that follow
// from a seed.
// After each of these everything that was acknowledged must be there, once (checks.ts).

import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type LogEntry, searchConfigSchema, type SearchStatus } from '../../protocol/index.ts'
import { createSetup } from '../../rules/search/index.ts'
import { createRandom, createSpace, type Random, seedState } from '../../search-space/index.ts'
import { rowsOver } from '../../strategies/rows.ts'
import type { StrategyContext } from '../../strategies/index.ts'
import {
  type Coordinator,
  freePort,
  killGroup,
  NO_AUGMENTATION,
  type Process,
  readLog,
  startAgent,
  startCoordinator,
  temporaryFolder,
  tinySearch,
  tinyTable,
  waitFor,
  writeTinyDataset,
} from '../e2e/harness.ts'
import { mountSmallDisk, unmountSmallDisk } from '../fixtures/small-disk.ts'
import { readShard } from './applied-pushes.ts'
import { BrokenPromiseError, checkAlpha, checkEnd, checkLog, checkOwnReplay, type SearchWatch, watchSearch } from './checks.ts'
import { openWitness } from './witness.ts'

const LEASE_MS = 2000
const STEPS = 1500
/** The tiny space has several shards of that. */
const SHARD_BYTES = 8192
/** Where nothing comes back for so long, something is stuck. */
const STUCK_MS = 300_000
/** Between checks when nothing is struck any more. */
const QUIET_MS = 2000
/** A clock is wrong by an hour at most. */
const MOST_OFFSET_MS = 3_600_000
const DISK_BYTES = 256 * 2 ** 20
const FILL_BLOCK = 64 * 1024

/** What is done to the processes, with how often of a hundred. */
const blows = {
  'kill agent': 30,
  'kill coordinator': 20,
  'kill both': 10,
  'hold agent': 10,
  'hold coordinator': 5,
  'cut connections': 5,
  'slow connections': 5,
  'full disk': 5,
  'set clock': 15,
} as const
type Blow = keyof typeof blows
const blowNames = Object.keys(blows) as Blow[]
const killsOf = (blow: Blow) => (blow === 'kill both' ? 2 : blow.startsWith('kill') ? 1 : 0)

type ChaosOptions = {
  /** Processes to kill. */
  readonly kills: number
  readonly seed: number
  readonly agents: number
  readonly onBlow?: (blow: Blow, state: { readonly kills: number; readonly tasks: number }) => void
}

type ChaosSummary = {
  readonly kills: number
  readonly blows: Partial<Record<Blow, number>>
  readonly searches: number
  readonly tasks: number
  readonly acknowledged: number
  readonly pushes: number
  readonly checks: number
  readonly seconds: number
  /** Why a full disk was not tried. */
  readonly withoutDisk: string | null
}

/** Fills a disk to its last block. */
function fillDisk(file: string): void {
  const block = new Uint8Array(FILL_BLOCK)
  try {
    for (;;) writeFileSync(file, block, { flag: 'a' })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error
  }
}

/** A search, and everything that is known of it from outside. */
type Watched = {
  readonly searchId: string
  readonly agentToken: string
  readonly context: StrategyContext
  readonly watch: SearchWatch
  log: LogEntry[]
}

/** Throws BrokenPromiseError or LostPushError where something is lost, counted twice or stuck. */
async function runChaos({ kills, seed, agents: agentCount, onBlow }: ChaosOptions): Promise<ChaosSummary> {
  const startedAt = Date.now()
  const random = createRandom(seedState('chaos', seed))
  const folder = temporaryFolder()
  const data = join(folder.path, 'data')
  const disk = join(folder.path, 'disk')
  mkdirSync(data)
  writeTinyDataset(data)
  const withoutDisk = mountSmallDisk(disk, DISK_BYTES)
  const state = join(disk, 'state')
  const port = await freePort()
  let coordinator: Coordinator | null = null
  let watched: Watched | null = null
  let failure: unknown = null
  const witness = await openWitness(`http://127.0.0.1:${port}`, {
    sent: (exchange) => watched?.watch.sent(exchange),
    answered: (exchange, answer) => {
      try {
        watched?.watch.answered(exchange, answer)
      } catch (error) {
        failure ??= error
        throw error
      }
    },
  })
  const agents: Process[] = []
  const counts: Partial<Record<Blow, number>> = {}
  const totals = { kills: 0, searches: 0, tasks: 0, acknowledged: 0, pushes: 0, checks: 0 }

  const restart = async () => {
    coordinator = await startCoordinator(state, port, ['test/chaos/coordinator.ts'])
    return coordinator
  }
  const addAgent = ({ agentToken }: Watched) => agents.push(startAgent({ url: witness.url }, agentToken, data))

  const readStatus = async ({ searchId }: Watched): Promise<SearchStatus> => (coordinator as Coordinator).client.searchStatus(searchId)

  const begin = async (): Promise<Watched> => {
    const { client } = coordinator as Coordinator
    const table = tinyTable()
    const { version } = await client.publishTable(table)
    const settings = tinySearch({
      seed: seed + totals.searches,
      training: { steps: STEPS, batchSize: 16, augmentation: NO_AUGMENTATION },
      tasks: { weightSteps: 20, architectureSteps: 4, leaseMs: LEASE_MS },
      weights: { shardBytes: SHARD_BYTES },
    })
    const { searchId, agentToken } = await client.createSearch(settings)
    const config = searchConfigSchema.parse(settings)
    const setup = createSetup(searchId, config, { ...table, version }, Date.now())
    const context = { space: createSpace(setup.space), latency: setup.latency, config: setup.config, rows: rowsOver(new Map()) }
    totals.searches += 1
    return { searchId, agentToken, context, watch: watchSearch(searchId, context), log: [] }
  }

  /** Everything that must hold, with nothing under way. */
  const check = async (search: Watched) => {
    const { watch, context, searchId } = search
    const { replica, holders } = watch
    await witness.hold()
    try {
      if (failure) throw failure
      const { url, token } = coordinator as Coordinator
      const ask = (path: string, json?: unknown) =>
        fetch(`${url}/v1/searches/${searchId}${path}`, {
          method: json === undefined ? 'GET' : 'POST',
          headers: { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' },
          ...(json !== undefined && { body: JSON.stringify(json) }),
        })
      const log = await readLog({ url, token }, searchId)
      checkLog(log, search.log, watch)
      search.log = log
      checkAlpha(await readStatus(search), log, context)
      await checkOwnReplay(ask)
      for (let shard = 0; shard < replica.shards; shard++) {
        replica.check(shard, await readShard(ask, shard, replica.keysOf(shard)), (leaseId) => holders.get(leaseId))
      }
      totals.checks += 1
    } finally {
      witness.release()
    }
  }

  const end = async (search: Watched) => {
    for (const agent of agents) {
      const code = await agent.ended
      if (code !== 0) throw new BrokenPromiseError(`an agent of a finished search ended with ${code}: ${agent.output().slice(-2000)}`)
    }
    agents.length = 0
    await check(search)
    checkEnd(await readStatus(search))
    totals.tasks += search.log.length
    totals.acknowledged += search.watch.acknowledged.size
    totals.pushes += search.watch.replica.applied
  }

  /** Until the search has more results than it had; null: it has come to its end. */
  const progress = async (search: Watched): Promise<SearchStatus | null> => {
    const before = search.log.length
    let status = await readStatus(search)
    await waitFor(
      async () => {
        if (failure) throw failure
        status = await readStatus(search)
        return status.phase === 'finished' || status.tasks.done > before
      },
      `a result of ${search.searchId} after ${before} tasks`,
      STUCK_MS,
    )
    return status.phase === 'finished' ? null : status
  }

  const dead = async (process: Process) => {
    killGroup(process)
    await process.ended
  }
  const killAgent = async (search: Watched) => {
    const index = random.integer(agents.length)
    await dead(agents.splice(index, 1)[0] as Process)
    addAgent(search)
  }
  const killCoordinator = async () => {
    await dead((coordinator as Coordinator).process)
    await sleep(random.integer(1500))
    await restart()
  }
  const holdStill = async ({ child }: Process, ms: number) => {
    const signal = (name: NodeJS.Signals) => {
      try {
        process.kill(-(child.pid as number), name)
      } catch (error) {
        // It has ended by itself, with its search.
        if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
      }
    }
    signal('SIGSTOP')
    await sleep(ms)
    signal('SIGCONT')
  }

  const strike = async (blow: Blow, search: Watched) => {
    switch (blow) {
      case 'kill agent':
        return killAgent(search)
      case 'kill coordinator':
        return killCoordinator()
      case 'kill both':
        await Promise.all([killAgent(search), killCoordinator()])
        return
      case 'hold agent':
        // Past its lease: somebody else has its task by then.
        return holdStill(agents[random.integer(agents.length)] as Process, LEASE_MS + 500 + random.integer(2000))
      case 'hold coordinator':
        return holdStill((coordinator as Coordinator).process, 500 + random.integer(LEASE_MS + 1000))
      case 'cut connections':
        witness.cut(true)
        await sleep(200 + random.integer(LEASE_MS + 1000))
        return witness.cut(false)
      case 'slow connections':
        witness.delay(100 + random.integer(400))
        await sleep(1000 + random.integer(3000))
        return witness.delay(0)
      case 'full disk': {
        const file = join(disk, 'fill')
        fillDisk(file)
        await sleep(500 + random.integer(2000))
        return rmSync(file)
      }
      case 'set clock': {
        // Until it is set again, or the coordinator is killed.
        const offsetMs = random.integer(2 * MOST_OFFSET_MS) - MOST_OFFSET_MS
        const answer = await fetch(`${(coordinator as Coordinator).url}/v1/clock`, { method: 'POST', body: String(offsetMs) })
        if (!answer.ok) throw new Error(`the clock cannot be set: ${answer.status}`)
        return
      }
    }
  }

  try {
    await restart()
    watched = await begin()
    while (totals.kills < kills) {
      while (agents.length < agentCount) addAgent(watched)
      if ((await progress(watched)) === null) {
        await end(watched)
        watched = await begin()
        continue
      }
      await sleep(random.integer(1500))
      const blow = drawBlow(random, withoutDisk === null)
      // One that has ended by itself meanwhile, with its search, is not killed.
      if (agents.some(({ child }) => child.exitCode !== null)) continue
      await strike(blow, watched)
      counts[blow] = (counts[blow] ?? 0) + 1
      totals.kills += killsOf(blow)
      await check(watched)
      onBlow?.(blow, { kills: totals.kills, tasks: totals.tasks + watched.log.length })
    }
    while ((await progress(watched)) !== null) {
      await check(watched)
      // A check holds all agents up.
      await sleep(QUIET_MS)
    }
    await end(watched)
    await (coordinator as Coordinator | null)?.stop()
    return { ...totals, blows: counts, seconds: Math.round((Date.now() - startedAt) / 1000), withoutDisk }
  } finally {
    for (const agent of agents) killGroup(agent)
    const last = coordinator as Coordinator | null
    if (last) await dead(last.process)
    await witness.close()
    if (withoutDisk === null) unmountSmallDisk(disk)
    folder.remove()
  }
}

function drawBlow(random: Random, hasDisk: boolean): Blow {
  const known = blowNames.filter((name) => hasDisk || name !== 'full disk')
  return known[random.weighted(known.map((name) => blows[name]))] as Blow
}

export { type Blow, type ChaosSummary, runChaos }
