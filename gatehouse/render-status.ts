// A search as a screen of text, for `search status`, for the live view of `search watch` and for the demo.

import type { FailureReason, Phase, SearchStatus } from '../protocol/index.ts'
import { printBytes, printCount, printDecimal, printDuration, printShare, printTime } from '../command-line/quantities.ts'
import { cutText, printable, renderEntry, renderTable, wrapText } from '../command-line/text-layout.ts'
import { boundEntries, frontEntries } from './render-costs.ts'
import { renderView } from './render-view.ts'

const LABEL_WIDTH = 10
const MAX_BAR_WIDTH = 40
const MEBIBYTE = 1024 * 1024
const MAX_AGENTS = 12

const phaseTexts = {
  waiting: 'waiting for agents',
  warmup: 'warming up',
  searching: 'searching',
  paused: 'paused',
  stalled: 'stalled',
  failed: 'failed',
  finished: 'finished',
  stopped: 'stopped',
} as const satisfies Record<Phase, string>

/**
 * The whole view, `width` characters at most, without a newline at the end. `nowMs` dates the agents' last words;
 * machines whose clocks differ make it off by the difference.
 */
function renderStatus(status: SearchStatus, width: number, nowMs: number = Date.now()): string {
  const entry = (label: string, text: string) => renderEntry(label, text, LABEL_WIDTH, width)
  const { entries, table } = renderView(status)
  return [
    renderTitle(status, width),
    renderProgress(status, width),
    ...(status.phaseReason === undefined ? [] : wrapText(`! ${printable(status.phaseReason)}`, width)),
    ...status.warnings.flatMap(({ message }) => wrapText(`! ${printable(message)}`, width)),
    '',
    ...renderLosses(status),
    '',
    ...[...entries, ...boundEntries(status), ...frontEntries(status)].map(([label, text]) => entry(label, text)),
    entry('speed', speedText(status)),
    entry('network', networkText(status)),
    entry('tasks', tasksText(status)),
    ...snapshotEntries(status).map((text) => entry('snapshots', text)),
    entry('current', printable(status.current.encoding)),
    '',
    ...(table === null ? [] : [cutLines(table, width), '']),
    renderAgents(status, width, nowMs),
  ].join('\n')
}

function cutLines(text: string, width: number): string {
  return text
    .split('\n')
    .map((line) => cutText(line, width))
    .join('\n')
}

function renderTitle(status: SearchStatus, width: number): string {
  const phase = phaseTexts[status.phase]
  const name = cutText(`${printable(status.name)}  ${status.searchId}`, Math.max(0, width - phase.length - 2))
  return `${name.padEnd(width - phase.length)}${phase}`
}

function renderProgress(status: SearchStatus, width: number): string {
  const { done, total, unit } = status.steps
  const share = Math.max(0, Math.min(1, status.progress))
  const text = `  ${printShare(share)}  ${printCount(done)} of ${printCount(total)} ${printable(unit)}${timeText(status)}`
  return cutText(`${bar(share, Math.max(10, Math.min(MAX_BAR_WIDTH, width - text.length)))}${text}`, width)
}

function timeText(status: SearchStatus): string {
  const { timeLeftMs, startedAtMs, finishedAtMs } = status
  if (finishedAtMs !== null && startedAtMs !== null) return `, took ${printDuration(finishedAtMs - startedAtMs)}`
  return timeLeftMs === null || status.phase === 'paused' ? '' : `, about ${printDuration(timeLeftMs)} left`
}

function bar(share: number, length: number): string {
  const filled = Math.round(share * length)
  return `${'█'.repeat(filled)}${'░'.repeat(length - filled)}`
}

function renderLosses(status: SearchStatus): string[] {
  const shares = [
    ['training', status.training, ''],
    ['architecture', status.architecture, ''],
    ['validation', status.validation, status.validation.atStep === null ? '' : `at step ${printCount(status.validation.atStep)}`],
  ] as const
  return [
    renderTable(
      [{ title: '' }, { title: 'loss', align: 'right' }, { title: 'accuracy', align: 'right' }, { title: '' }],
      shares.map(([share, { loss, accuracy }, note]) => [
        share,
        loss === null ? '–' : printDecimal(loss),
        accuracy === null ? '–' : printShare(accuracy),
        note,
      ]),
    ),
  ]
}

function speedText(status: SearchStatus): string {
  const { stepsPerSecond, imagesPerSecond } = status
  if (stepsPerSecond === null) return 'not known yet'
  return `${printDecimal(stepsPerSecond)} steps per second${imagesPerSecond === null ? '' : `, ${printCount(Math.round(imagesPerSecond))} images per second`}`
}

function networkText({ bytesPerStep, agents }: SearchStatus): string {
  if (bytesPerStep === null) return 'no weight steps yet'
  const sum = (of: (agent: SearchStatus['agents'][number]) => number) => agents.reduce((total, agent) => total + of(agent), 0)
  const [pushed, pulled] = [sum(({ bytesSent }) => bytesSent), sum(({ bytesReceived }) => bytesReceived)]
  return `${printBytes(bytesPerStep)} of weights per step; ${printBytes(pushed)} pushed, ${printBytes(pulled)} pulled`
}

