// The coordinator's three routes for latency tables.

import * as z from 'zod'
import { CliError } from '../../command-line/exit-codes.ts'
import { fieldErrors, problemSchema, type TableSummary, tableSummarySchema } from '../../coordinator/protocol/index.ts'
import type { Terminal } from '../../command-line/terminal.ts'
import { type LatencyTable, latencyTableSchema, tableNameSchema, tableVersionSchema } from '../table.ts'
import { DEFAULT_COORDINATOR_URL, REQUEST_TIMEOUT_MS } from './limits.ts'

const publishedSchema = z.object({ name: tableNameSchema, version: tableVersionSchema })
const listSchema = z.object({ tables: z.array(tableSummarySchema) })

type Coordinator = {
  publish(table: LatencyTable): Promise<{ name: string; version: string }>
  /** The version published last if none is named. */
  pull(name: string, version?: string): Promise<LatencyTable>
  list(): Promise<TableSummary[]>
}

type CoordinatorFlags = { readonly coordinator?: string | undefined; readonly token?: string | undefined }

/** Flags come before GATEHOUSE_COORDINATOR and GATEHOUSE_TOKEN. Throws CliError; calls do so too. */
function connect(flags: CoordinatorFlags, { env, interrupted }: Pick<Terminal, 'env' | 'interrupted'>): Coordinator {
  const address = flags.coordinator ?? (env['GATEHOUSE_COORDINATOR'] || DEFAULT_COORDINATOR_URL)
  const base = URL.parse(address)
  if (base === null || (base.protocol !== 'http:' && base.protocol !== 'https:')) {
    throw new CliError('usage', `expected --coordinator to be an address such as ${DEFAULT_COORDINATOR_URL}, got "${address}"`)
  }
  const token = flags.token ?? env['GATEHOUSE_TOKEN'] ?? ''
  if (!/^[\x21-\x7e]+$/.test(token)) {
    throw new CliError('usage', 'no admin token: give --token or set GATEHOUSE_TOKEN (printable ASCII without spaces)')
  }

  async function call<T>(method: 'GET' | 'POST', path: string, schema: z.ZodType<T>, body?: unknown): Promise<T> {
    const url = new URL(path, base as URL)
    let status: number
    let text: string
    try {
      const response = await fetch(url, {
        method,
        headers: { authorization: `Bearer ${token}`, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        // A redirect would carry the token to another host.
        redirect: 'error',
        signal: AbortSignal.any([interrupted, AbortSignal.timeout(REQUEST_TIMEOUT_MS)]),
      })
      status = response.status
      text = await response.text()
    } catch (error) {
      interrupted.throwIfAborted()
      throw new CliError(
        'failure',
        `no answer from the coordinator at ${url.origin}: ${causeOf(error)}. Is it running, and is --coordinator right?`,
      )
    }
    const value = parseJson(text)
    if (status < 200 || status > 299) {
      const problem = problemSchema.safeParse(value)
      const detail = problem.success ? problem.data.detail : 'without saying why'
      throw new CliError('failure', `${url.origin} refused ${method} ${url.pathname} (HTTP ${status}): ${detail}`, problem.data?.errors)
    }
    const answer = schema.safeParse(value)
    if (answer.success) return answer.data
    throw new CliError(
      'failure',
      `${url.origin} answered ${method} ${url.pathname} in another form than expected; is it a Gatehouse coordinator of this version?`,
      fieldErrors(answer.error),
    )
  }

  return {
    publish: (table) => call('POST', '/v1/latency-tables', publishedSchema, table),
    pull: (name, version) => call('GET', `/v1/latency-tables/${name}${version === undefined ? '' : `/${version}`}`, latencyTableSchema),
    list: async () => (await call('GET', '/v1/latency-tables', listSchema)).tables,
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** What Node's fetch hides behind "fetch failed". */
function causeOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const cause = error.cause
  if (cause instanceof AggregateError && cause.errors.length > 0) return String(cause.errors[0]?.message)
  return cause instanceof Error ? cause.message || error.message : error.message
}

export { connect, type Coordinator, type CoordinatorFlags }
