// The subprotocols that a WebSocket is asked for with: one says what it is for, another has the token, since browsers send no other header.

import { BEARER_PROTOCOL_PREFIX } from '../../protocol/index.ts'
import { fromBase64Url } from './signatures.ts'

const namesOf = (offered = '') => offered.split(',').map((name) => name.trim())

/** Whether a request offers this subprotocol. */
function offersProtocol(offered: string | undefined, wanted: string): boolean {
  return namesOf(offered).includes(wanted)
}

/** The token among the subprotocols that a request offers; undefined where there is none. */
function tokenOfProtocols(offered: string | undefined): string | undefined {
  const named = namesOf(offered).find((name) => name.startsWith(BEARER_PROTOCOL_PREFIX))
  const bytes = named === undefined ? null : fromBase64Url(named.slice(BEARER_PROTOCOL_PREFIX.length))
  return bytes === null ? undefined : new TextDecoder().decode(bytes)
}

export { offersProtocol, tokenOfProtocols }
