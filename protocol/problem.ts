// Problem documents (RFC 9457). Every refusal of the coordinator is one; clients branch on `code`, people read `detail`.

import * as z from 'zod'

/** Code of every refusal, with the HTTP status and the title it goes with. */
const problemKinds = {
  'invalid-request': { status: 400, title: 'The request does not have the expected form' },
  unauthorized: { status: 401, title: 'A valid token is needed' },
  forbidden: { status: 403, title: 'This token may not do that' },
  'not-found': { status: 404, title: 'There is nothing here' },
  'method-not-allowed': { status: 405, title: 'This method is not offered here' },
  conflict: { status: 409, title: 'The request does not fit the current state' },
  'dataset-mismatch': { status: 409, title: "The agent's data is not the search's data" },
  'version-mismatch': { status: 409, title: 'Agent and coordinator are of versions that do not understand each other' },
  unreadable: { status: 409, title: 'What is stored cannot be read by this version' },
  'too-large': { status: 413, title: 'The request is too large' },
  'unsupported-media-type': { status: 415, title: 'The body has another type than expected' },
  'missing-latencies': { status: 422, title: 'The latency table does not cover the search space' },
  'bad-numbers': { status: 422, title: 'Numbers are not finite or have the wrong shape' },
  'too-many-refusals': { status: 429, title: 'Too many requests of this caller were refused' },
  overloaded: { status: 503, title: 'The coordinator is busy' },
  internal: { status: 500, title: 'The coordinator failed' },
} as const
type ProblemCode = keyof typeof problemKinds

const problemSchema = z
  .object({
    type: z.string().describe('urn:gatehouse:problem:<code>'),
    title: z.string(),
    status: z.int(),
    detail: z.string().describe('what was wrong with this very request, and what to do'),
    code: z.enum(Object.keys(problemKinds) as [ProblemCode, ...ProblemCode[]]),
    errors: z.array(z.object({ path: z.string(), message: z.string() })).describe('each offending field'),
    requestId: z.string().optional().describe("of the request, as in the header X-Request-Id and in the coordinator's log"),
  })
  .meta({ id: 'Problem', description: 'RFC 9457 problem document.' })
type Problem = z.infer<typeof problemSchema>

type FieldError = { path: string; message: string }

/** A refusal that the routes turn into a problem document. */
class ProblemError extends Error {
  override readonly name = 'ProblemError'
  readonly code: ProblemCode
  readonly errors: readonly FieldError[]

  constructor(code: ProblemCode, detail: string, errors: readonly FieldError[] = []) {
    super(detail)
    this.code = code
    this.errors = errors
  }
}

function problemDocument(code: ProblemCode, detail: string, errors: readonly FieldError[] = []): Problem {
  const { status, title } = problemKinds[code]
  return { type: `urn:gatehouse:problem:${code}`, title, status, detail, code, errors: [...errors] }
}

const codeOfStatus: Readonly<Record<number, ProblemCode>> = {
  401: 'unauthorized',
  403: 'forbidden',
  404: 'not-found',
  409: 'conflict',
  413: 'too-large',
  429: 'too-many-refusals',
  503: 'overloaded',
}
const FIRST_SERVER_ERROR = 500
const anyProblemSchema = problemSchema.extend({ code: z.string() })

/** A refusal as a client reads it, or null for what is no problem document. A code that this version does not know counts as that of its status. */
function readProblem(answer: unknown): Pick<Problem, 'code' | 'detail' | 'errors'> | null {
  const parsed = anyProblemSchema.safeParse(answer)
  if (!parsed.success) return null
  const { code, status, detail, errors } = parsed.data
  if (Object.hasOwn(problemKinds, code)) return { code: code as ProblemCode, detail, errors }
  return { code: codeOfStatus[status] ?? (status >= FIRST_SERVER_ERROR ? 'internal' : 'invalid-request'), detail, errors }
}

/** `blocks[2].kernel` for ['blocks', 2, 'kernel']. */
function fieldPath(path: readonly PropertyKey[]): string {
  return path.reduce<string>(
    (text, part) => (typeof part === 'number' ? `${text}[${part}]` : text === '' ? String(part) : `${text}.${String(part)}`),
    '',
  )
}

/** Refuses one field of a request, which is of the right form and still cannot be taken. */
function invalidField(path: string, message: string): ProblemError {
  return new ProblemError('invalid-request', `${path}: ${message}`, [{ path, message }])
}

/** The fields that a schema found wrong. */
function fieldErrors(error: z.core.$ZodError): FieldError[] {
  return error.issues.flatMap((issue) => flattenIssue(issue, []))
}

/** A union's own message is only "invalid input": the branch that got furthest says what was meant. */
function flattenIssue(issue: z.core.$ZodIssue, prefix: readonly PropertyKey[]): FieldError[] {
  const path = [...prefix, ...issue.path]
  if (issue.code === 'invalid_union' && issue.errors.length > 0) {
    const depth = (issues: readonly z.core.$ZodIssue[]) => Math.max(...issues.map((inner) => inner.path.length))
    const deepest = issue.errors.toSorted((a, b) => depth(b) - depth(a) || a.length - b.length)[0] ?? []
    return deepest.flatMap((inner) => flattenIssue(inner, path))
  }
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => ({ path: fieldPath([...path, key]), message: 'unknown field' }))
  }
  return [{ path: fieldPath(path), message: issue.message }]
}

export {
  fieldErrors,
  type FieldError,
  fieldPath,
  invalidField,
  type Problem,
  type ProblemCode,
  problemDocument,
  ProblemError,
  problemKinds,
  problemSchema,
  readProblem,
}
