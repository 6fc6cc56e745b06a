// Forms of what is stored have schemas of their own, apart from those of the wire: a change of the wire must not change
// unnoticed what an object finds in its rows tomorrow. They know no defaults, since a default is a migration that nobody
// numbered, and no bounds, since a bound that is lowered would make rows unreadable. What changes them belongs into a
// migration (coordinator/objects/migrations/).

import type * as z from 'zod'
import { fieldErrors, ProblemError, VERSION } from '../../protocol/index.ts'

/** True where two types are the same in every property, also in which ones are optional. */
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false

/**
 * The schema, if its type is that of the wire; otherwise it does not compile, and whoever has changed one of them says what becomes of
 * rows that are stored already.
 */
function storedAs<Wire>(): <S extends z.ZodType>(schema: Same<z.output<S>, Wire> extends true ? S : never) => S {
  return (schema) => schema
}

/** Refuses to go on with what is stored. `where`: a table and a row of it, or what else was read. */
function unreadable(where: string, reason: string): ProblemError {
  return new ProblemError('unreadable', `${where} cannot be read by version ${VERSION}: ${reason}`)
}

/** The first thing that a schema found wrong. */
function describeFirst(error: z.core.$ZodError): string {
  const [first] = fieldErrors(error)
  return first ? `${first.path === '' ? 'the whole' : first.path}: ${first.message}` : 'unknown form'
}

/** A value of JSON text that was stored. Throws ProblemError `unreadable`, which names the field. */
function readStored<S extends z.ZodType>(schema: S, text: string, where: string): z.output<S> {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw unreadable(where, 'it is not JSON')
  }
  const parsed = schema.safeParse(value)
  if (parsed.success) return parsed.data
  throw unreadable(where, describeFirst(parsed.error))
}

export { describeFirst, readStored, storedAs, unreadable }
