// How clients read answers. Requests are strict: a field that is not known is a mistake. Answers are not: a coordinator of a newer version
// may say more, and what a client does not know is left out. Schemas that requests and answers share are strict; here their
// unknown fields are taken off before they are parsed again.

import type * as z from 'zod'
import { fieldErrors, fieldPath } from './problem.ts'

/** An answer lacks something, or has another form than this version knows. */
class AnswerError extends Error {
  override readonly name = 'AnswerError'
  readonly code = 'unknown-answer'
  /** What is wrong, such as `task.work.kind`; empty for the answer as a whole. */
  readonly field: string
  readonly answer: unknown

  constructor(field: string, message: string, answer: unknown) {
    super(`${field === '' ? 'the whole answer' : field}: ${message}`)
    this.field = field
    this.answer = answer
  }
}

type Keys = readonly PropertyKey[]

/** Paths of unknown fields, or null where something else is wrong as well. */
function unknownFields(issues: readonly z.core.$ZodIssue[], prefix: Keys = []): Keys[] | null {
  const found: Keys[] = []
  for (const issue of issues) {
    const path = [...prefix, ...issue.path]
    if (issue.code === 'unrecognized_keys') {
      found.push(...issue.keys.map((key) => [...path, key]))
      continue
    }
    // A branch of a union that fits but for unknown fields; the one with the fewest is meant.
    const branches = issue.code === 'invalid_union' ? issue.errors.map((branch) => unknownFields(branch, path)) : []
    const fitting = branches.filter((branch) => branch !== null).toSorted((a, b) => a.length - b.length)[0]
    if (!fitting) return null
    found.push(...fitting)
  }
  return found
}

function without(value: unknown, [key, ...rest]: Keys): unknown {
  if (key === undefined || typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) return value.map((member, i) => (i === key ? without(member, rest) : member))
  const { [key as string]: member, ...others } = value as Record<string, unknown>
  return rest.length === 0 ? others : { ...others, [key as string]: without(member, rest) }
}

/** The answer as the schema has it, without fields that it does not know. Throws AnswerError. */
function parseAnswer<S extends z.ZodType>(schema: S, answer: unknown): z.output<S> {
  let known = answer
  for (;;) {
    const parsed = schema.safeParse(known)
    if (parsed.success) return parsed.data
    // Each turn takes a field off, so that there is an end.
    const unknown = unknownFields(parsed.error.issues)
    if (!unknown || unknown.length === 0) {
      const first = fieldErrors(parsed.error)[0] ?? { path: fieldPath(parsed.error.issues[0]?.path ?? []), message: 'invalid' }
      throw new AnswerError(first.path, first.message, answer)
    }
    for (const path of unknown) known = without(known, path)
  }
}

export { AnswerError, parseAnswer }
