// `npm test`: runs every test and ends with one line that machines and people can read. Arguments go to vitest.
// `npm run test:fast` is this with --fast: unit tests but for the slow files.

import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const vitest = fileURLToPath(new URL('../node_modules/vitest/vitest.mjs', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'gatehouse-test-'))
const report = join(folder, 'report.json')

const args = process.argv.slice(2)
const isFast = args[0] === '--fast'

const child = spawn(
  process.execPath,
  [
    vitest,
    'run',
    '--reporter=default',
    '--reporter=json',
    `--outputFile.json=${report}`,
    ...(isFast ? ['--project=unit', ...args.slice(1)] : args),
  ],
  {
    stdio: 'inherit',
  },
)
const code = await new Promise<number>((resolve) => child.once('close', (exit) => resolve(exit ?? 1)))

type Report = { numPassedTests: number; numFailedTests: number; numPendingTests: number; numFailedTestSuites: number }

function readReport(): Report {
  try {
    return JSON.parse(readFileSync(report, 'utf8')) as Report
  } catch {
    // vitest did not get as far as a report: that is a failure, and it has said why.
    return { numPassedTests: 0, numFailedTests: 1, numPendingTests: 0, numFailedTestSuites: 0 }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

const { numPassedTests, numFailedTests, numPendingTests } = readReport()
// A file that cannot be loaded has no failed test to count, but vitest's exit code says so.
const failed = code !== 0 && numFailedTests === 0 ? 1 : numFailedTests
const skipped = numPendingTests > 0 ? `, ${numPendingTests} skipped` : ''
console.log(`${numPassedTests} passed, ${failed} failed${skipped}`)
process.exitCode = failed > 0 ? 1 : 0
