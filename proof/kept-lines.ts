// Results that are kept as they come, a line of JSON each: what a run that was broken off has measured is not measured again.

import { createHash } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type * as z from 'zod'
import { writeWholeFile } from '../command-line/whole-files.ts'

const HASH_DIGITS = 12

type KeptLines<T> = { all(): readonly T[]; add(line: T): void }

/**
 * Throws ZodError for lines of another form.
 *
 * @param settings everything that the results depend on, but for what is in the lines: others have another file
 */
function openKeptLines<T>(folder: string, name: string, settings: unknown, schema: z.ZodType<T>): KeptLines<T> {
  const hash = createHash('sha256').update(JSON.stringify(settings)).digest('hex').slice(0, HASH_DIGITS)
  const file = join(folder, `${name}-${hash}.jsonl`)
  const text = existsSync(file) ? readFileSync(file, 'utf8').trimEnd() : ''
  const lines = text === '' ? [] : text.split('\n').map((line) => schema.parse(JSON.parse(line)))
  return {
    all: () => lines,
    add(line) {
      lines.push(line)
      writeWholeFile(file, lines.map((each) => `${JSON.stringify(each)}\n`).join(''))
    },
  }
}

export { openKeptLines }
