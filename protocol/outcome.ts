// Errors lose their class when they cross from an object to the Worker, so refusals cross as values.

import { type FieldError, type ProblemCode, ProblemError } from './problem.ts'

type Refusal = { readonly code: ProblemCode; readonly detail: string; readonly errors: FieldError[] }
type Outcome<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly refusal: Refusal }

function refusalOf(error: unknown): { readonly ok: false; readonly refusal: Refusal } {
  if (!(error instanceof ProblemError)) throw error
  return { ok: false, refusal: { code: error.code, detail: error.message, errors: [...error.errors] } }
}

/** Runs `body`; a ProblemError becomes a refusal, anything else stays an error. */
function attempt<T>(body: () => T): Outcome<T> {
  try {
    return { ok: true, value: body() }
  } catch (error) {
    return refusalOf(error)
  }
}

/** The same for what takes time. */
async function attemptLater<T>(body: () => Promise<T>): Promise<Outcome<T>> {
  try {
    return { ok: true, value: await body() }
  } catch (error) {
    return refusalOf(error)
  }
}

/** The value, or the refusal thrown again as ProblemError. */
function unwrap<T>(outcome: Outcome<T>): T {
  if (outcome.ok) return outcome.value
  throw new ProblemError(outcome.refusal.code, outcome.refusal.detail, outcome.refusal.errors)
}

export { attempt, attemptLater, type Outcome, unwrap }
