// Flags of the commands that work on recorded trainings, and the files that these name.

import { readFileSync } from 'node:fs'
import type { ArgsDef } from 'citty'
import * as z from 'zod'
import { fieldErrors } from '../protocol/index.ts'
import { SpaceError, type SpaceRef, spaceRefSchema } from '../search-space/index.ts'
import { createNasBenchMacro } from '../simulation/nas-bench-macro.ts'
import type { RecordedBenchmark } from '../simulation/recorded-benchmark.ts'
import { createRecordedScores } from '../simulation/recorded-scores.ts'
import { readRecordedTable } from '../simulation/recorded-table.ts'
import { RecordedTableError } from '../simulation/recorded-text.ts'
import { CliError } from './exit-codes.ts'
import { jsonOrName } from './json-file.ts'
import { numberIn } from './number-flags.ts'

const MAX_EPOCHS = 100_000

const recordedFlags = {
  recorded: {
    type: 'string',
    valueHint: 'FILE',
    description: 'recorded trainings: nas-bench-macro.json as published, or a table as CSV (docs/simulation.md)',
  },
  space: { type: 'string', valueHint: 'PRESET|JSON', description: 'search space of a table; nas-bench-macro.json has its own' },
  metric: { type: 'string', valueHint: 'NAME', description: 'of a table: columns NAME_valid and NAME_test, or NAME', default: 'accuracy' },
  seconds: { type: 'string', valueHint: 'NAME', description: 'of a table: column of the seconds that a training took', default: 'seconds' },
  epochs: { type: 'string', valueHint: 'COUNT', description: 'of a table: epochs of the trainings in NAME_valid (docs/simulation.md)' },
} as const satisfies ArgsDef

type RecordedArgs = {
  readonly space?: string | SpaceRef | undefined
  readonly metric: string
  readonly seconds: string
  readonly epochs?: string | undefined
  /** File of costs of the same architectures. */
  readonly costs?: string | undefined
  /** File of scores without training of the same architectures. */
  readonly scores?: string | undefined
}

/** Throws CliError `usage`. */
function parseSpace(text: string): SpaceRef {
  const parsed = spaceRefSchema.safeParse(jsonOrName('--space', text))
  if (parsed.success) return parsed.data
  throw new CliError(
    'usage',
    'the space is not valid',
    fieldErrors(parsed.error).map(({ path, message }) => ({ path: path === '' ? '--space' : `space.${path}`, message })),
  )
}

/** Throws CliError `usage`. */
function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    throw new CliError('usage', `cannot read ${path}: ${error instanceof Error ? error.message : String(error)}`)
  }
}

/** Throws CliError `usage` for a file that is none of those that can be read. */
function openRecorded(path: string, { space, metric, seconds, ...more }: RecordedArgs): RecordedBenchmark {
  const { epochs: epochsText, costs: costsFile, scores: scoresFile } = more
  const epochs = epochsText === undefined ? null : numberIn('epochs', epochsText, 1, MAX_EPOCHS, true)
  const text = readText(path)
  const costs = costsFile === undefined ? undefined : readText(costsFile)
  const scores = scoresFile === undefined ? null : readText(scoresFile)
  const withScores = (benchmark: RecordedBenchmark) => ({ ...benchmark, scores: createRecordedScores(scores, benchmark, metric) })
  try {
    if (/^\s*\{/.test(text)) return withScores(createNasBenchMacro(JSON.parse(text)))
    if (space === undefined)
      throw new CliError('usage', 'a table of recorded trainings wants --space, the search space of its architectures')
    const ref = typeof space === 'string' ? parseSpace(space) : space
    return withScores(readRecordedTable(text, { space: ref, metric, seconds, name: path, epochs, costs }))
  } catch (error) {
    if (error instanceof z.core.$ZodError) {
      const [first] = fieldErrors(error)
      throw new CliError('usage', `${path}: ${first?.path ?? ''}: ${first?.message ?? 'not as NAS-Bench-Macro is published'}`)
    }
    if (error instanceof RecordedTableError || error instanceof SpaceError || error instanceof SyntaxError)
      throw new CliError('usage', `${[path, costsFile, scoresFile].filter((name) => name !== undefined).join(' with ')}: ${error.message}`)
    throw error
  }
}

export { openRecorded, recordedFlags }
