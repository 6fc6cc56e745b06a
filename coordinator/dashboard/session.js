// The token and the search that this tab looks at. The token lives in the tab's session storage only; the search stays
// in the address, so that the page can be reloaded, kept as a bookmark and gone back from.

const TOKEN_KEY = 'gatehouse.token'

/** Takes a token out of the address (`#token=…&search=…`), where it came in a link, before anything else sees it. */
export function readSession() {
  // A plus sign is a plus sign here, not a space as in forms.
  const fragment = new URLSearchParams(location.hash.slice(1).replaceAll('+', '%2B'))
  const searchId = fragment.get('search') || null
  const token = fragment.get('token')
  if (token) sessionStorage.setItem(TOKEN_KEY, token.trim())
  if (fragment.has('token')) history.replaceState(null, '', searchHref(searchId))
  return { token: sessionStorage.getItem(TOKEN_KEY), searchId }
}

/** @param {string} token */
export const keepToken = (token) => sessionStorage.setItem(TOKEN_KEY, token)

export const forgetToken = () => sessionStorage.removeItem(TOKEN_KEY)

/** @param {string | null} searchId null is the list of searches */
export const searchHref = (searchId) => (searchId === null ? location.pathname : `#search=${encodeURIComponent(searchId)}`)
