// What architectures cost: how a search keeps its bounds, and the fronts of what it has evaluated.

import { find, keepChildren, make, setText } from './dom.js'
import { formatBytes, formatCompact, formatFigure, formatMs, formatShare } from './format.js'

/** @typedef {import('../../protocol/status.ts').SearchStatus} SearchStatus */

/** @type {Record<string, { title: string, format: (value: number) => string }>} */
const costs = {
  latencyMs: { title: 'latency', format: formatMs },
  macs: { title: 'multiply-accumulates', format: formatCompact },
  parameters: { title: 'parameters', format: formatCompact },
  weightBytes: { title: 'weights', format: formatBytes },
}

/** @param {string} cost */
const wordsOf = (cost) => (Object.hasOwn(costs, cost) ? costs[cost] : undefined) ?? { title: cost, format: formatFigure }

/** Bounds beside the target latency, which has a place of its own. @param {SearchStatus} status */
export function renderBounds({ bounds = [] }) {
  keepChildren(
    find('#bounds'),
    bounds.slice(1),
    ({ cost }) => cost,
    () => make('li'),
    (item, { cost, atMost, value, isMet }) => {
      const { title, format } = wordsOf(cost)
      item.dataset['met'] = String(isMet)
      setText(item, `${title} ${format(value)}, at most ${format(atMost)}: ${isMet ? 'kept' : 'not kept'}`)
    },
  )
}

/** @param {SearchStatus} status */
export function renderFronts({ fronts = [] }) {
  find('#fronts').hidden = fronts.length === 0
  const rows = fronts.flatMap(({ cost, points }) => points.map((point) => ({ cost, ...point })))
  keepChildren(
    find('#front-rows'),
    rows,
    ({ cost, encoding }) => `${cost} ${encoding}`,
    () =>
      make(
        'tr',
        {},
        make('th', { scope: 'row' }),
        make('td', { class: 'number' }),
        make('td', { class: 'number' }),
        make('td', {}, make('code')),
      ),
    (row, { cost, value, score, encoding }) => {
      const { title, format } = wordsOf(cost)
      for (const [i, text] of [title, format(value), formatShare(score)].entries()) {
        const cell = row.children[i]
        if (cell) setText(cell, text)
      }
      setText(find('code', row), encoding)
    },
  )
}
