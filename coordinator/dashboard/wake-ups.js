// A socket on which the coordinator says that the status of a search has changed (protocol/wake-ups.ts), so that the page need not ask meanwhile.
// Where there is none, the page asks as if there were no sockets.

const PROTOCOL = 'gatehouse.wake-ups'
const BEARER_PREFIX = 'gatehouse.bearer.'
const PING_MS = 50_000
/** After a socket was lost, or could not be opened: this first, then twice as long each time. */
const FIRST_PAUSE_MS = 2000
const LAST_PAUSE_MS = 600_000
/** A socket that lived for so long shows that sockets are possible here. */
const GOOD_MS = 300_000

/**
 * @param {string} path of the search or the training
 * @param {string} token printable ASCII
 * @param {() => void} onChange called also when the socket opens, since nobody tells of what was before, and when it is lost
 */
export function createWakeUps(path, token, onChange) {
  /** @type {WebSocket | null} */
  let socket = null
  let openedAtMs = 0
  let losses = 0
  let mayOpenAtMs = 0
  let isAnswered = true
  /** @type {ReturnType<typeof setInterval> | undefined} */
  let pinging

  const address = () => new URL(`${path}/wake-ups`, location.href.replace(/^http/, 'ws'))
  const protocols = [PROTOCOL, BEARER_PREFIX + btoa(token).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '')]

  /** @param {WebSocket} lost */
  function lose(lost) {
    if (socket !== lost) return
    close()
    const now = performance.now()
    losses = openedAtMs > 0 && now - openedAtMs >= GOOD_MS ? 1 : losses + 1
    mayOpenAtMs = now + Math.min(LAST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** (losses - 1)) * (1 - Math.random() / 2)
    onChange()
  }

  function close() {
    clearInterval(pinging)
    const closed = socket
    socket = null
    closed?.close()
  }

  return {
    isOpen: () => socket?.readyState === WebSocket.OPEN,

    /** Unless there is one, or the last one was lost a moment ago. */
    open() {
      if (socket || performance.now() < mayOpenAtMs) return
      const opening = new WebSocket(address(), protocols)
      socket = opening
      openedAtMs = 0
      isAnswered = true
      opening.addEventListener('open', () => {
        openedAtMs = performance.now()
        if (socket === opening) onChange()
      })
      opening.addEventListener('message', ({ data }) => {
        if (data === 'pong') isAnswered = true
        else if (socket === opening) onChange()
      })
      opening.addEventListener('close', () => lose(opening))
      pinging = setInterval(() => {
        if (opening.readyState !== WebSocket.OPEN) return
        if (!isAnswered) return lose(opening)
        isAnswered = false
        opening.send('ping')
      }, PING_MS)
    },

    close,
  }
}
/** @typedef {ReturnType<typeof createWakeUps>} WakeUps */
