// npm run bench:warm-up -- [--data PATH] [--folder FOLDER] [--trials N] [--steps N] [--scored N] [--seeds 1,2,3]
//     [--starts random,logsynflow,params] [--json]
//
// What scores without training are worth to the first few trainings on real data: the best validation accuracy of --trials networks of the same
// recipe within the same latency, drawn at random, and the best of --scored random ones by a score. Fashion-MNIST, by seed; one agent.

import { mkdirSync } from 'node:fs'
import { cpus } from 'node:os'
import { resolve } from 'node:path'
import { parseArgs } from 'node:util'
import * as z from 'zod'
import { renderTable } from '../command-line/text-layout.ts'
import { recipeSchema, scoreNames } from '../protocol/index.ts'
import { openSession } from './trials/session.ts'

const TARGET_SHARE = 0.4
const BATCH = 32
const PER_TASK = 50

const { values: flags } = parseArgs({
  options: {
    data: { type: 'string', default: '/usr/share/datasets/fashion-mnist' },
    folder: { type: 'string', default: '.gatehouse/trial-search' },
    trials: { type: 'string', default: '8' },
    steps: { type: 'string', default: '150' },
    scored: { type: 'string', default: '300' },
    seeds: { type: 'string', default: '1,2,3' },
    starts: { type: 'string', default: 'random,logsynflow,params' },
    json: { type: 'boolean', default: false },
  },
})
/** `random`, and names of scores. */
const starts = flags.starts.split(',').map((start) => z.enum(['random', ...scoreNames]).parse(start))
const [trials, warmup] = [Number(flags.trials), Number(flags.scored)]
const folder = resolve(flags.folder)
mkdirSync(folder, { recursive: true })

type Row = { readonly seed: number; readonly start: string; readonly best: number; readonly mean: number }

const session = await openSession(folder, flags.data)
const rows: Row[] = []
try {
  const { client } = session
  const targetMs = session.targetMs(TARGET_SHARE)
  const recipe = recipeSchema.parse({ steps: Number(flags.steps), batchSize: BATCH, evaluateEvery: 0 })
  for (const seed of flags.seeds.split(',').map(Number)) {
    for (const start of starts) {
      const scores = start === 'random' ? undefined : { names: [start], warmup, perTask: PER_TASK }
      const strategy = { name: 'random', trials, recipe, ...(scores && { scores }) } as const
      const { searchId, agentToken } = await client.createSearch(session.config({ seed, targetMs, strategy }))
      await session.startAgent(agentToken, 'bench').result
      const accuracies = (await client.metrics(searchId)).flatMap(({ kind, accuracy }) => (kind === 'trainArchitecture' ? [accuracy] : []))
      rows.push({ seed, start, best: Math.max(...accuracies), mean: accuracies.reduce((sum, one) => sum + one, 0) / accuracies.length })
      process.stderr.write(`${JSON.stringify(rows.at(-1))}\n`)
    }
  }
} finally {
  await session.stop()
}

const percent = (share: number) => `${(100 * share).toFixed(2)} %`
const means = starts.map((start) => {
  const own = rows.filter((row) => row.start === start)
  const meanOf = (field: 'best' | 'mean') => own.reduce((sum, row) => sum + row[field], 0) / own.length
  return { start, best: meanOf('best'), mean: meanOf('mean') }
})
if (flags.json) console.log(JSON.stringify({ machine: cpus()[0]?.model ?? 'unknown', rows, means }))
else {
  console.log(
    renderTable(
      [
        { title: 'seed' },
        { title: 'start' },
        { title: `best of ${trials}`, align: 'right' },
        { title: `mean of ${trials}`, align: 'right' },
      ],
      [...rows, ...means.map((row) => ({ seed: 'mean', ...row }))].map(({ seed, start, best, mean }) => [
        String(seed),
        start,
        percent(best),
        percent(mean),
      ]),
    ),
  )
}
