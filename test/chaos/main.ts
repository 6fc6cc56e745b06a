// npm run chaos -- --kills 100 --seed 1 --json
//
// Kills, holds, cuts off and starves a coordinator and its agents, at moments that follow from the seed, and looks after each whether all that
// was acknowledged is there, once (chaos.ts). The last line sums up; the first broken promise ends it with exit code 1.

import { parseArgs } from 'node:util'
import { runChaos } from './chaos.ts'

const { values } = parseArgs({
  options: {
    kills: { type: 'string', default: '100' },
    seed: { type: 'string', default: '1' },
    agents: { type: 'string', default: '3' },
    json: { type: 'boolean', default: false },
  },
})
const whole = (name: 'kills' | 'seed' | 'agents') => {
  const value = Number(values[name])
  if (Number.isInteger(value) && value >= 1) return value
  throw new Error(`expected a whole number from 1 for --${name}, got ${values[name]}`)
}

try {
  const summary = await runChaos({
    kills: whole('kills'),
    seed: whole('seed'),
    agents: whole('agents'),
    onBlow: (blow, { kills, tasks }) => console.error(`${String(kills).padStart(4)} killed  ${String(tasks).padStart(6)} tasks  ${blow}`),
  })
  const { kills, searches, tasks, acknowledged, pushes, checks, seconds } = summary
  const line = `${kills} killed, ${searches} searches, ${tasks} tasks, ${acknowledged} results acknowledged: 0 lost, 0 twice; ${checks} times alpha equal to the replay and weights to the sum of ${pushes} pushes; ${seconds} s`
  console.log(values.json ? JSON.stringify({ passed: true, lost: 0, twice: 0, ...summary }) : line)
} catch (error) {
  console.error(error)
  if (values.json) console.log(JSON.stringify({ passed: false, error: (error as Error).message }))
  process.exitCode = 1
}