/** Of agents whose numbers were far off. */
function clippedText(agents: SearchStatus['agents']): string {
  const clipped = agents.reduce((sum, agent) => sum + agent.clipped, 0)
  const names = agents.filter(({ isSetAside }) => isSetAside).map(({ name }) => printable(name))
  return `${clipped > 0 ? `, ${printCount(clipped)} clipped` : ''}${names.length > 0 ? `; set aside: ${names.join(', ')}` : ''}`
}

function tasksText({ tasks, agents }: SearchStatus): string {
  const troubles = [
    [tasks.queued, 'to be handed out again'],
    [tasks.stale, 'stale'],
    [tasks.expiredLeases, tasks.expiredLeases === 1 ? 'lease expired' : 'leases expired'],
    [tasks.duplicates, tasks.duplicates === 1 ? 'duplicate' : 'duplicates'],
    [tasks.failed, 'given up'],
  ] as const
  const shown = troubles.filter(([count]) => count > 0).map(([count, word]) => `, ${printCount(count)} ${word}`)
  return `${printCount(tasks.done)} done, ${printCount(tasks.leased)} with agents${shown.join('')}${clippedText(agents)}${failureText(tasks)}`
}

const failureTexts = {
  expired: 'its agents were not heard of any more',
  failed: 'no agent could do it',
  'bad-numbers': 'training gave numbers that are not finite',
} as const satisfies Record<FailureReason, string>

function failureText({ lastFailure }: SearchStatus['tasks']): string {
  if (!lastFailure) return ''
  const { taskId, kind, reason, message, attempts } = lastFailure
  const why = message === undefined ? failureTexts[reason] : printable(message)
  return `; task ${taskId} (${kind}) was given up after ${printCount(attempts)} attempts: ${why}`
}

/** What it can be taken back to, and that it was; nothing where neither is. */
function snapshotEntries({ snapshots = [], rollbacks = [], tasks }: SearchStatus): string[] {
  const last = rollbacks.at(-1)
  const kept = snapshots.map(({ number, steps }) => `${number} at ${printCount(steps)}`)
  const told = last
    ? `taken back to snapshot ${last.snapshot} on ${printTime(last.atMs)}; ${printCount(tasks.rolledBack ?? 0)} results count no more`
    : ''
  const text = [kept.length === 0 ? '' : `${kept.join(', ')} steps`, told].filter((part) => part !== '').join('; ')
  return text === '' ? [] : [text]
}

function renderAgents(status: SearchStatus, width: number, nowMs: number): string {
  const agents = status.agents.toSorted((a, b) => b.lastSeenAtMs - a.lastSeenAtMs)
  if (agents.length === 0) return 'no agents yet'
  const table = renderTable(
    [
      { title: 'agent' },
      { title: 'device' },
      { title: 'backend' },
      { title: 'images/s', align: 'right' },
      { title: 'idle', align: 'right' },
      { title: 'peak', align: 'right' },
      { title: 'tasks', align: 'right' },
      { title: 'refused', align: 'right' },
      { title: 'seen', align: 'right' },
      { title: 'per step', align: 'right' },
      { title: 'moved', align: 'right' },
    ],
    agents
      .slice(0, MAX_AGENTS)
      .map((agent) => [
        cutText(printable(agent.name), 20),
        cutText(printable(agent.device), Math.max(8, width - 82)),
        cutText(`${printable(agent.backend)}${agent.lanes > 1 ? ` × ${agent.lanes}` : ''}`, 14),
        agent.imagesPerSecond === null ? '–' : printCount(Math.round(agent.imagesPerSecond)),
        agent.idleShare === null ? '–' : printShare(agent.idleShare),
        agent.peakBytes === null ? '–' : `${printCount(Math.ceil(agent.peakBytes / MEBIBYTE))} MiB`,
        printCount(agent.tasksDone),
        printCount(agent.refusedPushes),
        `${printDuration(nowMs - agent.lastSeenAtMs)} ago`,
        agent.bytesPerStep === null ? '–' : printBytes(agent.bytesPerStep),
        printBytes(agent.bytesSent + agent.bytesReceived),
      ]),
  )
  const more = agents.length + (status.foldedAgents?.agents ?? 0) - Math.min(MAX_AGENTS, agents.length)
  return cutLines(more > 0 ? `${table}\nand ${more} more agents` : table, width)
}

/** One line for a log: what changed most. */
function renderStatusLine(status: SearchStatus): string {
  const { loss, accuracy } = status.training
  return [
    status.phase,
    printShare(status.progress),
    `${printCount(status.steps.done)}/${printCount(status.steps.total)} ${printable(status.steps.unit)}`,
    ...(loss === null ? [] : [`loss ${printDecimal(loss)}`]),
    ...(accuracy === null ? [] : [`accuracy ${printShare(accuracy)}`]),
    ...renderView(status).figures,
    `${status.agents.length} ${status.agents.length === 1 ? 'agent' : 'agents'}`,
    ...(status.timeLeftMs === null || status.finishedAtMs !== null || status.phase === 'paused'
      ? []
      : [`${printDuration(status.timeLeftMs)} left`]),
  ].join('  ')
}

export { renderStatus, renderStatusLine }
