// Who is calling, as the Worker tells the objects. An agent token reads `gha.<id>.<token id>.<secret>`, the id being that of
// the search or the training that it is good for; objects store and compare the SHA-256 of the whole, never the token.

/** The Worker has checked the admin token itself; an agent's is checked by the object that it is for. */
type Caller = { readonly kind: 'admin' } | { readonly kind: 'agent'; readonly tokenId: string; readonly hash: Uint8Array }

/** Who calls a profile: the administrator, or the browser that measures, checked by the profile's object. */
type ProfileCaller = { readonly kind: 'admin' } | { readonly kind: 'profile'; readonly hash: Uint8Array }

type TokenRecord = { readonly tokenId: string; readonly label: string; readonly createdAtMs: number; readonly hash: Uint8Array }

const AGENT_TOKEN_PREFIX = 'gha'
const AGENT_TOKEN_PATTERN = /^gha\.(s[0-9a-z]{12})\.(t[0-9a-z]{12})\.[A-Za-z0-9_-]{43}$/
const TRAINING_TOKEN_PATTERN = /^gha\.(r[0-9a-z]{12})\.(t[0-9a-z]{12})\.[A-Za-z0-9_-]{43}$/

/** The parts of a search's agent token that are not secret, or null for text of another form. */
function parseAgentToken(token: string): { searchId: string; tokenId: string } | null {
  const match = AGENT_TOKEN_PATTERN.exec(token)
  const [, searchId, tokenId] = match ?? []
  return searchId && tokenId ? { searchId, tokenId } : null
}

/** The parts of a training's agent token that are not secret, or null for text of another form. */
function parseTrainingToken(token: string): { trainingId: string; tokenId: string } | null {
  const match = TRAINING_TOKEN_PATTERN.exec(token)
  const [, trainingId, tokenId] = match ?? []
  return trainingId && tokenId ? { trainingId, tokenId } : null
}

/**
 * @param ownerId of the search or the training
 * @param secret 32 random bytes in base64url, without padding
 */
function printAgentToken(ownerId: string, tokenId: string, secret: string): string {
  return [AGENT_TOKEN_PREFIX, ownerId, tokenId, secret].join('.')
}

export { type Caller, parseAgentToken, parseTrainingToken, printAgentToken, type ProfileCaller, type TokenRecord }
