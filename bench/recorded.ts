// npm run bench:recorded -- --file nas-bench-macro.json [--json] [--seeds 20] [--agents 1] [--evaluations 300,1000,3000]
//   [--set strategy.learningRate=0.1 …]
//
// How good the architecture is that a strategy has found after so many evaluations, on the recorded trainings of
// NAS-Bench-Macro (the file is not part of this repository: github.com/xiusu/NAS-Bench-Macro). The search runs through the
// coordinator's own rules; each evaluation is one of the three recorded trainings, drawn at random. Rank 1 is the best of 6,561.

import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { assignFields } from '../command-line/fields.ts'
import { median } from '../latency-lut/table/robust.ts'
import { searchConfigSchema } from '../protocol/index.ts'
import { createNasBenchMacro, nasBenchMacroPaths } from '../simulation/nas-bench-macro.ts'
import { createRanking } from '../simulation/recorded-benchmark.ts'
import { simulateSearch } from '../simulation/simulate-search.ts'

const { values: flags } = parseArgs({
  options: {
    file: { type: 'string' },
    json: { type: 'boolean', default: false },
    seeds: { type: 'string', default: '20' },
    agents: { type: 'string', default: '1' },
    evaluations: { type: 'string', default: '300,1000,3000' },
    set: { type: 'string', multiple: true, default: [] },
  },
})
if (flags.file === undefined) throw new Error('expected --file with the path of nas-bench-macro.json')
const benchmark = createNasBenchMacro(JSON.parse(readFileSync(flags.file, 'utf8')))
const marks = flags.evaluations.split(',').map(Number)

const networks = [...nasBenchMacroPaths()]
const rankOf = createRanking(benchmark, networks)

/** One architecture step after each weight step, and nothing else. */
function configOf(seed: number) {
  const steps = Math.ceil(Math.max(...marks) / 10)
  const config: Record<string, unknown> = {
    space: { preset: 'nas-bench-macro' },
    dataset: { name: 'recorded' },
    latency: { targetMs: 1, table: { name: 'macs' } },
    seed,
    strategy: {
      name: 'proxyless-r',
      warmupSteps: 0,
      archEvery: 1,
      learningRate: 0.1,
      reward: { kind: 'accuracy' },
      evaluateEvery: steps,
      samples: 10,
    },
    training: { steps },
    tasks: { weightSteps: 1, architectureSteps: 1 },
  }
  assignFields(config, flags.set, 'strategy.learningRate=0.1')
  return searchConfigSchema.parse(config)
}

const ranks = new Map(marks.map((mark) => [mark, [] as number[]]))
for (let seed = 1; seed <= Number(flags.seeds); seed++) {
  const left = [...marks].toSorted((a, b) => a - b)
  const note: string[] = []
  simulateSearch({
    benchmark,
    config: configOf(seed),
    agents: Number(flags.agents),
    onStep: (evaluations, derive) => {
      while (left[0] !== undefined && evaluations >= left[0]) {
        const mark = left.shift() as number
        const rank = rankOf(derive())
        ranks.get(mark)?.push(rank)
        note.push(`${mark}: ${rank}`)
      }
    },
  })
  process.stderr.write(`seed ${seed}  rank after evaluations  ${note.join('  ')}\n`)
}
const results = marks.map((evaluations) => {
  const found = ranks.get(evaluations) ?? []
  return { evaluations, medianRank: median(found), ranks: found, of: networks.length }
})
for (const { evaluations, medianRank } of results) process.stderr.write(`${evaluations} evaluations  median rank ${medianRank}\n`)
if (flags.json)
  console.log(JSON.stringify({ benchmark: benchmark.name, strategy: configOf(1).strategy, agents: Number(flags.agents), results }))
