// The charts of a search over its steps; two of them are of its distribution, where it has one.

import { formatFigure, formatLoss, formatMs, formatShare } from './format.js'
import { createLineChart } from './line-chart.js'

/** @typedef {import('../../protocol/status.ts').SearchStatus} SearchStatus */
/** @typedef {import('../../protocol/views.ts').DistributionView} DistributionView */
/** @typedef {import('./metric-history.js').History} History */
/** @typedef {import('./metric-history.js').Points} Points */

/** @param {Element} parent */
export function createCharts(parent) {
  const loss = createLineChart({ id: 'loss', title: 'Loss', format: formatLoss })
  const accuracy = createLineChart({ id: 'accuracy', title: 'Accuracy', format: formatShare, tickFactor: 100, tickUnit: ' %' })
  const entropy = createLineChart({ id: 'entropy', title: 'Entropy per block, nats', format: formatFigure })
  const latency = createLineChart({ id: 'latency', title: 'Expected latency, ms', format: formatMs })
  parent.replaceChildren(loss.element, accuracy.element, entropy.element, latency.element)

  return {
    /** @param {SearchStatus} status @param {History} history */
    update(status, history) {
      const mark = history.warmupEnd === null ? null : { x: history.warmupEnd, label: 'end of warm-up' }
      loss.update({ series: byKind(history.loss) })
      accuracy.update({ series: byKind(history.accuracy) })
      const view = status.view.kind === 'distribution' ? /** @type {DistributionView} */ (status.view) : null
      for (const { element } of [entropy, latency]) element.toggleAttribute('hidden', view === null)
      if (!view) return
      entropy.update({
        series: [{ id: 'entropy', label: 'Entropy', points: history.entropy }],
        reference: { value: view.entropy.start, label: `start ${formatFigure(view.entropy.start)}` },
        mark,
      })
      latency.update({
        series: [{ id: 'latency', label: 'Expected latency', points: history.expectedLatencyMs }],
        reference: { value: status.targetLatencyMs, label: `target ${formatMs(status.targetLatencyMs)}` },
        mark,
      })
    },
  }
}
/** @typedef {ReturnType<typeof createCharts>} Charts */

/** @param {{ training: Points, architecture: Points, validation: Points }} kinds */
const byKind = ({ training, architecture, validation }) => [
  { id: 'training', label: 'training', points: training },
  { id: 'architecture', label: 'architecture', points: architecture },
  { id: 'validation', label: 'validation', points: validation, dots: true },
]
