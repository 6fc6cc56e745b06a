// The status page: which of its three views is shown (sign in, list, one search), and what feeds it.

import { createCharts } from './charts.js'
import { createClient, isTokenText, METRICS_PAGE, RequestError } from './client.js'
import { find, keepChildren, make, setText } from './dom.js'
import { formatDuration, formatShare, formatTime } from './format.js'
import { createHistory } from './metric-history.js'
import { startPolling } from './poller.js'
import { createProfileForm } from './profile-form.js'
import { renderSearch } from './search-view.js'
import { forgetToken, keepToken, readSession, searchHref } from './session.js'
import { createWakeUps } from './wake-ups.js'

/** @typedef {import('./client.js').Client} Client */
/** @typedef {import('./client.js').Control} Control */
/** @typedef {import('./poller.js').Connection} Connection */
/** @typedef {import('../../protocol/status.ts').SearchStatus} SearchStatus */

const endedPhases = new Set(['finished', 'stopped'])
/** Times are shown anew so often, also while nothing changes that would have to be asked for. */
const TICK_MS = 2000
const charts = createCharts(find('#charts'))
const profileForm = createProfileForm(() => open?.client ?? null)

/** What the page looks at now; replaced as a whole when that changes. @type {{ poller: import('./poller.js').Poller, client: Client, searchId: string | null } | null} */
let open = null
/** The status that is shown, and when it came. @type {{ status: SearchStatus, serverNowMs: number, atMs: number } | null} */
let shown = null
/** Whether the token may list and steer searches; unknown until the coordinator was asked. @type {boolean | null} */
let isAdmin = null
/** A tab that begins with the only search there is goes straight to it. */
let isFirstView = true

/** @param {'sign-in' | 'search-list' | 'search' | null} id null while the first answer is awaited */
function showView(id) {
  for (const each of ['sign-in', 'search-list', 'search']) find(`#${each}`).hidden = each !== id
  find('#sign-out').hidden = id === 'sign-in'
  find('#all-searches').hidden = !isAdmin || id === 'sign-in' || id === 'search-list'
}

function start() {
  open?.poller.stop()
  open = null
  shown = null
  showNotice('')
  const { token, searchId } = readSession()
  if (!token) return signIn('', searchId)
  if (!isTokenText(token)) return signIn('A token has no spaces and no letters outside ASCII.', searchId)
  const client = createClient(token)
  showView(null)
  showConnection('connecting', 'Connecting')
  document.title = 'Gatehouse'
  const poll = searchId === null ? pollList(client) : pollSearch(client, searchId)
  const listen =
    searchId === null
      ? undefined
      : (/** @type {() => void} */ onChange) => createWakeUps(`/v1/searches/${encodeURIComponent(searchId)}`, token, onChange)
  const poller = startPolling(poll, (connection) => onConnection(connection, searchId), listen)
  open = { poller, client, searchId }
}

/** @param {string} error @param {string | null} searchId */
function signIn(error, searchId) {
  showView('sign-in')
  showConnection('idle', '')
  document.title = 'Gatehouse'
  setText(find('#sign-in-error'), error)
  const field = /** @type {HTMLInputElement} */ (find('#search-id'))
  field.value ||= searchId ?? ''
  find('#token').focus()
}

/** @param {Client} client @returns {(signal: AbortSignal) => Promise<'again'>} */
function pollList(client) {
  return async (signal) => {
    const { searches, unreadable } = await client.listSearches(signal)
    isAdmin = true
    const [only] = searches
    if (isFirstView && only && searches.length === 1 && unreadable.length === 0) {
      isFirstView = false
      location.hash = searchHref(only.searchId)
      return 'again'
    }
    isFirstView = false
    find('#no-searches').hidden = searches.length + unreadable.length > 0
    keepChildren(
      find('#search-rows'),
      searches,
      (search) => search.searchId,
      createSearchRow,
      (row, search) => {
        row.dataset['searchId'] = search.searchId
        const link = /** @type {HTMLAnchorElement} */ (find('a', row))
        link.href = searchHref(search.searchId)
        setText(link, search.name)
        const phase = find('.phase', row)
        phase.dataset['phase'] = search.phase
        setText(phase, search.phase)
        const [, , space, created, id] = row.children
        for (const [cell, text] of /** @type {[Element, string][]} */ ([
          [space, search.space],
          [created, formatTime(search.createdAtMs)],
          [id, search.searchId],
        ]))
          setText(cell, text)
      },
    )
    keepChildren(
      find('#unreadable-rows'),
      unreadable,
      ({ id }) => id,
      createUnreadableRow,
      (row, { id, createdAtMs, reason }) => {
        row.dataset['searchId'] = id
        for (const [i, text] of [reason, 'cannot be read', '', formatTime(createdAtMs), id].entries()) {
          const cell = row.children[i]
          if (cell) setText(cell, text)
        }
      },
    )
    await profileForm.update(signal)
    showView('search-list')
    return 'again'
  }
}

const createSearchRow = () =>
  make(
    'tr',
    {},
    make('th', { scope: 'row' }, make('a')),
    make('td', {}, make('span', { class: 'phase' })),
    make('td'),
    make('td'),
    make('td', { class: 'id' }),
  )

/** Of a search that the coordinator cannot read: why, in place of its name and space. */
const createUnreadableRow = () =>
  make('tr', {}, make('td'), make('td', { class: 'error' }), make('td'), make('td'), make('td', { class: 'id' }))

