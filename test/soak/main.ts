// npm run soak -- --minutes 60 --agents 8 --searches 3 --json
//
// Three searches at once, on one coordinator, with agents that come and go: each works for a while, and is ended, or killed, and another one comes
// in its place. Every half a minute it is written down how much memory the coordinator and the agents have, and how much is stored. A search
// that ends is deleted and another one is begun, so that all of this has to stay flat; the exit code is 1 where it does not.

import { execFileSync } from 'node:child_process'
import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { median } from '../../latency-lut/table/robust.ts'
import { createRandom, seedState } from '../../search-space/index.ts'
import {
  freePort,
  killGroup,
  NO_AUGMENTATION,
  type Process,
  startAgent,
  startCoordinator,
  temporaryFolder,
  tinySearch,
  tinyTable,
  writeTinyDataset,
} from '../e2e/harness.ts'

const SAMPLE_MS = 30_000
const TICK_MS = 1000
const STEPS = 4000
/** How long an agent works, at least and at most, from its first task on. */
const STAY_MS = [20_000, 120_000] as const
/** One that has not done a task after so long goes too. */
const PATIENCE_MS = 600_000
/** From the first third to the last, of medians: searches are at another stage each time. */
const MOST_GROWTH = 1.5
const MEBIBYTE = 2 ** 20
const KIBIBYTE = 2 ** 10

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '60' },
    agents: { type: 'string', default: '8' },
    searches: { type: 'string', default: '3' },
    seed: { type: 'string', default: '1' },
    json: { type: 'boolean', default: false },
  },
})
const positive = (name: 'minutes' | 'agents' | 'searches' | 'seed') => {
  const value = Number(values[name])
  if (value > 0) return value
  throw new Error(`expected a number above 0 for --${name}, got ${values[name]}`)
}

/** Resident memory of the processes of a group, MiB. */
function residentMiB({ child }: Process): number {
  const listed = execFileSync('ps', ['-e', '-o', 'pgid=,rss=']).toString().trim().split('\n')
  const ofGroup = listed.map((line) => line.trim().split(/\s+/).map(Number)).filter(([group]) => group === child.pid)
  return ofGroup.reduce((sum, [, kibibytes]) => sum + (kibibytes as number), 0) / KIBIBYTE
}

function storedMiB(folder: string): number {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile())
  const size = (path: string) => {
    try {
      return statSync(path).size
    } catch {
      // Gone meanwhile.
      return 0
    }
  }
  return files.reduce((sum, entry) => sum + size(join(entry.parentPath, entry.name)), 0) / MEBIBYTE
}

type Sample = {
  readonly minutes: number
  readonly coordinatorMiB: number
  /** Null where none has worked long enough. */
  readonly agentMiB: number | null
  readonly storedMiB: number
  readonly tasks: number
}

const startedAt = Date.now()
const minutesNow = () => (Date.now() - startedAt) / 60_000
const random = createRandom(seedState('soak', positive('seed')))
const folder = temporaryFolder()
const data = writeTinyDataset(folder.path)
const state = join(folder.path, 'state')
const coordinator = await startCoordinator(state, await freePort())
await coordinator.client.publishTable(tinyTable())

type Visitor = { readonly process: Process; readonly startedAt: number; readonly stayMs: number; workedFrom: number | null }
/** Agents write a line for each task. */
const hasWorked = ({ process }: Visitor) => /^task \d/m.test(process.output())
const visitors: Visitor[] = []
const running: { searchId: string; agentToken: string; tasks: number }[] = []
const samples: Sample[] = []
let [ended, came, tasksOfEnded] = [0, 0, 0]
const stopped = new AbortController()
process.once('SIGINT', () => stopped.abort())

