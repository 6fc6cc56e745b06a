// Blocks × operations: how probable each operation is, as a row of heat per block.

import { find, make, setText } from './dom.js'
import { formatFigure, formatMs, formatShare } from './format.js'

/** @typedef {import('../../protocol/status.ts').SearchStatus} SearchStatus */
/** @typedef {import('../../protocol/views.ts').DistributionView} DistributionView */

/** Below this a probability of 0.4 % would read as 0. */
const ROUND_FROM = 0.0095

/** @param {SearchStatus} status @param {DistributionView} view */
export function renderBlocks(status, view) {
  const table = find('#blocks')
  const names = operationNames(status)
  const shape = JSON.stringify(status.blocks)
  if (table.dataset['shape'] !== shape) {
    build(table, status, names)
    table.dataset['shape'] = shape
  }
  const rows = find('tbody', table).children
  status.blocks.forEach((block, b) => update(/** @type {HTMLElement} */ (rows[b]), { status, view }, block, b))
}

/** Every operation that some block offers; those that only some offer (Zero) come last. @param {SearchStatus} status */
function operationNames({ blocks }) {
  const all = [...new Set(blocks.flatMap((block) => block.operations))]
  const everywhere = (/** @type {string} */ name) => blocks.every((block) => block.operations.includes(name))
  return [...all.filter(everywhere), ...all.filter((name) => !everywhere(name))]
}

/** @param {HTMLElement} table @param {SearchStatus} status @param {string[]} names */
function build(table, status, names) {
  const column = (/** @type {string} */ name) => make('th', { scope: 'col' }, name)
  find('thead', table).replaceChildren(
    make(
      'tr',
      {},
      column('Block'),
      ...names.map(column),
      make('th', { scope: 'col', class: 'number' }, 'Entropy'),
      make('th', { scope: 'col', class: 'number' }, 'Latency'),
    ),
  )
  find('tbody', table).replaceChildren(
    ...status.blocks.map((block) => {
      const cells = names.map((name) =>
        block.operations.includes(name)
          ? make('td', { class: 'cell', 'data-operation': name }, make('span', { class: 'percent' }), make('span', { class: 'unseen' }))
          : make('td', { class: 'absent' }, make('span', { class: 'unseen' }, 'not offered')),
      )
      const entropy = make('td', { class: 'number block-entropy' }, make('data'), make('i', { class: 'spark', 'aria-hidden': 'true' }))
      return make(
        'tr',
        { 'data-block': block.name },
        make('th', { scope: 'row' }, block.name),
        ...cells,
        entropy,
        make('td', { class: 'number block-latency' }),
      )
    }),
  )
}

/** @param {HTMLElement} row @param {{ status: SearchStatus, view: DistributionView }} shown @param {SearchStatus['blocks'][number]} block @param {number} b */
function update(row, { status, view }, block, b) {
  const best = status.current.path[b]
  block.operations.forEach((name, o) => {
    const probability = view.probabilities[b]?.[o] ?? 0
    const cell = find(`[data-operation="${CSS.escape(name)}"]`, row)
    setText(find('.percent', cell), percent(probability))
    setText(find('.unseen', cell), o === best ? ', most probable' : '')
    cell.classList.toggle('best', o === best)
    cell.dataset['probability'] = String(probability)
    cell.title = `${block.name}, ${name}: ${formatShare(probability)}, alpha ${formatFigure(view.alpha[b]?.[o] ?? null)}${o === best ? ', most probable' : ''}`
    cell.style.setProperty('--heat', `${(probability * 100).toFixed(1)}%`)
  })
  const entropy = view.entropy.perBlock[b] ?? 0
  const most = Math.log(block.operations.length)
  const figure = /** @type {HTMLDataElement} */ (find('data', row))
  figure.value = String(entropy)
  setText(figure, entropy.toFixed(2))
  find('.block-entropy', row).title =
    `${formatFigure(entropy)} nats, ${most.toFixed(2)} if all ${block.operations.length} operations were equally probable`
  find('.spark', row).style.setProperty('--share', `${most > 0 ? ((entropy / most) * 100).toFixed(1) : 0}%`)
  const chosen = status.current.blocks[b]
  setText(find('.block-latency', row), chosen ? `${formatMs(chosen.latencyMs)}${chosen.predicted ? ' (predicted)' : ''}` : '–')
}

/** @param {number} probability */
const percent = (probability) => (probability === 0 ? '0' : probability < ROUND_FROM ? '<1' : String(Math.round(probability * 100)))
