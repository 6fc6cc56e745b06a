// The two sides that bench:train-step measures in turn, behind one interface.

import { type ChildProcess, fork, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import type { BackendName } from '../engine/backends/backends.ts'
import type { Choice } from '../search-space/index.ts'
import { type BenchCase, caseSpace, parameterCount, type StepName } from './train-step-cases.ts'
import type { WorkerAnswer, WorkerRequest } from './train-step-messages.ts'

/** Debian's, which has python3-torch; another Python comes from GATEHOUSE_BENCH_PYTHON. */
const PYTHON = process.env['GATEHOUSE_BENCH_PYTHON'] ?? '/usr/bin/python3'

type Side = {
  /** Milliseconds per step, averaged over the given steps; of all the side's processes together. */
  run(step: StepName, choices: readonly (readonly Choice[])[]): Promise<number>
  close(): void
}

type OurSide = Side & { readonly backend: string; readonly description: string }
type PeerSide = Side & { readonly version: string }

function ask(child: ChildProcess, request: WorkerRequest): Promise<WorkerAnswer> {
  return new Promise((resolve, reject) => {
    child.once('message', (message) => resolve(message as WorkerAnswer))
    child.once('exit', (code) => reject(new Error(`a worker of the bench ended with code ${code}`)))
    child.send(request)
  })
}

/** `count` processes that train side by side, each its own network on its own core. */
async function startOurs(benchCase: BenchCase, backend: BackendName | 'auto', count: number): Promise<OurSide> {
  const path = fileURLToPath(new URL('train-step-worker.ts', import.meta.url))
  const children = Array.from({ length: count }, () => fork(path, { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] }))
  for (const child of children) child.setMaxListeners(0)
  const askAll = (request: WorkerRequest) => Promise.all(children.map((child) => ask(child, request)))
  const [opened] = await askAll({ kind: 'open', caseName: benchCase.name, backend })
  if (opened?.kind !== 'opened') throw new Error('the worker did not open its case')
  return {
    backend: opened.backend,
    description: opened.description,
    async run(step, choices) {
      const startMs = performance.now()
      await askAll({ kind: 'run', step, choices })
      return (performance.now() - startMs) / (choices.length * count)
    },
    close: () => {
      for (const child of children) child.kill()
    },
  }
}

/** PyTorch on `threads` threads, or null where it is not installed. */
async function startPeer(benchCase: BenchCase, threads: number): Promise<PeerSide | null> {
  const path = fileURLToPath(new URL('pytorch/peer.py', import.meta.url))
  // Threads that spin while they wait for each other are ruinous on a machine that does other work as well: with `active`
  // waiting the peer needed eight times as long. Kinder to it, whatever the machine.
  const env = { OMP_WAIT_POLICY: 'passive', ...process.env, OMP_NUM_THREADS: String(threads) }
  const child = spawn(PYTHON, [path], { stdio: ['pipe', 'pipe', 'inherit'], env })
  let ended = ''
  const failed = new Promise<null>((resolve) => {
    child.once('error', () => resolve(null))
    child.once('exit', (code, signal) => {
      ended = signal ?? `code ${code}`
      resolve(null)
    })
  })
  child.stdin.on('error', () => undefined)
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const request = async <T>(value: object): Promise<T | null> => {
    child.stdin.write(`${JSON.stringify(value)}\n`)
    const line = await Promise.race([lines.next(), failed])
    return line === null || line.done ? null : (JSON.parse(line.value) as T)
  }
  const started = await request<{ version: string }>({ threads })
  if (!started) return null
  const space = caseSpace(benchCase)
  const { weightSpecs: weights, input, classes } = space
  const built = await request<{ parameters: number }>({ weights, input, classes, batch: benchCase.batch })
  if (built?.parameters !== parameterCount(space)) {
    throw new Error(`the peer's network has ${built?.parameters} parameters, ours ${parameterCount(space)}: they are not the same`)
  }
  return {
    version: started.version,
    async run(step, choices) {
      const graphs = choices.map((path) => space.network(path))
      const answer = await request<{ ms: number[] }>({ step, graphs })
      if (!answer) throw new Error(`the PyTorch process ended in the middle of a run (${ended})`)
      return answer.ms.reduce((sum, ms) => sum + ms, 0) / choices.length
    },
    close: () => child.kill(),
  }
}

export { startOurs, startPeer }
