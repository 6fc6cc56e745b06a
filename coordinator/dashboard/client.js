// Requests to the coordinator, with its refusals as errors that say what was wrong.

/** @typedef {import('../../protocol/status.ts').SearchStatus} SearchStatus */
/** @typedef {import('../../protocol/status.ts').SearchSummary} SearchSummary */
/** @typedef {import('../../protocol/status.ts').Metric} Metric */
/** @typedef {import('../../protocol/listed.ts').Unreadable} Unreadable */
/** @typedef {import('../../protocol/profiles.ts').ProfileStatus} ProfileStatus */
/** @typedef {import('../../protocol/profiles.ts').ProfileRequestInput} ProfileRequestInput */
/** @typedef {'pause' | 'resume' | 'stop'} Control */

/** Answers take well under a second; a request that hangs this long counts as a lost connection. */
const REQUEST_TIMEOUT_MS = 15_000
/** Rows of one page of metrics: the most that the coordinator gives. */
export const METRICS_PAGE = 1000

/** A request that brought no result. `status` is 0 if there was no answer at all. */
export class RequestError extends Error {
  /** @param {number} status @param {string} detail */
  constructor(status, detail) {
    super(detail)
    this.name = 'RequestError'
    this.status = status
  }

  /** Whether the same request may succeed later: no answer, too many requests, or a fault on the other side. */
  get passing() {
    return this.status === 0 || this.status === 429 || this.status >= 500
  }
}

/** Whether a text can travel in an Authorization header. @param {string} token */
export const isTokenText = (token) => /^[\x21-\x7e]+$/.test(token)

/** @param {string} token */
export function createClient(token) {
  /**
   * @param {string} path
   * @param {AbortSignal} signal
   * @param {'GET' | 'POST'} [method]
   * @param {unknown} [content]
   */
  async function request(path, signal, method = 'GET', content) {
    let response
    let text
    try {
      response = await fetch(path, {
        ...(content === undefined ? {} : { body: JSON.stringify(content) }),
        method,
        headers: {
          authorization: `Bearer ${token}`,
          accept: 'application/json',
          ...(content === undefined ? {} : { 'content-type': 'application/json' }),
        },
        cache: 'no-store',
        credentials: 'omit',
        signal: AbortSignal.any([signal, AbortSignal.timeout(REQUEST_TIMEOUT_MS)]),
      })
      text = await response.text()
    } catch {
      signal.throwIfAborted()
      throw new RequestError(0, 'the coordinator does not answer')
    }
    const body = parseJson(text)
    if (!response.ok) throw new RequestError(response.status, refusal(response.status, body))
    // Something between here and the coordinator answered in its place, for example a sign-in page of a network.
    if (body === undefined && method === 'GET') throw new RequestError(0, 'the answer is not JSON, so it is not from a coordinator')
    return { body, serverNowMs: dateOf(response) }
  }

  return {
    /** Needs an admin token. @param {AbortSignal} signal @returns {Promise<{ searches: SearchSummary[], unreadable: Unreadable[] }>} */
    async listSearches(signal) {
      const { searches, unreadable = [] } = (await request('/v1/searches', signal)).body
      return { searches, unreadable }
    },

    /** @param {string} searchId @param {AbortSignal} signal @returns {Promise<{ status: SearchStatus, serverNowMs: number }>} */
    async readStatus(searchId, signal) {
      const { body, serverNowMs } = await request(`/v1/searches/${encodeURIComponent(searchId)}`, signal)
      return { status: body, serverNowMs }
    },

    /** Metrics applied after `after`, oldest first, at most a page. @param {string} searchId @param {number} after @param {AbortSignal} signal @returns {Promise<Metric[]>} */
    async readMetrics(searchId, after, signal) {
      const path = `/v1/searches/${encodeURIComponent(searchId)}/metrics?after=${after}&limit=${METRICS_PAGE}`
      return (await request(path, signal)).body.metrics
    },

    /** @param {string} searchId @param {Control} control @param {AbortSignal} signal */
    async control(searchId, control, signal) {
      await request(`/v1/searches/${encodeURIComponent(searchId)}/${control}`, signal, 'POST')
    },

    /** Needs an admin token. @param {ProfileRequestInput} content @param {AbortSignal} signal @returns {Promise<{ profileId: string, code: string, url: string }>} */
    async createProfile(content, signal) {
      return (await request('/v1/profiles', signal, 'POST', content)).body
    },

    /** @param {string} profileId @param {AbortSignal} signal @returns {Promise<ProfileStatus>} */
    async readProfile(profileId, signal) {
      return (await request(`/v1/profiles/${encodeURIComponent(profileId)}`, signal)).body
    },
  }
}
/** @typedef {ReturnType<typeof createClient>} Client */

/** @param {string} text @returns {any} undefined where it is not JSON */
function parseJson(text) {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** What a problem document says; proxies in between answer with something else. @param {number} status @param {any} body */
function refusal(status, body) {
  const detail = typeof body?.detail === 'string' ? body.detail : `the coordinator answered with status ${status}`
  const fields = Array.isArray(body?.errors)
    ? body.errors.map((/** @type {{ path: string, message: string }} */ field) => `${field.path}: ${field.message}`)
    : []
  return fields.length > 0 ? `${detail} (${fields.join('; ')})` : detail
}

/** The coordinator's clock, because a visitor's may be wrong by minutes. @param {Response} response */
function dateOf(response) {
  const atMs = Date.parse(response.headers.get('date') ?? '')
  return Number.isNaN(atMs) ? Date.now() : atMs
}
