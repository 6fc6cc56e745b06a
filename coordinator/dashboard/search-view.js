// Everything that the page shows of one search, from its status.

import { renderAgents } from './agent-table.js'
import { renderBlocks } from './block-table.js'
import { renderCandidates } from './candidate-table.js'
import { renderBounds, renderFronts } from './cost-tables.js'
import { find, keepChildren, make, setText } from './dom.js'
import {
  formatBytes,
  formatCompact,
  formatCount,
  formatDuration,
  formatFigure,
  formatLoss,
  formatMs,
  formatShare,
  formatTime,
  formatVersion,
} from './format.js'

/** @typedef {import('../../protocol/status.ts').SearchStatus} SearchStatus */
/** @typedef {import('../../protocol/views.ts').DistributionView} DistributionView */
/** @typedef {import('./candidate-table.js').CandidatesView} CandidatesView */

/** Room that the latency gauge leaves beyond the largest of its marks. */
const GAUGE_ROOM = 1.15
/** Latency this far above the target is still called on target. */
const ON_TARGET = 0.01

/** How the value at a `data-field` is written; fields not named here are texts. @type {Record<string, (value: any) => string>} */
const formats = {
  createdAtMs: formatTime,
  startedAtMs: formatTime,
  finishedAtMs: formatTime,
  progress: formatShare,
  timeLeftMs: formatDuration,
  elapsedMs: formatDuration,
  stepsPerSecond: formatFigure,
  imagesPerSecond: formatFigure,
  bytesPerStep: formatBytes,
  expectedLatencyMs: formatMs,
  targetLatencyMs: formatMs,
  alphaVersion: formatCount,
  'training.loss': formatLoss,
  'training.accuracy': formatShare,
  'architecture.loss': formatLoss,
  'architecture.accuracy': formatShare,
  'validation.loss': formatLoss,
  'validation.accuracy': formatShare,
  'validation.atStep': formatCount,
  'entropy.mean': formatFigure,
  'entropy.start': formatFigure,
  'entropy.total': formatFigure,
  'steps.done': formatCount,
  'steps.total': formatCount,
  'architectureSteps.done': formatCount,
  'architectureSteps.skippedBlocks': formatCount,
  'view.effectiveSamples': formatFigure,
  'view.effectiveWeightSamples': formatFigure,
  'current.latencyMs': formatMs,
  'current.macs': formatCompact,
  'current.parameters': formatCompact,
  'tasks.created': formatCount,
  'tasks.leased': formatCount,
  'tasks.queued': formatCount,
  'tasks.done': formatCount,
  'tasks.stale': formatCount,
  'tasks.expiredLeases': formatCount,
  'tasks.duplicates': formatCount,
  'tasks.failed': formatCount,
  'tasks.lastFailure': describeFailure,
  'tasks.rolledBack': (count) => `${formatCount(count ?? 0)} results count no more`,
  snapshots: describeSnapshots,
  rollbacks: describeRollbacks,
  'latencyTable.version': formatVersion,
  'latencyTable.batch': formatCount,
}

/** Values that people may want in full. @type {Record<string, (value: any) => string>} */
const titles = {
  'latencyTable.version': String,
  'current.macs': formatCount,
  'current.parameters': formatCount,
}

/** @param {SearchStatus} status @param {number} nowMs the coordinator's clock */
export function renderSearch(status, nowMs) {
  const root = find('#search')
  root.dataset['searchId'] = status.searchId
  root.dataset['phase'] = status.phase
  find('#phase').dataset['phase'] = status.phase

  const elapsedMs = status.startedAtMs === null ? null : (status.finishedAtMs ?? nowMs) - status.startedAtMs
  for (const element of root.querySelectorAll('[data-field]')) {
    const field = /** @type {HTMLElement} */ (element).dataset['field'] ?? ''
    renderField(/** @type {HTMLElement} */ (element), field, field === 'elapsedMs' ? elapsedMs : valueAt(status, field))
  }
  for (const element of root.querySelectorAll('[data-optional]')) {
    const { dataset } = /** @type {HTMLElement} */ (element)
    ;/** @type {HTMLElement} */ (element).hidden = valueAt(status, dataset['optional'] ?? '') === null
  }
  find('#time-left').hidden = status.timeLeftMs === null
  for (const time of root.querySelectorAll('time')) /** @type {HTMLElement} */ (time.parentElement).hidden = time.dateTime === ''

  renderWarnings(status)
  renderProgress(status)
  renderView(status)
  renderBounds(status)
  renderFronts(status)
  renderAgents(status, nowMs)
  setText(find('#config'), JSON.stringify(status.config, null, 2))
  setText(find('#space'), JSON.stringify(status.space, null, 2))
}

/** @param {SearchStatus['tasks']['lastFailure']} failure */
function describeFailure(failure) {
  return failure ? `last: task ${failure.taskId} (${failure.kind}), ${failure.message ?? failure.reason}` : ''
}

/** @param {SearchStatus['snapshots']} snapshots */
function describeSnapshots(snapshots) {
  const steps = (snapshots ?? []).map(({ number, steps: done }) => `${number} at ${formatCount(done)}`)
  return steps.length === 0 ? '' : `${steps.join(', ')} steps`
}

