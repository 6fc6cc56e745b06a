// Scores on disk, one row for each network as soon as it is scored: a scoring that was broken off goes on behind the last row.
//
//   architecture    as `gatehouse derive` prints it
//   SCORE           a column for each score; nan for a network that has none
//   SCORE_seconds   and what each of them took
//   step_seconds    of one training step on the same mini-batch
//   settings        fingerprint of all that the numbers depend on

import { appendFileSync, existsSync, mkdirSync, readFileSync, truncateSync } from 'node:fs'
import { dirname } from 'node:path'
import { CliError } from '../../command-line/exit-codes.ts'
import type { ScoreName } from '../../protocol/index.ts'
import { parseArchitecture, printArchitecture, type Space } from '../../search-space/index.ts'
import type { ScoredArchitecture } from './score-networks.ts'

type ScoreFile = {
  /** Rows that were there. */
  readonly found: readonly ScoredArchitecture[]
  append(scored: ScoredArchitecture): void
}

const quoted = (text: string) => (/[",]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text)

function headerOf(names: readonly ScoreName[]): string {
  return ['architecture', ...names, ...names.map((name) => `${name}_seconds`), 'step_seconds', 'settings'].join(',')
}

function rowOf(space: Space, { path, values, seconds, stepSeconds }: ScoredArchitecture, settings: string): string {
  const numbers = [...values.map((value) => (value === null ? 'nan' : String(value))), ...seconds.map(String), String(stepSeconds)]
  return [quoted(printArchitecture(space, path)), ...numbers, settings].join(',')
}

/** A row as `rowOf` writes it. */
function parseRow(space: Space, line: string, names: readonly ScoreName[]): { scored: ScoredArchitecture; settings: string } {
  const [, name = '', rest = ''] = /^((?:"(?:[^"]|"")*")|[^,]*),(.*)$/.exec(line) ?? []
  const fields = rest.split(',')
  const numbers = fields.slice(0, -1).map((field) => (field === 'nan' ? null : Number(field)))
  if (numbers.length !== 2 * names.length + 1) throw new Error(`expected ${2 * names.length + 1} numbers, got ${numbers.length}`)
  const path = parseArchitecture(space, name.replace(/^"(.*)"$/, '$1').replaceAll('""', '"'))
  const seconds = numbers.slice(names.length).map((value) => value ?? 0)
  const scored = { path, values: numbers.slice(0, names.length), seconds: seconds.slice(0, -1), stepSeconds: seconds.at(-1) ?? 0 }
  return { scored, settings: fields.at(-1) ?? '' }
}

/**
 * Opens a file, or begins it. A last row that was not written to its end is dropped. Throws CliError `conflict` for a file of other
 * settings, and `usage` for one that holds something else or cannot be written.
 */
function openScoreFile(path: string, space: Space, names: readonly ScoreName[], settings: string): ScoreFile {
  const header = headerOf(names)
  const write = (work: () => void) => {
    try {
      work()
    } catch (error) {
      throw new CliError('usage', `cannot write ${path}: ${(error as Error).message}`)
    }
  }
  const text = existsSync(path) ? readFileSync(path, 'utf8') : ''
  const whole = text.slice(0, text.lastIndexOf('\n') + 1)
  if (whole.length < text.length) write(() => truncateSync(path, Buffer.byteLength(whole)))
  const [first, ...lines] = whole.split('\n').slice(0, -1)
  if (first === undefined) {
    write(() => {
      mkdirSync(dirname(path), { recursive: true })
      appendFileSync(path, `${header}\n`)
    })
  } else if (first !== header) {
    throw new CliError('conflict', `${path} has other columns than ${header}: choose another --out or remove it`)
  }
  const found = lines.map((line, index) => {
    const at = `${path}, line ${index + 2}`
    let row: ReturnType<typeof parseRow>
    try {
      row = parseRow(space, line, names)
    } catch (error) {
      throw new CliError('usage', `${at}: ${(error as Error).message}`)
    }
    if (row.settings !== settings) {
      throw new CliError('conflict', `${at}: scored with another space, seed, mini-batch or data: choose another --out or remove the file`)
    }
    return row.scored
  })
  return { found, append: (scored) => write(() => appendFileSync(path, `${rowOf(space, scored, settings)}\n`)) }
}

export { openScoreFile, type ScoreFile }
