// Who works on the search.

import { find, keepChildren, make, setText } from './dom.js'
import { formatAgo, formatBytes, formatCount, formatFigure, formatShare, formatTime } from './format.js'

/** @typedef {import('../../protocol/status.ts').SearchStatus} SearchStatus */
/** @typedef {SearchStatus['agents'][number]} Agent */

const texts = /** @type {const} */ (['name', 'device', 'backend'])
const figures = /** @type {const} */ ([
  'lastSeenAtMs',
  'imagesPerSecond',
  'idleShare',
  'tasksDone',
  'refusedPushes',
  'duplicates',
  'bytesPerStep',
  'bytesSent',
  'bytesReceived',
])
/** What a phone, which has no room for the head of the table, writes before each figure. */
const labels = {
  lastSeenAtMs: 'seen',
  imagesPerSecond: 'images/s',
  idleShare: 'idle',
  tasksDone: 'done',
  refusedPushes: 'refused',
  duplicates: 'duplicates',
  bytesPerStep: 'a step',
  bytesSent: 'pushed',
  bytesReceived: 'pulled',
}

/** @param {SearchStatus} status @param {number} nowMs the coordinator's clock */
export function renderAgents(status, nowMs) {
  const { agents } = status
  // An agent that was silent for a lease time has lost its task: it is shown as gone.
  const isHere = (/** @type {Agent} */ agent) => nowMs - agent.lastSeenAtMs < status.config.tasks.leaseMs
  const ended = status.phase === 'finished' || status.phase === 'stopped'
  setText(find('#agent-count'), agents.length === 0 || ended ? '' : `${agents.filter(isHere).length} of ${agents.length} here`)
  find('#no-agents').hidden = agents.length > 0
  keepChildren(
    find('#agent-rows'),
    agents,
    (agent) => agent.agentId,
    createRow,
    (row, agent) => {
      row.classList.toggle('gone', !ended && !isHere(agent))
      row.dataset['agentId'] = agent.agentId
      const described = {
        ...agent,
        name: agent.isSetAside ? `${agent.name} (set aside)` : agent.name,
        backend: agent.lanes > 1 ? `${agent.backend} × ${agent.lanes}` : agent.backend,
      }
      for (const name of texts) {
        const text = find(`[data-agent-field="${name}"]`, row)
        setText(text, described[name])
        text.title = described[name]
      }
      const shown = {
        lastSeenAtMs: formatAgo(nowMs - agent.lastSeenAtMs),
        imagesPerSecond: formatFigure(agent.imagesPerSecond),
        idleShare: formatShare(agent.idleShare),
        tasksDone: formatCount(agent.tasksDone),
        refusedPushes: formatCount(agent.refusedPushes),
        duplicates: formatCount(agent.duplicates),
        bytesPerStep: formatBytes(agent.bytesPerStep),
        bytesSent: formatBytes(agent.bytesSent),
        bytesReceived: formatBytes(agent.bytesReceived),
      }
      for (const name of figures) {
        const figure = /** @type {HTMLDataElement} */ (find(`[data-agent-field="${name}"]`, row))
        figure.value = String(agent[name] ?? '')
        setText(figure, shown[name])
      }
      find('[data-agent-field="refusedPushes"]', row).classList.toggle('bad', agent.refusedPushes > 0)
      const clipped = agent.clipped > 0 ? `, numbers of ${formatCount(agent.clipped)} tasks far larger than usual` : ''
      row.title = `${agent.agentId}, registered ${formatTime(agent.registeredAtMs)}, last seen ${formatTime(agent.lastSeenAtMs)}${clipped}`
    },
  )
}

function createRow() {
  const [name, ...rest] = texts.map((field) => make('span', { 'data-agent-field': field }))
  return make(
    'tr',
    { role: 'row' },
    make(
      'th',
      { scope: 'row', role: 'rowheader' },
      make('i', { class: 'presence', 'aria-hidden': 'true' }),
      /** @type {HTMLElement} */ (name),
    ),
    ...rest.map((text) => make('td', { role: 'cell' }, text)),
    ...figures.map((field) =>
      make('td', { class: 'number', role: 'cell', 'data-label': labels[field] }, make('data', { 'data-agent-field': field })),
    ),
  )
}
