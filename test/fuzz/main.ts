// npm run fuzz -- --requests 10000 --seed 1 --json
//
// Sends random requests to every route of a coordinator in workerd (test/workerd/fuzz.test.ts), and broken files to every reader
// (test/unit/fuzz-readers.test.ts). Where something is wrong, the smallest case that fast-check found is printed; the same seed finds it again.

import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const vitest = fileURLToPath(new URL('../../node_modules/vitest/vitest.mjs', import.meta.url))
const DEFAULT_REQUESTS = '10000'

const { values } = parseArgs({
  options: {
    requests: { type: 'string', default: DEFAULT_REQUESTS },
    seed: { type: 'string', default: '1' },
    json: { type: 'boolean', default: false },
  },
})
const [requests, seed] = [Number(values.requests), Number(values.seed)]
if (!Number.isInteger(requests) || requests < 1 || !Number.isInteger(seed))
  throw new Error('expected whole numbers for --requests and --seed')

/** Exit code and output of the tests of one project; one after the other, since both take all there is of a machine. */
async function run(project: string, file: string): Promise<{ code: number; output: string }> {
  const child = spawn(process.execPath, [vitest, 'run', `--project=${project}`, file], {
    env: { ...process.env, FUZZ_REQUESTS: values.requests, FUZZ_SEED: values.seed },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let output = ''
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    output += chunk
  })
  const code = await new Promise<number>((done) => child.once('close', (exit) => done(exit ?? 1)))
  if (code !== 0) process.stderr.write(output)
  return { code, output }
}

const coordinator = await run('workerd', 'test/workerd/fuzz.test.ts')
const readers = await run('unit', 'test/unit/fuzz-readers.test.ts')
const code = coordinator.code || readers.code
const summary = /^.*fuzz (\{"requests".*\})$/m.exec(coordinator.output)?.[1]
const found: object = summary === undefined ? {} : (JSON.parse(summary) as object)
const result = { passed: code === 0, ...found }
console.log(values.json ? JSON.stringify(result) : `fuzz ${code === 0 ? 'passed' : 'failed'}  ${JSON.stringify(found)}`)
process.exitCode = code
