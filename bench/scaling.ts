// npm run bench:scaling -- --json [--agents 1,2,4,8,16] [--steps 500] [--seeds 3] [--variants same,slow,delayed,dying]
//   [--processes 2] [--real-steps 2000] [--cache FILE] [--quick]
//
// What n agents are worth in a whole search, weights and alpha: each takes the same number of local steps, on a virtual
// clock, so that n agents need no n cores; trainer, exchange, rules and strategy are the real ones. Then the same search by
// real processes, for what this machine has cores for.
//
// E(n) = (steps that one agent alone needs to reach the accuracy that n agents reach) / (mini-batches of all n).
// Variants: slow, one agent takes three times as long for a step; delayed, 100 ms and 10 Mbit/s between agents and
// coordinator, int8 differences; dying, one agent is gone without a word halfway.

import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { parseArgs } from 'node:util'
import { runSideBySide, startCommand } from '../command-line/child-commands.ts'
import { standardDeviation } from '../latency-lut/table/robust.ts'
import { type RulerPoint, stepsFor } from './scaling/efficiency.ts'
import { type RealCase, type RealResult, runReal } from './scaling/real.ts'
import { SPACE, type Variant, variants, type VirtualResult, type VirtualSearch } from './scaling/virtual-search.ts'

const { values: flags } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    quick: { type: 'boolean', default: false },
    agents: { type: 'string', default: '1,2,4,8,16' },
    steps: { type: 'string', default: '500' },
    seeds: { type: 'string', default: '3' },
    variants: { type: 'string', default: variants.join(',') },
    processes: { type: 'string', default: String(Math.max(1, cpus().length)) },
    'real-steps': { type: 'string', default: '2000' },
    cache: { type: 'string' },
  },
})
const steps = flags.quick ? 48 : Number(flags.steps)
const seeds = Array.from({ length: flags.quick ? 1 : Number(flags.seeds) }, (_, i) => i + 1)
const counts = (flags.quick ? '1,2' : flags.agents).split(',').map(Number)
const wantedVariants = variants.filter((variant) => flags.variants.split(',').includes(variant))
const note = (text: string) => void process.stderr.write(`${text}\n`)

/** Results by settings: a bench that was broken off goes on from `--cache`. */
const known = new Map<string, VirtualResult>(
  flags.cache !== undefined && existsSync(flags.cache) ? (JSON.parse(readFileSync(flags.cache, 'utf8')) as [string, VirtualResult][]) : [],
)

async function virtual(wanted: VirtualSearch): Promise<VirtualResult> {
  const name = JSON.stringify(wanted)
  const before = known.get(name)
  if (before) return before
  const startMs = performance.now()
  const result = JSON.parse(await startCommand('bench/scaling/virtual-worker.ts', [name]).result) as VirtualResult
  known.set(name, result)
  if (flags.cache !== undefined) writeFileSync(flags.cache, JSON.stringify([...known]))
  const { agents, variant, seed, steps: each } = wanted
  const seconds = ((performance.now() - startMs) / 1000).toFixed(0)
  note(
    `${agents} × ${each} steps  ${variant}  seed ${seed}  ${(100 * result.accuracy).toFixed(1)} %  entropy ${result.entropy.toFixed(2)}  ${result.expectedLatencyMs.toFixed(2)} of ${result.targetLatencyMs.toFixed(2)} ms  idle ${(100 * result.idleShare).toFixed(0)} %  (${seconds} s)`,
  )
  return result
}

const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length

const rulerSteps = [...new Set([1, 2, ...counts])].toSorted((a, b) => a - b).map((count) => count * steps)
type Case = { readonly agents: number; readonly variant: Variant; readonly each: number }
const alone: Case[] = rulerSteps.map((each) => ({ agents: 1, variant: 'same', each }))
const together: Case[] = counts
  .filter((count) => count > 1)
  .flatMap((agents) => wantedVariants.map((variant) => ({ agents, variant, each: steps })))
const jobs = [...alone, ...together].flatMap((one) => seeds.map((seed) => ({ ...one, seed })))
// The longest first, so that no process is left with one at the end.
const ordered = jobs.toSorted((a, b) => b.agents * b.each - a.agents * a.each)
await runSideBySide(
  ordered.map(
    ({ agents, variant, seed, each }) =>
      () =>
        virtual({ agents, variant, seed, steps: each }),
  ),
  Number(flags.processes),
)
const resultsOf = ({ agents, variant, each }: Case) =>
  seeds.map((seed) => known.get(JSON.stringify({ agents, variant, seed, steps: each })) as VirtualResult)
const accuraciesOf = (one: Case) => resultsOf(one).map(({ accuracy }) => accuracy)
const ruler: RulerPoint[] = alone.map((one) => ({ steps: one.each, accuracy: mean(accuraciesOf(one)) }))
const singleAt = (each: number) => ruler.find((point) => point.steps === each)?.accuracy ?? null

const cases = [...alone.filter(({ each }) => each === steps), ...together].map((one) => {
  const results = resultsOf(one)
  const accuracies = accuraciesOf(one)
  const batches = mean(results.map((result) => result.batches))
  const efficiency = one.agents === 1 ? 1 : stepsFor(mean(accuracies), ruler) / batches
  note(
    `${one.agents} agents  ${one.variant.padEnd(7)}  ${(100 * mean(accuracies)).toFixed(1)} ± ${(100 * standardDeviation(accuracies)).toFixed(1)} %  E = ${efficiency.toFixed(2)}`,
  )
  return {
    agents: one.agents,
    variant: one.variant,
    accuracy: { mean: mean(accuracies), sd: standardDeviation(accuracies), single: accuracies },
    single: { sameStepsEach: singleAt(steps), sameStepsInAll: singleAt(steps * one.agents) },
    efficiency,
    batches,
    bytesPerStep: mean(results.map((result) => result.bytesPerStep)),
    idleShare: mean(results.map((result) => result.idleShare)),
    entropy: mean(results.map((result) => result.entropy)),
    expectedLatencyMs: mean(results.map((result) => result.expectedLatencyMs)),
    targetLatencyMs: mean(results.map((result) => result.targetLatencyMs)),
    virtualSeconds: mean(results.map((result) => result.virtualSeconds)),
  }
})

const real: RealResult[] = []
const realSteps = flags.quick ? 96 : Number(flags['real-steps'])
const realCases: RealCase[] = [
  { agents: 1, threads: 1, line: 'loopback' },
  ...(cpus().length > 1
    ? ([
        { agents: 2, threads: 1, line: 'loopback' },
        { agents: 1, threads: 2, line: 'loopback' },
        { agents: 2, threads: 1, line: 'far' },
      ] as const)
    : []),
]
for (const one of realSteps > 0 ? realCases : []) {
  for (const seed of seeds) {
    const result = await runReal(one, realSteps, seed)
    note(
      `real: ${one.agents} agents of ${one.threads} threads, ${one.line}  ${result.seconds.toFixed(1)} s  ${(100 * result.accuracy).toFixed(1)} %  idle ${(100 * result.idleShare).toFixed(1)} %`,
    )
    real.push(result)
  }
}
if (flags.json) {
  console.log(
    JSON.stringify({
      space: SPACE,
      stepsPerAgent: steps,
      seeds: seeds.length,
      ruler,
      cases,
      real: realSteps > 0 ? { steps: realSteps, runs: real } : null,
      machine: { cpu: cpus()[0]?.model.trim(), cores: cpus().length, node: process.version },
    }),
  )
}
