// Candidates of a search, best first, with what each costs.

import { find, keepChildren, make, setText } from './dom.js'
import { formatCompact, formatCount, formatFigure, formatMs } from './format.js'

/** @typedef {import('../../protocol/views.ts').Candidate} Candidate */
/** @typedef {Extract<import('../../protocol/views.ts').SearchView, { kind: 'population' | 'ranking' }>} CandidatesView */

/** @param {CandidatesView} view */
export function renderCandidates(view) {
  const isPopulation = view.kind === 'population'
  setText(find('#candidates-title'), isPopulation ? 'Population' : 'Ranking')
  setText(
    find('#candidates-note'),
    isPopulation ? `generation ${formatCount(view.generation)}` : `${formatCount(view.scored)} candidates have a score`,
  )
  setText(find('#candidates-score'), view.score)
  // Two candidates may have the same architecture.
  const keyed = view.candidates.map((candidate, i) => ({ candidate, key: `${candidate.encoding} ${i}` }))
  keepChildren(
    find('#candidate-rows'),
    keyed,
    ({ key }) => key,
    createRow,
    (row, { candidate }) => update(row, candidate),
  )
}

const createRow = () =>
  make('tr', {}, make('th', { scope: 'row' }, make('code')), ...Array.from({ length: 4 }, () => make('td', { class: 'number' })))

/** @param {HTMLElement} row @param {Candidate} candidate */
function update(row, { encoding, score, latencyMs, macs, parameters, parent, meetsConstraint }) {
  row.dataset['encoding'] = encoding
  setText(find('code', row), encoding)
  row.title = parent === undefined ? '' : `made from ${parent}`
  const texts = [
    formatFigure(score),
    `${formatMs(latencyMs)}${meetsConstraint ? '' : ' (beyond a bound)'}`,
    formatCompact(macs),
    formatCompact(parameters),
  ]
  for (const [i, text] of texts.entries()) {
    const cell = row.children[i + 1]
    if (cell) setText(cell, text)
  }
}
