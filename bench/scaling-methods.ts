// npm run bench:scaling-methods -- --json [--agents 4] [--steps 384] [--task 24] [--seeds 2] [--methods NAME,…]
//
// Ways to let several agents train one supernet, beside each other: the published ones that know nothing of a supernet, and
// rounds without collisions, with what makes them better or worse. Uniform random paths on Fashion-MNIST, weights alone;
// rounds are synchronous, agents take turns in one process. What is compared is the cross-entropy and accuracy of 24 random
// paths on validation images.

import { cpus } from 'node:os'
import { parseArgs } from 'node:util'
import { runSideBySide, startCommand } from '../command-line/child-commands.ts'
import { type MethodName, type MethodResult, methods } from './scaling/methods.ts'

const { values: flags } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    agents: { type: 'string', default: '4' },
    steps: { type: 'string', default: '384' },
    task: { type: 'string', default: '24' },
    seeds: { type: 'string', default: '2' },
    methods: { type: 'string', default: Object.keys(methods).join(',') },
    processes: { type: 'string', default: String(Math.max(1, cpus().length)) },
  },
})
const [agents, steps, task] = [Number(flags.agents), Number(flags.steps), Number(flags.task)]
const seeds = Array.from({ length: Number(flags.seeds) }, (_, i) => i + 1)
const names = (Object.keys(methods) as MethodName[]).filter((name) => flags.methods.split(',').includes(name))
const note = (text: string) => void process.stderr.write(`${text}\n`)

type Row = { method: string; agents: number; stepsEach: number; crossEntropy: number[]; accuracy: number[] }

const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length
const run = async (method: MethodName, count: number, each: number, seed: number) =>
  JSON.parse(
    await startCommand('bench/scaling/methods-worker.ts', [JSON.stringify({ method, agents: count, steps: each, task, seed })]).result,
  ) as MethodResult

const alone = [steps, (steps * agents) / 2, steps * agents].map((each) => ({ method: 'rounds' as const, count: 1, each }))
const wanted = [...alone, ...names.map((method) => ({ method, count: agents, each: steps }))]
const results = await runSideBySide(
  wanted.flatMap(({ method, count, each }) => seeds.map((seed) => () => run(method, count, each, seed))),
  Number(flags.processes),
)
const rows = wanted.map(({ method, count, each }, i): Row => {
  const mine = results.slice(i * seeds.length, (i + 1) * seeds.length)
  const row = {
    method: count === 1 ? 'one agent alone' : method,
    agents: count,
    stepsEach: each,
    crossEntropy: mine.map(({ crossEntropy }) => crossEntropy),
    accuracy: mine.map(({ accuracy }) => accuracy),
  }
  const what = count === 1 ? '' : `  ${methods[method].description}`
  note(
    `${row.method.padEnd(18)} ${count} × ${String(each).padEnd(5)} ${(100 * mean(row.accuracy)).toFixed(1)} %  ${mean(row.crossEntropy).toFixed(3)}${what}`,
  )
  return row
})
if (flags.json)
  console.log(JSON.stringify({ task, rows, machine: { cpu: cpus()[0]?.model.trim(), cores: cpus().length, node: process.version } }))