/** @param {Client} client @param {string} searchId @returns {(signal: AbortSignal) => Promise<'again' | 'done'>} */
function pollSearch(client, searchId) {
  let history = createHistory()
  let rollbacks = 0
  isFirstView = false
  return async (signal) => {
    isAdmin ??= await mayList(client, signal)
    const { status, serverNowMs } = await client.readStatus(searchId, signal)
    showView('search')
    renderSearch(status, serverNowMs)
    shown = { status, serverNowMs, atMs: performance.now() }
    showControls(status)
    const rolledBack = status.rollbacks?.at(-1)?.number ?? 0
    // Curves are of what counts.
    if (rolledBack !== rollbacks) history = createHistory()
    rollbacks = rolledBack
    document.title = `${formatShare(status.progress)} · ${status.name} · Gatehouse`
    if (history.lastSeq === 0) charts.update(status, history)
    // After the status: of a search that has ended, these are then the last ones.
    let page
    do {
      page = await client.readMetrics(searchId, history.lastSeq, signal)
      history.append(page)
      charts.update(status, history)
    } while (page.length >= METRICS_PAGE)
    return endedPhases.has(status.phase) ? 'done' : 'again'
  }
}

/** @param {Client} client @param {AbortSignal} signal */
async function mayList(client, signal) {
  try {
    await client.listSearches(signal)
    return true
  } catch (error) {
    if (error instanceof RequestError && error.status === 403) return false
    throw error
  }
}

/** @param {SearchStatus} status */
function showControls({ phase }) {
  const ended = endedPhases.has(phase)
  find('#controls').hidden = !isAdmin || ended
  const waits = phase === 'paused' || phase === 'failed'
  find('#pause').hidden = waits
  find('#resume').hidden = !waits
}

/** @param {Connection} connection @param {string | null} searchId */
function onConnection(connection, searchId) {
  switch (connection.kind) {
    case 'live':
      return showConnection('live', 'Live', `updated ${new Date().toLocaleTimeString('en-GB')}`)
    case 'hidden':
      return showConnection('hidden', 'Paused while the tab is hidden')
    case 'ended':
      return showConnection('ended', 'Ended', 'these figures are final')
    case 'lost': {
      const seconds = formatDuration(Math.max(1000, connection.retryMs))
      return showConnection('lost', 'Connection lost, retrying', `in ${seconds}: ${connection.error.message}`)
    }
    case 'refused':
      return onRefusal(connection.error, searchId)
    default:
      throw new Error(`unknown connection ${JSON.stringify(connection)}`)
  }
}

/** @param {RequestError} error @param {string | null} searchId */
function onRefusal(error, searchId) {
  if (error.status === 401) {
    forgetToken()
    return signIn(error.message, searchId)
  }
  if (searchId === null && error.status === 403)
    return signIn('This token is for the agents of one search: give the id of that search too.', searchId)
  if (!isAdmin) return signIn(error.message, searchId)
  showConnection('refused', 'Not available')
  showNotice(error.message)
}

/** @param {string} state @param {string} text @param {string} [note] */
function showConnection(state, text, note = '') {
  const element = find('#connection')
  element.dataset['state'] = state
  setText(element, text)
  setText(find('#connection-note'), note)
  find('#retry').hidden = state !== 'lost'
}

/** @param {string} text empty for none */
function showNotice(text) {
  const notice = find('#notice')
  notice.hidden = text === ''
  setText(notice, text)
}

/** @param {Control} control */
async function steer(control) {
  if (!open?.searchId) return
  const { client, searchId, poller } = open
  const buttons = /** @type {NodeListOf<HTMLButtonElement>} */ (document.querySelectorAll('#controls button'))
  for (const button of buttons) button.disabled = true
  showNotice('')
  try {
    await client.control(searchId, control, new AbortController().signal)
  } catch (error) {
    if (!(error instanceof RequestError)) throw error
    showNotice(`Could not ${control} the search: ${error.message}`)
  } finally {
    for (const button of buttons) button.disabled = false
    poller.wake()
  }
}

/** Only while the page hears of changes: otherwise what it shows is of a moment ago. */
function tick() {
  if (shown && find('#connection').dataset['state'] === 'live')
    renderSearch(shown.status, shown.serverNowMs + performance.now() - shown.atMs)
}

find('#sign-in-form').addEventListener('submit', (event) => {
  event.preventDefault()
  const token = /** @type {HTMLInputElement} */ (find('#token'))
  const searchId = /** @type {HTMLInputElement} */ (find('#search-id')).value.trim()
  keepToken(token.value.trim())
  token.value = ''
  isAdmin = null
  history.replaceState(null, '', searchHref(searchId || null))
  start()
})
find('#sign-out').addEventListener('click', () => {
  forgetToken()
  isAdmin = null
  profileForm.clear()
  start()
})
for (const link of [find('#home'), find('#all-searches')]) {
  link.addEventListener('click', (event) => {
    event.preventDefault()
    if (!location.hash) return
    history.pushState(null, '', searchHref(null))
    start()
  })
}
find('#retry').addEventListener('click', () => open?.poller.wake())
find('#pause').addEventListener('click', () => void steer('pause'))
find('#resume').addEventListener('click', () => void steer('resume'))
const stopDialog = /** @type {HTMLDialogElement} */ (find('#stop-dialog'))
find('#stop').addEventListener('click', () => {
  stopDialog.returnValue = ''
  stopDialog.showModal()
})
stopDialog.addEventListener('close', () => {
  if (stopDialog.returnValue === 'stop') void steer('stop')
})
// A link opened in this tab may bring another token; going back and forth changes only the search.
addEventListener('hashchange', () => {
  if (new URLSearchParams(location.hash.slice(1)).has('token')) isAdmin = null
  start()
})
start()
setInterval(tick, TICK_MS)