/** @param {SearchStatus['rollbacks']} rollbacks */
function describeRollbacks(rollbacks) {
  const last = rollbacks?.at(-1)
  return last ? `last: to snapshot ${last.snapshot}, ${formatTime(last.atMs)}` : ''
}

/** What each kind of view shows, beside the elements that name it in `data-view`. @type {Record<string, (status: SearchStatus) => void>} */
const views = {
  distribution: (status) => {
    const view = /** @type {DistributionView} */ (status.view)
    renderLatency(status, view)
    renderEntropy(view)
    renderBlocks(status, view)
  },
  population: ({ view }) => renderCandidates(/** @type {CandidatesView} */ (view)),
  ranking: ({ view }) => renderCandidates(/** @type {CandidatesView} */ (view)),
}

/** @param {SearchStatus} status */
function renderView(status) {
  const { kind } = status.view
  const render = Object.hasOwn(views, kind) ? views[kind] : undefined
  for (const element of document.querySelectorAll('[data-view]')) {
    const { dataset } = /** @type {HTMLElement} */ (element)
    const named = (dataset['view'] ?? '').split(' ')
    ;/** @type {HTMLElement} */ (element).hidden = !named.includes(render ? kind : 'unknown')
  }
  setText(find('#unknown-view'), kind)
  setText(find('#current-title'), kind === 'distribution' ? 'Most probable architecture' : 'Best architecture')
  render?.(status)
}

/** @param {HTMLElement} element @param {string} field @param {any} value */
function renderField(element, field, value) {
  if (field === 'current.encoding') showEncoding(element, value)
  else setText(element, formats[field]?.(value) ?? String(value))
  const title = titles[field]
  if (title) element.title = title(value)
  if (element instanceof HTMLDataElement) element.value = String(value ?? '')
  if (element instanceof HTMLTimeElement) element.dateTime = value === null ? '' : new Date(value).toISOString()
}

/** Lines may break between operations, and what is copied has no breaks in it. @param {HTMLElement} element @param {string} encoding */
function showEncoding(element, encoding) {
  if (element.textContent === encoding) return
  element.replaceChildren(...encoding.split(/(?<=[:,])/).flatMap((part) => [part, make('wbr')]))
}

/** @param {any} value @param {string} path names with dots between @returns {any} */
const valueAt = (value, path) => path.split('.').reduce((inner, name) => inner?.[name], value) ?? null

/** @param {SearchStatus} status */
function renderWarnings({ warnings: known, phase, phaseReason }) {
  const warnings = phaseReason === undefined ? known : [{ kind: phase, message: phaseReason }, ...known]
  const create = () => make('li')
  keepChildren(
    find('#warnings'),
    warnings,
    ({ kind }) => kind,
    create,
    (element, { message }) => setText(element, message),
  )
}

/** @param {SearchStatus} status */
function renderProgress({ progress, phase }) {
  const bar = find('#progress-bar')
  bar.setAttribute('aria-valuenow', (progress * 100).toFixed(1))
  bar.dataset['phase'] = phase
  find('i', bar).style.width = percent(progress)
}

/** @param {SearchStatus} status @param {DistributionView} view */
function renderLatency({ targetLatencyMs, current }, { expectedLatencyMs }) {
  const gauge = find('#latency-gauge')
  const end = Math.max(expectedLatencyMs, targetLatencyMs, current.latencyMs) * GAUGE_ROOM
  const above = expectedLatencyMs / targetLatencyMs - 1
  const isAbove = above > ON_TARGET
  const verdict = isAbove ? `${formatShare(above)} above target` : above < -ON_TARGET ? `${formatShare(-above)} below target` : 'on target'
  gauge.setAttribute('aria-valuemax', String(end))
  gauge.setAttribute('aria-valuenow', String(expectedLatencyMs))
  gauge.setAttribute('aria-valuetext', `${formatMs(expectedLatencyMs)}, ${verdict}`)
  gauge.dataset['above'] = String(isAbove)
  find('.fill', gauge).style.width = percent(expectedLatencyMs / end)
  find('.target', gauge).style.left = percent(targetLatencyMs / end)
  find('.current', gauge).style.left = percent(current.latencyMs / end)
  const text = find('#latency-verdict')
  setText(text, verdict)
  text.dataset['above'] = String(isAbove)
}

/** @param {DistributionView} view */
function renderEntropy({ entropy }) {
  const bar = find('#entropy-bar')
  bar.setAttribute('aria-valuemax', String(entropy.start))
  bar.setAttribute('aria-valuenow', String(Math.min(entropy.mean, entropy.start)))
  bar.setAttribute('aria-valuetext', `${formatFigure(entropy.mean)} nats per block, ${formatFigure(entropy.start)} at the start`)
  find('i', bar).style.width = percent(entropy.start > 0 ? entropy.mean / entropy.start : 0)
}

/** @param {number} share */
const percent = (share) => `${(Math.min(1, Math.max(0, share)) * 100).toFixed(2)}%`
