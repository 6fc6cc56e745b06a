// "Profile a device": asks the coordinator for a link, shows it with its QR code, and follows what the device does.

import { RequestError } from './client.js'
import { find, makeSvg, setText } from './dom.js'

/** @typedef {import('./client.js').Client} Client */
/** @typedef {import('./client.js').ProfileStatus} ProfileStatus */

/** Built with the measuring page; a path that the type checker does not follow, since it may not be built yet. */
const QR_MODULE = './profile/qr-code.js'
const LOOPBACK = /^(localhost|127\..*|\[::1\])$/

/** A QR code as one path of squares. @param {boolean[][]} rows */
function drawQr(rows) {
  const squares = rows.flatMap((row, y) => row.flatMap((dark, x) => (dark ? [`M${x} ${y}h1v1h-1z`] : [])))
  const size = rows.length
  return makeSvg(
    'svg',
    { viewBox: `0 0 ${size} ${size}`, role: 'img', 'aria-label': 'QR code of the link', 'shape-rendering': 'crispEdges' },
    makeSvg('path', { d: squares.join('') }),
  )
}

/** @param {ProfileStatus} status */
function describe({ phase, backends, tables, request }) {
  if (phase === 'waiting') return 'Waiting for a device to open the link.'
  if (phase === 'open') return 'A device has opened the link.'
  if (phase === 'published') return `Published: ${tables.map(({ name }) => name).join(', ')}.`
  const parts = backends.map(({ backend, rounds, spentMs, conditions }) => {
    const percent = Math.min(100, Math.floor(spentMs / (10 * request.budgetSeconds)))
    return `${conditions.device} measures ${backend}: ${rounds} rounds, ${percent} % of its time${conditions.throttled ? ', throttled' : ''}`
  })
  return `${parts.join('; ')}.`
}

/** @param {() => Client | null} currentClient */
export function createProfileForm(currentClient) {
  /** The profile that is followed. @type {string | null} */
  let profileId = null

  find('#profile-form').addEventListener('submit', (event) => {
    event.preventDefault()
    void create()
  })

  async function create() {
    const client = currentClient()
    if (!client) return
    /** @param {string} id */
    const valueOf = (id) => /** @type {HTMLInputElement | HTMLSelectElement} */ (find(id)).value
    const space = /** @type {'fashion-mini' | 'proxyless-mobile'} */ (valueOf('#profile-space'))
    const backends = /** @type {'auto' | 'all'} */ (valueOf('#profile-backends'))
    setText(find('#profile-error'), '')
    try {
      const signal = new AbortController().signal
      const created = await client.createProfile({ space, name: valueOf('#profile-name').trim(), backends }, signal)
      /** @type {{ encodeQr(text: string): boolean[][] }} */
      const { encodeQr } = await import(QR_MODULE)
      profileId = created.profileId
      const link = /** @type {HTMLAnchorElement} */ (find('#profile-url'))
      link.href = created.url
      setText(link, created.url)
      setText(find('#profile-code'), created.code)
      setText(find('#profile-note'), noteFor(location.hostname, location.protocol))
      find('#profile-qr').replaceChildren(drawQr(encodeQr(created.url)))
      find('#profile-link').hidden = false
      await update(signal)
    } catch (error) {
      setText(
        find('#profile-error'),
        error instanceof RequestError ? error.message : 'The QR code is not built: npm run prepare builds it.',
      )
    }
  }

  /** @param {AbortSignal} signal */
  async function update(signal) {
    const client = currentClient()
    if (!client || profileId === null) return
    try {
      const status = await client.readProfile(profileId, signal)
      setText(find('#profile-state'), describe(status))
      if (status.phase === 'published') profileId = null
    } catch (error) {
      if (!(error instanceof RequestError) || error.status !== 404) throw error
      setText(find('#profile-state'), 'The link was not used in time, or the profile was deleted.')
      profileId = null
    }
  }

  return {
    /** Asks how far the device is; throws what the client throws. */
    update,
    /** Another token may not see this one's link. */
    clear() {
      profileId = null
      find('#profile-link').hidden = true
      setText(find('#profile-code'), '')
      setText(find('#profile-url'), '')
      find('#profile-qr').replaceChildren()
    },
  }
}

/** @param {string} hostname @param {string} protocol */
function noteFor(hostname, protocol) {
  if (LOOPBACK.test(hostname))
    return 'This address is that of your own machine: a phone needs the coordinator deployed, or started with --host 0.0.0.0 and this page opened at its address in the network.'
  if (protocol === 'http:') return 'Over plain http a phone offers WebGL and WebAssembly only, and does not keep its screen awake.'
  return 'Good for half an hour. The phone needs a current browser and some minutes in which it is not used.'
}
