// npm run bench:train-threads -- --json [--cases NAME,…] [--threads 1,2] [--rounds N]
//
// Images per second of one training in 1, 2, … threads. All of them are open at once, each in a process of its own, and
// train in turn, round after round, so that what else the machine does falls on all alike. The ratio is the median over
// the rounds of each round's own.

import { type ChildProcess, fork } from 'node:child_process'
import { cpus } from 'node:os'
import { parseArgs } from 'node:util'
import { fileURLToPath } from 'node:url'
import { physicalCores } from '../engine/backends/physical-cores.ts'
import { type ThreadsAnswer, type ThreadsCase, threadsCases, type ThreadsRequest } from './train-threads-cases.ts'
import { median } from '../latency-lut/table/robust.ts'

type Row = {
  name: string
  parameters: number
  threads: number
  msPerStep: number
  /** As it is where nothing else runs, if there was such a moment. */
  leastMsPerStep: number
  /** Of all threads together: what the machine's other work, which only lets threads wait, leaves as it is. */
  cpuMsPerStep: number
  imagesPerSecond: number
  /** Images per second beside those of the first number of threads. */
  ratio: number
  /** The same of the least times. */
  ratioOfLeast: number
}

const DEFAULT_ROUNDS = 31
/** Rounds before the measured ones, in which the engine compiles what is hot. */
const WARMUP_ROUNDS = 6
const MS_PER_SECOND = 1000

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
      const leastMs = Math.min(...msPerStep)
      const ratioOfLeast = Math.min(...first) / leastMs
      const row: Row = {
        name,
        parameters,
        threads,
        msPerStep: ms,
        leastMsPerStep: leastMs,
        cpuMsPerStep: median(cpuMsPerStep),
        imagesPerSecond,
        ratio,
        ratioOfLeast,
      }
      note(
        `${name}  ${threads} thread${threads > 1 ? 's' : ' '}  ${imagesPerSecond.toFixed(0)} images/s  ${ms.toFixed(1)} ms a step ` +
          `(least ${leastMs.toFixed(1)}, CPU ${row.cpuMsPerStep.toFixed(1)})  ratio ${ratio.toFixed(2)}, of the least ${ratioOfLeast.toFixed(2)}`,
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
    cases: { type: 'string', default: threadsCases.map(({ name }) => name).join() },
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
const wanted = values.cases.split(',').map((name) => {
  const found = threadsCases.find((threadsCase) => threadsCase.name === name)
  if (!found) throw new Error(`expected --cases of ${threadsCases.map((threadsCase) => threadsCase.name).join(', ')}, got ${name}`)
  return found
})
const cases: Row[] = []
for (const threadsCase of wanted) cases.push(...(await measure(threadsCase, counts, rounds ?? DEFAULT_ROUNDS)))
if (values.json) console.log(JSON.stringify({ cases }))
