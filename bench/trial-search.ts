// npm run bench:trial-search -- [--data PATH] [--folder FOLDER] [--trials N] [--steps N] [--final-steps N] [--seed N] [--json]
//
// A search by trials as it is: aging evolution on Fashion-MNIST within a latency that was measured on this machine, by two agents, one of
// which is killed in the middle of a training and comes back. It ends with the front of what was trained, and with the best network trained for
// longer, in FOLDER/model. With the same folder the table is not measured again.

import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import * as z from 'zod'
import { startCommand } from '../command-line/child-commands.ts'
import { renderTable } from '../command-line/text-layout.ts'
import { recipeSchema } from '../protocol/index.ts'
import { openSession, SPACE } from './trials/session.ts'

const TARGET_SHARE = 0.4
const POPULATION = 8
const SAMPLE = 4
/** Of trainings that have ended when an agent is killed. */
const KILL_AFTER = 0.25
const POLL_MS = 250
const BATCH = 32

const { values: flags } = parseArgs({
  options: {
    data: { type: 'string', default: '/usr/share/datasets/fashion-mnist' },
    folder: { type: 'string', default: '.gatehouse/trial-search' },
    trials: { type: 'string', default: '24' },
    steps: { type: 'string', default: '300' },
    'final-steps': { type: 'string', default: '600' },
    seed: { type: 'string', default: '1' },
    json: { type: 'boolean', default: false },
  },
})
const [trials, steps, seed] = [Number(flags.trials), Number(flags.steps), Number(flags.seed)]
const folder = resolve(flags.folder)
const out = join(folder, 'model')
if (existsSync(out)) throw new Error(`${out} is there already: choose another --folder or remove it`)
mkdirSync(folder, { recursive: true })
const note = (line: string) => void process.stderr.write(`${line}\n`)

const session = await openSession(folder, flags.data)
try {
  const { client } = session
  const targetMs = session.targetMs(TARGET_SHARE)
  const recipe = recipeSchema.parse({ steps, batchSize: BATCH, evaluateEvery: 0 })
  const strategy = { name: 'aging-evolution', trials, population: POPULATION, sample: SAMPLE, recipe } as const
  const { searchId, agentToken } = await client.createSearch(session.config({ seed, targetMs, strategy }))
  note(`search ${searchId}: ${trials} trainings of ${steps} mini-batches within ${targetMs.toFixed(3)} ms`)
  const status = () => client.searchStatus(searchId)
  const agents = ['one', 'two'].map((name) => session.startAgent(agentToken, name))
  const [staying, mortal] = agents
  while ((await status()).tasks.done < KILL_AFTER * trials) await sleep(POLL_MS)
  // It has a training then: two agents have two, whoever asks.
  while ((await status()).tasks.leased < 2) await sleep(POLL_MS)
  mortal?.child.kill('SIGKILL')
  await mortal?.result.catch(() => undefined)
  note(`agent two is killed after ${(await status()).tasks.done} trainings`)
  const back = session.startAgent(agentToken, 'two')
  await Promise.all([staying?.result, back.result])

  const end = await status()
  const [front] = end.fronts ?? []
  const best = end.current.encoding
  note(`the best network, ${best}, is trained for ${flags['final-steps']} mini-batches`)
  const network = [
    '--space',
    `@${join(folder, 'space.json')}`,
    '--architecture',
    best,
    '--data',
    flags.data,
    '--cache',
    join(folder, 'cache'),
  ]
  const final = [
    '--steps',
    flags['final-steps'],
    '--batch',
    String(BATCH),
    '--share-seed',
    String(seed),
    '--threads',
    '1',
    '--backend',
    'wasm',
  ]
  writeFileSync(join(folder, 'space.json'), JSON.stringify(SPACE))
  const trained = startCommand('gatehouse/main.ts', ['train', ...network, ...final, '--test', '--out', out, '--json'])
  const { accuracy, test } = z
    .object({ accuracy: z.number(), test: z.object({ top1: z.number() }) })
    .parse(JSON.parse(await trained.result))
  const report = {
    machine: cpus()[0]?.model ?? 'unknown',
    targetMs,
    seconds: ((end.finishedAtMs ?? 0) - (end.startedAtMs ?? 0)) / 1000,
    tasks: end.tasks,
    agents: end.agents.map(({ name, tasksDone }) => ({ name, tasksDone })),
    front: front?.points.map(({ encoding, value, score }) => ({ encoding, latencyMs: value, accuracy: score })) ?? [],
    best,
    trained: { validation: accuracy, test: test.top1, out },
  }
  if (flags.json) console.log(JSON.stringify(report))
  else {
    const percent = (share: number) => `${(100 * share).toFixed(2)} %`
    console.log(
      [
        renderTable(
          [{ title: 'latency ms', align: 'right' }, { title: 'accuracy', align: 'right' }, { title: 'architecture' }],
          report.front.map((point) => [point.latencyMs.toFixed(3), percent(point.accuracy), point.encoding]),
        ),
        `${end.tasks.done} trainings in ${report.seconds.toFixed(0)} s by ${report.agents.map((agent) => `${agent.name} (${agent.tasksDone})`).join(', ')}; ${end.tasks.expiredLeases} leases ended without a word`,
        `${best}: ${percent(accuracy)} validation, ${percent(test.top1)} test, in ${out}`,
      ].join('\n'),
    )
  }
} finally {
  await session.stop()
}
