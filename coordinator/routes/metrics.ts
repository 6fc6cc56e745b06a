// What a Prometheus server reads: how many searches there are by phase, and how those stand that have not ended. Text exposition format 0.0.4.

import { createRoute, type OpenAPIHono } from '@hono/zod-openapi'
import * as z from 'zod'
import { type Outcome, type SearchStatus, searchSummarySchema, unwrap, VERSION } from '../../protocol/index.ts'
import { adminOnly, type RouteEnvironment } from './auth.ts'
import type { Ports } from './ports.ts'
import { withProblems } from './problems.ts'
import { bearer } from './answers.ts'

const METRICS_TYPE = 'text/plain; version=0.0.4; charset=utf-8'
/** Searches that are counted, the newest. */
const MAX_COUNTED = 1000
/** Searches that are asked where they stand, the newest that have not ended: as many as a Worker may call on the free plan. */
const MAX_ASKED = 40
/** An agent was heard of in this time: one that waits asks every 10 s, one that trains sends heartbeats. */
const PRESENT_MS = 30_000
const MS_PER_S = 1000

const readMetrics = createRoute({
  method: 'get',
  path: '/metrics',
  summary: 'Figures of the coordinator for Prometheus',
  tags: ['operations'],
  security: bearer,
  middleware: adminOnly,
  responses: withProblems(
    { 200: { description: 'Text exposition format 0.0.4', content: { 'text/plain': { schema: z.string() } } } },
    'forbidden',
  ),
})

type Labels = Readonly<Record<string, string>>
type Sample = { readonly labels: Labels; readonly value: number }
type Family = { readonly name: string; readonly type: 'gauge' | 'counter'; readonly help: string; readonly samples: readonly Sample[] }

const escape = (text: string) => text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')

function printSample(name: string, { labels, value }: Sample): string {
  const shown = Object.entries(labels).map(([label, text]) => `${label}="${escape(text)}"`)
  return `${name}${shown.length > 0 ? `{${shown.join(',')}}` : ''} ${value}`
}

function printFamilies(families: readonly Family[]): string {
  const shown = families.filter(({ samples }) => samples.length > 0)
  return shown
    .flatMap(({ name, type, help, samples }) => [
      `# HELP ${name} ${help}`,
      `# TYPE ${name} ${type}`,
      ...samples.map((sample) => printSample(name, sample)),
    ])
    .map((line) => `${line}\n`)
    .join('')
}

const isPresent = ({ lastSeenAtMs }: SearchStatus['agents'][number], nowMs: number) => nowMs - lastSeenAtMs < PRESENT_MS

/** Figures of searches that have not ended. */
function searchFamilies(statuses: readonly SearchStatus[], nowMs: number): Family[] {
  const of = (name: string, type: Family['type'], help: string, read: (status: SearchStatus) => readonly Sample[]): Family => ({
    name: `gatehouse_search_${name}`,
    type,
    help,
    samples: statuses.flatMap((status) =>
      read(status).map(({ labels, value }) => ({ labels: { search: status.searchId, name: status.name, ...labels }, value })),
    ),
  })
  const one = (value: number | null): Sample[] => (value === null ? [] : [{ labels: {}, value }])
  return [
    of('progress_ratio', 'gauge', 'How far the search is, 0 to 1.', ({ progress }) => one(progress)),
    of('steps_per_second', 'gauge', 'Weight steps a second over the last results.', ({ stepsPerSecond }) => one(stepsPerSecond)),
    of('tasks_waiting', 'gauge', 'Tasks without a result, handed out or queued.', ({ tasks }) =>
      (['leased', 'queued'] as const).map((state) => ({ labels: { state }, value: tasks[state] })),
    ),
    of('tasks_total', 'counter', 'Tasks that have ended, by what became of them.', ({ tasks }) =>
      (['done', 'stale', 'failed', 'duplicates'] as const).map((outcome) => ({ labels: { outcome }, value: tasks[outcome] })),
    ),
    of('expired_leases_total', 'counter', 'Leases that ended because nothing was heard of their agent.', ({ tasks }) =>
      one(tasks.expiredLeases),
    ),
    of('agents_present', 'gauge', 'Agents that were heard of in the last 30 s.', ({ agents }) =>
      one(agents.filter((agent) => isPresent(agent, nowMs)).length),
    ),
    of('sockets', 'gauge', 'Open sockets for wake-ups, of agents that wait and of pages.', ({ sockets }) =>
      (['agents', 'pages'] as const).map((of) => ({ labels: { of }, value: sockets?.[of] ?? 0 })),
    ),
    of('refused_pushes_total', 'counter', 'Pushes and results with numbers that were refused.', ({ agents }) =>
      one(agents.reduce((sum, { refusedPushes }) => sum + refusedPushes, 0)),
    ),
    of('seconds_since_agent', 'gauge', 'Since any agent was heard of.', ({ agents }) =>
      one(agents.length === 0 ? null : (nowMs - Math.max(...agents.map(({ lastSeenAtMs }) => lastSeenAtMs))) / MS_PER_S),
    ),
  ]
}

async function metricsText(ports: Ports, nowMs: number): Promise<string> {
  const listed = unwrap(await ports.searches.list(Number.MAX_SAFE_INTEGER, MAX_COUNTED))
  const phases = listed.map(({ id, summary }) => {
    const phase = summary === null ? undefined : searchSummarySchema.safeParse(JSON.parse(summary)).data?.phase
    return { id, phase: phase ?? 'unknown' }
  })
  const counts = new Map<string, number>()
  for (const { phase } of phases) counts.set(phase, (counts.get(phase) ?? 0) + 1)
  const going = phases.filter(({ phase }) => phase !== 'finished' && phase !== 'stopped').slice(0, MAX_ASKED)
  const answers = await Promise.allSettled(
    going.map(({ id }): Promise<Outcome<SearchStatus>> => ports.search(id).status({ kind: 'admin' })),
  )
  // What cannot be read has no figures, and takes nothing else down.
  const statuses = answers.flatMap((answer) => (answer.status === 'fulfilled' && answer.value.ok ? [answer.value.value] : []))
  return printFamilies([
    { name: 'gatehouse_info', type: 'gauge', help: 'Version of the coordinator.', samples: [{ labels: { version: VERSION }, value: 1 }] },
    {
      name: 'gatehouse_searches',
      type: 'gauge',
      help: 'Searches by phase.',
      samples: [...counts].map(([phase, value]) => ({ labels: { phase }, value })),
    },
    ...searchFamilies(statuses, nowMs),
  ])
}

function addMetricsRoutes(app: OpenAPIHono<RouteEnvironment>): void {
  app.openapi(readMetrics, async (context) => {
    return context.text(await metricsText(context.var.ports, Date.now()), 200, { 'Content-Type': METRICS_TYPE })
  })
}

export { addMetricsRoutes }
