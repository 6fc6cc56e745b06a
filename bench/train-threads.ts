// npm run bench:train-threads -- --json [--threads 1,2] [--rounds N]
//
// Images per second of one training in 1, 2, … threads. All of them are open at once, each in a process of its own, and
// train in turn, round after round, so that what else the machine does falls on all alike. The ratio is the median over
// the rounds of each round's own.

import { type ChildProcess, fork } from 'node:child_process'
import { cpus } from 'node:os'
import { parseArgs } from 'node:util'
import { fileURLToPath } from 'node:url'
import { physicalCores } from '../worker-agent/backends/physical-cores.ts'
import { type ThreadsAnswer, type ThreadsCase, threadsCases, type ThreadsRequest } from './train-threads-cases.ts'

type Row = {
  name: string
  parameters: number
  threads: number
  msPerStep: number
  /** Of all threads together: what the machine's other work, which only lets threads wait, leaves as it is. */
  cpuMsPerStep: number
  imagesPerSecond: number
  /** Images per second beside those of the fewest threads. */
  ratio: number
}

const DEFAULT_ROUNDS = 9
/** Rounds before the measured ones, in which the engine compiles what is hot. */
const WARMUP_ROUNDS = 2
const MS_PER_SECOND = 1000

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? (sorted[middle] as number) : ((sorted[middle - 1] as number) + (sorted[middle] as number)) / 2
}

function note(text: string): void {
  process.stderr.write(`${text}\n`)
}

function ask(child: ChildProcess, request: ThreadsRequest): Promise<ThreadsAnswer> {
  return new Promise((resolve, reject) => {
    const onExit = (code: number | null) => reject(new Error(`a process of the bench ended with code ${code}`))
    child.once('exit', onExit)
    child.once('message', (message: ThreadsAnswer) => {
      child.off('exit', onExit)
      resolve(message)
    })
    child.send(request)
  })
}

async function measure({ name, batch, stepsPerRound }: ThreadsCase, counts: readonly number[], rounds: number): Promise<Row[]> {
  const path = fileURLToPath(new URL('train-threads-worker.ts', import.meta.url))
  const sides = counts.map((threads) => ({
    threads,
    child: fork(path, { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] }),
    msPerStep: [] as number[],
    cpuMsPerStep: [] as number[],
  }))
  try {
    let parameters = 0
    for (const { child, threads } of sides) {
      const opened = await ask(child, { kind: 'open', caseName: name, threads })
      if (opened.kind === 'opened') parameters = opened.parameters
    }
    for (let round = 0; round < WARMUP_ROUNDS + rounds; round++) {
      for (const { child, msPerStep, cpuMsPerStep } of sides) {
        const ran = await ask(child, { kind: 'run', steps: stepsPerRound })
        if (ran.kind !== 'ran' || round < WARMUP_ROUNDS) continue
        msPerStep.push(ran.ms / stepsPerRound)
        cpuMsPerStep.push(ran.cpuMs / stepsPerRound)
      }
    }
    const first = sides[0]?.msPerStep ?? []
    return sides.map(({ threads, msPerStep, cpuMsPerStep }) => {
      const ratio = median(msPerStep.map((ms, round) => (first[round] as number) / ms))
      const ms = median(msPerStep)
      const imagesPerSecond = (batch * MS_PER_SECOND) / ms
      const row = { name, parameters, threads, msPerStep: ms, cpuMsPerStep: median(cpuMsPerStep), imagesPerSecond, ratio }
      note(
        `${name}  ${threads} thread${threads > 1 ? 's' : ' '}  ${row.imagesPerSecond.toFixed(0)} images/s  ` +
          `${ms.toFixed(1)} ms a step (least ${Math.min(...msPerStep).toFixed(1)}, CPU ${row.cpuMsPerStep.toFixed(1)})  ratio ${ratio.toFixed(2)}`,
      )
      return row
    })
  } finally {
    for (const { child } of sides) child.kill()
  }
}

/** 1, 2, 4, … and the number of cores. */
function defaultCounts(): number[] {
  const cores = physicalCores()
  const powers = Array.from({ length: Math.floor(Math.log2(cores)) + 1 }, (_, exponent) => 2 ** exponent)
  return [...new Set([...powers, cores])]
}

const { values } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    rounds: { type: 'string', default: String(DEFAULT_ROUNDS) },
    threads: { type: 'string', default: defaultCounts().join() },
  },
})
const wholeNumbers = (flag: string, text: string) =>
  text.split(',').map((part) => {
    const value = Number(part)
    if (!Number.isInteger(value) || value < 1) throw new Error(`expected --${flag} to be whole numbers from 1 on, got ${text}`)
    return value
  })
const [rounds] = wholeNumbers('rounds', values.rounds)
const counts = wholeNumbers('threads', values.threads)
note(`${cpus()[0]?.model.trim()}, ${physicalCores()} cores, Node ${process.version}`)
const cases: Row[] = []
for (const threadsCase of threadsCases) cases.push(...(await measure(threadsCase, counts, rounds ?? DEFAULT_ROUNDS)))
if (values.json) console.log(JSON.stringify({ cases }))
