// Candidates of a search, best first, with what each costs.

import { find, keepChildren, make, setText } from './dom.js'
import { formatCompact, formatCount, formatFigure, formatMs, formatShare } from './format.js'

/** @typedef {import('../../protocol/views.ts').Candidate} Candidate */
/** @typedef {Extract<import('../../protocol/views.ts').SearchView, { kind: 'population' | 'ranking' }>} CandidatesView */
/** @typedef {import('../../protocol/views.ts').RankingView} RankingView */

/** @param {CandidatesView} view */
export function renderCandidates(view) {
  const isPopulation = view.kind === 'population'
  setText(find('#candidates-title'), isPopulation ? 'Population' : 'Ranking')
  setText(
    find('#candidates-note'),
    isPopulation ? `generation ${formatCount(view.generation)}` : `${formatCount(view.scored)} candidates have a score`,
  )
  find('#candidates-facts').replaceChildren(
    ...(view.kind === 'ranking' ? factsOf(view) : []).map(([name, text]) => make('div', {}, make('dt', {}, name), make('dd', {}, text))),
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

/** What some strategies know beside the ranking. @param {RankingView} view @returns {[string, string][]} */
function factsOf({ rungs = [], policy, predictions }) {
  /** @type {[string, string][]} */
  const facts = rungs.map(({ epochs, scored, failed, promoted, bestScore }, i) => [
    `after ${formatFigure(epochs)} epochs`,
    [
      `${formatCount(scored)} trained`,
      ...(i < rungs.length - 1 ? [`${formatCount(promoted)} went on`] : []),
      ...(failed > 0 ? [`${formatCount(failed)} failed`] : []),
      ...(bestScore === null ? [] : [`best ${formatFigure(bestScore)}`]),
    ].join(', '),
  ])
  if (policy)
    facts.push([
      'entropy of the policy',
      `${formatFigure(policy.entropy)} nats per decision, ${formatFigure(policy.startEntropy)} at the start`,
    ])
  if (predictions) {
    const { fits, examples, agreement } = predictions
    const told = agreement === null ? '' : `, ${formatShare(agreement)} of pairs foretold in their order`
    facts.push([
      'predictor',
      fits === 0 ? 'not fitted yet' : `${formatCount(fits)} fits, the last on ${formatCount(examples)} results${told}`,
    ])
  }
  return facts
}

const createRow = () =>
  make('tr', {}, make('th', { scope: 'row' }, make('code')), ...Array.from({ length: 4 }, () => make('td', { class: 'number' })))

/** @param {HTMLElement} row @param {Candidate} candidate */
function update(row, { encoding, score, epochs, latencyMs, macs, parameters, parent, meetsConstraint }) {
  row.dataset['encoding'] = encoding
  setText(find('code', row), encoding)
  row.title = parent === undefined ? '' : `made from ${parent}`
  const texts = [
    `${formatFigure(score)}${epochs === undefined ? '' : ` (${formatFigure(epochs)} epochs)`}`,
    `${formatMs(latencyMs)}${meetsConstraint ? '' : ' (beyond a bound)'}`,
    formatCompact(macs),
    formatCompact(parameters),
  ]
  for (const [i, text] of texts.entries()) {
    const cell = row.children[i + 1]
    if (cell) setText(cell, text)
  }
}
