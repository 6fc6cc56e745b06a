// npm run bench:train-step -- --json [--cases a,b,c,cell,fbnet-v2,darts,aggregation] [--rounds N] [--threads 1,2] [--backend NAME] [--no-peer] [--profile]
//
// Milliseconds of a weight step, a *two* and a *full* architecture step, ours and PyTorch's in the same run: both sides
// run the same drawn paths in turn, round after round. One thread each, and all cores: PyTorch with that many threads,
// ours as that many processes side by side (msPerStep is then the time per step of all together).

import { cpus } from 'node:os'
import { parseArgs } from 'node:util'
import { type BackendName, backendNames } from '../engine/backends/backends.ts'
import { profile } from './train-step-profile.ts'
import { type BenchCase, benchCases, caseSpace, drawChoices, type StepName, stepsOf } from './train-step-cases.ts'
import { startOurs, startPeer } from './train-step-processes.ts'
import { median } from '../latency-lut/table/robust.ts'

type Row = {
  name: string
  step: StepName
  backend: string
  threads: number
  msPerStep: number
  peer: { name: string; version: string; threads: number; msPerStep: number } | null
  ratio: number | null
}

const DEFAULT_ROUNDS = 7
/** Rounds before the measured ones: the engine compiles hot code, PyTorch fills its caches. */
const WARMUP_ROUNDS = 2

function note(text: string): void {
  process.stderr.write(`${text}\n`)
}

async function measure(
  benchCase: BenchCase,
  threads: number,
  options: { rounds: number; backend: BackendName | 'auto'; withPeer: boolean },
): Promise<Row[]> {
  const space = caseSpace(benchCase)
  const { stepsPerRound, name } = benchCase
  const { rounds } = options
  const ours = await startOurs(benchCase, options.backend, threads)
  const peer = options.withPeer ? await startPeer(benchCase, threads) : null
  const rows: Row[] = []
  try {
    for (const step of stepsOf(space)) {
      const choices = drawChoices(benchCase, space, step, stepsPerRound * (rounds + WARMUP_ROUNDS))
      const times = { ours: [] as number[], peer: [] as number[] }
      for (let round = 0; round < rounds + WARMUP_ROUNDS; round++) {
        const part = choices.slice(round * stepsPerRound, (round + 1) * stepsPerRound)
        const ms = await ours.run(step, part)
        const peerMs = await peer?.run(step, part)
        if (round < WARMUP_ROUNDS) continue
        times.ours.push(ms)
        if (peerMs !== undefined) times.peer.push(peerMs)
      }
      const msPerStep = median(times.ours)
      const peerMs = peer ? median(times.peer) : null
      rows.push({
        name,
        step,
        backend: ours.backend,
        threads,
        msPerStep,
        peer: peer && peerMs !== null ? { name: 'PyTorch', version: peer.version, threads, msPerStep: peerMs } : null,
        ratio: peerMs === null ? null : peerMs / msPerStep,
      })
      const least = (values: readonly number[]) => Math.min(...values).toFixed(1)
      const theirs = peerMs === null ? 'no PyTorch' : `PyTorch ${peerMs.toFixed(1)} ms (least ${least(times.peer)})`
      const ratio = peerMs === null ? '' : `  ratio ${(peerMs / msPerStep).toFixed(2)}`
      note(
        `${name} ${step.padEnd(6)} ${threads} thread${threads > 1 ? 's' : ' '}  ${ours.backend} ${msPerStep.toFixed(1)} ms (least ${least(times.ours)})  ${theirs}${ratio}`,
      )
    }
  } finally {
    ours.close()
    peer?.close()
  }
  return rows
}

const { values } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    rounds: { type: 'string', default: String(DEFAULT_ROUNDS) },
    cases: { type: 'string', default: benchCases.map(({ name }) => name).join(',') },
    backend: { type: 'string', default: 'auto' },
    threads: { type: 'string', default: `1,${cpus().length}` },
    'no-peer': { type: 'boolean', default: false },
    profile: { type: 'boolean', default: false },
  },
})
const backend = values.backend as BackendName | 'auto'
if (backend !== 'auto' && !backendNames.includes(backend))
  throw new Error(`expected --backend auto or ${backendNames.join(', ')}, got ${backend}`)
const rounds = Number(values.rounds)
if (!Number.isInteger(rounds) || rounds < 1) throw new Error(`expected --rounds to be a whole number from 1 on, got ${values.rounds}`)
const threadCounts = [...new Set(values.threads.split(',').map(Number))]
const wanted = values.cases.split(',').map((name) => {
  const found = benchCases.find((benchCase) => benchCase.name === name)
  if (!found) throw new Error(`expected --cases of ${benchCases.map((benchCase) => benchCase.name).join(', ')}, got ${name}`)
  return found
})
note(`${cpus()[0]?.model.trim()}, ${cpus().length} cores, Node ${process.version}`)
if (values.profile) {
  const result = await profile(wanted)
  if (values.json) console.log(JSON.stringify(result))
} else {
  const cases: Row[] = []
  for (const benchCase of wanted) {
    for (const threads of threadCounts) {
      cases.push(...(await measure(benchCase, threads, { rounds, backend, withPeer: !values['no-peer'] })))
    }
  }
  if (values.json) console.log(JSON.stringify({ cases }))
}
