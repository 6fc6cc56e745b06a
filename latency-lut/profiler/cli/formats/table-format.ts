// What every file format of a latency table offers, and the checks that they share.

import * as z from 'zod'
import { LatencyKeyError, parseTableKey } from '../../../table/keys.ts'
import { type LatencyEntry, latencyEntrySchema, type LatencyTable } from '../../../table/table.ts'

/** What a file says besides its entries. Published tables say nothing, so whoever imports one has to. */
type Description = Partial<Omit<LatencyTable, 'entries'>>
type TableContent = { readonly description: Description; readonly entries: LatencyTable['entries'] }

type TableFormat = {
  /** Without a dot; the first is the usual one. */
  readonly extensions: readonly string[]
  /** Whether a file has everything of a table, not only the entries. */
  readonly holdsDescription: boolean
  /** Throws TableFormatError with every line that is wrong. */
  read(text: string): TableContent
  write(table: LatencyTable): string
}

type LineProblem = { readonly line: number; readonly message: string }

/** A file that is not of its format. Lists what is wrong with which line. */
class TableFormatError extends Error {
  override readonly name = 'TableFormatError'
  readonly code = 'table-format'
  readonly problems: readonly LineProblem[]

  constructor(problems: readonly LineProblem[]) {
    super(problems.map(({ line, message }) => `line ${line}: ${message}`).join('; '))
    this.problems = problems
  }
}

/** Names that files have for the fields of an entry. */
type FieldNames = Readonly<Record<'meanMs' | 'stdMs' | 'count', string>>

/** Collects the entries of a file, and everything that is wrong with them before anything is thrown. */
class EntryCollector {
  readonly #entries = new Map<string, { readonly entry: LatencyEntry; readonly line: number }>()
  readonly #problems: LineProblem[] = []
  readonly #names: FieldNames

  constructor(names: FieldNames) {
    this.#names = names
  }

  report(line: number, message: string): void {
    this.#problems.push({ line, message })
  }

  /** `figures`: not yet checked. */
  add(line: number, key: string, figures: unknown): void {
    try {
      parseTableKey(key)
    } catch (error) {
      if (!(error instanceof LatencyKeyError)) throw error
      this.report(line, error.message)
      return
    }
    const earlier = this.#entries.get(key)
    if (earlier) {
      this.report(line, `${key} is there twice, first in line ${earlier.line}`)
      return
    }
    const parsed = latencyEntrySchema.safeParse(figures)
    if (!parsed.success) {
      for (const issue of parsed.error.issues) this.report(line, `${this.#describe(issue)} (${key})`)
      return
    }
    this.#entries.set(key, { entry: parsed.data, line })
  }

  /** Throws TableFormatError if anything was reported. */
  finish(): LatencyTable['entries'] {
    if (this.#problems.length > 0) throw new TableFormatError(this.#problems)
    return Object.fromEntries([...this.#entries].map(([key, { entry }]) => [key, entry]))
  }

  #describe(issue: z.core.$ZodIssue): string {
    const field = String(issue.path[0] ?? '')
    const name = Object.hasOwn(this.#names, field) ? this.#names[field as keyof FieldNames] : issue.path.join('.')
    if (issue.code === 'unrecognized_keys') return `unknown field ${issue.keys.join(', ')}`
    const isMissing = issue.code === 'invalid_type' && issue.message.endsWith('received undefined')
    return isMissing ? `${name} is missing` : `${name}: ${issue.message}`
  }
}

export { type Description, EntryCollector, type LineProblem, type TableContent, type TableFormat, TableFormatError }