try {
  let nextSampleAt = startedAt + SAMPLE_MS
  while (!stopped.signal.aborted && minutesNow() < positive('minutes')) {
    while (running.length < positive('searches')) {
      const training = { steps: STEPS, batchSize: 16, augmentation: NO_AUGMENTATION }
      const { searchId, agentToken } = await coordinator.client.createSearch(tinySearch({ training, seed: 1 + ended + running.length }))
      running.push({ searchId, agentToken, tasks: 0 })
    }
    for (const visitor of visitors.slice()) {
      const { child } = visitor.process
      if (child.exitCode === null && child.signalCode === null) {
        if (visitor.workedFrom === null && hasWorked(visitor)) visitor.workedFrom = Date.now()
        const leavesAt = visitor.workedFrom === null ? visitor.startedAt + PATIENCE_MS : visitor.workedFrom + visitor.stayMs
        if (Date.now() < leavesAt) continue
        // Every other one has no time to say goodbye.
        if (random.integer(2) === 0) killGroup(visitor.process)
        else child.kill('SIGTERM')
      }
      visitors.splice(visitors.indexOf(visitor), 1)
    }
    while (visitors.length < positive('agents')) {
      const { agentToken } = running[random.integer(running.length)] as (typeof running)[number]
      const stayMs = STAY_MS[0] + random.integer(STAY_MS[1] - STAY_MS[0])
      visitors.push({ process: startAgent(coordinator, agentToken, data), startedAt: Date.now(), stayMs, workedFrom: null })
      came += 1
    }
    for (const search of running.slice()) {
      const status = await coordinator.client.searchStatus(search.searchId)
      search.tasks = status.tasks.done
      if (status.phase !== 'finished') continue
      await coordinator.client.deleteSearch(search.searchId)
      running.splice(running.indexOf(search), 1)
      ended += 1
      tasksOfEnded += search.tasks
    }
    if (Date.now() >= nextSampleAt) {
      nextSampleAt += SAMPLE_MS
      // Of agents that have been there for a while: what one has at its start says nothing.
      const settled = visitors
        .filter(({ workedFrom }) => workedFrom !== null && Date.now() - workedFrom > STAY_MS[0] / 2)
        .map(({ process }) => residentMiB(process))
        // One that has just ended has none.
        .filter((mebibytes) => mebibytes > 0)
      const sample: Sample = {
        minutes: minutesNow(),
        coordinatorMiB: residentMiB(coordinator.process),
        agentMiB: settled.length > 0 ? Math.max(...settled) : null,
        storedMiB: storedMiB(state),
        tasks: tasksOfEnded + running.reduce((sum, { tasks }) => sum + tasks, 0),
      }
      samples.push(sample)
      console.error(
        `${sample.minutes.toFixed(1).padStart(6)} min  coordinator ${sample.coordinatorMiB.toFixed(0)} MiB  largest agent ${sample.agentMiB?.toFixed(0) ?? '–'} MiB  stored ${sample.storedMiB.toFixed(1)} MiB  ${sample.tasks} tasks`,
      )
    }
    await sleep(TICK_MS)
  }
} finally {
  for (const { process } of visitors) killGroup(process)
  await coordinator.stop()
  folder.remove()
}

/** Of the first and the last third of the time after the first sixth, in which everything is still new. */
function thirds(pick: (sample: Sample) => number | null): { first: number; last: number } {
  const settled = samples
    .slice(Math.floor(samples.length / 6))
    .map(pick)
    .filter((value) => value !== null)
  const third = Math.max(1, Math.floor(settled.length / 3))
  return { first: median(settled.slice(0, third)), last: median(settled.slice(-third)) }
}
const flat = {
  coordinatorMiB: thirds((sample) => sample.coordinatorMiB),
  agentMiB: thirds((sample) => sample.agentMiB),
  storedMiB: thirds((sample) => sample.storedMiB),
}
const isFlat = Object.values(flat).every(({ first, last }) => last <= MOST_GROWTH * first)
if (!isFlat) process.exitCode = 1
const summary = {
  isFlat,
  minutes: minutesNow(),
  searchesEnded: ended,
  agentsCame: came,
  tasks: samples.at(-1)?.tasks ?? 0,
  ...flat,
}
const shown = ({ first, last }: { first: number; last: number }) => `${first.toFixed(1)} → ${last.toFixed(1)} MiB`
console.log(
  values.json
    ? JSON.stringify({ ...summary, samples })
    : `${summary.minutes.toFixed(0)} min, ${ended} searches ended, ${came} agents, ${summary.tasks} tasks; first to last third: coordinator ${shown(summary.coordinatorMiB)}, largest agent ${shown(summary.agentMiB)}, stored ${shown(summary.storedMiB)}`,
)
